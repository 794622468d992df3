//! Clients: making them, finding them, revoking them.

use std::collections::BTreeSet;

use super::{ManageError, Management};
use crate::identity::ClientKey;
use crate::model::{Client, ClientId, Grants, Page, PageRequest, Revision, Role, Secret};

/// A client to be made.
#[derive(Clone, Debug)]
pub struct NewClient {
    pub id: ClientId,
    pub display_name: String,
    pub roles: BTreeSet<Role>,
    pub grants: Grants,
}

/// A client that was made just now.
#[derive(Debug)]
pub struct NewlyCreated {
    pub client: Client,
    /// Shown once; only its hash is kept.
    pub key: Secret,
    pub revision: Revision,
}

impl Management {
    /// Makes a client and its key.
    pub async fn create_client(&self, new: NewClient, by: &Client) -> Result<NewlyCreated, ManageError> {
        const LONGEST_NAME: usize = 200;
        if new.roles.is_empty() {
            let roles = Role::ALL.map(Role::as_str).join(", ");
            return Err(ManageError::invalid("client.roles", format!("give at least one of {roles}")));
        }
        if new.display_name.len() > LONGEST_NAME || new.display_name.chars().any(char::is_control) {
            let why = format!("use at most {LONGEST_NAME} bytes without control characters");
            return Err(ManageError::invalid("client.display_name", why));
        }
        let key = ClientKey::generate(new.id.clone()).map_err(ManageError::Key)?;
        let client = Client {
            id: new.id,
            display_name: new.display_name,
            roles: new.roles,
            grants: new.grants,
            key_sha256: key.sha256(),
            created_by: by.id.clone(),
            created_at: self.clock.now(),
            revoked_at: None,
        };
        let revision = self.store.create_client(&client).await?;
        tracing::info!(client = %client.id, by = %by.id, "client created");
        Ok(NewlyCreated { client, key: key.reveal(), revision: self.settle(revision).await })
    }

    pub async fn get_client(&self, id: &ClientId) -> Result<Client, ManageError> {
        self.store.get_client(id).await?.ok_or_else(|| no_client(id))
    }

    pub async fn list_clients(&self, page: &PageRequest) -> Result<Page<Client>, ManageError> {
        Ok(self.store.list_clients(page).await?)
    }

    /// Revokes a client. An administrator cannot revoke itself: somebody must be left to undo mistakes.
    pub async fn revoke_client(&self, id: &ClientId, by: &Client) -> Result<(Client, Revision), ManageError> {
        if *id == by.id {
            let why = "a client cannot revoke itself; use another administrator's key";
            return Err(ManageError::invalid("client_id", why));
        }
        let revoked = self.store.revoke_client(id, self.clock.now()).await?;
        let (client, revision) = revoked.ok_or_else(|| no_client(id))?;
        tracing::info!(client = %client.id, by = %by.id, "client revoked");
        Ok((client, self.settle(revision).await))
    }
}

fn no_client(id: &ClientId) -> ManageError {
    ManageError::NotFound { what: "client", name: id.to_string() }
}
