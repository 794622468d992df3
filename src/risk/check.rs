//! Whether a reported signal may be recorded.
//!
//! Sensors are authenticated but not infallible: a signal of an unknown kind would be kept and never count, and one
//! with a strength of 50 would drown the rest.

use std::time::Duration;

use super::signal::{Fade, Family, SignalKind, kind, kinds};
use crate::model::{NewSignal, SignalLife, Timestamp};

/// Why a signal is not recorded; each names the value and what would be right.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SignalFault {
    #[error("`{kind}` is not a kind of signal; {hint}")]
    UnknownKind { kind: String, hint: String },
    #[error("{what} is {value}; it must be between 0 and 1")]
    OutOfRange { what: &'static str, value: f64 },
    #[error("`{kind}` cannot be about a {subject}; it is about: {allowed}")]
    Subject { kind: &'static str, subject: &'static str, allowed: String },
    #[error("{what} must be at most {most} bytes long, without control characters{more}")]
    Text { what: &'static str, most: usize, more: &'static str },
    #[error("observed_at {observed_at} lies in the future (it is {now})")]
    Future { observed_at: Timestamp, now: Timestamp },
    #[error("`{kind}` {why}")]
    Life { kind: &'static str, why: String },
}

/// Clocks of sensors may be ahead by this much.
const CLOCK_SKEW: Duration = Duration::from_secs(60);
const MAX_EVIDENCE: usize = 500;
const MAX_SOURCE: usize = 128;
const MAX_DEDUP_KEY: usize = 200;

/// Checks a signal against the registry.
pub(super) fn check(signal: &NewSignal, now: Timestamp, max_half_life: Duration) -> Result<(), SignalFault> {
    let Some(kind) = kind(&signal.kind) else {
        return Err(SignalFault::UnknownKind { kind: clip(&signal.kind), hint: hint(&signal.kind) });
    };
    check_range("strength", signal.strength)?;
    check_range("confidence", signal.confidence)?;
    let subject = signal.subject.kind();
    if !kind.subjects.contains(&subject) {
        return Err(SignalFault::Subject { kind: kind.code, subject, allowed: kind.subjects.join(", ") });
    }
    check_life(kind, signal.life, max_half_life)?;
    check_text("source", &signal.source, MAX_SOURCE, true)?;
    check_text("evidence", &signal.evidence, MAX_EVIDENCE, false)?;
    if let Some(key) = &signal.dedup_key {
        check_text("dedup_key", key, MAX_DEDUP_KEY, true)?;
    }
    if signal.observed_at > now.plus(CLOCK_SKEW) {
        return Err(SignalFault::Future { observed_at: signal.observed_at, now });
    }
    Ok(())
}

fn check_range(what: &'static str, value: f64) -> Result<(), SignalFault> {
    // Written so that NaN, which is in no range, is refused.
    if (0.0..=1.0).contains(&value) { Ok(()) } else { Err(SignalFault::OutOfRange { what, value }) }
}

fn check_text(what: &'static str, text: &str, most: usize, required: bool) -> Result<(), SignalFault> {
    let empty = required && text.is_empty();
    if !empty && text.len() <= most && !text.chars().any(char::is_control) {
        return Ok(());
    }
    Err(SignalFault::Text { what, most, more: if required { ", and not empty" } else { "" } })
}

/// What is stated until changed must not lapse by itself, and relief must.
fn check_life(kind: &SignalKind, life: SignalLife, max_half_life: Duration) -> Result<(), SignalFault> {
    let refuse = |why: String| Err(SignalFault::Life { kind: kind.code, why });
    let stands = kind.topic.is_some() || kind.family == Family::Fact;
    match life {
        SignalLife::UntilCleared if kind.fade == Fade::Window => {
            refuse("must end by itself: give it a half-life".to_owned())
        }
        SignalLife::UntilCleared => Ok(()),
        SignalLife::HalfLife(_) if stands => {
            refuse("counts until it is cleared: give it no half-life".to_owned())
        }
        SignalLife::HalfLife(asked) => {
            let most = match (kind.fade, kind.life) {
                (Fade::Window, SignalLife::HalfLife(registered)) => registered,
                _ => max_half_life,
            };
            if !asked.is_zero() && asked <= most {
                return Ok(());
            }
            refuse(format!("may have a half-life above zero and up to {} seconds", most.as_secs()))
        }
    }
}

/// The names that were probably meant, or all of them.
fn hint(wrong: &str) -> String {
    let wrong = clip(wrong);
    let close =
        |code: &&str| distance(&wrong, code) <= 3 || (wrong.len() >= 3 && code.contains(wrong.as_str()));
    let near: Vec<&str> = kinds().map(|kind| kind.code).filter(close).collect();
    if near.is_empty() {
        let all: Vec<&str> = kinds().map(|kind| kind.code).collect();
        return format!("the kinds are {}", all.join(", "));
    }
    format!("did you mean {}?", near.join(" or "))
}

/// The beginning of a text from outside, fit for a message.
fn clip(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(64).collect()
}

/// Levenshtein's distance: insertions, deletions and replacements, row by row.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.chars().count()).collect();
    for (line, a) in left.chars().enumerate() {
        let mut diagonal = line;
        let mut before = line + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(right.chars()) {
            let replaced = diagonal + usize::from(a != b);
            diagonal = *cell;
            before = replaced.min(*cell + 1).min(before + 1);
            *cell = before;
        }
        if let Some(first) = row.first_mut() {
            *first = line + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::parse("2026-11-22T10:00:00Z").unwrap()
    }

    fn signal(kind: &str) -> NewSignal {
        NewSignal {
            subject: "principal:User::dev/alice".parse().unwrap(),
            kind: kind.into(),
            strength: 0.9,
            confidence: 0.8,
            life: SignalLife::HalfLife(Duration::from_secs(3_600)),
            source: "waf-eu-1".into(),
            evidence: "AS64500, first seen".into(),
            dedup_key: None,
            observed_at: now(),
        }
    }

    fn verdict(signal: &NewSignal) -> Result<(), SignalFault> {
        check(signal, now(), Duration::from_secs(7 * 86_400))
    }

    #[test]
    fn an_ordinary_signal_passes() {
        assert_eq!(verdict(&signal("new_network")), Ok(()));
    }

    #[test]
    fn an_unknown_kind_is_refused_with_near_names() {
        let error = verdict(&signal("new_netwrok")).unwrap_err().to_string();
        assert!(error.contains("`new_netwrok`") && error.contains("did you mean new_network?"), "{error}");
        let error = verdict(&signal("device")).unwrap_err().to_string();
        assert!(error.contains("new_device") && error.contains("device_lost"), "{error}");
        let error = verdict(&signal("xyz")).unwrap_err().to_string();
        assert!(error.contains("token_replay") && error.contains("off_hours"), "{error}");
        assert!(verdict(&signal(&"x".repeat(10_000))).unwrap_err().to_string().len() < 1_000);
    }

    #[test]
    fn strength_and_confidence_lie_between_0_and_1() {
        for value in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            let strong = NewSignal { strength: value, ..signal("new_network") };
            assert!(matches!(verdict(&strong), Err(SignalFault::OutOfRange { what: "strength", .. })));
            let sure = NewSignal { confidence: value, ..signal("new_network") };
            assert!(matches!(verdict(&sure), Err(SignalFault::OutOfRange { what: "confidence", .. })));
        }
    }

    #[test]
    fn a_kind_is_about_some_subjects_only() {
        let lost = NewSignal { life: SignalLife::UntilCleared, ..signal("device_lost") };
        let error = verdict(&lost).unwrap_err().to_string();
        assert!(error.contains("cannot be about a principal") && error.contains("device"), "{error}");
    }

    #[test]
    fn what_stands_until_changed_does_not_lapse() {
        for kind in ["idp_risk_high", "account_disabled"] {
            assert!(matches!(verdict(&signal(kind)), Err(SignalFault::Life { .. })), "{kind}");
            let standing = NewSignal { life: SignalLife::UntilCleared, ..signal(kind) };
            assert_eq!(verdict(&standing), Ok(()));
        }
    }

    #[test]
    fn relief_ends_after_its_window_at_the_latest() {
        let relief = |life| verdict(&NewSignal { life, ..signal("fresh_step_up") });
        assert_eq!(relief(SignalLife::HalfLife(Duration::from_secs(8 * 3_600))), Ok(()));
        assert!(relief(SignalLife::HalfLife(Duration::from_secs(9 * 3_600))).is_err());
        assert!(relief(SignalLife::UntilCleared).is_err());
    }

    #[test]
    fn half_lives_are_bounded() {
        for seconds in [0, 8 * 86_400] {
            let life = SignalLife::HalfLife(Duration::from_secs(seconds));
            assert!(verdict(&NewSignal { life, ..signal("new_network") }).is_err(), "{seconds}");
        }
    }

    #[test]
    fn texts_are_bounded_and_plain() {
        let with = |change: fn(&mut NewSignal)| {
            let mut signal = signal("new_network");
            change(&mut signal);
            verdict(&signal)
        };
        assert!(with(|s| s.evidence = "x".repeat(501)).is_err());
        assert!(with(|s| s.evidence = "one\nrisk=0".into()).is_err());
        assert!(with(|s| s.source = String::new()).is_err());
        assert!(with(|s| s.dedup_key = Some("k".repeat(201))).is_err());
        assert!(with(|s| s.evidence = String::new()).is_ok());
    }

    #[test]
    fn the_future_begins_after_a_minute() {
        let at = |seconds| {
            let observed_at = now().plus(Duration::from_secs(seconds));
            verdict(&NewSignal { observed_at, ..signal("new_network") })
        };
        assert_eq!(at(60), Ok(()));
        assert!(matches!(at(61), Err(SignalFault::Future { .. })));
    }

    #[test]
    fn distances_are_counted() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("ramp", "ramp"), 0);
    }
}
