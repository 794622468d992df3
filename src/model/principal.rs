//! Who the credential proved to be.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::credential::Confirmation;
use super::id::{InvalidId, IssuerAlias};
use super::prepared::Prepared;

/// The three kinds of principal that the vocabulary knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PrincipalKind {
    User,
    Workload,
    Anonymous,
}

impl PrincipalKind {
    /// The Cedar type without its namespace: `User`, `Workload` or `Anonymous`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Workload => "Workload",
            Self::Anonymous => "Anonymous",
        }
    }
}

/// A principal's name: its kind and `<issuer alias>/<subject>`. Written `User::dev/alice`.
///
/// Two issuers never share a principal, because the alias is part of the id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PrincipalId {
    pub kind: PrincipalKind,
    /// As it is written.
    name: Arc<str>,
}

impl PrincipalId {
    pub const MAX_LENGTH: usize = 512;

    pub fn new(kind: PrincipalKind, issuer: &IssuerAlias, subject: &str) -> Self {
        Self { kind, name: format!("{}::{issuer}/{subject}", kind.as_str()).into() }
    }

    pub fn anonymous() -> Self {
        Self { kind: PrincipalKind::Anonymous, name: "Anonymous::anonymous".into() }
    }

    /// `<issuer alias>/<subject>`: the entity id in Cedar.
    pub fn id(&self) -> &str {
        self.name.get(self.kind.as_str().len() + "::".len()..).unwrap_or_default()
    }

    /// The whole name, as it is written.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The two halves of the id; the alias of an anonymous principal is empty.
    pub fn parts(&self) -> (&str, &str) {
        self.id().split_once('/').unwrap_or(("", self.id()))
    }
}

impl fmt::Display for PrincipalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl FromStr for PrincipalId {
    type Err = InvalidId;

    fn from_str(value: &str) -> Result<Self, InvalidId> {
        let bad = || InvalidId {
            what: "principal",
            value: value.to_owned(),
            rule: "write `User::<issuer alias>/<subject>`, `Workload::<issuer alias>/<subject>` or `Anonymous::anonymous`",
        };
        let (kind, id) = value.split_once("::").ok_or_else(bad)?;
        let kind = match kind {
            "User" => PrincipalKind::User,
            "Workload" => PrincipalKind::Workload,
            "Anonymous" if id == "anonymous" => return Ok(Self::anonymous()),
            _ => return Err(bad()),
        };
        let (issuer, subject) = id.split_once('/').ok_or_else(bad)?;
        let issuer: IssuerAlias = issuer.parse().map_err(|_| bad())?;
        let unfit =
            subject.is_empty() || value.len() > Self::MAX_LENGTH || subject.chars().any(char::is_control);
        if unfit { Err(bad()) } else { Ok(Self::new(kind, &issuer, subject)) }
    }
}

impl TryFrom<String> for PrincipalId {
    type Error = InvalidId;

    fn try_from(value: String) -> Result<Self, InvalidId> {
        value.parse()
    }
}

impl From<PrincipalId> for String {
    fn from(id: PrincipalId) -> String {
        id.as_str().to_owned()
    }
}

/// What kind of token proved the principal; the `TokenKind` of the vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// A user behind a client.
    User,
    /// A client acting for itself (client credentials).
    Client,
    /// A workload of a SPIFFE trust domain, by its certificate or its token.
    Svid,
}

impl TokenKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Client => "client",
            Self::Svid => "svid",
        }
    }
}

/// What a verified token says, as policies may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFacts {
    pub issuer: IssuerAlias,
    pub kind: TokenKind,
    pub client_id: Option<String>,
    pub audience: BTreeSet<String>,
    pub scopes: BTreeSet<String>,
    pub issued_at: Timestamp,
    pub expires_at: Timestamp,
    pub auth_time: Option<Timestamp>,
    pub acr: Option<String>,
    pub amr: BTreeSet<String>,
    /// What the token is bound to.
    pub confirmation: Confirmation,
    /// Whether the sender proved to hold it.
    // INVARIANT: identity hands a principal with a bound token out only after the proof of this very presentation.
    pub sender_constrained: bool,
    /// Who acts for the principal, by the token's word (RFC 8693 section 4.1); nothing but the name is known.
    pub actor: Option<Arc<Principal>>,
    /// `jti`.
    pub token_id: Option<String>,
    /// `sid`.
    pub session_id: Option<String>,
    /// SHA-256 of the whole token: its name when it has no `jti`, and its cache key.
    pub sha256: [u8; 32],
}

impl TokenFacts {
    /// Whether it is no token at all but a certificate that proves who shows it.
    pub fn is_certificate(&self) -> bool {
        self.confirmation.x5t_s256 == Some(self.sha256)
    }

    pub fn age(&self, now: Timestamp) -> Duration {
        now.since(self.issued_at)
    }

    pub fn lifetime(&self) -> Duration {
        self.expires_at.since(self.issued_at)
    }
}

/// An authenticated (or anonymous, or asserted) principal, with what policies may read of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    pub id: PrincipalId,
    pub tenant: Option<String>,
    pub active: bool,
    pub roles: BTreeSet<String>,
    pub groups: BTreeSet<String>,
    /// `claim:<name>` from the token; `dir:<name>` from the directory.
    pub tags: BTreeMap<String, BTreeSet<String>>,
    /// Absent for anonymous and asserted principals.
    pub token: Option<TokenFacts>,
    /// What policies read of it, made ready once.
    pub prepared: Prepared,
    /// The subjects that signals may be about, made ready once.
    pub subjects: Prepared,
    /// The same principal with what the directory knows of it, made ready once.
    pub in_directory: Prepared,
}

impl Principal {
    /// A principal of which nothing but the name is known.
    pub fn bare(id: PrincipalId) -> Self {
        Self {
            id,
            tenant: None,
            active: true,
            roles: BTreeSet::new(),
            groups: BTreeSet::new(),
            tags: BTreeMap::new(),
            token: None,
            prepared: Prepared::default(),
            subjects: Prepared::default(),
            in_directory: Prepared::default(),
        }
    }

    pub fn anonymous() -> Self {
        Self::bare(PrincipalId::anonymous())
    }

    pub fn is_anonymous(&self) -> bool {
        self.id.kind == PrincipalKind::Anonymous
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn principal_ids_round_trip() {
        for text in ["User::dev/alice", "Workload::corp/svc/with/slash", "Anonymous::anonymous"] {
            assert_eq!(text.parse::<PrincipalId>().unwrap().to_string(), text);
        }
        for bad in ["alice", "User::alice", "User::dev/", "Robot::dev/x", "User::DEV/x", "Anonymous::x"] {
            assert!(bad.parse::<PrincipalId>().is_err(), "{bad}");
        }
    }
}
