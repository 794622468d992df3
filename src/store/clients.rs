//! Clients: the contract. Who may call Deodar's own APIs.

use async_trait::async_trait;

use super::StoreError;
use crate::model::{Client, ClientId, Page, PageRequest, Revision, Timestamp};

#[async_trait]
pub trait Clients {
    /// Keeps a new client. Fails with [`StoreError::AlreadyExists`] when the id was ever used, revoked ones included:
    /// an id names one client for ever, so that old records stay true.
    async fn create_client(&self, client: &Client) -> Result<Revision, StoreError>;

    async fn get_client(&self, id: &ClientId) -> Result<Option<Client>, StoreError>;

    /// In the order of their ids, byte for byte; revoked ones included.
    async fn list_clients(&self, page: &PageRequest) -> Result<Page<Client>, StoreError>;

    /// Marks the client revoked and returns it; `None` when there is no such client. Revoking twice keeps the first
    /// moment and is no new change: the revision is then the current one.
    async fn revoke_client(
        &self,
        id: &ClientId,
        at: Timestamp,
    ) -> Result<Option<(Client, Revision)>, StoreError>;

    /// All of them, for a replica's first load, with the revision they are true at.
    async fn all_clients(&self) -> Result<(Vec<Client>, Revision), StoreError>;
}
