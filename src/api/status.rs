//! THE table: reasons and errors to wire codes. No other place chooses a code.

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::pb::decision as pb;
use crate::decide::CallerRefusal;
use crate::manage::ManageError;
use crate::model::{Challenge, CredentialFault, Effect, Reason, RequestFault};

/// The domain of `google.rpc.ErrorInfo`.
const ERROR_DOMAIN: &str = "deodar";

/// The effect on the wire. INVARIANT: nothing but allow maps to `EFFECT_ALLOW`.
pub const fn effect(effect: Effect) -> pb::Effect {
    match effect {
        Effect::Allow => pb::Effect::Allow,
        Effect::Deny => pb::Effect::Deny,
    }
}

/// The reason on the wire.
pub const fn reason(reason: Reason) -> pb::Reason {
    match reason {
        Reason::Allowed => pb::Reason::Allowed,
        Reason::ForbiddenByPolicy => pb::Reason::ForbiddenByPolicy,
        Reason::NoMatchingPermit => pb::Reason::NoMatchingPermit,
        Reason::StepUpRequired => pb::Reason::StepUpRequired,
        Reason::RateLimited => pb::Reason::RateLimited,
        Reason::InsufficientScope => pb::Reason::InsufficientScope,
        Reason::CredentialMissing => pb::Reason::CredentialMissing,
        Reason::CredentialInvalid(fault) => credential(fault),
        Reason::Revoked => pb::Reason::Revoked,
        Reason::PrincipalDisabled => pb::Reason::PrincipalDisabled,
        Reason::RequestInvalid(fault) => request(fault),
        Reason::PolicyError => pb::Reason::PolicyError,
        Reason::SignalsUnavailable => pb::Reason::SignalsUnavailable,
        Reason::NotReady => pb::Reason::NotReady,
        Reason::Overloaded => pb::Reason::Overloaded,
        Reason::DeadlineExceeded => pb::Reason::DeadlineExceeded,
        Reason::CallerNotPermitted => pb::Reason::CallerNotPermitted,
        Reason::Internal => pb::Reason::Internal,
    }
}

const fn credential(fault: CredentialFault) -> pb::Reason {
    match fault {
        CredentialFault::Expired => pb::Reason::CredentialExpired,
        CredentialFault::NotYetValid => pb::Reason::CredentialNotYetValid,
        CredentialFault::BadSignature => pb::Reason::CredentialBadSignature,
        CredentialFault::UnknownKey => pb::Reason::CredentialUnknownKey,
        CredentialFault::WrongIssuer => pb::Reason::CredentialWrongIssuer,
        CredentialFault::WrongAudience => pb::Reason::CredentialWrongAudience,
        CredentialFault::WrongType => pb::Reason::CredentialWrongType,
        CredentialFault::AlgorithmNotAllowed => pb::Reason::CredentialAlgorithmNotAllowed,
        CredentialFault::Malformed => pb::Reason::CredentialMalformed,
        CredentialFault::TooLongLived => pb::Reason::CredentialTooLongLived,
        CredentialFault::BindingFailed => pb::Reason::CredentialBindingFailed,
        CredentialFault::Replayed => pb::Reason::CredentialReplayed,
    }
}

const fn request(fault: RequestFault) -> pb::Reason {
    match fault {
        RequestFault::PathUnsafe => pb::Reason::RequestPathUnsafe,
        RequestFault::SchemaMismatch => pb::Reason::RequestSchemaMismatch,
        RequestFault::TooLarge => pb::Reason::RequestTooLarge,
        RequestFault::Ambiguous => pb::Reason::RequestAmbiguous,
    }
}

