//! From weights to a score: families, relief, and the logistic curve.
//!
//! A score is the estimated chance, in percent, that something is wrong. Kinds of one family tend to fire together, so
//! the strongest counts in full and the rest a quarter; no family of behaviour may go past medium alone. A
//! signal reported twice is still one observation: of one kind, only the strongest counts.

use super::signal::{Family, SignalKind};

/// The log-odds of a caller about whom nothing is known: 1 in 100.
const BASE: f64 = -4.6;
/// What the weaker signals of a family count.
const REST: f64 = 0.25;
/// The most that one family adds, unless it is exempt.
const FAMILY_CAP: f64 = 4.0;
/// What counts of the signals about the device and the network, which others share.
const SHARED: f64 = 0.5;

/// Whose signal it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The principal's, the session's or the token's: they are judged together, because the same event is often
    /// reported about one or the other.
    Own,
    Device,
    Prefix,
}

/// One kind of signal with its weight now, in log-odds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) place: Place,
    pub(super) kind: &'static SignalKind,
    pub(super) weight: f64,
}

/// How far the pieces lift the log-odds above the base; negative when there is more relief than suspicion.
pub(super) fn above_base(pieces: impl Iterator<Item = Piece>) -> f64 {
    let mut pieces = pieces.peekable();
    // As of most callers.
    if pieces.peek().is_none() {
        return 0.0;
    }
    let (mut own, mut device, mut prefix) = (Held::default(), Held::default(), Held::default());
    for piece in pieces {
        let held = match piece.place {
            Place::Own => &mut own,
            Place::Device => &mut device,
            Place::Prefix => &mut prefix,
        };
        held.add(piece);
    }
    let suspected = own.suspected() + SHARED * (device.suspected() + prefix.suspected());
    let established =
        own.established() + SHARED * (device.established().max(0.0) + prefix.established().max(0.0));
    // Relief makes good what is suspected and no more.
    (suspected + own.of(Family::Relief)).max(0.0) + established
}

/// The score, 0 to 100. Without anything that speaks against the caller it is 0, not the base rate.
pub(super) fn score(above_base: f64) -> u8 {
    if above_base <= 0.0 {
        return 0;
    }
    let chance = 1.0 / (1.0 + (-(BASE + above_base)).exp());
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=100")]
    let percent = (100.0 * chance).round().clamp(0.0, 100.0) as u8;
    percent
}

/// What one place holds, by family.
#[derive(Debug, Default)]
struct Held {
    sums: [Sum; Family::ALL.len()],
}

#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    strongest: f64,
    total: f64,
    /// The largest that takes away.
    least: f64,
}

impl Held {
    fn add(&mut self, piece: Piece) {
        let Some(sum) = self.sums.get_mut(piece.kind.family as usize) else { return };
        sum.strongest = sum.strongest.max(piece.weight);
        sum.total += piece.weight.max(0.0);
        sum.least = sum.least.min(piece.weight);
    }

    fn of(&self, family: Family) -> f64 {
        let Some(sum) = self.sums.get(family as usize) else { return 0.0 };
        let fused = sum.strongest + REST * (sum.total - sum.strongest);
        let capped = if is_established(family) { fused } else { fused.min(FAMILY_CAP) };
        capped + sum.least
    }

    fn suspected(&self) -> f64 {
        let families = Family::ALL.into_iter().filter(|family| *family != Family::Relief);
        families.filter(|family| !is_established(*family)).map(|family| self.of(family)).sum()
    }

    fn established(&self) -> f64 {
        self.of(Family::Session) + self.of(Family::External)
    }
}

