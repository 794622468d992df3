//! The checks of a token one by one, for whoever wants to see how each ended.
//!
//! There is one verifier. It tells a [`Watch`] what it does as it goes; on the way of a decision that is [`Unwatched`],
//! which costs nothing, and for an [`Inspection`] it is a recorder.

use std::time::Duration;

use super::cache::Authenticated;
use super::compact::Header;
use super::issuer::Issuer;
use super::lifetime::Lifetime;
use super::refusal::IdentityRefusal;
use crate::model::{IssuerAlias, Timestamp};

/// What is checked of a token, in the order in which it is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    Size,
    Form,
    ClaimTypes,
    Issuer,
    Algorithm,
    Type,
    Key,
    Signature,
    Time,
    Lifetime,
    Audience,
    Kind,
    Claims,
}

impl Check {
    pub const ALL: [Self; 13] = [
        Self::Size,
        Self::Form,
        Self::ClaimTypes,
        Self::Issuer,
        Self::Algorithm,
        Self::Type,
        Self::Key,
        Self::Signature,
        Self::Time,
        Self::Lifetime,
        Self::Audience,
        Self::Kind,
        Self::Claims,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Form => "form",
            Self::ClaimTypes => "claim_types",
            Self::Issuer => "issuer",
            Self::Algorithm => "algorithm",
            Self::Type => "type",
            Self::Key => "key",
            Self::Signature => "signature",
            Self::Time => "time",
            Self::Lifetime => "lifetime",
            Self::Audience => "audience",
            Self::Kind => "kind",
            Self::Claims => "claims",
        }
    }

    /// What it asks, in a few words.
    pub const fn question(self) -> &'static str {
        match self {
            Self::Size => "short enough to be read",
            Self::Form => {
                "three segments of strict base64url, JSON without repeated members, a header we understand"
            }
            Self::ClaimTypes => "iss, sub, aud, exp, iat and nbf have the types they must have",
            Self::Issuer => "the issuer is configured, byte for byte",
            Self::Algorithm => "the issuer may use the algorithm",
            Self::Type => "the type (typ) is that of an access token",
            Self::Key => "the issuer has the key, and the key is for the algorithm",
            Self::Signature => "the signature is right",
            Self::Time => "not expired, not too old, not from the future",
            Self::Lifetime => "does not live longer than the issuer may grant",
            Self::Audience => "meant for us",
            Self::Kind => "no ID token, refresh token or event",
            Self::Claims => "required claims are there, claims that are read fit their types and bounds",
        }
    }
}

/// Is told how each check ended, and what was found on the way.
pub(super) trait Watch {
    fn saw(&mut self, check: Check, refusal: Option<&IdentityRefusal>);

    fn header(&mut self, _header: &Header) {}

    fn issuer(&mut self, _issuer: &Issuer) {}

    fn lifetime(&mut self, _lifetime: &Lifetime) {}

    /// Tells of a check and hands its result on.
    fn step<T>(&mut self, check: Check, result: Result<T, IdentityRefusal>) -> Result<T, IdentityRefusal> {
        self.saw(check, result.as_ref().err());
        result
    }
}

/// Nobody looks.
pub(super) struct Unwatched;

impl Watch for Unwatched {
    fn saw(&mut self, _check: Check, _refusal: Option<&IdentityRefusal>) {}
}

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    Failed(IdentityRefusal),
    /// A check before it failed.
    NotReached,
}

/// Everything that was found out about a token. Holds nothing that would let anybody use it.
#[derive(Debug)]
pub struct Inspection {
    /// Each check once, in order.
    pub checks: Vec<(Check, Outcome)>,
    /// Of the header: believed only when the signature was right.
    pub algorithm: Option<String>,
    pub key_id: Option<String>,
    pub kind: Option<String>,
    /// The issuer whose rules were applied.
    pub issuer: Option<IssuerAlias>,
    pub lifetime: Option<Lifetime>,
    /// The verifier's answer.
    pub answer: Result<Authenticated, IdentityRefusal>,
}

impl Inspection {
    /// How much longer the token will be accepted, leeway included; `None` when it never will be again.
    pub fn remaining(&self, now: Timestamp) -> Option<Duration> {
        let lifetime = self.lifetime.as_ref()?;
        let end = lifetime.end();
        (end > now).then(|| end.since(now))
    }
}

/// Keeps what it is told.
#[derive(Default)]
pub(super) struct Recorder {
    seen: Vec<(Check, Option<IdentityRefusal>)>,
    algorithm: Option<String>,
    key_id: Option<String>,
    kind: Option<String>,
    issuer: Option<IssuerAlias>,
    lifetime: Option<Lifetime>,
}

impl Recorder {
    pub(super) fn finish(self, answer: Result<Authenticated, IdentityRefusal>) -> Inspection {
        // A check may be made in two halves; the later one counts.
        let outcome = |check| match self.seen.iter().rfind(|(seen, _)| *seen == check) {
            None => Outcome::NotReached,
            Some((_, None)) => Outcome::Passed,
            Some((_, Some(refusal))) => Outcome::Failed(refusal.clone()),
        };
        Inspection {
            checks: Check::ALL.into_iter().map(|check| (check, outcome(check))).collect(),
            algorithm: self.algorithm,
            key_id: self.key_id,
            kind: self.kind,
            issuer: self.issuer,
            lifetime: self.lifetime,
            answer,
        }
    }
}

impl Watch for Recorder {
    fn saw(&mut self, check: Check, refusal: Option<&IdentityRefusal>) {
        self.seen.push((check, refusal.cloned()));
    }

    fn header(&mut self, header: &Header) {
        self.algorithm = Some(header.algorithm.clone());
        self.key_id.clone_from(&header.kid);
        self.kind.clone_from(&header.kind);
    }

    fn issuer(&mut self, issuer: &Issuer) {
        self.issuer = Some(issuer.alias.clone());
    }

    fn lifetime(&mut self, lifetime: &Lifetime) {
        self.lifetime = Some(*lifetime);
    }
}
