//! Which challenge goes with which reason: RFC 6750 section 3, RFC 9449 section 7.1, RFC 9470 section 3.

use std::borrow::Cow;

use super::super::message;
use super::Walk;
use crate::identity::ProofFault;
use crate::model::{Challenge, ChallengeScheme, Credential, CredentialFault, Demand, Reason};

impl Walk<'_> {
    /// What the client would have to bring; `None` where nothing that it could bring would help.
    pub(super) fn challenge(&self, reason: Reason) -> Option<Challenge> {
        let unreadable = matches!(self.query.credential, Credential::Malformed(_));
        let of_policies = self.evaluation.as_ref().and_then(|said| said.demand.as_ref());
        let demand = demand(reason, unreadable, self.proof_fault, of_policies)?;
        let outside = self.located.as_ref().map(|located| &located.endpoint.api.outside);
        Some(Challenge {
            scheme: self.scheme(),
            realm: self.decider.realm.clone(),
            description: demand.error().map(|_| Cow::Borrowed(message(reason))),
            resource_metadata: outside.and_then(|outside| outside.resource_metadata.clone()),
            demand,
        })
    }

    /// DPoP to who used it or has to; Bearer to all others.
    fn scheme(&self) -> ChallengeScheme {
        let used = matches!(self.query.credential, Credential::Dpop { .. });
        let wanted = self.located.as_ref().is_some_and(|located| located.endpoint.sender_constrained);
        if !(used || wanted || self.proof_fault.is_some()) {
            return ChallengeScheme::Bearer;
        }
        let identity = &self.decider.identity;
        let algorithms = identity.proof_algorithms().clone();
        ChallengeScheme::Dpop { algorithms, nonce: identity.fresh_nonce(self.now) }
    }
}

/// The table.
fn demand(
    reason: Reason,
    unreadable: bool,
    proof: Option<ProofFault>,
    of_policies: Option<&Demand>,
) -> Option<Demand> {
    match reason {
        Reason::CredentialMissing => Some(Demand::Credential),
        Reason::CredentialInvalid(CredentialFault::Malformed) if unreadable => Some(Demand::OneCredential),
        Reason::CredentialInvalid(CredentialFault::BindingFailed | CredentialFault::Replayed) => {
            Some(match proof {
                Some(ProofFault::Proof) => Demand::Proof,
                Some(ProofFault::Nonce) => Demand::Nonce,
                Some(ProofFault::Binding) | None => Demand::Token,
            })
        }
        Reason::CredentialInvalid(_) | Reason::Revoked => Some(Demand::Token),
        Reason::InsufficientScope | Reason::StepUpRequired => of_policies.cloned(),
        Reason::Allowed
        | Reason::ForbiddenByPolicy
        | Reason::NoMatchingPermit
        | Reason::RateLimited
        // Another token of the same account would help as little.
        | Reason::PrincipalDisabled
        | Reason::RequestInvalid(_)
        | Reason::PolicyError
        | Reason::SignalsUnavailable
        // The token may be good: to get another one would help as little.
        | Reason::IssuerUnavailable
        | Reason::NotReady
        | Reason::Overloaded
        | Reason::DeadlineExceeded
        | Reason::CallerNotPermitted
        | Reason::Internal => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(reason: Reason, unreadable: bool, proof: Option<ProofFault>) -> Option<&'static str> {
        let scopes = Demand::Scopes(vec!["a".to_owned()]);
        let step_up = Demand::StepUp { acr_values: Vec::new(), max_age: None };
        let of_policies = match reason {
            Reason::InsufficientScope => Some(&scopes),
            Reason::StepUpRequired => Some(&step_up),
            _ => None,
        };
        demand(reason, unreadable, proof, of_policies).map(|demand| demand.error().unwrap_or("(none)"))
    }

    #[test]
    fn every_reason_has_its_challenge_or_none() {
        for reason in Reason::ALL {
            let wanted = match reason.as_str() {
                "credential_missing" => Some("(none)"),
                "insufficient_scope" => Some("insufficient_scope"),
                "step_up_required" => Some("insufficient_user_authentication"),
                "revoked" => Some("invalid_token"),
                name if name.starts_with("credential_") => Some("invalid_token"),
                _ => None,
            };
            assert_eq!(error(reason, false, None), wanted, "{}", reason.as_str());
        }
    }

    #[test]
    fn what_is_wrong_with_a_proof_is_said() {
        let failed = Reason::CredentialInvalid(CredentialFault::BindingFailed);
        let replayed = Reason::CredentialInvalid(CredentialFault::Replayed);
        assert_eq!(error(failed, false, Some(ProofFault::Binding)), Some("invalid_token"));
        assert_eq!(error(failed, false, Some(ProofFault::Proof)), Some("invalid_dpop_proof"));
        assert_eq!(error(failed, false, Some(ProofFault::Nonce)), Some("use_dpop_nonce"));
        assert_eq!(error(replayed, false, Some(ProofFault::Proof)), Some("invalid_dpop_proof"));
        let expired = Reason::CredentialInvalid(CredentialFault::Expired);
        assert_eq!(error(expired, false, Some(ProofFault::Proof)), Some("invalid_token"));
    }

    #[test]
    fn two_credentials_at_once_are_an_invalid_request() {
        let malformed = Reason::CredentialInvalid(CredentialFault::Malformed);
        assert_eq!(error(malformed, true, None), Some("invalid_request"));
        assert_eq!(error(malformed, false, None), Some("invalid_token"));
    }
}
