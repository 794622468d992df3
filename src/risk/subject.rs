//! The signals held about one subject, and what each weighs at a moment.
//!
//! Weights are computed when they are read; nothing has to run for a signal to fade. Which subjects a call has, and
//! what the weights add up to, is left to `hot` and `score`.

use std::sync::Arc;
use std::time::Duration;

use super::config::Config;
use super::signal::{Effect, Fade, Flag, SignalKind, kind};
use crate::model::{Signal, SignalId, SignalLife, Timestamp};

/// Less than this, in log-odds, changes no score by half a point and counts as nothing.
pub(super) const FLOOR: f64 = 0.05;

/// One signal, with what the registry and the configuration say of its kind.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) signal: Arc<Signal>,
    pub(super) kind: &'static SignalKind,
    /// Cap x confidence x strength: the weight of its first moment, in log-odds.
    full: f64,
    /// `None`: it counts until it is cleared.
    half_life: Option<Duration>,
    /// The same reporter has said something newer on the topic.
    pub(super) superseded: bool,
}

impl Held {
    /// `None` when this version does not know the kind: what cannot be weighed cannot count.
    pub(super) fn new(signal: &Signal, config: &Config) -> Option<Self> {
        let kind = kind(&signal.kind)?;
        let sure = |value: f64| if value.is_nan() { 0.0 } else { value.clamp(0.0, 1.0) };
        let full = config.cap(kind).unwrap_or(0.0) * sure(signal.confidence) * sure(signal.strength);
        let half_life = half_life(kind, signal.life).map(|asked| asked.min(config.max_half_life));
        Some(Self { signal: Arc::new(signal.clone()), kind, full, half_life, superseded: false })
    }

    /// What it adds to the log-odds now; zero for facts and for what has faded or was superseded.
    pub(super) fn weight(&self, now: Timestamp) -> f64 {
        let weight = self.full * self.freshness(now);
        if self.superseded || weight.abs() < FLOOR { 0.0 } else { weight }
    }

    /// 1 at first, falling to 0.
    pub(super) fn freshness(&self, now: Timestamp) -> f64 {
        let Some(half_life) = self.half_life else { return 1.0 };
        let age = now.since(self.signal.observed_at);
        match self.kind.fade {
            _ if half_life.is_zero() => 0.0,
            Fade::Halving => (-age.as_secs_f64() / half_life.as_secs_f64()).exp2(),
            Fade::Window => f64::from(u8::from(age < half_life)),
        }
    }

    /// The flag it raises, unless it was superseded.
    pub(super) fn flag(&self) -> Option<Flag> {
        match self.kind.effect {
            Effect::Raises(flag) if !self.superseded => Some(flag),
            _ => None,
        }
    }

    /// Whether it can never count again.
    fn is_spent(&self, now: Timestamp) -> bool {
        self.half_life.is_some() && (self.full * self.freshness(now)).abs() < FLOOR
    }

    /// Whether it says something newer on the same topic, by the same reporter.
    fn supersedes(&self, other: &Self) -> bool {
        let same_topic = self.kind.topic.is_some() && self.kind.topic == other.kind.topic;
        let version = |held: &Self| (held.signal.observed_at, held.signal.id);
        same_topic && self.signal.recorded_by == other.signal.recorded_by && version(self) > version(other)
    }
}

/// Facts and statements on a topic stand, whatever life they came with; relief always ends.
fn half_life(kind: &SignalKind, asked: SignalLife) -> Option<Duration> {
    let registered = |life| match life {
        SignalLife::HalfLife(half_life) => Some(half_life),
        SignalLife::UntilCleared => None,
    };
    match (kind.effect, kind.fade) {
        (Effect::Raises(_), _) => None,
        _ if kind.topic.is_some() => None,
        (_, Fade::Window) => registered(asked).or(registered(kind.life)),
        (_, Fade::Halving) => registered(asked),
    }
}

/// Everything held about one subject, in the order of the signals' ids.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger(Vec<Held>);

impl Ledger {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Held> {
        self.0.iter()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get(&self, id: SignalId) -> Option<&Held> {
        self.0.iter().find(|held| held.signal.id == id)
    }

    /// With this signal, in the place of an older state of it.
    pub(super) fn with(&self, held: Held, bound: usize) -> Self {
        let mut all: Vec<Held> = self.others(held.signal.id).collect();
        all.push(held);
        Self::of(all, bound)
    }

    pub(super) fn without(&self, id: SignalId) -> Self {
        Self::of(self.others(id).collect(), usize::MAX)
    }

    /// Without what can never count again.
    pub(super) fn pruned(&self, now: Timestamp) -> Self {
        Self(self.0.iter().filter(|held| !held.is_spent(now)).cloned().collect())
    }

    /// The order in which the signals come in does not matter: what stays is decided by what they say.
    pub(super) fn of(mut all: Vec<Held>, bound: usize) -> Self {
        let superseded: Vec<bool> =
            all.iter().map(|one| all.iter().any(|other| other.supersedes(one))).collect();
        for (held, superseded) in all.iter_mut().zip(superseded) {
            held.superseded = superseded;
        }
        if all.len() > bound {
            all.sort_by(|a, b| strength_order(b, a));
            let facts = all.iter().filter(|held| held.flag().is_some()).count();
            all.truncate(bound.max(facts));
        }
        all.sort_by_key(|held| held.signal.id);
        Self(all)
    }

