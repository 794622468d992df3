//! Settings of the inventory: which APIs there are, and how large a request may be.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::{ApiId, DomainId, Origin, Timestamp};

/// Settings of the inventory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The APIs that are called through the gateways.
    pub apis: Vec<ApiConfig>,
    /// The longest request target (path and query, undecoded) that is read, in bytes.
    pub max_path_bytes: usize,
    /// How many query parameters a call may have.
    pub max_query_params: usize,
    /// Request headers that policies may read, in lower case. Headers that carry credentials are refused.
    pub forwarded_headers: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self { apis: Vec::new(), max_path_bytes: 8_192, max_query_params: 128, forwarded_headers: Vec::new() }
    }
}

/// One API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiConfig {
    pub id: ApiId,
    /// The policy plane that decides about it.
    #[serde(default)]
    pub domain: DomainId,
    /// Its OpenAPI 3.0 or 3.1 document, YAML or JSON. A relative path starts at the configuration file.
    pub openapi: PathBuf,
    /// The hosts it is served at; empty: any host. Servers of the document only give base paths.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Where it is mounted, for example `/v1`; absent: where the servers of the document say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_path: Option<String>,
    /// Whether refusals are enforced, or only recorded and said.
    #[serde(default)]
    pub mode: Mode,
    /// When observing ends and enforcing begins (RFC 3339); needed with mode `observe`, so that it ends.
    #[serde(default, with = "rfc3339", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub observe_until: Option<Timestamp>,
    /// The longest time a PEP may reuse an answer; zero: never.
    #[serde(default, with = "crate::model::duration")]
    #[schemars(with = "String")]
    pub reuse: Duration,
    /// Where clients reach it, for example `https://api.example.com`: what a DPoP proof must name, where the gateway sees
    /// another scheme, host or port than the client. Absent: what the gateway says of the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub external_origin: Option<Origin>,
    /// The address of its metadata (RFC 9728), which challenges then name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_metadata: Option<String>,
}

/// What becomes of a refusal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    #[default]
    Enforce,
    Observe,
}

/// `2026-11-22T10:00:00Z`.
mod rfc3339 {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::model::Timestamp;

    #[expect(clippy::ref_option, reason = "serde passes the field by reference")]
    pub(super) fn serialize<S: Serializer>(value: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(moment) => to.collect_str(moment),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| Timestamp::parse(&text).map_err(D::Error::custom)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = r#"
        forwarded_headers = ["x-tenant"]
        [[apis]]
        id = "orders"
        openapi = "orders.openapi.yaml"
        hosts = ["api.example.com"]
        mode = "observe"
        observe_until = "2027-01-01T00:00:00Z"
        reuse = "5m"
        external_origin = "https://api.example.com"
        resource_metadata = "https://api.example.com/.well-known/oauth-protected-resource"
    "#;

    #[test]
    fn a_configuration_round_trips() {
        let config: Config = toml::from_str(SAMPLE).unwrap();
        assert_eq!(config.apis[0].reuse, Duration::from_secs(300));
        assert_eq!(config.apis[0].domain, DomainId::default());
        let written = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<Config>(&written).unwrap(), config);
    }

    #[test]
    fn unknown_fields_and_bad_values_are_refused() {
        assert!(toml::from_str::<Config>("max_path = 1").is_err());
        for (from, to) in
            [("5m", "soon"), ("5m", "5"), ("2027-01-01T00:00:00Z", "new year"), ("\"orders\"", "\"O\"")]
        {
            assert!(toml::from_str::<Config>(&SAMPLE.replace(from, to)).is_err(), "{to}");
        }
    }
}
