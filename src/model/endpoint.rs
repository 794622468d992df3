//! What is called: APIs, endpoints, and an endpoint found for one call.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::id::{ApiId, DomainId, EndpointId};
use super::origin::Origin;
use super::prepared::Prepared;

/// How much harm a call can do: 0 public, 1 internal, 2 confidential, 3 restricted.
///
/// The default is 2 (metadata that nobody wrote never opens a door); undeclared endpoints get 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Sensitivity(u8);

impl Sensitivity {
    pub const PUBLIC: Self = Self(0);
    pub const INTERNAL: Self = Self(1);
    pub const CONFIDENTIAL: Self = Self(2);
    pub const RESTRICTED: Self = Self(3);

    pub const fn get(self) -> u8 {
        self.0
    }
}

impl Default for Sensitivity {
    fn default() -> Self {
        Self::CONFIDENTIAL
    }
}

impl TryFrom<u8> for Sensitivity {
    type Error = String;

    fn try_from(value: u8) -> Result<Self, String> {
        if value <= 3 {
            Ok(Self(value))
        } else {
            Err(format!(
                "sensitivity {value} is out of range: 0 public, 1 internal, 2 confidential, 3 restricted"
            ))
        }
    }
}

impl From<Sensitivity> for u8 {
    fn from(value: Sensitivity) -> u8 {
        value.0
    }
}

/// Whether somebody declared the endpoint, or it was only seen in traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndpointState {
    Declared,
    Discovered,
}

impl EndpointState {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Declared => "declared",
            Self::Discovered => "discovered",
        }
    }
}

/// How a security scheme of an OpenAPI document is satisfied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `oauth2` or `openIdConnect`: a verified token that holds all of these scopes.
    Token { scopes: BTreeSet<String> },
    /// `http` with scheme `bearer`: a verified token; scopes listed count as well (OpenAPI 3.1 role names).
    Bearer { scopes: BTreeSet<String> },
    /// `mutualTLS`: a certificate that was proved, by itself or by a token that is bound to it.
    MutualTls,
    /// A scheme Deodar cannot verify (API keys, basic): never met.
    Unverifiable { name: String },
}

/// One alternative of a `security` requirement: all its schemes must be met. Empty: anonymous access is declared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecurityAlternative {
    pub schemes: Vec<Scheme>,
}

/// Whether refusals of an API are enforced, or only recorded and said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ApiMode {
    #[default]
    Enforce,
    /// Refusals keep effect deny with `enforced = false`, until this moment.
    Observe { until: Timestamp },
}

impl ApiMode {
    pub fn enforces(self, now: Timestamp) -> bool {
        match self {
            Self::Enforce => true,
            Self::Observe { until } => now >= until,
        }
    }
}

/// An API: a set of endpoints under one owner, deciding in one domain.
#[derive(Clone, Debug)]
pub struct Api {
    pub id: ApiId,
    pub domain: DomainId,
    pub mode: ApiMode,
    /// The longest time a PEP may reuse an answer about this API; zero: never.
    pub reuse: Duration,
    pub outside: Outside,
}

/// How clients see an API, where the gateway's own view may differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outside {
    /// Where it is reached; absent: where the gateway says that the call was sent.
    pub origin: Option<Origin>,
    /// The address of its metadata (RFC 9728), named in challenges.
    pub resource_metadata: Option<Arc<str>>,
}

/// (API, method, path template), with what the inventory knows of it.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub id: EndpointId,
    pub api: Arc<Api>,
    /// Upper-case HTTP method.
    pub method: String,
    /// The Cedar action: a method, `query` or `call`.
    pub action: String,
    /// With the base path of the server, for example `/v1/orders/{id}`.
    pub template: String,
    pub operation: Option<String>,
    pub sensitivity: Sensitivity,
    pub state: EndpointState,
    pub labels: BTreeSet<String>,
    /// The declared `security`: absent (`None`) means that the document says nothing, so scopes are never met.
    pub security: Option<Vec<SecurityAlternative>>,
    /// Whether only a token that its sender proved to be bound to will do.
    pub sender_constrained: bool,
    /// What policies read of it, made ready once.
    pub prepared: Prepared,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)
    }
}

/// An endpoint found for one call, with the values that its template names. Everything is decoded.
#[derive(Clone, Debug)]
pub struct Located {
    pub endpoint: Arc<Endpoint>,
    pub path_params: Vec<(String, String)>,
    /// In the order of the query string; a name may repeat.
    pub query_params: Vec<(String, String)>,
    /// Lower case, without port and trailing dot.
    pub host: String,
    /// The path as it was matched, decoded; never logged unmasked.
    pub path: String,
}
