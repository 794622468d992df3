//! The sentence that goes with each reason: safe for the caller's own users, so it names no policy and no detail.

use crate::model::{CredentialFault, Reason, RequestFault};

/// One sentence for people who were let in or turned away.
pub const fn message(reason: Reason) -> &'static str {
    match reason {
        Reason::Allowed => "Allowed.",
        Reason::ForbiddenByPolicy => "A policy forbids this.",
        Reason::NoMatchingPermit => "No policy permits this.",
        Reason::StepUpRequired => "Please authenticate again to go on.",
        Reason::RateLimited => "Too many requests; please try again later.",
        Reason::InsufficientScope => "The access token does not cover this.",
        Reason::CredentialMissing => "Please authenticate.",
        Reason::CredentialInvalid(fault) => credential(fault),
        Reason::Revoked => "This session or token has been revoked.",
        Reason::PrincipalDisabled => "This account is disabled.",
        Reason::RequestInvalid(fault) => request(fault),
        Reason::PolicyError => "Access could not be decided because of an error in the policies.",
        Reason::SignalsUnavailable => "Access cannot be decided safely at the moment.",
        Reason::IssuerUnavailable => "The access token cannot be checked at the moment.",
        Reason::NotReady => "The service is not ready to decide yet.",
        Reason::Overloaded => "The service is overloaded; please try again.",
        Reason::DeadlineExceeded => "There was not enough time to decide.",
        Reason::CallerNotPermitted => "The gateway may not ask this.",
        Reason::Internal => "An internal error occurred.",
    }
}

const fn credential(fault: CredentialFault) -> &'static str {
    match fault {
        CredentialFault::Inactive => "The access token is not active.",
        CredentialFault::Expired => "The access token has expired.",
        CredentialFault::NotYetValid => "The access token is not valid yet.",
        CredentialFault::BadSignature
        | CredentialFault::UnknownKey
        | CredentialFault::WrongIssuer
        | CredentialFault::WrongAudience
        | CredentialFault::WrongType
        | CredentialFault::AlgorithmNotAllowed
        | CredentialFault::Malformed
        | CredentialFault::TooLongLived => "The access token is not valid here.",
        CredentialFault::BindingFailed | CredentialFault::Replayed => {
            "The proof that goes with the access token is missing or not valid."
        }
    }
}

const fn request(fault: RequestFault) -> &'static str {
    match fault {
        RequestFault::PathUnsafe => "The path of the request is not acceptable.",
        RequestFault::SchemaMismatch => "The request does not have the expected form.",
        RequestFault::TooLarge => "The request is too large.",
        RequestFault::Ambiguous => "The request is ambiguous.",
    }
}
