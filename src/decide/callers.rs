//! Callers of Deodar's own APIs: who presents this key or this certificate, and may they call this RPC?
//!
//! A key is shown with each call, a certificate by the connection. Either is enough; both must not be those of two clients.
//! Answered from memory: the clients are followed through the change feed, so that a revoked key stops working on
//! every replica within the feed's time and no call waits for the database.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::access;
use crate::identity::ClientKey;
use crate::model::{CallerCertificate, CertificateName, Client, ClientId, Timestamp};

/// What a caller shows of itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shown<'a> {
    /// With the call; what is there and is no key is an empty one.
    pub key: Option<&'a str>,
    /// Of the connection; it was verified in the handshake.
    pub certificate: Option<&'a CallerCertificate>,
}

/// Why a caller is turned away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallerRefusal {
    /// No key and no certificate, or something that is not a key.
    Missing,
    /// No live client has this key.
    Unknown,
    /// No key, and no live client is known by the certificate.
    CertificateUnknown,
    /// No key, and the certificate's time is over since the connection came about.
    CertificateExpired,
    /// The key is one client's and the certificate another's, or the certificate names several.
    Contradictory,
    /// A live client without a role for this RPC.
    NotPermitted { client: ClientId },
}

/// The clients, and how they are found.
#[derive(Clone, Default)]
struct Known {
    by_id: HashMap<ClientId, Arc<Client>>,
    /// Live ones. The store gives a name to one client at a time.
    by_certificate: HashMap<CertificateName, BTreeSet<ClientId>>,
}

/// Whom a certificate names.
enum Named {
    Nobody,
    Expired,
    One(Arc<Client>),
    Several,
}

impl Known {
    fn insert(&mut self, client: &Client) {
        if let Some(before) = self.by_id.insert(client.id.clone(), Arc::new(client.clone())) {
            for name in &before.certificates {
                self.by_certificate.get_mut(name).map(|named| named.remove(&client.id));
            }
            self.by_certificate.retain(|_, named| !named.is_empty());
        }
        for name in client.certificates.iter().filter(|_| client.is_live()) {
            self.by_certificate.entry(name.clone()).or_default().insert(client.id.clone());
        }
    }

    fn with_key(&self, key: &str) -> Result<Arc<Client>, CallerRefusal> {
        let key = ClientKey::parse(key).map_err(|_| CallerRefusal::Missing)?;
        let client = self.by_id.get(key.client()).cloned();
        // An unknown id costs the same comparison as a known one, so that time does not tell which ids exist.
        let wanted = client.as_ref().and_then(|client| client.key_sha256);
        let fits = key.matches(&wanted.map_or([0; 32], |wanted| wanted.0)) && wanted.is_some();
        client.filter(|client| fits && client.is_live()).ok_or(CallerRefusal::Unknown)
    }

    fn with_certificate(&self, certificate: &CallerCertificate, now: Timestamp) -> Named {
        if certificate.has_expired(now) {
            return Named::Expired;
        }
        let named = certificate.names.iter().filter_map(|name| self.by_certificate.get(name)).flatten();
        let named: BTreeSet<&ClientId> = named.collect();
        let mut named =
            named.into_iter().filter_map(|id| self.by_id.get(id)).filter(|client| client.is_live());
        match (named.next(), named.next()) {
            (None, _) => Named::Nobody,
            (Some(client), None) => Named::One(Arc::clone(client)),
            (Some(_), Some(_)) => Named::Several,
        }
    }
}

/// Everyone who may call.
pub struct Callers {
    known: ArcSwap<Known>,
    /// How many times they have changed.
    edition: AtomicU64,
    changed: watch::Sender<()>,
}

impl Callers {
    pub fn new() -> Self {
        Self { known: ArcSwap::default(), edition: AtomicU64::new(0), changed: watch::Sender::new(()) }
    }

    /// Finds out who shows this and whether their roles reach this RPC.
    pub fn authorize(
        &self,
        shown: Shown<'_>,
        rpc: &str,
        now: Timestamp,
    ) -> Result<Arc<Client>, CallerRefusal> {
        let client = self.authenticate(shown, now)?;
        let permitted =
            access::roles_for(rpc).is_some_and(|roles| roles.iter().any(|role| client.roles.contains(role)));
        if permitted { Ok(client) } else { Err(CallerRefusal::NotPermitted { client: client.id.clone() }) }
    }

    fn authenticate(&self, shown: Shown<'_>, now: Timestamp) -> Result<Arc<Client>, CallerRefusal> {
        let known = self.known.load();
        let holder = shown.key.map(|key| known.with_key(key)).transpose()?;
        let Some(certificate) = shown.certificate else { return holder.ok_or(CallerRefusal::Missing) };
        match (known.with_certificate(certificate, now), holder) {
            (Named::One(client), None) => Ok(client),
            (Named::One(client), Some(holder)) if client.id == holder.id => Ok(holder),
            (Named::One(_), Some(_)) | (Named::Several, _) => Err(CallerRefusal::Contradictory),
            // Then the certificate says nothing about clients, and the key is enough.
            (Named::Nobody | Named::Expired, Some(holder)) => Ok(holder),
            (Named::Nobody, None) => Err(CallerRefusal::CertificateUnknown),
            (Named::Expired, None) => Err(CallerRefusal::CertificateExpired),
        }
    }

