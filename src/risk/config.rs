//! Settings of the risk engine: how old signals may be, and what the kinds weigh here.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::signal::{Effect, SignalKind, kind, kinds};
use crate::model::SignalLife;

/// Settings of the risk engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Signals that were last known to be complete longer ago than this are stale: the level is at least medium.
    #[serde(with = "crate::model::duration")]
    #[schemars(with = "String")]
    pub max_staleness: Duration,
    /// Beyond this nothing is known about risk any more.
    #[serde(with = "crate::model::duration")]
    #[schemars(with = "String")]
    pub hard_staleness: Duration,
    /// The longest half-life that a reporter may ask for; what should count longer counts until it is cleared.
    #[serde(with = "crate::model::duration")]
    #[schemars(with = "String")]
    pub max_half_life: Duration,
    /// How many signals are held for one subject; the weakest go first, hard facts never.
    pub max_signals_per_subject: usize,
    /// How many subjects (principals, principals at one endpoint, networks) have their calls counted for
    /// `context.rate`, rounded up to a multiple of 8; past it, those that called least recently are forgotten. Each
    /// takes 272 bytes from its first call on, so the default may come to 68 MiB.
    pub max_rate_subjects: usize,
    /// Other weights for some kinds, by code.
    pub kinds: BTreeMap<String, KindOverride>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_staleness: Duration::from_secs(5 * 60),
            hard_staleness: Duration::from_secs(24 * 3_600),
            max_half_life: Duration::from_secs(7 * 24 * 3_600),
            max_signals_per_subject: 64,
            max_rate_subjects: 262_144,
            kinds: BTreeMap::new(),
        }
    }
}

/// What a deployment changes about one kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KindOverride {
    /// In log-odds, with the sign of the registered cap; 0 silences the kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<f64>,
    /// For signals that are reported without a life of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub half_life: Option<HalfLife>,
}

/// A duration, written like `30m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct HalfLife(
    #[serde(with = "crate::model::duration")]
    #[schemars(with = "String")]
    pub Duration,
);

/// A setting that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigFault {
    #[error("`risk.kinds.{code}`: there is no such kind of signal; the kinds are {known}")]
    UnknownKind { code: String, known: String },
    #[error("`risk.kinds.{code}`: {why}")]
    Override { code: String, why: String },
    #[error("`risk.{field}` {why}")]
    Field { field: &'static str, why: &'static str },
}

/// How far behind the signals of this replica may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    Fresh,
    /// Older than `max_staleness`: the level is at least medium.
    Stale,
    /// Older than `hard_staleness`: the caller should decide nothing on it.
    Dead,
}

impl Config {
    /// The largest weight that a configuration may give to one signal, in log-odds.
    pub const MAX_CAP: f64 = 10.0;

    /// More than this would be 4 GiB of counters.
    const MOST_RATE_SUBJECTS: usize = 1 << 24;

    /// What an age of the signals means: the time since this replica last knew that it had them all.
    pub fn freshness(&self, age: Duration) -> Freshness {
        if age > self.hard_staleness {
            Freshness::Dead
        } else if age > self.max_staleness {
            Freshness::Stale
        } else {
            Freshness::Fresh
        }
    }

    /// Fails on the first setting that makes no sense.
    pub fn check(&self) -> Result<(), ConfigFault> {
        let field = |field, why| Err(ConfigFault::Field { field, why });
        if self.hard_staleness < self.max_staleness {
            return field("hard_staleness", "must not be shorter than max_staleness");
        }
        if self.max_half_life.is_zero() {
            return field("max_half_life", "must be longer than zero");
        }
        if self.max_signals_per_subject == 0 {
            return field("max_signals_per_subject", "must be at least 1");
        }
        if !(1..=Self::MOST_RATE_SUBJECTS).contains(&self.max_rate_subjects) {
            return field("max_rate_subjects", "must be at least 1 and at most 16777216");
        }
        for (code, wanted) in &self.kinds {
            let Some(kind) = kind(code) else {
                let known = kinds().map(|kind| kind.code).collect::<Vec<_>>().join(", ");
                return Err(ConfigFault::UnknownKind { code: code.clone(), known });
            };
            self.check_override(kind, wanted)
                .map_err(|why| ConfigFault::Override { code: code.clone(), why })?;
        }
        Ok(())
    }

