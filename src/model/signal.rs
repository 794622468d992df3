//! A signal: a fact about a subject that changes trust.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::id::{ClientId, InvalidId, IssuerAlias, SignalId};
use super::principal::PrincipalId;

/// What a signal is about.
///
/// Written `principal:User::dev/alice`, `session:dev/s-1`, `token:dev/<jti>` or `token:sha256/<hex>`,
/// `device:<namespace>/<id>`, `prefix:192.0.2.0/24` or `prefix:2001:db8:1::/48`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Subject {
    Principal(PrincipalId),
    Session { issuer: IssuerAlias, id: String },
    Token { issuer: IssuerAlias, id: String },
    TokenDigest([u8; 32]),
    Device { namespace: ClientId, id: String },
    Prefix(IpNet),
}

impl Subject {
    pub const MAX_LENGTH: usize = 600;

    /// The network that an address is judged by: its /24, or its /48.
    pub fn prefix_of(address: IpAddr) -> Option<Self> {
        // An IPv4 client seen through a dual-stack socket is the same client.
        let address = address.to_canonical();
        let length = if address.is_ipv4() { 24 } else { 48 };
        IpNet::new(address, length).ok().map(|net| Self::Prefix(net.trunc()))
    }

    /// `principal`, `session`, `token`, `device` or `prefix`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Principal(_) => "principal",
            Self::Session { .. } => "session",
            Self::Token { .. } | Self::TokenDigest(_) => "token",
            Self::Device { .. } => "device",
            Self::Prefix(_) => "prefix",
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Principal(id) => write!(f, "principal:{id}"),
            Self::Session { issuer, id } => write!(f, "session:{issuer}/{id}"),
            Self::Token { issuer, id } => write!(f, "token:{issuer}/{id}"),
            Self::TokenDigest(digest) => write!(f, "token:sha256/{}", hex::encode(digest)),
            Self::Device { namespace, id } => write!(f, "device:{namespace}/{id}"),
            Self::Prefix(net) => write!(f, "prefix:{net}"),
        }
    }
}

const SUBJECT_RULE: &str = "write principal:User::<issuer>/<subject>, session:<issuer>/<sid>, \
    token:<issuer>/<jti>, token:sha256/<64 hex digits>, device:<namespace>/<id> or prefix:<cidr> (/24 for IPv4, /48 for IPv6)";

impl FromStr for Subject {
    type Err = InvalidId;

    fn from_str(value: &str) -> Result<Self, InvalidId> {
        let bad = || InvalidId { what: "subject", value: value.to_owned(), rule: SUBJECT_RULE };
        if value.len() > Self::MAX_LENGTH || value.chars().any(char::is_control) {
            return Err(bad());
        }
        let (kind, rest) = value.split_once(':').ok_or_else(bad)?;
        let halves = || {
            let (left, id) = rest.split_once('/').ok_or_else(bad)?;
            if id.is_empty() { Err(bad()) } else { Ok((left, id.to_owned())) }
        };
        match kind {
            "principal" => rest.parse().map(Self::Principal).map_err(|_| bad()),
            "session" => {
                let (issuer, id) = halves()?;
                Ok(Self::Session { issuer: issuer.parse().map_err(|_| bad())?, id })
            }
            "token" => match halves()? {
                ("sha256", digest) => {
                    let mut bytes = [0; 32];
                    hex::decode_to_slice(&digest, &mut bytes).map_err(|_| bad())?;
                    Ok(Self::TokenDigest(bytes))
                }
                (issuer, id) => Ok(Self::Token { issuer: issuer.parse().map_err(|_| bad())?, id }),
            },
            "device" => {
                let (namespace, id) = halves()?;
                Ok(Self::Device { namespace: namespace.parse().map_err(|_| bad())?, id })
            }
            "prefix" => {
                let net: IpNet = rest.parse().map_err(|_| bad())?;
                let wanted = if net.addr().is_ipv4() { 24 } else { 48 };
                let exact = net.prefix_len() == wanted && net.trunc() == net;
                if exact { Ok(Self::Prefix(net)) } else { Err(bad()) }
            }
            _ => Err(bad()),
        }
    }
}

impl TryFrom<String> for Subject {
    type Error = InvalidId;

    fn try_from(value: String) -> Result<Self, InvalidId> {
        value.parse()
    }
}

impl From<Subject> for String {
    fn from(subject: Subject) -> String {
        subject.to_string()
    }
}

/// How long a signal counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignalLife {
    /// Its weight halves each time this passes.
    HalfLife(Duration),
    /// It counts in full until somebody clears it.
    UntilCleared,
}

/// A signal as a sensor reports it.
#[derive(Clone, Debug, PartialEq)]
pub struct NewSignal {
    pub subject: Subject,
    /// A registered kind, for example `new_network` (see `risk::signal`).
    pub kind: String,
    /// 0 to 1: how strong the observation is.
    pub strength: f64,
    /// 0 to 1: how sure the source is.
    pub confidence: f64,
    pub life: SignalLife,
    /// Who saw it, in the sensor's own words, for example `waf-eu-1`.
    pub source: String,
    /// What was seen, for people; at most a few hundred characters, no secrets.
    pub evidence: String,
    /// The same key again (for one reporter) refreshes the signal instead of adding a second one.
    pub dedup_key: Option<String>,
    pub observed_at: Timestamp,
}

/// A recorded signal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Signal {
    pub id: SignalId,
    pub subject: Subject,
    pub kind: String,
    pub strength: f64,
    pub confidence: f64,
    pub life: SignalLife,
    pub source: String,
    pub evidence: String,
    pub dedup_key: Option<String>,
    pub observed_at: Timestamp,
    /// The client that reported it.
    pub recorded_by: ClientId,
    pub recorded_at: Timestamp,
    pub cleared: Option<Cleared>,
}

/// Who ended a signal, when and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cleared {
    pub by: ClientId,
    pub at: Timestamp,
    pub why: String,
}

/// Which signals a lister wants; everything absent means any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignalFilter {
    pub subject: Option<Subject>,
    pub kind: Option<String>,
    /// Whether cleared ones are listed too.
    pub include_cleared: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_round_trip() {
        let digest = format!("token:sha256/{}", "ab".repeat(32));
        for text in [
            "principal:User::dev/alice",
            "session:dev/s-1",
            "token:dev/j/1",
            &digest,
            "device:edge/laptop-7",
            "prefix:192.0.2.0/24",
            "prefix:2001:db8:1::/48",
        ] {
            assert_eq!(text.parse::<Subject>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn subjects_that_could_be_misread_are_refused() {
        for bad in [
            "alice",
            "principal:alice",
            "session:dev",
            "session:dev/",
            "token:sha256/abcd",
            "prefix:192.0.2.7/24",
            "prefix:192.0.2.0/16",
            "device:Edge/x",
            "robot:dev/x",
        ] {
            let error = bad.parse::<Subject>().unwrap_err();
            assert!(error.to_string().contains(bad), "{error}");
        }
    }

    #[test]
    fn a_mapped_address_has_the_prefix_of_its_ipv4_self() {
        let mapped: IpAddr = "::ffff:192.0.2.9".parse().unwrap();
        assert_eq!(Subject::prefix_of(mapped).unwrap().to_string(), "prefix:192.0.2.0/24");
    }
}