/// The value of a `WWW-Authenticate` header (RFC 6750 section 3, RFC 9470 section 3).
pub fn www_authenticate(challenge: &Challenge) -> String {
    let mut parameters = vec![r#"realm="api""#.to_owned()];
    match challenge {
        Challenge::Bearer { error, scopes } => {
            parameters.extend(error.map(|error| format!(r#"error="{error}""#)));
            if !scopes.is_empty() {
                parameters.push(format!(r#"scope="{}""#, quotable(&scopes.join(" "))));
            }
        }
        Challenge::StepUp { acr_values, max_age } => {
            parameters.push(r#"error="insufficient_user_authentication""#.to_owned());
            if !acr_values.is_empty() {
                parameters.push(format!(r#"acr_values="{}""#, quotable(&acr_values.join(" "))));
            }
            parameters.extend(max_age.map(|age| format!(r#"max_age="{}""#, age.as_secs())));
        }
    }
    format!("Bearer {}", parameters.join(", "))
}

/// What may stand inside a quoted string of a header without escaping.
fn quotable(text: &str) -> String {
    text.chars().filter(|c| matches!(c, ' '..='~') && !matches!(c, '"' | '\\')).collect()
}

/// A caller of our own APIs that is turned away.
pub fn caller_refused(refusal: &CallerRefusal, rpc: &str) -> Status {
    let (code, reason, message) = match refusal {
        CallerRefusal::Missing => (
            Code::Unauthenticated,
            "CLIENT_KEY_MISSING",
            "a client key is needed: send the metadata `authorization: Bearer deodar_...`".to_owned(),
        ),
        CallerRefusal::Unknown => (
            Code::Unauthenticated,
            "CLIENT_KEY_UNKNOWN",
            "the client key is unknown or has been revoked".to_owned(),
        ),
        CallerRefusal::NotPermitted { client } => (
            Code::PermissionDenied,
            "CLIENT_NOT_PERMITTED",
            format!("client `{client}` has no role that may call {rpc}"),
        ),
    };
    let details = ErrorDetails::with_error_info(reason, ERROR_DOMAIN, [("rpc".to_owned(), rpc.to_owned())]);
    Status::with_error_details(code, message, details)
}

/// A management request that failed.
fn manage_error(error: &ManageError) -> Status {
    let (code, reason) = match error {
        ManageError::Invalid { .. } => (Code::InvalidArgument, "INVALID_FIELD"),
        ManageError::NotFound { .. } => (Code::NotFound, "NOT_FOUND"),
        ManageError::AlreadyExists { .. } => (Code::AlreadyExists, "ALREADY_EXISTS"),
        ManageError::Conflict { .. } => (Code::Aborted, "CONFLICT"),
        ManageError::Unavailable(_) => (Code::Unavailable, "STORE_UNAVAILABLE"),
        ManageError::Internal(_) | ManageError::Unreadable(_) | ManageError::Key(_) => {
            (Code::Internal, "INTERNAL")
        }
    };
    if matches!(code, Code::Unavailable | Code::Internal) {
        let cause = std::error::Error::source(error).map(ToString::to_string);
        tracing::error!(error = %error, cause, "a management request failed");
    }
    let mut details = ErrorDetails::new();
    details.set_error_info(reason, ERROR_DOMAIN, [] as [(String, String); 0]);
    if let ManageError::Invalid { field, why } = error {
        details.add_bad_request_violation(*field, why.clone());
    }
    Status::with_error_details(code, error.to_string(), details)
}

impl From<ManageError> for Status {
    fn from(error: ManageError) -> Self {
        manage_error(&error)
    }
}

/// A call that is wrong as a whole, before there is a question to decide.
pub fn invalid_call(field: &'static str, why: String) -> Status {
    ManageError::Invalid { field, why }.into()
}

/// The stream of a client whose key was revoked meanwhile.
pub fn client_revoked() -> Status {
    caller_refused(&CallerRefusal::Unknown, "/deodar.decision.v1.DecisionService/StreamCheck")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_allow_admits_and_every_reason_has_a_code_of_its_own() {
        let mut codes = HashSet::new();
        for model in Reason::ALL {
            assert_eq!(effect(model.effect()) == pb::Effect::Allow, model == Reason::Allowed);
            assert!(codes.insert(reason(model)), "{model:?}");
            assert_eq!(format!("REASON_{}", model.as_str().to_uppercase()), reason(model).as_str_name());
        }
        assert!(!codes.contains(&pb::Reason::Unspecified));
    }

    #[test]
    fn challenges_are_written_as_the_rfcs_say() {
        let missing = Challenge::Bearer { error: None, scopes: vec![] };
        assert_eq!(www_authenticate(&missing), r#"Bearer realm="api""#);
        let scope =
            Challenge::Bearer { error: Some("insufficient_scope"), scopes: vec!["a".into(), "b\"c".into()] };
        assert_eq!(
            www_authenticate(&scope),
            r#"Bearer realm="api", error="insufficient_scope", scope="a bc""#
        );
        let step_up = Challenge::StepUp {
            acr_values: vec!["urn:example:mfa".into()],
            max_age: Some(Duration::from_secs(300)),
        };
        assert_eq!(
            www_authenticate(&step_up),
            r#"Bearer realm="api", error="insufficient_user_authentication", acr_values="urn:example:mfa", max_age="300""#
        );
    }
}
