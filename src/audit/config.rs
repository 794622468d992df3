//! Settings of the audit trail.

use std::num::NonZeroUsize;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::mask::MaskConfig;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Records that may wait to be stored, those being stored and those of decisions under way included. A record takes
    /// about 1 KiB of memory, and never more than 192 KiB, whatever callers send.
    pub queue: NonZeroUsize,
    /// Records stored at once at most, all or none.
    pub batch: NonZeroUsize,
    /// How long a record waits for others to be stored with.
    #[serde(with = "crate::model::duration")]
    #[schemars(with = "String")]
    pub flush_interval: Duration,
    /// How long a stop waits until everything is stored.
    #[serde(with = "crate::model::duration")]
    #[schemars(with = "String")]
    pub drain_timeout: Duration,
    /// What happens to decisions when the queue is full because the store is away or too slow.
    pub when_full: WhenFull,
    /// Callers counted by name in one minute's refusals: so many clients, and apart from them so many strangers, by
    /// address (IPv6: by /64). Those beyond are counted together as `other`.
    pub refusal_peers: NonZeroUsize,
    pub mask: MaskConfig,
}

/// What to do with a decision that cannot be recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// Deny it as overloaded, and count it.
    #[default]
    Deny,
}

impl Default for Config {
    fn default() -> Self {
        let at_least_one = |count| NonZeroUsize::new(count).unwrap_or(NonZeroUsize::MIN);
        Self {
            queue: at_least_one(65_536),
            batch: at_least_one(8_192),
            flush_interval: Duration::from_millis(100),
            drain_timeout: Duration::from_secs(10),
            when_full: WhenFull::Deny,
            refusal_peers: at_least_one(256),
            mask: MaskConfig::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_round_trip_as_toml_with_readable_durations() {
        let text = toml::to_string(&Config::default()).unwrap();
        assert!(text.contains("flush_interval = \"100ms\""), "{text}");
        assert_eq!(toml::from_str::<Config>(&text).unwrap(), Config::default());
    }

    #[test]
    fn an_empty_queue_and_an_unknown_policy_are_refused() {
        assert!(toml::from_str::<Config>("queue = 0").is_err());
        assert!(toml::from_str::<Config>("when_full = \"drop\"").is_err());
    }
}
