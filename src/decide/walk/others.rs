//! Step 3 for the others that have a part in a call: who acts for the principal, and who is at the other end of the client's
//! connection. Each must count by itself: an actor that was revoked acts for nobody any more.

use std::sync::Arc;

use super::Walk;
use crate::model::{Principal, Reason, Timestamp};

impl Walk<'_> {
    /// Actor and peer of the principal that was found.
    pub(super) fn meet_others(&mut self) {
        let Some(principal) = &self.principal else { return };
        let acted = principal.token.as_ref().is_some_and(|token| token.actor.is_some());
        if !acted && self.query.certificate.is_none() {
            return;
        }
        let principal = Arc::clone(principal);
        self.meet_actor(&principal);
        self.meet_peer(&principal);
    }

    /// The actor that the token names.
    fn meet_actor(&mut self, principal: &Principal) {
        let Some(token) = &principal.token else { return };
        let Some(actor) = &token.actor else { return };
        let actor = self.decider.live.directory.complete(Arc::clone(actor));
        self.note(|| format!("authenticate: {} acts for it", actor.id));
        self.notes.push(format!("acted by {}", actor.id));
        self.check_other("actor", &actor, token.issued_at);
        self.actor = Some(actor);
    }

    /// The workload that the client's certificate names. Where that is who is calling, it was judged already.
    fn meet_peer(&mut self, principal: &Arc<Principal>) {
        if self.query.certificate.is_none() {
            return;
        }
        if principal.token.as_ref().is_some_and(|token| token.is_certificate()) {
            self.peer = Some(Arc::clone(principal));
            return;
        }
        let known = match self.decider.identity.peer(&self.query.certificate, self.now) {
            Ok(Some(known)) => known,
            Ok(None) => return,
            Err(refusal) => return self.refuse(refusal.reason, refusal.detail),
        };
        let peer = self.decider.live.directory.complete(known.principal);
        if !self.decider.identity.counts_in(&peer, &self.domain) {
            return self.note(|| format!("authenticate: the peer {} does not count here", peer.id));
        }
        self.note(|| format!("authenticate: {} is the peer", peer.id));
        self.notes.push(format!("peer {}", peer.id));
        let issued_at = peer.token.as_ref().map_or(self.now, |token| token.issued_at);
        self.check_other("peer", &peer, issued_at);
        self.peer = Some(peer);
    }

    fn check_other(&mut self, what: &str, other: &Principal, issued_at: Timestamp) {
        if !other.active {
            self.refuse(Reason::PrincipalDisabled, format!("the directory says that the {what} is inactive"));
        }
        let revocations = &self.decider.live.revocations;
        let revoked = revocations.check(other).or_else(|| revocations.check_name(&other.id, issued_at));
        if let Some(revoked) = revoked {
            let detail = format!("the {what} was revoked ({}): revocation {}", revoked.kind, revoked.by);
            self.refuse(Reason::Revoked, detail);
        }
    }
}
