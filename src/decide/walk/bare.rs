//! Deciding without a check of the token, without risk and without a record: what is left when a decision point trusts its
//! callers. Only to measure what the three cost; no server is built with it.

use std::sync::{Arc, LazyLock};

use super::Walk;
use crate::decide::{Asked, Decider};
use crate::model::{Credential, Decision, Principal, Query, Reason};

/// Whose each token is, forever.
static PRINCIPALS: LazyLock<papaya::HashMap<String, Arc<Principal>>> = LazyLock::new(papaya::HashMap::new);

impl Walk<'_> {
    /// The steps that are left.
    pub fn bare(decider: &Decider, asked: &Asked<'_>, query: &Query) -> Decision {
        let mut walk = Walk::new(decider, asked, query);
        walk.locate();
        walk.believe();
        walk.evaluate();
        walk.conclude();
        walk.decision.unwrap_or_else(|| Walk::refused(walk.id, Reason::Internal, walk.revision))
    }

    /// Whoever the token said the first time that nothing was wrong with it.
    fn believe(&mut self) {
        let Credential::Bearer(token) = &self.query.credential else { return self.authenticate() };
        if let Some(principal) = PRINCIPALS.pin().get(token.expose()) {
            self.principal = Some(Arc::clone(principal));
            return;
        }
        self.authenticate();
        if let Some(principal) = self.principal.as_ref().filter(|_| self.refusals.is_empty()) {
            PRINCIPALS.pin().insert(token.expose().to_owned(), Arc::clone(principal));
        }
    }
}
