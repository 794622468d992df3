//! What the caller presented, before anybody believed it.

use std::fmt;
use std::sync::Arc;

use super::principal::PrincipalId;

/// Text that must never be printed or logged: its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The secret itself; the name is long so that each use stands out in review.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What a query carries to prove who is calling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// Nothing was presented: the caller is `api::Anonymous`.
    None,
    /// A bearer token (RFC 6750).
    Bearer(Secret),
    /// A token and the proof that its key is at hand (RFC 9449): the values of the Authorization header, without its
    /// scheme, and of the DPoP header. The proof is empty when none came.
    Dpop { token: Secret, proof: Secret },
    /// A principal that the PEP vouches for; believed only from a PEP granted [`Assertion::Principal`].
    ///
    /// [`Assertion::Principal`]: super::client::Assertion::Principal
    Asserted(PrincipalId),
    /// What was presented cannot be read as one credential (two at once, an unknown scheme, a comma-joined header);
    /// the text says why, for the record, and holds nothing of the credential.
    Malformed(&'static str),
}

/// What a token is bound to (RFC 7800 `cnf`): who presents it must prove to hold all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Confirmation {
    /// The RFC 7638 thumbprint of a key (RFC 9449 section 6.1).
    pub jkt: Option<[u8; 32]>,
    /// The SHA-256 of a certificate (RFC 8705 section 3.1).
    pub x5t_s256: Option<[u8; 32]>,
}

impl Confirmation {
    /// Whether the token is bound at all.
    pub const fn is_bound(&self) -> bool {
        self.jkt.is_some() || self.x5t_s256.is_some()
    }
}
