//! The first start: somebody must be able to administer a new deployment.
//!
//! A store without clients gets an administrator, whose key is written to a file that only the owner may read. The
//! CLI finds it there by itself. The key is nowhere else: not in the log, not in the store.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;

use crate::identity::ClientKey;
use crate::model::{
    ApiGrant, Assertion, Client, ClientId, Clock, DomainId, Grants, KeyDigest, PageRequest, Role, Secret,
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
        key_sha256: Some(KeyDigest(key.sha256())),
        certificates: BTreeSet::new(),
        created_by: id.clone(),
        created_at: clock.now(),
        revoked_at: None,
    };
    // The key is on disk before the client exists: a client whose key nobody has would lock everyone out. Until then
    // it has a name of its own, because another start may be making the same client in the same folder.
    let path = data_dir.join(file);
    let unproven = data_dir.join(format!("{file}.{}.tmp", uuid::Uuid::new_v4()));
    write_key(&unproven, &key.reveal()).with_context(|| format!("cannot write {}", unproven.display()))?;
    match store.create_client(&client).await {
        Ok(_) => {
            settle_key(&unproven, &path)?;
            tracing::info!(client = %id, file = %path.display(), "client created; its key is in the file");
            Ok(())
        }
        // Another start was first, and the key is the one in its file.
        Err(StoreError::AlreadyExists { .. }) => fs::remove_file(&unproven)
            .with_context(|| format!("cannot remove {}, a key that is of no use", unproven.display())),
        // Whether the store kept the client is not known, so its key is kept as well.
        Err(error) => Err(anyhow::Error::new(error).context(format!(
            "cannot create client `{id}`; its key, if it counts, is in {}",
            unproven.display()
        ))),
    }
}

/// Writes a key to a new file of mode 0600.
fn write_key(path: &Path, key: &Secret) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{}", key.expose())?;
    Ok(file.sync_all()?)
}

/// Gives the file of a key that counts its final name, in place of what a store that is gone now left behind.
fn settle_key(unproven: &Path, path: &Path) -> anyhow::Result<()> {
    let context =
        || format!("the key is in {}, and cannot be moved to {}", unproven.display(), path.display());
    fs::rename(unproven, path).with_context(context)?;
    if let Some(folder) = path.parent() {
        // The new name is to outlive a crash, as the client does.
        File::open(folder).and_then(|folder| folder.sync_all()).with_context(context)?;
    }
    Ok(())
}

/// Reads a key from such a file.
pub fn read_key(path: &Path) -> std::io::Result<Secret> {
    Ok(Secret::new(fs::read_to_string(path)?.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;

    use super::*;
    use crate::model::SystemClock;
    use crate::store::{self, Location};

    async fn store(folder: &Path) -> Arc<dyn Store> {
        let location = Location::Embedded(folder.join("deodar.db"));
        let store = store::open(&store::Config { location, ..store::Config::default() }).await.unwrap();
        store.migrate().await.unwrap();
        store
    }

    async fn make(store: &dyn Store, folder: &Path) {
        let roles = BTreeSet::from([Role::Administrator]);
        let clock = SystemClock::new();
        create(store, &clock, folder, ADMINISTRATOR_KEY, "administrator", roles, Grants::default())
            .await
            .unwrap();
    }

    async fn is_valid(store: &dyn Store, key: &Secret) -> bool {
        let client = store.get_client(&"administrator".parse().unwrap()).await.unwrap().unwrap();
        Some(KeyDigest(ClientKey::parse(key.expose()).unwrap().sha256())) == client.key_sha256
    }

    fn keys(folder: &Path) -> Vec<String> {
        let names =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.contains(".key")).collect()
    }

    #[tokio::test]
    async fn the_key_is_in_a_file_that_only_the_owner_may_read() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path()).await;
        first_administrator(store.as_ref(), &SystemClock::new(), folder.path()).await.unwrap();
        let path = folder.path().join(ADMINISTRATOR_KEY);
        assert!(is_valid(store.as_ref(), &read_key(&path).unwrap()).await);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(keys(folder.path()), [ADMINISTRATOR_KEY]);
    }

    #[tokio::test]
    async fn a_start_that_comes_second_leaves_the_key_of_the_first_alone() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path()).await;
        // Both have seen a store without clients.
        make(store.as_ref(), folder.path()).await;
        let first = read_key(&folder.path().join(ADMINISTRATOR_KEY)).unwrap();
        make(store.as_ref(), folder.path()).await;
        let kept = read_key(&folder.path().join(ADMINISTRATOR_KEY)).unwrap();
        assert_eq!(kept.expose(), first.expose());
        assert!(is_valid(store.as_ref(), &kept).await);
        assert_eq!(keys(folder.path()), [ADMINISTRATOR_KEY]);
    }

    #[tokio::test]
    async fn the_key_of_a_store_that_is_gone_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(ADMINISTRATOR_KEY), "of another store").unwrap();
        let store = store(folder.path()).await;
        make(store.as_ref(), folder.path()).await;
        assert!(is_valid(store.as_ref(), &read_key(&folder.path().join(ADMINISTRATOR_KEY)).unwrap()).await);
    }
}
