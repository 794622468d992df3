//! Step 3 for tokens that are bound to their sender: what a proof must be about, and where one is wanted.

use super::Walk;
use crate::identity::{ProofFault, Target};
use crate::model::{Credential, CredentialFault, Principal, Question, Reason};

impl<'a> Walk<'a> {
    /// The request that a proof must be about, if there is to be one. A Cedar question has no URI, so no proof can be
    /// about it.
    pub(super) fn target(&self) -> Option<Target<'a>> {
        if !matches!(self.query.credential, Credential::Dpop { .. }) {
            return None;
        }
        let Question::Call(call) = &self.query.question else { return None };
        let outside = self.located.as_ref().and_then(|located| located.endpoint.api.outside.origin.clone());
        match outside {
            Some(origin) => Some(Target::new(&call.method, origin, &call.path)),
            None => Target::at_host(&call.method, call.secure, &call.host, &call.path).ok(),
        }
    }

    /// Some endpoints are for those only who proved that their token is theirs.
    pub(super) fn check_binding(&mut self, principal: &Principal) {
        let wanted = self.located.as_ref().is_some_and(|located| located.endpoint.sender_constrained);
        if !wanted || principal.token.as_ref().is_some_and(|token| token.sender_constrained) {
            return;
        }
        if principal.is_anonymous() {
            return self
                .refuse(Reason::CredentialMissing, "the endpoint wants a token that is bound to its sender");
        }
        self.proof_fault = Some(ProofFault::Binding);
        let detail = "the endpoint wants a token that is bound to its sender, and this one is not";
        self.refuse(Reason::CredentialInvalid(CredentialFault::BindingFailed), detail);
    }
}
