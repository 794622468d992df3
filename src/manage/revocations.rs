//! Revocations: making them, finding them, taking them back.

use std::time::Duration;

use super::status::REPLICA_TIMEOUT;
use super::{ManageError, Management, reason};
use crate::model::{
    Client, Page, PageRequest, Revision, Revocation, RevocationFilter, RevocationId, RevocationTarget,
    Timestamp, Undone,
};
use crate::store::Replica;

/// How often the replicas are looked at while one is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A revocation to be made.
#[derive(Clone, Debug)]
pub struct NewRevocation {
    pub target: RevocationTarget,
    /// Absent: all tokens of a token or session; of the others, those issued until now.
    pub issued_before: Option<Timestamp>,
    pub reason: String,
}

/// A revocation after a change, and how far it has come.
#[derive(Clone, Debug)]
pub struct WrittenRevocation {
    pub revocation: Revocation,
    pub revision: Revision,
    pub spread: Spread,
    /// What may not be as its maker thinks, a sentence each.
    pub warnings: Vec<String>,
}

/// Which of the live replicas decide by a revision already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    /// How many do.
    pub acknowledged: usize,
    /// Those that do not, or did not say so yet.
    pub pending: Vec<PendingReplica>,
    /// Whether the list of replicas could be read. If not, nothing is known of the others.
    pub known: bool,
}

/// A replica that may still decide by an older revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingReplica {
    pub id: String,
    pub address: String,
}

impl Management {
    /// Revokes tokens. Returns once every live replica refuses them, or names those that may not yet.
    pub async fn create_revocation(
        &self,
        new: NewRevocation,
        by: &Client,
    ) -> Result<WrittenRevocation, ManageError> {
        reason::check(&new.reason, "say why the tokens no longer count")?;
        let now = self.clock.now();
        let revocation = Revocation {
            id: RevocationId::generate(),
            issued_before: new.issued_before.or_else(|| (!new.target.is_over()).then_some(now)),
            reason: new.reason,
            created_by: by.id.clone(),
            created_at: now,
            expires_at: self.revocation_end(&new.target, new.issued_before, now),
            target: new.target,
            undone: None,
        };
        let revision = self.store.create_revocation(&revocation).await?;
        tracing::info!(revocation = %revocation.id, kind = revocation.target.kind(), by = %by.id, "tokens revoked");
        let warnings = self.doubts(&revocation);
        Ok(self.written(revocation, revision, warnings).await)
    }

    pub async fn get_revocation(&self, id: RevocationId) -> Result<Revocation, ManageError> {
        self.store.get_revocation(id).await?.ok_or_else(|| unknown(id))
    }

    pub async fn list_revocations(
        &self,
        filter: &RevocationFilter,
        page: &PageRequest,
    ) -> Result<Page<Revocation>, ManageError> {
        Ok(self.store.list_revocations(filter, page).await?)
    }

    /// Takes a revocation back, with the reason kept beside it. Other revocations of the same tokens stay.
    pub async fn undo_revocation(
        &self,
        id: RevocationId,
        why: String,
        by: &Client,
    ) -> Result<WrittenRevocation, ManageError> {
        reason::check(&why, "say why the tokens count again")?;
        let undone = Undone { by: by.id.clone(), at: self.clock.now(), why };
        let found = self.store.undo_revocation(id, &undone).await?;
        let (revocation, revision) = found.ok_or_else(|| unknown(id))?;
        tracing::info!(revocation = %id, by = %by.id, "revocation taken back");
        Ok(self.written(revocation, revision, Vec::new()).await)
    }

    /// When no token that it concerns can be valid any more.
    fn revocation_end(
        &self,
        target: &RevocationTarget,
        issued_before: Option<Timestamp>,
        now: Timestamp,
    ) -> Timestamp {
        let token = self.revocation.max_token_lifetime.max(self.identity.longest_lifetime());
        match target {
            RevocationTarget::Session { .. } => now.plus(self.revocation.max_session_lifetime.max(token)),
            _ => issued_before.map_or(now, |before| before.max(now)).plus(token),
        }
    }

    /// An alias that is not configured here is most likely a slip of the pen.
    fn doubts(&self, revocation: &Revocation) -> Vec<String> {
        let Some(alias) = revocation.target.issuer() else { return Vec::new() };
        if self.identity.knows(alias) {
            Vec::new()
        } else {
            vec![format!("this replica knows no issuer or trust domain `{alias}`")]
        }
    }

    async fn written(
        &self,
        revocation: Revocation,
        revision: Revision,
        warnings: Vec<String>,
    ) -> WrittenRevocation {
        let revision = self.settle(revision).await;
        WrittenRevocation { revocation, revision, spread: self.spread(revision).await, warnings }
    }

    /// Waits a while until every live replica has a revision, and tells which have not.
    async fn spread(&self, revision: Revision) -> Spread {
        let deadline = self.clock.monotonic().saturating_add(self.revocation.acknowledge_wait);
        loop {
            let since = self.clock.now().minus(REPLICA_TIMEOUT);
            let replicas = match self.store.live_replicas(since).await {
                Ok(replicas) => replicas,
                Err(error) => {
                    tracing::warn!(%error, "cannot tell which replicas have a revocation");
                    return Spread::default();
                }
            };
            let spread = self.spread_over(replicas, revision);
            if spread.pending.is_empty() || self.clock.monotonic() >= deadline {
                return spread;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn spread_over(&self, replicas: Vec<Replica>, revision: Revision) -> Spread {
        let mut spread = Spread { known: true, ..Spread::default() };
        for replica in replicas {
            // Of itself it knows without asking.
            let own = replica.id == self.replica;
            let applied = if own { self.live.revision() } else { replica.applied };
            if applied.covers(revision) {
                spread.acknowledged += 1;
            } else {
                spread.pending.push(PendingReplica { id: replica.id, address: replica.address });
            }
        }
        spread
    }
}

fn unknown(id: RevocationId) -> ManageError {
    ManageError::NotFound { what: "revocation", name: id.to_string() }
}
