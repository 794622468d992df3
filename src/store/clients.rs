//! Clients: the contract. Who may call Deodar's own APIs.

use std::collections::BTreeSet;

use async_trait::async_trait;

use super::StoreError;
use crate::model::{CertificateName, Client, ClientId, Page, PageRequest, Revision, Timestamp};

#[async_trait]
pub trait Clients {
    /// Keeps a new client. Fails with [`StoreError::AlreadyExists`] when the id was ever used, revoked ones included:
    /// an id names one client for ever, so that old records stay true. The same when one of its certificates is known as
    /// that of another live client.
    async fn create_client(&self, client: &Client) -> Result<Revision, StoreError>;

    async fn get_client(&self, id: &ClientId) -> Result<Option<Client>, StoreError>;

    /// In the order of their ids, byte for byte; revoked ones included.
    async fn list_clients(&self, page: &PageRequest) -> Result<Page<Client>, StoreError>;

    /// Says anew what the client's certificates are known by, and returns it; `None` when there is no such client. Names
    /// that it has already are no new change. Fails with [`StoreError::AlreadyExists`] when a name is another live client's,
    /// and with [`StoreError::Conflict`] when the client is revoked.
    async fn set_client_certificates(
        &self,
        id: &ClientId,
        certificates: &BTreeSet<CertificateName>,
    ) -> Result<Option<(Client, Revision)>, StoreError>;

    /// Marks the client revoked and returns it; `None` when there is no such client. Revoking twice keeps the first
    /// moment and is no new change: the revision is then the current one. Others may have its certificates from then on.
    async fn revoke_client(
        &self,
        id: &ClientId,
        at: Timestamp,
    ) -> Result<Option<(Client, Revision)>, StoreError>;

    /// All of them, for a replica's first load, with the revision they are true at.
    async fn all_clients(&self) -> Result<(Vec<Client>, Revision), StoreError>;
}