/// Not a matter of statistics: exempt from the family cap, and not to be relieved.
fn is_established(family: Family) -> bool {
    matches!(family, Family::Session | Family::External)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::signal::{Effect, kind, kinds};
    use super::*;
    use crate::model::RiskLevel;

    fn at(place: Place, code: &str, share: f64) -> Piece {
        let kind = kind(code).unwrap();
        let Effect::Points { cap } = kind.effect else { panic!("{code} has no points") };
        Piece { place, kind, weight: cap * share }
    }

    fn own(code: &str) -> Piece {
        at(Place::Own, code, 1.0)
    }

    fn score_of(pieces: &[Piece]) -> u8 {
        score(above_base(pieces.iter().copied()))
    }

    #[test]
    fn nothing_known_is_no_risk() {
        assert_eq!(score_of(&[]), 0);
        assert_eq!(score_of(&[own("fresh_step_up")]), 0);
        assert_eq!(score_of(&[own("idp_risk_low")]), 0);
    }

    #[test]
    fn the_worked_figures_hold() {
        assert_eq!(score_of(&[own("novel_behaviour")]), 35, "one family at its cap is medium");
        assert_eq!(score_of(&[own("new_network"), own("failure_burst")]), 80, "two families at 3.0 are high");
        assert_eq!(score_of(&[own("novel_behaviour"), own("enumeration")]), 97, "two families at their caps");
        assert_eq!(score_of(&[own("token_replay")]), 87);
        assert_eq!(score_of(&[own("idp_risk_high")]), 71);
        assert_eq!(score_of(&[own("idp_risk_medium")]), 35);
        assert_eq!(score_of(&[own("new_network"), own("new_device")]), 30, "exactly a step-up");
        assert_eq!(score_of(&[own("new_device")]), 17);
        assert_eq!(score_of(&[own("failure_burst")]), 17);
    }

    #[test]
    fn a_whole_family_stays_medium() {
        let behaviour: Vec<Piece> = ["novel_behaviour", "sequence_break", "off_hours"].map(own).to_vec();
        assert_eq!(RiskLevel::of_score(score_of(&behaviour)), RiskLevel::Medium);
    }

    #[test]
    fn relief_makes_good_what_is_suspected_only() {
        assert_eq!(score_of(&[own("new_network"), own("new_device"), own("fresh_step_up")]), 2);
        assert_eq!(score_of(&[own("new_device"), own("fresh_step_up")]), 0);
        assert_eq!(score_of(&[own("token_replay"), own("fresh_step_up")]), 87);
        assert_eq!(score_of(&[own("idp_risk_high"), own("new_device"), own("fresh_step_up")]), 71);
    }

    #[test]
    fn what_others_share_counts_half() {
        let half = above_base([at(Place::Device, "rate_surge", 1.0)].into_iter());
        assert!((half - 1.75).abs() < 1e-9);
        let both = [at(Place::Prefix, "spray_source", 1.0), at(Place::Device, "failure_burst", 1.0)];
        assert!((above_base(both.into_iter()) - 3.5).abs() < 1e-9);
    }

    fn pieces() -> impl Strategy<Value = Vec<Piece>> {
        let scoring = kinds().filter(|kind| matches!(kind.effect, Effect::Points { .. }));
        let codes: Vec<&str> = scoring.map(|kind| kind.code).collect();
        let place = prop_oneof![Just(Place::Own), Just(Place::Device), Just(Place::Prefix)];
        let piece = (place, prop::sample::select(codes), 0.0..=1.0f64);
        prop::collection::vec(piece.prop_map(|(place, code, share)| at(place, code, share)), 0..12)
    }

    proptest! {
        #[test]
        fn scores_lie_between_0_and_100(pieces in pieces()) {
            prop_assert!(score_of(&pieces) <= 100);
        }

        #[test]
        fn more_weight_never_lowers_the_score(mut pieces in pieces(), which in any::<prop::sample::Index>(), more in 0.0..5.0f64) {
            let before = score_of(&pieces);
            if !pieces.is_empty() {
                let chosen = which.index(pieces.len());
                pieces[chosen].weight += more;
            }
            prop_assert!(score_of(&pieces) >= before);
        }

        #[test]
        fn order_does_not_matter(pieces in pieces()) {
            let backwards: Vec<Piece> = pieces.iter().rev().copied().collect();
            let gap = above_base(pieces.iter().copied()) - above_base(backwards.into_iter());
            prop_assert!(gap.abs() < 1e-9);
        }
    }
}
