//! What a client that was turned away would have to bring: the makings of a `WWW-Authenticate` header.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// A challenge (RFC 6750, 9449 section 7.1, 9470). How it is written is in `api/status.rs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    pub demand: Demand,
    pub scheme: ChallengeScheme,
    pub realm: Arc<str>,
    /// For the client's developers. Absent when nothing was presented (RFC 6750 section 3.1).
    pub description: Option<Cow<'static, str>>,
    /// Where the API's metadata is (RFC 9728 section 5.1).
    pub resource_metadata: Option<Arc<str>>,
}

/// The scheme in which the client should answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChallengeScheme {
    Bearer,
    Dpop {
        /// The algorithms a proof may use, separated by spaces.
        algorithms: Arc<str>,
        /// For the `DPoP-Nonce` header: the nonce that the next proof must hold.
        nonce: Option<String>,
    },
}

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Something: nothing was presented.
    Credential,
    /// One credential, presented in one way (`invalid_request`).
    OneCredential,
    /// Another token (`invalid_token`).
    Token,
    /// A proof that fits (`invalid_dpop_proof`).
    Proof,
    /// A proof with a nonce of ours (`use_dpop_nonce`).
    Nonce,
    /// A token with these scopes (`insufficient_scope`).
    Scopes(Vec<String>),
    /// To authenticate again, better or more recently (`insufficient_user_authentication`).
    StepUp { acr_values: Vec<String>, max_age: Option<Duration> },
}

impl Demand {
    /// The `error` of the header.
    pub const fn error(&self) -> Option<&'static str> {
        match self {
            Self::Credential => None,
            Self::OneCredential => Some("invalid_request"),
            Self::Token => Some("invalid_token"),
            Self::Proof => Some("invalid_dpop_proof"),
            Self::Nonce => Some("use_dpop_nonce"),
            Self::Scopes(_) => Some("insufficient_scope"),
            Self::StepUp { .. } => Some("insufficient_user_authentication"),
        }
    }
}
