//! THE table: reasons and errors to wire codes. No other place chooses a code.

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::pb::decision as pb;
use crate::decide::CallerRefusal;
use crate::manage::ManageError;
use crate::model::{Challenge, ChallengeScheme, CredentialFault, Demand, Effect, Reason, RequestFault};

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
        Reason::IssuerUnavailable => pb::Reason::IssuerUnavailable,
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
        CredentialFault::Inactive => pb::Reason::CredentialInactive,
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

/// The value of a `WWW-Authenticate` header (RFC 6750 section 3, RFC 9449 section 7.1, RFC 9470 section 3).
pub fn www_authenticate(challenge: &Challenge) -> String {
    let Challenge { demand, scheme, realm, description, resource_metadata } = challenge;
    let (name, algorithms) = match scheme {
        ChallengeScheme::Bearer => ("Bearer", None),
        ChallengeScheme::Dpop { algorithms, .. } => ("DPoP", Some(algorithms.as_ref())),
    };
    let mut header = Parameters(String::with_capacity(192));
    header.0.push_str(name);
    header.add("realm", realm);
    header.add("error", demand.error().unwrap_or_default());
    header.add("error_description", description.as_deref().unwrap_or_default());
    match demand {
        Demand::Scopes(scopes) => header.add("scope", &scopes.join(" ")),
        Demand::StepUp { acr_values, max_age } => {
            header.add("acr_values", &acr_values.join(" "));
            header.add("max_age", &max_age.map(|age| age.as_secs().to_string()).unwrap_or_default());
        }
        Demand::Credential | Demand::OneCredential | Demand::Token | Demand::Proof | Demand::Nonce => {}
    }
    header.add("algs", algorithms.unwrap_or_default());
    header.add("resource_metadata", resource_metadata.as_deref().unwrap_or_default());
    header.0
}

/// The value of a `DPoP-Nonce` header, where proofs must hold a nonce.
pub fn dpop_nonce(challenge: &Challenge) -> Option<&str> {
    match &challenge.scheme {
        ChallengeScheme::Bearer => None,
        ChallengeScheme::Dpop { nonce, .. } => nonce.as_deref(),
    }
}

/// A challenge while it is being written.
struct Parameters(String);

impl Parameters {
    /// A value is left out when nothing of it can be quoted.
    fn add(&mut self, name: &str, value: &str) {
        if !value.chars().any(is_quotable) {
            return;
        }
        let separator = if self.0.contains(' ') { ", " } else { " " };
        for piece in [separator, name, "=\""] {
            self.0.push_str(piece);
        }
        self.0.extend(value.chars().filter(|char| is_quotable(*char)));
        self.0.push('"');
    }
}

/// Whether it may stand inside a quoted string of a header without escaping.
const fn is_quotable(char: char) -> bool {
    matches!(char, ' '..='~') && !matches!(char, '"' | '\\')
}

/// A caller of our own APIs that is turned away.
pub fn caller_refused(refusal: &CallerRefusal, rpc: &str) -> Status {
    let (code, reason, message) = match refusal {
        CallerRefusal::Missing => (
            Code::Unauthenticated,
            "CLIENT_KEY_MISSING",
            "a client key is needed: send the metadata `authorization: Bearer deodar_...`, or connect with a \
             certificate that a client is known by"
                .to_owned(),
        ),
        CallerRefusal::Unknown => (
            Code::Unauthenticated,
            "CLIENT_KEY_UNKNOWN",
            "the client key is unknown or has been revoked".to_owned(),
        ),
        CallerRefusal::CertificateUnknown => (
            Code::Unauthenticated,
            "CLIENT_CERTIFICATE_UNKNOWN",
            "no client is known by the certificate of this connection, and no client key was sent".to_owned(),
        ),
        CallerRefusal::CertificateExpired => (
            Code::Unauthenticated,
            "CLIENT_CERTIFICATE_EXPIRED",
            "the certificate of this connection has expired; connect again with a new one".to_owned(),
        ),
        CallerRefusal::Contradictory => (
            Code::Unauthenticated,
            "CLIENT_CONTRADICTORY",
            "the client key and the certificate of this connection are not those of one client".to_owned(),
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

/// The stream of a client that was revoked meanwhile, or is known by something else.
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

    fn challenge(demand: Demand) -> Challenge {
        Challenge {
            demand,
            scheme: ChallengeScheme::Bearer,
            realm: "api".into(),
            description: None,
            resource_metadata: None,
        }
    }

    #[test]
    fn challenges_are_written_as_the_rfcs_say() {
        assert_eq!(www_authenticate(&challenge(Demand::Credential)), r#"Bearer realm="api""#);
        assert_eq!(
            www_authenticate(&challenge(Demand::Scopes(vec!["a".into(), "b\"c".into()]))),
            r#"Bearer realm="api", error="insufficient_scope", scope="a bc""#
        );
        let step_up = Demand::StepUp {
            acr_values: vec!["urn:example:mfa".into()],
            max_age: Some(Duration::from_secs(300)),
        };
        assert_eq!(
            www_authenticate(&challenge(step_up)),
            r#"Bearer realm="api", error="insufficient_user_authentication", acr_values="urn:example:mfa", max_age="300""#
        );
        let described = Challenge {
            realm: "shop \"x\"".into(),
            description: Some("No.\u{7}\\ é".into()),
            resource_metadata: Some("https://a/.well-known/oauth-protected-resource".into()),
            ..challenge(Demand::Token)
        };
        assert_eq!(
            www_authenticate(&described),
            r#"Bearer realm="shop x", error="invalid_token", error_description="No. ", resource_metadata="https://a/.well-known/oauth-protected-resource""#
        );
    }

    #[test]
    fn dpop_challenges_name_algorithms_and_bring_a_nonce() {
        let nonce = Some("n".to_owned());
        let scheme = ChallengeScheme::Dpop { algorithms: "EdDSA ES256".into(), nonce };
        let dpop = |demand| Challenge { scheme: scheme.clone(), ..challenge(demand) };
        for (demand, header) in [
            (Demand::Credential, r#"DPoP realm="api", algs="EdDSA ES256""#),
            (Demand::Proof, r#"DPoP realm="api", error="invalid_dpop_proof", algs="EdDSA ES256""#),
            (Demand::Nonce, r#"DPoP realm="api", error="use_dpop_nonce", algs="EdDSA ES256""#),
            (Demand::OneCredential, r#"DPoP realm="api", error="invalid_request", algs="EdDSA ES256""#),
        ] {
            assert_eq!(www_authenticate(&dpop(demand.clone())), header);
            assert_eq!(dpop_nonce(&dpop(demand)), Some("n"));
        }
        assert_eq!(dpop_nonce(&challenge(Demand::Token)), None);
    }

    #[test]
    fn every_message_can_stand_in_a_challenge() {
        for model in Reason::ALL {
            let message = crate::decide::message(model);
            assert!(message.chars().all(is_quotable), "{}", model.as_str());
        }
    }
}
