//! The answer: an effect with exactly one reason, and what a PEP needs to act on it.

use std::borrow::Cow;
use std::time::Duration;

use super::bundle::BundleDigest;
use super::challenge::Challenge;
use super::id::{DecisionId, EndpointId, PolicyId};
use super::principal::PrincipalId;
use super::revision::Revision;
use super::risk::Risk;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    Allow,
    Deny,
}

impl Effect {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// What is wrong with a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CredentialFault {
    Expired,
    NotYetValid,
    BadSignature,
    UnknownKey,
    WrongIssuer,
    WrongAudience,
    WrongType,
    AlgorithmNotAllowed,
    Malformed,
    TooLongLived,
    BindingFailed,
    Replayed,
    /// Its issuer says that it does not count: unknown, expired, or taken back.
    Inactive,
}

/// What is wrong with a request itself, whoever sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RequestFault {
    /// The path could be read in two ways by two parsers.
    PathUnsafe,
    /// Entities, context or parameters do not fit the schema.
    SchemaMismatch,
    TooLarge,
    /// The question names things twice or leaves open which is meant.
    Ambiguous,
}

/// Why a decision is what it is. Exhaustive: `api/status.rs` is the one table that turns it into wire codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    Allowed,
    ForbiddenByPolicy,
    NoMatchingPermit,
    StepUpRequired,
    RateLimited,
    InsufficientScope,
    CredentialMissing,
    CredentialInvalid(CredentialFault),
    /// The session or the token was revoked.
    Revoked,
    PrincipalDisabled,
    RequestInvalid(RequestFault),
    /// A `forbid` that could have applied failed to evaluate, so nobody knows whether it would have.
    PolicyError,
    /// Signals are older than `max_staleness` and the endpoint is too sensitive to go on without.
    SignalsUnavailable,
    /// The token's issuer would have to be asked (for keys, about the token) and cannot be reached.
    IssuerUnavailable,
    /// This replica has no policies yet, or is behind the revision that was asked for.
    NotReady,
    Overloaded,
    DeadlineExceeded,
    /// The PEP may not ask this: an API, a domain or an assertion it was not granted.
    CallerNotPermitted,
    Internal,
}

impl Reason {
    /// Every reason, for tables and tests.
    pub const ALL: [Self; 34] = [
        Self::Allowed,
        Self::ForbiddenByPolicy,
        Self::NoMatchingPermit,
        Self::StepUpRequired,
        Self::RateLimited,
        Self::InsufficientScope,
        Self::CredentialMissing,
        Self::CredentialInvalid(CredentialFault::Expired),
        Self::CredentialInvalid(CredentialFault::NotYetValid),
        Self::CredentialInvalid(CredentialFault::BadSignature),
        Self::CredentialInvalid(CredentialFault::UnknownKey),
        Self::CredentialInvalid(CredentialFault::WrongIssuer),
        Self::CredentialInvalid(CredentialFault::WrongAudience),
        Self::CredentialInvalid(CredentialFault::WrongType),
        Self::CredentialInvalid(CredentialFault::AlgorithmNotAllowed),
        Self::CredentialInvalid(CredentialFault::Malformed),
        Self::CredentialInvalid(CredentialFault::TooLongLived),
        Self::CredentialInvalid(CredentialFault::BindingFailed),
        Self::CredentialInvalid(CredentialFault::Replayed),
        Self::CredentialInvalid(CredentialFault::Inactive),
        Self::Revoked,
        Self::PrincipalDisabled,
        Self::RequestInvalid(RequestFault::PathUnsafe),
        Self::RequestInvalid(RequestFault::SchemaMismatch),
        Self::RequestInvalid(RequestFault::TooLarge),
        Self::RequestInvalid(RequestFault::Ambiguous),
        Self::PolicyError,
        Self::SignalsUnavailable,
        Self::IssuerUnavailable,
        Self::NotReady,
        Self::Overloaded,
        Self::DeadlineExceeded,
        Self::CallerNotPermitted,
        Self::Internal,
    ];

