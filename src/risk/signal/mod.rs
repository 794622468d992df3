//! The registry of signal kinds: what can be said about a subject, and how much it weighs.
//!
//! One file for each family; a new kind is one row in its family's file. Everything that reads a signal (validation,
//! scoring, reasons, the linter of policies) reads this table, so that a kind means the same everywhere.

mod behaviour;
mod credential;
mod egress;
mod external;
mod fact;
mod object;
mod origin;
mod probing;
mod relief;
mod session;
mod volume;

use std::time::Duration;

use crate::model::SignalLife;

/// One kind of signal.
#[derive(Debug, PartialEq)]
pub struct SignalKind {
    /// Its name everywhere, for example `new_network`.
    pub code: &'static str,
    pub family: Family,
    pub effect: Effect,
    /// How long it counts when the reporter does not say.
    pub life: SignalLife,
    pub fade: Fade,
    /// What it may be about: kinds of [`Subject`](crate::model::Subject).
    pub subjects: &'static [&'static str],
    /// Kinds that share a topic answer one question; what a reporter said last about it replaces what it said before.
    pub topic: Option<&'static str>,
    /// What was observed, as the beginning of a sentence for people.
    pub text: &'static str,
}

/// Kinds that tend to fire together and therefore do not add up in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    Behaviour,
    Origin,
    Volume,
    Credential,
    Probing,
    Object,
    Egress,
    Session,
    External,
    Relief,
    /// Hard facts: flags without points.
    Fact,
}

impl Family {
    pub const ALL: [Self; 11] = [
        Self::Behaviour,
        Self::Origin,
        Self::Volume,
        Self::Credential,
        Self::Probing,
        Self::Object,
        Self::Egress,
        Self::Session,
        Self::External,
        Self::Relief,
        Self::Fact,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Behaviour => "behaviour",
            Self::Origin => "origin",
            Self::Volume => "volume",
            Self::Credential => "credential",
            Self::Probing => "probing",
            Self::Object => "object",
            Self::Egress => "egress",
            Self::Session => "session",
            Self::External => "external",
            Self::Relief => "relief",
            Self::Fact => "fact",
        }
    }
}

/// What a signal does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Effect {
    /// Adds up to this much to the log-odds of trouble; negative: takes away.
    Points { cap: f64 },
    /// Raises a flag, which is not a matter of degree.
    Raises(Flag),
}

/// The hard facts; the fields of [`RiskFlags`](crate::model::RiskFlags).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    SessionRevoked,
    TokenRevoked,
    AccountDisabled,
    DeviceLost,
}

/// How a signal with a half-life grows old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fade {
    /// Its weight halves each time the half-life passes.
    Halving,
    /// It counts in full until the time has passed once, then not at all.
    Window,
}

/// The kind with this code.
pub fn kind(code: &str) -> Option<&'static SignalKind> {
    kinds().find(|kind| kind.code == code)
}

/// Every registered kind, by family.
pub fn kinds() -> impl Iterator<Item = &'static SignalKind> {
    [
        behaviour::KINDS,
        origin::KINDS,
        volume::KINDS,
        credential::KINDS,
        probing::KINDS,
        object::KINDS,
        egress::KINDS,
        session::KINDS,
        external::KINDS,
        relief::KINDS,
        fact::KINDS,
    ]
    .into_iter()
    .flatten()
}

const PRINCIPAL: &str = "principal";
const SESSION: &str = "session";
const TOKEN: &str = "token";
const DEVICE: &str = "device";
const PREFIX: &str = "prefix";

const fn minutes(count: u64) -> SignalLife {
    SignalLife::HalfLife(Duration::from_secs(60 * count))
}

const fn hours(count: u64) -> SignalLife {
    minutes(60 * count)
}

/// A row of the usual form: points that halve, on no topic.
const fn points(
    family: Family,
    code: &'static str,
    cap: f64,
    life: SignalLife,
    subjects: &'static [&'static str],
    text: &'static str,
) -> SignalKind {
    SignalKind {
        code,
        family,
        effect: Effect::Points { cap },
        life,
        fade: Fade::Halving,
        subjects,
        topic: None,
        text,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_distinct_and_found() {
        let codes: BTreeSet<&str> = kinds().map(|kind| kind.code).collect();
        assert_eq!(codes.len(), kinds().count());
        assert!(kinds().all(|known| kind(known.code) == Some(known)));
        assert_eq!(kind("new_netwrok"), None);
    }

    #[test]
    fn every_row_makes_sense() {
        for kind in kinds() {
            let code = kind.code;
            assert!(code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{code}");
            assert!(
                !kind.subjects.is_empty() && kind.text.ends_with(|last: char| last.is_alphabetic()),
                "{code}"
            );
            match kind.effect {
                Effect::Points { cap } => {
                    assert!(cap.abs() <= 6.5, "{code}");
                    let may_take_away = matches!(kind.family, Family::Relief | Family::External);
                    assert!(cap >= 0.0 || may_take_away, "{code}");
                }
                Effect::Raises(_) => assert_eq!(kind.life, SignalLife::UntilCleared, "{code}"),
            }
            assert_eq!(
                matches!(kind.effect, Effect::Raises(_)) || code == "account_enabled",
                kind.family == Family::Fact
            );
        }
    }

    #[test]
    fn relief_is_never_about_a_device_or_a_network() {
        let relief = kinds().filter(|kind| kind.family == Family::Relief);
        assert!(relief.flat_map(|kind| kind.subjects).all(|subject| [PRINCIPAL, SESSION].contains(subject)));
    }
}
