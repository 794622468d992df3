//! A revocation: tokens that no longer count, although their issuer's signature on them is good.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::id::{ClientId, InvalidId, IssuerAlias, RevocationId};
use super::principal::PrincipalId;

/// Which tokens are revoked.
///
/// Written `token:dev/<jti>` or `token:sha256/<hex>`, `session:dev/<sid>`, `principal:User::dev/alice`,
/// `client:dev/<client_id>` or `issuer:dev`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum RevocationTarget {
    /// One token, by its `jti`.
    Token { issuer: IssuerAlias, id: String },
    /// One token, by the SHA-256 of its whole text.
    TokenDigest([u8; 32]),
    /// Every token of a session, by `sid`.
    Session { issuer: IssuerAlias, id: String },
    /// Every token of a principal.
    Principal(PrincipalId),
    /// Every token that was issued to a client of the issuer, whoever the principal is.
    Client { issuer: IssuerAlias, id: String },
    /// Every token of an issuer.
    Issuer(IssuerAlias),
}

impl RevocationTarget {
    pub const MAX_LENGTH: usize = 600;

    /// `token`, `session`, `principal`, `client` or `issuer`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Token { .. } | Self::TokenDigest(_) => "token",
            Self::Session { .. } => "session",
            Self::Principal(_) => "principal",
            Self::Client { .. } => "client",
            Self::Issuer(_) => "issuer",
        }
    }

    /// Whether it names one token or one session, which are over when they are revoked. The others go on: whoever
    /// logs in again gets a token that counts.
    pub const fn is_over(&self) -> bool {
        matches!(self, Self::Token { .. } | Self::TokenDigest(_) | Self::Session { .. })
    }

    /// The alias of the issuer whose tokens it concerns; `None` when any could be meant.
    pub fn issuer(&self) -> Option<&str> {
        match self {
            Self::Token { issuer, .. } | Self::Session { issuer, .. } | Self::Client { issuer, .. } => {
                Some(issuer.as_str())
            }
            Self::Issuer(issuer) => Some(issuer.as_str()),
            Self::Principal(principal) => Some(principal.parts().0),
            Self::TokenDigest(_) => None,
        }
    }
}

impl fmt::Display for RevocationTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token { issuer, id } => write!(f, "token:{issuer}/{id}"),
            Self::TokenDigest(digest) => write!(f, "token:sha256/{}", hex::encode(digest)),
            Self::Session { issuer, id } => write!(f, "session:{issuer}/{id}"),
            Self::Principal(principal) => write!(f, "principal:{principal}"),
            Self::Client { issuer, id } => write!(f, "client:{issuer}/{id}"),
            Self::Issuer(issuer) => write!(f, "issuer:{issuer}"),
        }
    }
}

const TARGET_RULE: &str = "write token:<issuer>/<jti>, token:sha256/<64 hex digits>, session:<issuer>/<sid>, \
    principal:User::<issuer>/<subject>, client:<issuer>/<client id> or issuer:<issuer>";

impl FromStr for RevocationTarget {
    type Err = InvalidId;

    fn from_str(value: &str) -> Result<Self, InvalidId> {
        let bad = || InvalidId { what: "target", value: value.to_owned(), rule: TARGET_RULE };
        if value.len() > Self::MAX_LENGTH || value.chars().any(char::is_control) {
            return Err(bad());
        }
        let (kind, rest) = value.split_once(':').ok_or_else(bad)?;
        let halves = || {
            let (issuer, id) = rest.split_once('/').filter(|(_, id)| !id.is_empty()).ok_or_else(bad)?;
            Ok((issuer.parse::<IssuerAlias>().map_err(|_| bad())?, id.to_owned()))
        };
        match kind {
            "token" => match rest.strip_prefix("sha256/") {
                Some(digest) => {
                    let mut bytes = [0; 32];
                    hex::decode_to_slice(digest, &mut bytes).map_err(|_| bad())?;
                    Ok(Self::TokenDigest(bytes))
                }
                None => halves().map(|(issuer, id)| Self::Token { issuer, id }),
            },
            "session" => halves().map(|(issuer, id)| Self::Session { issuer, id }),
            "client" => halves().map(|(issuer, id)| Self::Client { issuer, id }),
            "issuer" => rest.parse().map(Self::Issuer).map_err(|_| bad()),
            "principal" => {
                let principal: PrincipalId = rest.parse().map_err(|_| bad())?;
                // Anonymous callers have no tokens.
                if principal == PrincipalId::anonymous() {
                    Err(bad())
                } else {
                    Ok(Self::Principal(principal))
                }
            }
            _ => Err(bad()),
        }
    }
}

impl TryFrom<String> for RevocationTarget {
    type Error = InvalidId;

    fn try_from(value: String) -> Result<Self, InvalidId> {
        value.parse()
    }
}

impl From<RevocationTarget> for String {
    fn from(target: RevocationTarget) -> String {
        target.to_string()
    }
}

/// Tokens that were revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    pub id: RevocationId,
    pub target: RevocationTarget,
    /// Only tokens that were issued before this moment; absent: all of them.
    pub issued_before: Option<Timestamp>,
    /// For people.
    pub reason: String,
    pub created_by: ClientId,
    pub created_at: Timestamp,
    /// From then on no token that it concerns can be valid any more, and it may be forgotten.
    pub expires_at: Timestamp,
    pub undone: Option<Undone>,
}

impl Revocation {
    /// Whether a token of its target that was issued at this moment is revoked.
    pub fn covers(&self, issued_at: Timestamp) -> bool {
        self.undone.is_none() && self.issued_before.is_none_or(|before| issued_at < before)
    }
}

/// Who took a revocation back, when and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undone {
    pub by: ClientId,
    pub at: Timestamp,
    pub why: String,
}

/// Which revocations a lister wants; everything absent means any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RevocationFilter {
    pub target: Option<RevocationTarget>,
    /// Whether those that were taken back are listed too.
    pub include_undone: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_round_trip() {
        let digest = format!("token:sha256/{}", "ab".repeat(32));
        let texts = [
            "token:dev/j-1",
            &digest,
            "session:dev/s/with/slash",
            "principal:Workload::dev/svc",
            "client:dev/web",
            "issuer:dev",
        ];
        for text in texts {
            assert_eq!(text.parse::<RevocationTarget>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_names_no_token_is_refused() {
        let long = format!("session:dev/{}", "x".repeat(600));
        for bad in [
            "",
            "dev/j-1",
            "token:dev",
            "token:dev/",
            "token:DEV/x",
            "token:sha256/ab",
            "session:dev/a\nb",
            "principal:Anonymous::anonymous",
            "principal:alice",
            "issuer:",
            "device:edge/1",
            &long,
        ] {
            assert!(bad.parse::<RevocationTarget>().is_err(), "{bad}");
        }
    }
}
