//! Settings of introspection: asking an issuer about tokens that say nothing themselves.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::claim_path::ClaimPath;
use crate::model::duration;

/// How an issuer is asked about its opaque tokens (RFC 7662).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IntrospectionConfig {
    /// The endpoint: an `https` URL, or `http` on this machine.
    pub url: String,
    /// Allow plain HTTP beyond this machine. Tokens and the client's secret then cross the network readable, and whoever can
    /// change a packet can make any token good.
    #[serde(default)]
    pub allow_http: bool,
    /// Who asks: the client id that the issuer gave to this server.
    pub client_id: String,
    /// A file with the client's secret, relative to the configuration file; white space around it is ignored.
    pub client_secret_file: PathBuf,
    /// How the client shows that it is the one: `client_secret_basic` or `client_secret_post`.
    #[serde(default)]
    pub client_authentication: ClientAuthentication,
    /// How long a good answer is used before the issuer is asked again. A token that the issuer takes back can count for this
    /// long. `1s` to `1h`.
    #[serde(default = "default_max_age", with = "duration")]
    #[schemars(with = "String")]
    pub max_age: Duration,
    /// How long a token stays refused before the issuer is asked again; `1s` to `1h`.
    #[serde(default = "default_refused_max_age", with = "duration")]
    #[schemars(with = "String")]
    pub refused_max_age: Duration,
    /// The most answers that are kept, of good tokens and of refused ones each; at least 1.
    #[serde(default = "default_max_answers")]
    pub max_answers: u64,
    /// Questions to the issuer under way at once, and decisions that wait for them; those beyond it are denied at once as
    /// `issuer_unavailable`.
    #[serde(default = "default_max_waiting")]
    pub max_waiting: usize,
    /// The pause after the issuer failed to answer, in which tokens are denied at once; it doubles with each failure. At least
    /// `100ms`.
    #[serde(default = "default_min_retry", with = "duration")]
    #[schemars(with = "String")]
    pub min_retry: Duration,
    /// The longest such pause.
    #[serde(default = "default_max_retry", with = "duration")]
    #[schemars(with = "String")]
    pub max_retry: Duration,
    /// Believe answers that name no audience (`aud`). Only for an issuer that says `active` of no token that is for somebody
    /// else.
    #[serde(default)]
    pub without_audience: bool,
    /// Take an active token of which the answer names no subject (`sub`) for one of the client itself, `client_id`, as the client
    /// credentials grant gives out. Only for an issuer that names the subject of every token that a user had a part in: a
    /// user's token would count as his client's own. Needs `claims.workload.subject_is_client`.
    #[serde(default)]
    pub without_subject: bool,
    /// Claims an answer must hold besides `active`, `sub`, and `exp` or `iat`.
    #[serde(default)]
    pub required_claims: Vec<ClaimPath>,
}

/// How a client authenticates (RFC 6749 section 2.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuthentication {
    /// In the Authorization header.
    #[default]
    ClientSecretBasic,
    /// In the form.
    ClientSecretPost,
}

impl IntrospectionConfig {
    /// With default settings.
    pub fn new(
        url: impl Into<String>,
        client_id: impl Into<String>,
        client_secret_file: impl Into<PathBuf>,
    ) -> Self {
        Self {
            url: url.into(),
            allow_http: false,
            client_id: client_id.into(),
            client_secret_file: client_secret_file.into(),
            client_authentication: ClientAuthentication::default(),
            max_age: default_max_age(),
            refused_max_age: default_refused_max_age(),
            max_answers: default_max_answers(),
            max_waiting: default_max_waiting(),
            min_retry: default_min_retry(),
            max_retry: default_max_retry(),
            without_audience: false,
            without_subject: false,
            required_claims: Vec::new(),
        }
    }

    /// What cannot work, in a sentence.
    pub(super) fn problem(&self) -> Option<String> {
        let (second, hour) = (Duration::from_secs(1), Duration::from_secs(60 * 60));
        let bounds = [
            ("max_age", self.max_age, second, hour),
            ("refused_max_age", self.refused_max_age, second, hour),
            ("min_retry", self.min_retry, Duration::from_millis(100), self.max_retry),
            ("max_retry", self.max_retry, Duration::from_millis(100), hour),
        ];
        if let Some((name, value, least, most)) =
            bounds.into_iter().find(|(_, value, least, most)| !(least..=most).contains(&value))
        {
            let [value, least, most] = [value, least, most].map(duration::format);
            return Some(format!("`introspection.{name}` is {value}; give {least} to {most}"));
        }
        if self.client_id.is_empty() || self.client_id.chars().any(char::is_control) {
            return Some("`introspection.client_id` must be the id of a client at the issuer".to_owned());
        }
        (self.max_answers == 0 || self.max_waiting == 0).then(|| {
            "`introspection.max_answers` and `introspection.max_waiting` must be 1 at least".to_owned()
        })
    }
}

const fn default_max_age() -> Duration {
    Duration::from_secs(30)
}

const fn default_refused_max_age() -> Duration {
    Duration::from_secs(5)
}

const fn default_max_answers() -> u64 {
    50_000
}

const fn default_max_waiting() -> usize {
    64
}

const fn default_min_retry() -> Duration {
    Duration::from_secs(1)
}

const fn default_max_retry() -> Duration {
    Duration::from_secs(30)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_work_are_named_with_their_value() {
        let config = || IntrospectionConfig::new("https://a/introspect", "deodar", "secret");
        assert_eq!(config().problem(), None);
        let problem = |change: fn(&mut IntrospectionConfig)| {
            let mut config = config();
            change(&mut config);
            config.problem().unwrap()
        };
        assert!(problem(|c| c.max_age = Duration::ZERO).contains("max_age` is 0s"));
        assert!(problem(|c| c.refused_max_age = Duration::from_secs(3_601)).contains("3601s"));
        assert!(problem(|c| c.min_retry = Duration::from_secs(31)).contains("min_retry"));
        assert!(problem(|c| c.client_id.clear()).contains("client_id"));
        assert!(problem(|c| c.max_answers = 0).contains("max_answers"));
        assert!(problem(|c| c.max_waiting = 0).contains("max_waiting"));
    }
}
