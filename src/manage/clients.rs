//! Clients: making them, finding them, saying what they are known by, revoking them.

use std::collections::BTreeSet;

use super::{ManageError, Management};
use crate::identity::ClientKey;
use crate::model::{
    CertificateName, Client, ClientId, Grants, KeyDigest, Page, PageRequest, Revision, Role, Secret,
};

/// A client to be made.
#[derive(Clone, Debug)]
pub struct NewClient {
    pub id: ClientId,
    pub display_name: String,
    pub roles: BTreeSet<Role>,
    pub grants: Grants,
    pub certificates: BTreeSet<CertificateName>,
    /// Whether it gets a key.
    pub with_key: bool,
}

/// A client that was made just now.
#[derive(Debug)]
pub struct NewlyCreated {
    pub client: Client,
    /// Shown once; only its hash is kept.
    pub key: Option<Secret>,
    pub revision: Revision,
}

impl Management {
    /// Makes a client, and its key if it is to have one.
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
        check_certificates("client.certificates", &new.certificates, new.with_key)?;
        let key = new.with_key.then(|| ClientKey::generate(new.id.clone())).transpose();
        let key = key.map_err(ManageError::Key)?;
        let client = Client {
            id: new.id,
            display_name: new.display_name,
            roles: new.roles,
            grants: new.grants,
            key_sha256: key.as_ref().map(|key| KeyDigest(key.sha256())),
            certificates: new.certificates,
            created_by: by.id.clone(),
            created_at: self.clock.now(),
            revoked_at: None,
        };
        let revision = self.store.create_client(&client).await?;
        tracing::info!(client = %client.id, by = %by.id, "client created");
        let key = key.as_ref().map(ClientKey::reveal);
        Ok(NewlyCreated { client, key, revision: self.settle(revision).await })
    }

    pub async fn get_client(&self, id: &ClientId) -> Result<Client, ManageError> {
        self.store.get_client(id).await?.ok_or_else(|| no_client(id))
    }

    pub async fn list_clients(&self, page: &PageRequest) -> Result<Page<Client>, ManageError> {
        Ok(self.store.list_clients(page).await?)
    }

    /// Says anew which certificates a client is known by. Who holds one that is not named any more is out at once, also
    /// on connections that are open.
    pub async fn set_client_certificates(
        &self,
        id: &ClientId,
        certificates: &BTreeSet<CertificateName>,
        by: &Client,
    ) -> Result<(Client, Revision), ManageError> {
        let client = self.get_client(id).await?;
        check_certificates("certificates", certificates, client.key_sha256.is_some())?;
        let set = self.store.set_client_certificates(id, certificates).await?;
        let (client, revision) = set.ok_or_else(|| no_client(id))?;
        tracing::info!(client = %client.id, by = %by.id, "the certificates of a client were set");
        Ok((client, self.settle(revision).await))
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

/// More names than a renewal needs; each is looked at for nobody's good.
const MOST_CERTIFICATES: usize = 16;

fn check_certificates(
    field: &'static str,
    certificates: &BTreeSet<CertificateName>,
    has_key: bool,
) -> Result<(), ManageError> {
    if certificates.len() > MOST_CERTIFICATES {
        return Err(ManageError::invalid(field, format!("give at most {MOST_CERTIFICATES}")));
    }
    if certificates.is_empty() && !has_key {
        return Err(ManageError::invalid(field, "a client without a key needs a certificate to be known by"));
    }
    Ok(())
}

fn no_client(id: &ClientId) -> ManageError {
    ManageError::NotFound { what: "client", name: id.to_string() }
}
