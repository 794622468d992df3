//! Settings of key sets that are fetched: for how long they count, and how often they are asked for.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::duration;

/// Which document of the issuer says where its keys are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Discovery {
    /// `<issuer>/.well-known/openid-configuration` (OpenID Connect Discovery 1.0).
    Openid,
    /// `/.well-known/oauth-authorization-server` before the issuer's path (RFC 8414).
    Oauth,
}

/// How an issuer's keys are fetched, with `jwks_url` or `discovery`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeyFetchConfig {
    /// Allow plain HTTP beyond this machine. Whoever can change a packet on the way can then make tokens.
    pub allow_http: bool,
    /// Origins besides the issuer's own that its discovery document may name for its keys, for example
    /// `https://www.googleapis.com`.
    pub jwks_origins: Vec<String>,
    /// For how long a key set counts as fresh when the issuer does not say (`Cache-Control: max-age`).
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub fresh: Duration,
    /// The shortest time that is taken from the issuer; a shorter one is lengthened to it. At least `1s`.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub min_fresh: Duration,
    /// The longest time that is taken from the issuer. A key that the issuer took back can count for this long.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub max_fresh: Duration,
    /// How long a key set is used beyond that while no newer one can be fetched. After it, tokens of the issuer are denied
    /// as `issuer_unavailable`.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub max_stale: Duration,
    /// The least time between two fetches that tokens with unknown keys cause; such tokens are refused at once in
    /// between. At least `1s`.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub cool_down: Duration,
    /// The pause after a fetch that failed; it doubles with each failure. At least `100ms`.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub min_retry: Duration,
    /// The longest pause after a fetch that failed.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub max_retry: Duration,
    /// How long a place that discovery named is used before it is asked for again. It is asked for again at once after a
    /// failure.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub discovery_max_age: Duration,
    /// Decisions that may wait at once for this issuer's keys; those beyond it are denied at once.
    pub max_waiting: usize,
}

impl Default for KeyFetchConfig {
    fn default() -> Self {
        Self {
            allow_http: false,
            jwks_origins: Vec::new(),
            fresh: Duration::from_secs(5 * 60),
            min_fresh: Duration::from_secs(60),
            max_fresh: Duration::from_secs(60 * 60),
            max_stale: Duration::from_secs(60 * 60),
            cool_down: Duration::from_secs(10),
            min_retry: Duration::from_secs(1),
            max_retry: Duration::from_secs(30),
            discovery_max_age: Duration::from_secs(60 * 60),
            max_waiting: 64,
        }
    }
}

impl KeyFetchConfig {
    /// The longest time of each kind: beyond it a set of keys might as well be a file.
    const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);

    /// What cannot work, in a sentence.
    pub(super) fn problem(&self) -> Option<String> {
        let second = Duration::from_secs(1);
        let bounds = [
            ("min_fresh", self.min_fresh, second, self.max_fresh),
            ("fresh", self.fresh, self.min_fresh, self.max_fresh),
            ("max_fresh", self.max_fresh, second, Self::LONGEST),
            ("max_stale", self.max_stale, Duration::ZERO, Self::LONGEST),
            ("cool_down", self.cool_down, second, Self::LONGEST),
            ("min_retry", self.min_retry, Duration::from_millis(100), self.max_retry),
            ("max_retry", self.max_retry, Duration::from_millis(100), Self::LONGEST),
            ("discovery_max_age", self.discovery_max_age, Duration::ZERO, Self::LONGEST),
        ];
        let (name, value, least, most) =
            bounds.into_iter().find(|(_, value, least, most)| !(least..=most).contains(&value))?;
        let [value, least, most] = [value, least, most].map(duration::format);
        Some(format!("`key_fetch.{name}` is {value}; give {least} to {most}"))
    }

    /// For how long a set counts as fresh, by what the answer said.
    pub(super) fn fresh_for(&self, cache_control: Option<&str>, age_s: Option<u64>) -> Duration {
        let stated = cache_control.and_then(stated_life);
        let left = stated.map(|life| life.saturating_sub(Duration::from_secs(age_s.unwrap_or_default())));
        left.unwrap_or(self.fresh).clamp(self.min_fresh, self.max_fresh.max(self.min_fresh))
    }
}

/// What `Cache-Control` grants a private cache (RFC 9111 section 5.2.2); `None` where it says nothing of time.
fn stated_life(header: &str) -> Option<Duration> {
    let mut life = None;
    for directive in header.split(',') {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "no-store" | "no-cache" => return Some(Duration::ZERO),
            "max-age" => {
                // Two of them: the shorter one. One that cannot be read: none at all (RFC 9111 section 4.2.1).
                let seconds = value.trim().trim_matches('"').parse().unwrap_or(0);
                let stated = Duration::from_secs(seconds);
                life = Some(life.map_or(stated, |before: Duration| before.min(stated)));
            }
            _ => {}
        }
    }
    life
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_issuer_says_for_how_long_within_bounds() {
        let config = KeyFetchConfig::default();
        let fresh = |header: &str, age| config.fresh_for(Some(header), age).as_secs();
        assert_eq!(config.fresh_for(None, None).as_secs(), 300);
        assert_eq!(fresh("public", None), 300);
        assert_eq!(fresh("public, max-age=900", None), 900);
        assert_eq!(fresh("Max-Age=\"900\"", Some(100)), 800);
        assert_eq!(fresh("max-age=900", Some(10_000)), 60);
        assert_eq!(fresh("max-age=900, max-age=120", None), 120);
        assert_eq!(fresh("max-age=99999999999999999999", None), 60);
        assert_eq!(fresh("max-age=864000", None), 3_600);
        assert_eq!(fresh("max-age=900, no-store", None), 60);
        assert_eq!(fresh("no-cache=\"a, max-age=7\"", None), 60);
    }

    #[test]
    fn settings_that_cannot_work_are_named_with_their_value() {
        assert_eq!(KeyFetchConfig::default().problem(), None);
        let problem = |change: fn(&mut KeyFetchConfig)| {
            let mut config = KeyFetchConfig::default();
            change(&mut config);
            config.problem().unwrap()
        };
        assert!(problem(|c| c.min_fresh = Duration::ZERO).contains("min_fresh` is 0s"));
        assert!(problem(|c| c.fresh = Duration::from_secs(2)).contains("`key_fetch.fresh` is 2s"));
        assert!(problem(|c| c.max_fresh = Duration::from_secs(10)).contains("min_fresh"));
        assert!(problem(|c| c.cool_down = Duration::from_millis(5)).contains("cool_down"));
        assert!(problem(|c| c.min_retry = Duration::from_secs(31)).contains("min_retry"));
        assert!(problem(|c| c.max_stale = Duration::MAX).contains("max_stale"));
    }
}
