//! Callers of Deodar's own APIs: who presents this key, and may they call this RPC?
//!
//! Answered from memory: the clients are followed through the change feed, so that a revoked key stops working on
//! every replica within the feed's time and no call waits for the database.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::access;
use crate::identity::ClientKey;
use crate::model::{Client, ClientId};

/// Why a caller is turned away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallerRefusal {
    /// No key, or something that is not one.
    Missing,
    /// No live client has this key.
    Unknown,
    /// A live client without a role for this RPC.
    NotPermitted { client: ClientId },
}

/// The clients, by id.
pub struct Callers {
    clients: ArcSwap<HashMap<ClientId, Arc<Client>>>,
    /// How many times they have changed.
    edition: AtomicU64,
    changed: watch::Sender<()>,
}

impl Callers {
    pub fn new() -> Self {
        Self { clients: ArcSwap::default(), edition: AtomicU64::new(0), changed: watch::Sender::new(()) }
    }

    /// Finds out who holds this key and whether their roles reach this RPC.
    pub fn authorize(&self, key: Option<&str>, rpc: &str) -> Result<Arc<Client>, CallerRefusal> {
        let client = self.authenticate(key.ok_or(CallerRefusal::Missing)?)?;
        let permitted =
            access::roles_for(rpc).is_some_and(|roles| roles.iter().any(|role| client.roles.contains(role)));
        if permitted { Ok(client) } else { Err(CallerRefusal::NotPermitted { client: client.id.clone() }) }
    }

    fn authenticate(&self, key: &str) -> Result<Arc<Client>, CallerRefusal> {
        let key = ClientKey::parse(key).map_err(|_| CallerRefusal::Missing)?;
        let client = self.clients.load().get(key.client()).cloned();
        // An unknown id costs the same comparison as a known one, so that time does not tell which ids exist.
        let wanted = client.as_ref().map_or([0; 32], |client| client.key_sha256);
        let fits = key.matches(&wanted);
        client.filter(|client| fits && client.is_live()).ok_or(CallerRefusal::Unknown)
    }

    /// Whether a client that was let in before still may be here: its stream ends when it may not.
    pub fn is_live(&self, client: &Client) -> bool {
        self.clients
            .load()
            .get(&client.id)
            .is_some_and(|known| known.is_live() && known.key_sha256 == client.key_sha256)
    }

    /// A number that is another one after every change of the clients: for as long as it is the same, so is an answer
    /// that was given after reading it.
    pub fn edition(&self) -> u64 {
        self.edition.load(Ordering::Acquire)
    }

    fn note_change(&self) {
        self.edition.fetch_add(1, Ordering::AcqRel);
        self.changed.send_replace(());
    }

    /// Tells of every change of the clients.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    pub fn replace_all(&self, clients: Vec<Client>) {
        let by_id = clients.into_iter().map(|client| (client.id.clone(), Arc::new(client))).collect();
        self.clients.store(Arc::new(by_id));
        self.note_change();
    }

    pub fn apply(&self, client: &Client) {
        self.clients.rcu(|clients| {
            let mut clients = HashMap::clone(clients);
            clients.insert(client.id.clone(), Arc::new(client.clone()));
            clients
        });
        self.note_change();
    }
}

impl Default for Callers {
    fn default() -> Self {
        Self::new()
    }
}
