//! Revocations: the contract. Tokens that no longer count, followed by every replica.

use async_trait::async_trait;

use super::StoreError;
use crate::model::{
    Page, PageRequest, Revision, Revocation, RevocationFilter, RevocationId, Timestamp, Undone,
};

#[async_trait]
pub trait Revocations {
    /// Keeps a new revocation. Several may have the same target.
    async fn create_revocation(&self, revocation: &Revocation) -> Result<Revision, StoreError>;

    async fn get_revocation(&self, id: RevocationId) -> Result<Option<Revocation>, StoreError>;

    /// Newest first, by (`created_at`, id).
    async fn list_revocations(
        &self,
        filter: &RevocationFilter,
        page: &PageRequest,
    ) -> Result<Page<Revocation>, StoreError>;

    /// Takes a revocation back; `None` when there is no such revocation. Doing so twice keeps the first and is no new
    /// change: the revision is then the current one.
    async fn undo_revocation(
        &self,
        id: RevocationId,
        undone: &Undone,
    ) -> Result<Option<(Revocation, Revision)>, StoreError>;

    /// Every revocation that was not taken back and expires after `now`: a replica's first load, with the revision it
    /// is true at (read in one transaction).
    async fn live_revocations(&self, now: Timestamp) -> Result<(Vec<Revocation>, Revision), StoreError>;

    /// Deletes those that expired before `before`, and returns how many. It is no change: they concern no token.
    async fn purge_revocations(&self, before: Timestamp) -> Result<u64, StoreError>;
}
