//! The directory of principals: the contract. What the deployment itself knows of them.

use async_trait::async_trait;

use super::StoreError;
use crate::model::{DirectoryEntry, Expected, Page, PageRequest, PrincipalId, Revision};

#[async_trait]
pub trait Principals {
    /// Writes an entry whole. Fails with [`StoreError::Conflict`], and changes nothing, when what is there is not what
    /// is expected.
    async fn put_principal(
        &self,
        entry: &DirectoryEntry,
        expected: &Expected,
    ) -> Result<Revision, StoreError>;

    async fn get_principal(&self, id: &PrincipalId) -> Result<Option<DirectoryEntry>, StoreError>;

    /// In the order of their ids, byte for byte.
    async fn list_principals(&self, page: &PageRequest) -> Result<Page<DirectoryEntry>, StoreError>;

    /// Deletes an entry; `None` when there is none. Fails with [`StoreError::Conflict`] like a put.
    async fn delete_principal(
        &self,
        id: &PrincipalId,
        expected: &Expected,
    ) -> Result<Option<Revision>, StoreError>;

    /// All of them, for a replica's first load, with the revision they are true at (read in one transaction).
    async fn all_principals(&self) -> Result<(Vec<DirectoryEntry>, Revision), StoreError>;
}
