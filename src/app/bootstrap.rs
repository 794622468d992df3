//! The first start: somebody must be able to administer a new deployment.
//!
//! A store without clients gets an administrator, whose key is written to a file that only the owner may read. The
//! CLI finds it there by itself. The key is nowhere else: not in the log, not in the store.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;

use crate::identity::ClientKey;
use crate::model::{
    ApiGrant, Assertion, Client, ClientId, Clock, DomainId, Grants, PageRequest, Role, Secret,
};
use crate::store::{Store, StoreError};

/// The file, in the data directory, with the first administrator's key.
pub const ADMINISTRATOR_KEY: &str = "administrator.key";
/// The file, in the data directory, with the key of the gateway that development mode makes for `deodar check`.
pub const GATEWAY_KEY: &str = "gateway.key";

/// Makes the first administrator if there is no client at all.
pub async fn first_administrator(
    store: &dyn Store,
    clock: &dyn Clock,
    data_dir: &Path,
) -> anyhow::Result<()> {
    let any = store.list_clients(&PageRequest::first(1)).await.context("cannot read the clients")?;
    if !any.items.is_empty() {
        return Ok(());
    }
    let roles = BTreeSet::from([Role::Administrator]);
    create(store, clock, data_dir, ADMINISTRATOR_KEY, "administrator", roles, Grants::default()).await
}

/// Makes a gateway for `deodar check`, in development mode only.
pub async fn development_gateway(
    store: &dyn Store,
    clock: &dyn Clock,
    data_dir: &Path,
) -> anyhow::Result<()> {
    let id: ClientId = "development-gateway".parse()?;
    if store.get_client(&id).await.context("cannot read the clients")?.is_some() {
        return Ok(());
    }
    let grants = Grants {
        apis: ApiGrant::All,
        domains: BTreeSet::from([DomainId::default()]),
        assertions: BTreeSet::from(Assertion::ALL),
        explain: true,
        max_reuse: std::time::Duration::ZERO,
    };
    create(store, clock, data_dir, GATEWAY_KEY, id.as_str(), BTreeSet::from([Role::Gateway]), grants).await
}

async fn create(
    store: &dyn Store,
    clock: &dyn Clock,
    data_dir: &Path,
    file: &str,
    id: &str,
    roles: BTreeSet<Role>,
    grants: Grants,
) -> anyhow::Result<()> {
    let id: ClientId = id.parse()?;
    let key = ClientKey::generate(id.clone())?;
    let client = Client {
        id: id.clone(),
        display_name: "made at the first start".to_owned(),
        roles,
        grants,
        key_sha256: key.sha256(),
        created_by: id.clone(),
        created_at: clock.now(),
        revoked_at: None,
    };
    // The file first: a client whose key nobody has would lock everyone out.
    let path = data_dir.join(file);
    write_key(&path, &key.reveal()).with_context(|| format!("cannot write {}", path.display()))?;
    match store.create_client(&client).await {
        Ok(_) => {
            tracing::info!(client = %id, file = %path.display(), "client created; its key is in the file");
            Ok(())
        }
        // Another replica was first; its file holds the key.
        Err(StoreError::AlreadyExists { .. }) => Ok(fs::remove_file(&path)?),
        Err(error) => Err(anyhow::Error::new(error).context(format!("cannot create client `{id}`"))),
    }
}

/// Writes a key to a file of mode 0600, replacing what a store that is gone now left behind.
fn write_key(path: &Path, key: &Secret) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    if path.exists() {
        fs::remove_file(path)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{}", key.expose())?;
    Ok(file.sync_all()?)
}

/// Reads a key from such a file.
pub fn read_key(path: &Path) -> std::io::Result<Secret> {
    Ok(Secret::new(fs::read_to_string(path)?.trim().to_owned()))
}