    fn others(&self, id: SignalId) -> impl Iterator<Item = Held> {
        self.0.iter().filter(move |held| held.signal.id != id).cloned()
    }
}

/// Facts above all, what was superseded below all, and between them by weight; the newer one of two alike is stronger.
fn strength_order(a: &Held, b: &Held) -> std::cmp::Ordering {
    let class = |held: &Held| (held.flag().is_some(), !held.superseded);
    let age = |held: &Held| (held.signal.observed_at, held.signal.id);
    class(a).cmp(&class(b)).then(a.full.total_cmp(&b.full)).then(age(a).cmp(&age(b)))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_000_000 + seconds)
    }

    fn held(number: u128, kind: &str, life: SignalLife, observed: i64) -> Held {
        let signal = Signal {
            id: SignalId::from_uuid(Uuid::from_u128(number)),
            subject: "principal:User::dev/alice".parse().unwrap(),
            kind: kind.into(),
            strength: 1.0,
            confidence: 1.0,
            life,
            source: "test".into(),
            evidence: String::new(),
            dedup_key: None,
            observed_at: at(observed),
            recorded_by: "sensor".parse().unwrap(),
            recorded_at: at(observed),
            cleared: None,
        };
        Held::new(&signal, &Config::default()).unwrap()
    }

    fn hour() -> SignalLife {
        SignalLife::HalfLife(Duration::from_secs(3_600))
    }

    #[test]
    fn a_weight_halves_with_each_half_life() {
        let held = held(1, "new_network", hour(), 0);
        assert_eq!([held.weight(at(0)), held.weight(at(3_600)), held.weight(at(7_200))], [3.0, 1.5, 0.75]);
        assert_eq!(held.weight(at(-50)), 3.0);
        assert_eq!(held.weight(at(3_600 * 6)), 0.0, "0.047 is below the floor");
    }

    #[test]
    fn a_signal_until_cleared_does_not_fade() {
        assert_eq!(held(1, "new_network", SignalLife::UntilCleared, 0).weight(at(1_000_000_000)), 3.0);
    }

    #[test]
    fn relief_counts_in_full_and_then_not_at_all() {
        let relief = held(1, "fresh_step_up", hour(), 0);
        assert_eq!([relief.weight(at(3_599)), relief.weight(at(3_600))], [-3.0, 0.0]);
        let endless = held(1, "fresh_step_up", SignalLife::UntilCleared, 0);
        assert_eq!(endless.weight(at(9 * 3_600)), 0.0);
    }

    #[test]
    fn facts_and_statements_do_not_fade_whatever_they_came_with() {
        assert_eq!(held(1, "account_disabled", hour(), 0).flag(), Some(Flag::AccountDisabled));
        assert_eq!(held(1, "idp_risk_high", hour(), 0).weight(at(1_000_000_000)), 5.5);
    }

    #[test]
    fn the_newer_statement_replaces_the_older_in_any_order() {
        let (high, low) = (held(1, "idp_risk_high", hour(), 5), held(2, "idp_risk_low", hour(), 9));
        for all in [vec![high.clone(), low.clone()], vec![low, high]] {
            let ledger = Ledger::of(all, 9);
            assert_eq!(ledger.iter().map(|held| held.weight(at(10))).sum::<f64>(), -1.0);
        }
    }

    #[test]
    fn another_reporters_statement_stands() {
        let (high, mut low) = (held(1, "idp_risk_high", hour(), 5), held(2, "idp_risk_low", hour(), 9));
        let signal = Signal { recorded_by: "other".parse().unwrap(), ..low.signal.as_ref().clone() };
        low.signal = Arc::new(signal);
        let ledger = Ledger::of(vec![high, low], 9);
        assert_eq!(ledger.iter().map(|held| held.weight(at(10))).sum::<f64>(), 4.5);
    }

    #[test]
    fn an_enabled_account_is_no_longer_disabled() {
        let (off, on) = (held(1, "account_disabled", hour(), 5), held(2, "account_enabled", hour(), 9));
        let ledger = Ledger::of(vec![off, on], 9);
        assert!(ledger.iter().all(|held| held.flag().is_none()));
    }

    #[test]
    fn the_bound_drops_the_weakest_and_never_a_fact() {
        let kinds = ["off_hours", "new_network", "account_disabled", "novel_behaviour", "fresh_step_up"];
        let all = kinds.iter().zip(1..).map(|(kind, number)| held(number, kind, hour(), 0)).collect();
        let codes = |ledger: &Ledger| ledger.iter().map(|held| held.kind.code).collect::<Vec<_>>();
        let ledger = Ledger::of(all, 3);
        assert_eq!(codes(&ledger), ["new_network", "account_disabled", "novel_behaviour"]);
        assert_eq!(codes(&Ledger::of(ledger.0, 1)), ["account_disabled"]);
    }

    #[test]
    fn pruning_drops_only_what_is_spent() {
        let standing = held(2, "new_network", SignalLife::UntilCleared, 0);
        let ledger = Ledger::of(vec![held(1, "new_network", hour(), 0), standing], 9);
        assert_eq!(ledger.pruned(at(3_600)).len(), 2);
        assert_eq!(ledger.pruned(at(86_400)).len(), 1);
    }
}
