//! What identity asks of the network: one document by GET, or one form answered by a document.
//!
//! The client is `app`'s. It bounds the time and the size of an answer, follows no redirect, and reaches nothing but the
//! [`Destination`] it is given; what an answer means is judged here.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::destination::Destination;
use crate::model::{Secret, duration};

/// How documents of issuers are fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FetchConfig {
    /// A file with the certificates (PEM) that issuers' servers are verified with, relative to the configuration file.
    /// It takes the place of the certificates that the operating system trusts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// How long a connection may take, name look-up and TLS included; at most `timeout`.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub connect_timeout: Duration,
    /// How long one request may take as a whole; `100ms` to `1m`.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub timeout: Duration,
    /// The largest answer that is read, in bytes; a larger one counts as a failure. At least 1 KiB, at most 16 MiB.
    pub max_response_bytes: usize,
}

impl Default for FetchConfig {
    fn default() -> Self {
        Self {
            ca_file: None,
            connect_timeout: Duration::from_secs(2),
            timeout: Duration::from_secs(5),
            max_response_bytes: 256 * 1024,
        }
    }
}

impl FetchConfig {
    /// What cannot work, in a sentence.
    pub(super) fn problem(&self) -> Option<String> {
        const SIZES: std::ops::RangeInclusive<usize> = 1_024..=16 * 1_024 * 1_024;
        let shown = duration::format;
        if !(Duration::from_millis(100)..=Duration::from_secs(60)).contains(&self.timeout) {
            return Some(format!("`timeout` is {}; give `100ms` to `1m`", shown(self.timeout)));
        }
        if self.connect_timeout.is_zero() || self.connect_timeout > self.timeout {
            let (connect, whole) = (shown(self.connect_timeout), shown(self.timeout));
            return Some(format!(
                "`connect_timeout` is {connect}; give more than nothing and at most the `timeout`, {whole}"
            ));
        }
        (!SIZES.contains(&self.max_response_bytes)).then(|| {
            format!("`max_response_bytes` is {}; give 1024 to 16777216 bytes", self.max_response_bytes)
        })
    }
}

/// One request.
#[derive(Clone, Debug)]
pub struct FetchRequest<'a> {
    pub destination: &'a Destination,
    /// Posted as a form; absent: a GET.
    pub form: Option<Form>,
}

/// A form, and who sends it.
#[derive(Clone, Debug)]
pub struct Form {
    /// The body, encoded; it holds a token.
    pub body: Secret,
    /// The value of the Authorization header.
    pub authorization: Option<Secret>,
}

/// An answer that came whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    pub status: u16,
    pub content_type: Option<String>,
    pub cache_control: Option<String>,
    /// The header `Age`, in seconds: how long the answer lay in a cache on the way.
    pub age_s: Option<u64>,
    pub body: Vec<u8>,
}

impl Fetched {
    /// The body of a successful answer in JSON.
    pub(super) fn json(&self) -> Result<&[u8], String> {
        if (300..400).contains(&self.status) {
            return Err(format!("it answered with a redirect ({}), and none is followed", self.status));
        }
        if self.status != 200 {
            return Err(format!("it answered with status {}", self.status));
        }
        let kind = self.content_type.as_deref().unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if essence == "application/json"
            || (essence.starts_with("application/") && essence.ends_with("+json"))
        {
            return Ok(&self.body);
        }
        let shown = super::refusal::excerpt(kind);
        Err(format!("its answer is no JSON by its Content-Type, {shown}"))
    }
}

/// Why there is no answer. The texts hold nothing of what was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    #[error("it did not answer within {}", duration::format(*.0))]
    TimedOut(Duration),
    #[error("its answer is longer than {0} bytes")]
    TooLarge(usize),
}

/// The way to the network.
///
/// INVARIANT: every call ends within the configured time, reads no more than the configured bytes, follows no redirect,
/// and connects to no address that [`may_connect`] refuses.
#[async_trait]
pub trait Fetcher: Send + Sync + 'static {
    async fn fetch(&self, request: FetchRequest<'_>) -> Result<Fetched, FetchError>;
}

/// Whether an address is one that an issuer may have. Link-local addresses are not: clouds keep their metadata service
/// there, which gives credentials to whoever asks.
pub fn may_connect(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            !(v4.is_link_local() || v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast())
        }
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => may_connect(IpAddr::V4(v4)),
            None => !(v6.is_unicast_link_local() || v6.is_unspecified() || v6.is_multicast()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_work_are_named_with_their_value() {
        assert_eq!(FetchConfig::default().problem(), None);
        let problem = |change: fn(&mut FetchConfig)| {
            let mut config = FetchConfig::default();
            change(&mut config);
            config.problem().unwrap()
        };
        assert!(problem(|c| c.timeout = Duration::from_millis(1)).contains("1ms"));
        assert!(problem(|c| c.timeout = Duration::from_secs(61)).contains("timeout"));
        assert!(problem(|c| c.connect_timeout = Duration::from_secs(6)).contains("6s"));
        assert!(problem(|c| c.connect_timeout = Duration::ZERO).contains("connect_timeout"));
        assert!(problem(|c| c.max_response_bytes = 10).contains("10"));
    }

    #[test]
    fn only_a_plain_success_in_json_is_read() {
        let answer = |status, kind: &str| {
            let content_type = (!kind.is_empty()).then(|| kind.to_owned());
            Fetched { status, content_type, ..Fetched::default() }.json().map(<[u8]>::len)
        };
        for kind in ["application/json", "Application/JSON; charset=utf-8", "application/jwk-set+json"] {
            assert_eq!(answer(200, kind), Ok(0), "{kind}");
        }
        for kind in ["", "text/html", "text/json", "application/jsonp", "image/svg+json"] {
            assert!(answer(200, kind).is_err(), "{kind}");
        }
        for status in [201, 204, 302, 304, 401, 404, 500] {
            assert!(answer(status, "application/json").unwrap_err().contains(&status.to_string()));
        }
        assert!(answer(302, "application/json").unwrap_err().contains("redirect"));
    }

    #[test]
    fn addresses_that_no_issuer_has_are_not_connected_to() {
        for bad in [
            "169.254.169.254",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "fe80::1",
            "ff02::1",
            "::ffff:169.254.169.254",
        ] {
            assert!(!may_connect(bad.parse().unwrap()), "{bad}");
        }
        for good in ["127.0.0.1", "10.0.0.1", "192.0.2.1", "::1", "fd00::1", "2001:db8::1"] {
            assert!(may_connect(good.parse().unwrap()), "{good}");
        }
    }
}
