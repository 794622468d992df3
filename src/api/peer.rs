//! What a connection tells each of its calls: who is at the other end, with which certificates, and since when bytes waited
//! that came from there.
//!
//! A call waits in the socket until it is read, and then until the thread comes to it. Both are the queue of a busy server.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::pki_types::CertificateDer;

use crate::decide::{Queue, Waited};
use crate::model::duration::AtomicDuration;
use crate::model::{CallerCertificate, CertificateChain};

/// Among the extensions of every call.
#[derive(Clone, Debug)]
pub struct Peer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    address: Option<SocketAddr>,
    /// Those that it showed in its handshake.
    certificates: OnceLock<Certificates>,
    /// Where its calls wait for their turn.
    queue: Arc<Queue>,
    /// When bytes were read last, on the monotonic clock; zero before the first time.
    read_at: AtomicDuration,
    /// When the first of those came, about.
    came_at: AtomicDuration,
}

/// Those that the listener's authorities vouched for.
#[derive(Debug)]
pub struct Certificates {
    chain: CertificateChain,
    /// What the peer's own one is known by.
    known: Option<CallerCertificate>,
}

impl Certificates {
    /// What a peer showed in its handshake, its own one first, which were verified there; and what the first is known by,
    /// if it can be read. `None` when there are none.
    pub fn shown(chain: Vec<CertificateDer<'static>>, known: Option<CallerCertificate>) -> Option<Self> {
        let mut chain = chain.into_iter().map(|certificate| certificate.to_vec());
        let leaf = chain.next()?;
        Some(Self { chain: CertificateChain { leaf, above: chain.collect(), own: true }, known })
    }
}

impl Default for Peer {
    fn default() -> Self {
        Self::new(None, Arc::default())
    }
}

impl Peer {
    /// A peer whose calls wait there for their turn.
    pub fn new(address: Option<SocketAddr>, queue: Arc<Queue>) -> Self {
        let [read_at, came_at] = <[AtomicDuration; 2]>::default();
        Self(Arc::new(Inner { address, certificates: OnceLock::new(), queue, read_at, came_at }))
    }

    /// It showed them in its handshake, of which there is one.
    pub fn showed(&self, certificates: Certificates) {
        let _ = self.0.certificates.set(certificates);
    }

    /// The verified certificate of the peer, with those that came along; `None` without TLS, and when it showed none.
    pub fn chain(&self) -> Option<&CertificateChain> {
        self.0.certificates.get().map(|shown| &shown.chain)
    }

    /// What the peer's own certificate is known by.
    pub fn certificate(&self) -> Option<&CallerCertificate> {
        self.0.certificates.get()?.known.as_ref()
    }

    /// The address without its port.
    pub fn ip(&self) -> Option<IpAddr> {
        self.0.address.map(|address| address.ip())
    }

    /// The same as a name, for counting.
    pub fn host(&self) -> String {
        self.ip().map_or_else(|| "unknown".to_owned(), |ip| ip.to_string())
    }

    /// Where its calls wait for their turn.
    pub fn queue(&self) -> &Arc<Queue> {
        &self.0.queue
    }

    /// Bytes were read at this moment of the monotonic clock, and the first of them `came` before.
    pub fn note_read(&self, now: Duration, came: Duration) {
        self.0.came_at.store(came);
        self.0.read_at.store(now.max(Duration::from_nanos(1)));
    }

    /// How long a call waits that did not run yet, for the thread reads again only when it has come to all calls that it
    /// read before.
    pub fn waited(&self) -> Option<Waited<'_>> {
        let (since, read) = (self.0.came_at.load(), self.0.read_at.load());
        (!read.is_zero()).then(|| Waited { since, read, queue: &self.0.queue })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_call_waits_since_its_bytes_came() {
        let peer = Peer::default();
        let moments = || peer.waited().map(|waited| (waited.since, waited.read));
        assert_eq!(moments(), None, "nothing came");
        peer.note_read(ms(15), ms(13));
        assert_eq!(moments(), Some((ms(13), ms(15))));
    }
}