    fn check_override(&self, kind: &SignalKind, wanted: &KindOverride) -> Result<(), String> {
        if let Some(cap) = wanted.cap {
            let Effect::Points { cap: registered } = kind.effect else {
                return Err("it is a hard fact, which has no cap".to_owned());
            };
            if !cap.is_finite() || cap.abs() > Self::MAX_CAP || cap * registered < 0.0 {
                let most = Self::MAX_CAP;
                return Err(format!("cap {cap} must be at most {most} and have the sign of {registered}"));
            }
        }
        if let Some(HalfLife(half_life)) = wanted.half_life {
            if kind.life == SignalLife::UntilCleared {
                return Err("it counts until it is cleared, so it has no half-life".to_owned());
            }
            if half_life.is_zero() || half_life > self.max_half_life {
                return Err("half_life must be longer than zero and at most max_half_life".to_owned());
            }
        }
        Ok(())
    }

    /// The cap of a kind here; `None` for hard facts.
    pub(super) fn cap(&self, kind: &SignalKind) -> Option<f64> {
        let Effect::Points { cap } = kind.effect else { return None };
        Some(self.kinds.get(kind.code).and_then(|wanted| wanted.cap).unwrap_or(cap))
    }

    /// How long a signal of this kind counts when its reporter does not say.
    pub(super) fn life(&self, kind: &SignalKind) -> SignalLife {
        let half_life = self.kinds.get(kind.code).and_then(|wanted| wanted.half_life);
        half_life.map_or(kind.life, |HalfLife(half_life)| SignalLife::HalfLife(half_life))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<(), String> {
        let config: Config = toml::from_str(text).map_err(|error| error.to_string())?;
        config.check().map_err(|error| error.to_string())
    }

    #[test]
    fn the_default_is_sound_and_round_trips() {
        let config = Config::default();
        assert_eq!(config.check(), Ok(()));
        assert_eq!(toml::from_str::<Config>(&toml::to_string(&config).unwrap()).unwrap(), config);
    }

    #[test]
    fn kinds_can_be_weighed_differently() {
        let text = "[kinds.new_device]\ncap = 1.5\nhalf_life = \"2h\"\n[kinds.fresh_step_up]\ncap = -1\n";
        assert_eq!(check(text), Ok(()));
        let config: Config = toml::from_str(text).unwrap();
        let kind = kind("new_device").unwrap();
        assert_eq!(config.cap(kind), Some(1.5));
        assert_eq!(config.life(kind), SignalLife::HalfLife(Duration::from_secs(7_200)));
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        for (text, why) in [
            ("hard_staleness = \"1m\"", "hard_staleness"),
            ("max_half_life = \"0s\"", "max_half_life"),
            ("max_signals_per_subject = 0", "max_signals_per_subject"),
            ("max_rate_subjects = 0", "max_rate_subjects"),
            ("max_rate_subjects = 16777217", "max_rate_subjects"),
            ("[kinds.new_devise]\ncap = 1", "new_devise"),
            ("[kinds.new_device]\ncap = -1", "new_device"),
            ("[kinds.new_device]\ncap = nan", "new_device"),
            ("[kinds.new_device]\ncap = 11", "new_device"),
            ("[kinds.device_lost]\ncap = 1", "hard fact"),
            ("[kinds.token_replay]\nhalf_life = \"1h\"", "until it is cleared"),
            ("[kinds.new_device]\nhalf_life = \"30d\"", "max_half_life"),
            ("max_stale = \"1m\"", "max_stale"),
        ] {
            let error = check(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn freshness_has_two_borders() {
        let config = Config::default();
        let at = |seconds| config.freshness(Duration::from_secs(seconds));
        assert_eq!([at(0), at(300)], [Freshness::Fresh; 2]);
        assert_eq!([at(301), at(86_400)], [Freshness::Stale; 2]);
        assert_eq!(at(86_401), Freshness::Dead);
    }
}