    /// Whether a client that was let in before still may be here: its stream ends when it may not.
    pub fn is_live(&self, client: &Client) -> bool {
        self.known.load().by_id.get(&client.id).is_some_and(|known| {
            let is_same = known.key_sha256 == client.key_sha256 && known.certificates == client.certificates;
            known.is_live() && is_same
        })
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
        let mut known = Known::default();
        clients.into_iter().for_each(|client| known.insert(&client));
        self.known.store(Arc::new(known));
        self.note_change();
    }

    pub fn apply(&self, client: &Client) {
        self.known.rcu(|known| {
            let mut known = Known::clone(known);
            known.insert(client);
            known
        });
        self.note_change();
    }
}

impl Default for Callers {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Grants, KeyDigest, Role};

    const RPC: &str = "/deodar.decision.v1.DecisionService/Check";
    const NOW: Timestamp = Timestamp::from_seconds(100);

    fn client(id: &str, key: Option<&ClientKey>, certificates: &[&str]) -> Client {
        Client {
            id: id.parse().unwrap(),
            display_name: String::new(),
            roles: [Role::Gateway].into(),
            grants: Grants::default(),
            key_sha256: key.map(|key| KeyDigest(key.sha256())),
            certificates: certificates.iter().map(|name| name.parse().unwrap()).collect(),
            created_by: "root".parse().unwrap(),
            created_at: Timestamp::default(),
            revoked_at: None,
        }
    }

    fn certificate(names: &[&str]) -> CallerCertificate {
        let names = names.iter().map(|name| name.parse().unwrap()).collect();
        CallerCertificate { names, expires_at: NOW }
    }

    fn who(
        callers: &Callers,
        key: Option<&ClientKey>,
        certificate: Option<&CallerCertificate>,
    ) -> Result<String, CallerRefusal> {
        let key = key.map(ClientKey::reveal);
        let shown = Shown { key: key.as_ref().map(|key| key.expose()), certificate };
        callers.authorize(shown, RPC, NOW).map(|client| client.id.to_string())
    }

    #[test]
    fn a_key_or_a_certificate_is_enough_and_two_clients_are_nobody() {
        let [edge, mesh] = ["edge", "mesh"].map(|id| ClientKey::generate(id.parse().unwrap()).unwrap());
        let callers = Callers::new();
        callers.replace_all(vec![
            client("edge", Some(&edge), &["dns:edge.example.com"]),
            client("mesh", Some(&mesh), &["uri:spiffe://example.org/mesh"]),
            client("bare", None, &["dns:bare.example.com"]),
        ]);
        let known = certificate(&["dns:edge.example.com"]);
        let stranger = certificate(&["dns:stranger.example.com"]);
        let both = certificate(&["dns:edge.example.com", "uri:spiffe://example.org/mesh"]);
        let ok = |id: &str| Ok(id.to_owned());
        assert_eq!(who(&callers, None, None), Err(CallerRefusal::Missing));
        assert_eq!(who(&callers, Some(&edge), None), ok("edge"));
        assert_eq!(who(&callers, None, Some(&known)), ok("edge"));
        assert_eq!(who(&callers, Some(&edge), Some(&known)), ok("edge"));
        assert_eq!(who(&callers, Some(&mesh), Some(&known)), Err(CallerRefusal::Contradictory));
        assert_eq!(who(&callers, Some(&mesh), Some(&stranger)), ok("mesh"));
        assert_eq!(who(&callers, None, Some(&stranger)), Err(CallerRefusal::CertificateUnknown));
        assert_eq!(who(&callers, None, Some(&both)), Err(CallerRefusal::Contradictory));
        assert_eq!(who(&callers, Some(&edge), Some(&both)), Err(CallerRefusal::Contradictory));
        let bare = ClientKey::generate("bare".parse().unwrap()).unwrap();
        assert_eq!(who(&callers, Some(&bare), None), Err(CallerRefusal::Unknown), "it has no key");
        let wrong = Shown { key: Some(""), certificate: Some(&known) };
        assert_eq!(callers.authorize(wrong, RPC, NOW).unwrap_err(), CallerRefusal::Missing);
    }

    #[test]
    fn an_expired_certificate_names_nobody() {
        let callers = Callers::new();
        callers.replace_all(vec![client("edge", None, &["dns:edge.example.com"])]);
        let known = certificate(&["dns:edge.example.com"]);
        let shown = Shown { key: None, certificate: Some(&known) };
        assert!(callers.authorize(shown, RPC, NOW).is_ok());
        let later = Timestamp::from_seconds(101);
        assert_eq!(callers.authorize(shown, RPC, later).unwrap_err(), CallerRefusal::CertificateExpired);
    }

    #[test]
    fn a_name_that_was_taken_away_or_whose_client_was_revoked_counts_no_more() {
        let callers = Callers::new();
        let edge = client("edge", None, &["dns:edge.example.com"]);
        callers.apply(&edge);
        let known = certificate(&["dns:edge.example.com"]);
        let renamed = client("edge", None, &["dns:new.example.com"]);
        callers.apply(&renamed);
        assert!(!callers.is_live(&edge), "its streams end");
        assert_eq!(who(&callers, None, Some(&known)), Err(CallerRefusal::CertificateUnknown));
        callers.apply(&client("heir", None, &["dns:edge.example.com"]));
        assert_eq!(who(&callers, None, Some(&known)), Ok("heir".to_owned()));
        callers.apply(&Client { revoked_at: Some(NOW), ..client("heir", None, &["dns:edge.example.com"]) });
        assert_eq!(who(&callers, None, Some(&known)), Err(CallerRefusal::CertificateUnknown));
    }
}
