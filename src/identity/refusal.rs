//! Why a credential was not believed: the reason for the caller, and a detail for operators.
//!
//! The detail goes to the audit record and the log, so it never holds a token, a segment of one, or more of a
//! stranger's text than a short, escaped excerpt.

use super::wanted::Wanted;
use crate::model::{CredentialFault, Reason};

/// A credential that proves nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", reason.as_str())]
pub struct IdentityRefusal {
    pub reason: Reason,
    /// For operators, never for the caller.
    pub detail: String,
    /// What is wrong with the proof of possession, where that is what is wrong: a challenge says it.
    pub proof: Option<ProofFault>,
    /// What may come from the issuer soon and change the answer.
    pub wanted: Option<Box<Wanted>>,
}

/// What is wrong with a proof of possession (RFC 9449 section 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProofFault {
    /// Token and proof do not belong together, or one of them is missing its other half.
    Binding,
    /// The proof itself.
    Proof,
    /// It holds no nonce, or one that is not good any more.
    Nonce,
}

impl IdentityRefusal {
    pub(super) fn new(fault: CredentialFault, detail: impl Into<String>) -> Self {
        Self::because(Reason::CredentialInvalid(fault), detail)
    }

    /// There is no room to judge it.
    pub(super) fn overloaded(detail: impl Into<String>) -> Self {
        Self::because(Reason::Overloaded, detail)
    }

    /// What the issuer would have to say about it cannot be had.
    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        Self::because(Reason::IssuerUnavailable, detail)
    }

    fn because(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), proof: None, wanted: None }
    }

    pub(super) fn wanting(self, wanted: Option<Wanted>) -> Self {
        Self { wanted: wanted.map(Box::new), ..self }
    }

    pub(super) fn about_proof(self, fault: ProofFault) -> Self {
        Self { proof: Some(fault), ..self }
    }

    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(CredentialFault::Malformed, detail)
    }
}

/// The longest excerpt of untrusted text in a detail, in characters.
const EXCERPT: usize = 80;

/// Untrusted text as it may stand in a detail: cut and escaped, so that it can neither flood nor forge a log line.
pub(super) fn excerpt(text: &str) -> String {
    let mut shown: String = text.chars().take(EXCERPT).collect::<String>().escape_debug().collect();
    if text.chars().nth(EXCERPT).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_short_and_on_one_line() {
        assert_eq!(excerpt("k1\nlevel=error"), "`k1\\nlevel=error`");
        assert!(excerpt(&"x".repeat(9_000)).len() < 100);
    }
}
