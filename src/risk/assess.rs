//! From the signals of a call's subjects to its risk: score, level, reasons, confidence and flags.
//!
//! Every number here can be found again from the signals and the time. What a level leads to is left to `policy`.

use super::config::Freshness;
use super::explain::{Contribution, Explained, Standing};
use super::score::{Piece, Place, above_base, score};
use super::signal::Flag;
use super::subject::{Held, Ledger};
use crate::model::{Risk, RiskFlags, RiskLevel, RiskReason, Timestamp};

/// How many reasons a risk carries, hard facts aside.
const REASONS: usize = 3;

/// A piece of the score with the signal behind it.
#[derive(Clone, Copy)]
struct Counted<'a> {
    piece: Piece,
    held: &'a Held,
}

/// Assesses a call by the ledgers of its subjects.
pub(super) fn assess<'a>(
    ledgers: impl Iterator<Item = (Place, &'a Ledger)>,
    now: Timestamp,
    freshness: Freshness,
) -> Risk {
    let mut counted = Vec::new();
    let mut facts = Vec::new();
    for (place, held) in ledgers.flat_map(|(place, ledger)| ledger.iter().map(move |held| (place, held))) {
        match held.flag() {
            Some(flag) => facts.push((flag, held)),
            None => keep_strongest(&mut counted, place, held, now),
        }
    }
    let above = above_base(pieces(&counted));
    let mut reasons = reasons(&counted, above);
    reasons.extend(facts.iter().map(|(_, held)| reason(held, 0)));
    risk(score(above), confidence(&counted, now, freshness), reasons, flags(&facts), freshness)
}

/// Assesses a call and shows every signal.
pub(super) fn explain<'a>(
    ledgers: impl Iterator<Item = (Place, &'a Ledger)>,
    now: Timestamp,
    freshness: Freshness,
) -> Explained {
    let ledgers: Vec<(Place, &Ledger)> = ledgers.collect();
    let mut counted = Vec::new();
    for (place, held) in ledgers.iter().flat_map(|(place, ledger)| ledger.iter().map(|held| (*place, held))) {
        keep_strongest(&mut counted, place, held, now);
    }
    let above = above_base(pieces(&counted));
    let mut contributions: Vec<Contribution> = ledgers
        .iter()
        .flat_map(|(_, ledger)| ledger.iter())
        .map(|held| contribution(held, &counted, above, now))
        .collect();
    contributions.sort_by(|a, b| b.points.cmp(&a.points).then(b.weight.total_cmp(&a.weight)));
    Explained { risk: assess(ledgers.into_iter(), now, freshness), above_base: above, contributions }
}

fn contribution(held: &Held, counted: &[Counted<'_>], above: f64, now: Timestamp) -> Contribution {
    let weight = held.weight(now);
    let counts = counted.iter().find(|one| std::ptr::eq(one.held, held));
    let standing = match counts {
        Some(_) => Standing::Counts,
        None if held.superseded => Standing::Superseded,
        None if held.flag().is_some() => Standing::Fact,
        None if weight == 0.0 => Standing::Faded,
        None => Standing::Weaker,
    };
    let points = counts.map_or(0, |one| points(one, counted, above));
    Contribution { signal: held.signal.clone(), family: held.kind.family, weight, points, standing }
}

/// Of one kind at one place, only the strongest counts: an observation that is reported twice is still one.
fn keep_strongest<'a>(counted: &mut Vec<Counted<'a>>, place: Place, held: &'a Held, now: Timestamp) {
    let weight = held.weight(now);
    if weight == 0.0 {
        return;
    }
    let piece = Piece { place, kind: held.kind, weight };
    let known =
        counted.iter_mut().find(|one| one.piece.place == place && one.piece.kind.code == held.kind.code);
    match known {
        Some(known) if known.piece.weight.abs() >= weight.abs() => {}
        Some(known) => *known = Counted { piece, held },
        None => counted.push(Counted { piece, held }),
    }
}

fn pieces(counted: &[Counted<'_>]) -> impl Iterator<Item = Piece> {
    counted.iter().map(|one| one.piece)
}

/// By how much the score would fall without this one.
fn points(one: &Counted<'_>, counted: &[Counted<'_>], above: f64) -> u8 {
    let others = counted.iter().filter(|other| !std::ptr::eq(other.held, one.held)).map(|other| other.piece);
    score(above).saturating_sub(score(above_base(others)))
}

/// The signals that speak against the caller, by what the score would lose without each; equal ones by weight.
fn reasons(counted: &[Counted<'_>], above: f64) -> Vec<RiskReason> {
    if score(above) == 0 {
        return Vec::new();
    }
    let against = counted.iter().filter(|one| one.piece.weight > 0.0);
    let mut ranked: Vec<(u8, &Counted<'_>)> = against.map(|one| (points(one, counted, above), one)).collect();
    ranked.sort_by(|(a, left), (b, right)| {
        let by_weight = right.piece.weight.total_cmp(&left.piece.weight);
        b.cmp(a).then(by_weight).then(left.piece.kind.code.cmp(right.piece.kind.code))
    });
    let mut reasons: Vec<RiskReason> = Vec::new();
    for (points, one) in ranked {
        if reasons.len() < REASONS && !reasons.iter().any(|known| known.kind == one.piece.kind.code) {
            reasons.push(reason(one.held, points));
        }
    }
    reasons
}

fn reason(held: &Held, points: u8) -> RiskReason {
    let signal = &held.signal;
    let evidence = if signal.evidence.is_empty() { "" } else { ": " };
    let text = format!(
        "{}{evidence}{} (seen by {}, {})",
        held.kind.text, signal.evidence, signal.source, signal.observed_at
    );
    RiskReason { kind: held.kind.code.to_owned(), points, text }
}

/// How much stands behind the score: each signal that counts, by its reporter's confidence and its freshness, halves
/// what is missing to 100. So one sure and fresh signal gives 50, two 75; none gives 0. Stale signals are worth half.
fn confidence(counted: &[Counted<'_>], now: Timestamp, freshness: Freshness) -> u8 {
    let evidence: f64 = counted.iter().map(|one| one.held.signal.confidence * one.held.freshness(now)).sum();
    let known = 100.0 * (1.0 - (-evidence).exp2());
    let worth = match freshness {
        Freshness::Fresh => known,
        Freshness::Stale => known / 2.0,
        Freshness::Dead => 0.0,
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=100")]
    let percent = worth.round().clamp(0.0, 100.0) as u8;
    percent
}

fn flags(facts: &[(Flag, &Held)]) -> RiskFlags {
    let raised = |wanted| facts.iter().any(|(flag, _)| *flag == wanted);
    RiskFlags {
        session_revoked: raised(Flag::SessionRevoked),
        token_revoked: raised(Flag::TokenRevoked),
        account_disabled: raised(Flag::AccountDisabled),
        device_lost: raised(Flag::DeviceLost),
    }
}

fn risk(score: u8, confidence: u8, reasons: Vec<RiskReason>, flags: RiskFlags, freshness: Freshness) -> Risk {
    let stale = freshness != Freshness::Fresh;
    let level = RiskLevel::of_score(score);
    Risk {
        score,
        level: if stale { level.max(RiskLevel::Medium) } else { level },
        confidence,
        reasons,
        stale,
        learning: false,
        flags,
    }
}