    /// The name used in records, logs, the CLI and case files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::ForbiddenByPolicy => "forbidden_by_policy",
            Self::NoMatchingPermit => "no_matching_permit",
            Self::StepUpRequired => "step_up_required",
            Self::RateLimited => "rate_limited",
            Self::InsufficientScope => "insufficient_scope",
            Self::CredentialMissing => "credential_missing",
            Self::CredentialInvalid(fault) => match fault {
                CredentialFault::Expired => "credential_expired",
                CredentialFault::NotYetValid => "credential_not_yet_valid",
                CredentialFault::BadSignature => "credential_bad_signature",
                CredentialFault::UnknownKey => "credential_unknown_key",
                CredentialFault::WrongIssuer => "credential_wrong_issuer",
                CredentialFault::WrongAudience => "credential_wrong_audience",
                CredentialFault::WrongType => "credential_wrong_type",
                CredentialFault::AlgorithmNotAllowed => "credential_algorithm_not_allowed",
                CredentialFault::Malformed => "credential_malformed",
                CredentialFault::TooLongLived => "credential_too_long_lived",
                CredentialFault::BindingFailed => "credential_binding_failed",
                CredentialFault::Replayed => "credential_replayed",
                CredentialFault::Inactive => "credential_inactive",
            },
            Self::Revoked => "revoked",
            Self::PrincipalDisabled => "principal_disabled",
            Self::RequestInvalid(fault) => match fault {
                RequestFault::PathUnsafe => "request_path_unsafe",
                RequestFault::SchemaMismatch => "request_schema_mismatch",
                RequestFault::TooLarge => "request_too_large",
                RequestFault::Ambiguous => "request_ambiguous",
            },
            Self::PolicyError => "policy_error",
            Self::SignalsUnavailable => "signals_unavailable",
            Self::IssuerUnavailable => "issuer_unavailable",
            Self::NotReady => "not_ready",
            Self::Overloaded => "overloaded",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::CallerNotPermitted => "caller_not_permitted",
            Self::Internal => "internal",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }

    /// INVARIANT: only [`Reason::Allowed`] goes with [`Effect::Allow`].
    pub const fn effect(self) -> Effect {
        match self {
            Self::Allowed => Effect::Allow,
            _ => Effect::Deny,
        }
    }
}

/// Something the PEP must do, or pass on, along with the effect: from an annotation of a determining policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obligation {
    /// The annotation's name.
    pub name: String,
    /// Its value, cleaned so that it can stand in a header.
    pub value: String,
    pub policy: PolicyId,
}

/// How a decision came about; only for callers that may ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explanation {
    /// One line a step, in step order: what was found or refused.
    pub steps: Vec<String>,
    /// Policies that failed to evaluate, with the error.
    pub policy_errors: Vec<(PolicyId, String)>,
}

/// One decision. The effect follows from the reason, so that the two can never disagree.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    pub id: DecisionId,
    pub reason: Reason,
    /// False only for a refusal about an API in observe mode.
    pub enforced: bool,
    /// Safe to show to the caller's own users.
    pub message: Cow<'static, str>,
    /// The determining policies, sorted.
    pub policies: Vec<PolicyId>,
    pub obligations: Vec<Obligation>,
    pub challenge: Option<Challenge>,
    /// With [`Reason::RateLimited`].
    pub retry_after: Option<Duration>,
    pub principal: Option<PrincipalId>,
    pub endpoint: Option<EndpointId>,
    pub risk: Option<Risk>,
    pub bundle: Option<BundleDigest>,
    pub revision: Revision,
    /// How long a PEP may reuse the answer; zero: not at all.
    pub reuse_for: Duration,
    pub explanation: Option<Explanation>,
}

impl Decision {
    pub const fn effect(&self) -> Effect {
        self.reason.effect()
    }

    /// What a door that can only say yes or no says.
    pub const fn admits(&self) -> bool {
        matches!(self.reason.effect(), Effect::Allow) || !self.enforced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_have_distinct_names_that_parse_back() {
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.as_str()), Some(reason));
            assert_eq!(reason.effect() == Effect::Allow, reason == Reason::Allowed);
        }
    }
}
