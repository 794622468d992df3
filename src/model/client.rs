//! Callers of Deodar's own APIs: PEPs, sensors and people, with what each may do.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::caller_certificate::CertificateName;
use super::clock::Timestamp;
use super::id::{ApiId, ClientId, DomainId};

/// What a client is for. Each role may call a fixed set of RPCs (see `decide::access`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A PEP: asks for decisions.
    Gateway,
    /// Reports signals.
    Sensor,
    /// Reads and clears signals, reads risk and decisions.
    Analyst,
    /// Reads decisions.
    Auditor,
    /// Works on policies.
    Author,
    /// Everything in management; asks no decisions unless it is a gateway too.
    Administrator,
}

impl Role {
    pub const ALL: [Self; 6] =
        [Self::Gateway, Self::Sensor, Self::Analyst, Self::Auditor, Self::Author, Self::Administrator];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Sensor => "sensor",
            Self::Analyst => "analyst",
            Self::Auditor => "auditor",
            Self::Author => "author",
            Self::Administrator => "administrator",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(value: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|role| role.as_str() == value).ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str).join(", ");
            format!("`{value}` is not a role; the roles are {names}")
        })
    }
}

/// Something a PEP may state without proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Assertion {
    /// A principal without a credential.
    Principal,
    /// The address of the client.
    SourceAddress,
    /// Facts about the client's device.
    Device,
    /// The certificate that the client showed when it connected.
    ClientCertificate,
}

impl Assertion {
    pub const ALL: [Self; 4] = [Self::Principal, Self::SourceAddress, Self::Device, Self::ClientCertificate];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Principal => "principal",
            Self::SourceAddress => "source-address",
            Self::Device => "device",
            Self::ClientCertificate => "client-certificate",
        }
    }
}

impl FromStr for Assertion {
    type Err = String;

    fn from_str(value: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|assertion| assertion.as_str() == value).ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str).join(", ");
            format!("`{value}` is not an assertion; the assertions are {names}")
        })
    }
}

/// Which APIs a PEP may ask about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApiGrant {
    All,
    Only(BTreeSet<ApiId>),
}

impl ApiGrant {
    pub fn covers(&self, api: &ApiId) -> bool {
        match self {
            Self::All => true,
            Self::Only(apis) => apis.contains(api),
        }
    }
}

/// What a PEP is granted beyond its roles. The default grants nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grants {
    pub apis: ApiGrant,
    /// Domains that its Cedar questions may name.
    pub domains: BTreeSet<DomainId>,
    pub assertions: BTreeSet<Assertion>,
    /// Whether it may see explanations.
    pub explain: bool,
    /// The longest time it may reuse an answer, whatever the API allows.
    pub max_reuse: Duration,
}

impl Default for Grants {
    fn default() -> Self {
        Self {
            apis: ApiGrant::Only(BTreeSet::new()),
            domains: BTreeSet::new(),
            assertions: BTreeSet::new(),
            explain: false,
            max_reuse: Duration::ZERO,
        }
    }
}

/// SHA-256 of the secret half of a client key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyDigest(#[serde(with = "hex::serde")] pub [u8; 32]);

/// A caller of Deodar's APIs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    pub id: ClientId,
    pub display_name: String,
    pub roles: BTreeSet<Role>,
    pub grants: Grants,
    /// Of its key, which is shown once and never kept. `None`: it is known by certificates alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_sha256: Option<KeyDigest>,
    /// What its certificates are known by. Each is good by itself, and so is the key.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub certificates: BTreeSet<CertificateName>,
    pub created_by: ClientId,
    pub created_at: Timestamp,
    pub revoked_at: Option<Timestamp>,
}

impl Client {
    pub fn is_live(&self) -> bool {
        self.revoked_at.is_none()
    }
}
