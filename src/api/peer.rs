//! What a connection tells each of its calls: who is at the other end, with which certificates, and since when bytes waited
//! that came from there.
//!
//! A call waits in the socket until it is read, and then until the thread comes to it. Both are the queue of a busy
//! server, and this is how they are seen: nobody else knows when the bytes came.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustls::pki_types::CertificateDer;

use crate::decide::{Queue, Waited};
use crate::model::{CallerCertificate, CertificateChain};

/// Among the extensions of every call.
#[derive(Clone, Debug)]
pub struct Peer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    address: Option<SocketAddr>,
    certificates: Option<Certificates>,
    /// Where its calls wait for their turn.
    queue: Arc<Queue>,
    /// When there was nothing left to read, last: nanoseconds of the monotonic clock.
    drained_at: AtomicU64,
    /// The earliest moment at which the bytes that were read last can have come; zero before the first.
    came_at: AtomicU64,
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
        Self::new(None, None, Arc::default())
    }
}

impl Peer {
    /// A peer whose calls wait there for their turn.
    pub fn new(address: Option<SocketAddr>, certificates: Option<Certificates>, queue: Arc<Queue>) -> Self {
        let (drained_at, came_at) = (AtomicU64::new(0), AtomicU64::new(0));
        Self(Arc::new(Inner { address, certificates, queue, drained_at, came_at }))
    }

    /// The verified certificate of the peer, with those that came along; `None` without TLS, and when it showed none.
    pub fn chain(&self) -> Option<&CertificateChain> {
        self.0.certificates.as_ref().map(|shown| &shown.chain)
    }

    /// What the peer's own certificate is known by.
    pub fn certificate(&self) -> Option<&CallerCertificate> {
        self.0.certificates.as_ref()?.known.as_ref()
    }

    /// The address without its port, for counting.
    pub fn host(&self) -> String {
        self.0.address.map_or_else(|| "unknown".to_owned(), |address| address.ip().to_string())
    }

    /// Where its calls wait for their turn.
    pub fn queue(&self) -> &Arc<Queue> {
        &self.0.queue
    }

    /// Bytes were read at this moment of the monotonic clock, and nothing is left if it `drained` the socket. They came
    /// after what was read before them; and if the thread has been idle since, it was they that woke it.
    pub fn note_read(&self, now: Duration, drained: bool) {
        let drained_at = self.0.drained_at.load(Ordering::Relaxed);
        let came_at = drained_at.max(nanos(self.0.queue.busy_since())).max(1);
        self.0.came_at.store(came_at, Ordering::Relaxed);
        if drained {
            self.0.drained_at.store(nanos(now), Ordering::Relaxed);
        }
    }

    /// Since when a call waits that did not run yet: since its bytes came, for the thread reads again only when it has come
    /// to all calls that it read before.
    pub fn waited(&self) -> Option<Waited<'_>> {
        match self.0.came_at.load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(Waited { since: Duration::from_nanos(nanos), queue: &self.0.queue }),
        }
    }
}

fn nanos(moment: Duration) -> u64 {
    u64::try_from(moment.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn bytes_wait_since_the_socket_was_empty_or_the_thread_idle() {
        let queue = Arc::new(Queue::new(1));
        let peer = Peer::new(None, None, Arc::clone(&queue));
        let since = || peer.waited().map(|waited| waited.since);
        assert_eq!(since(), None, "nothing came");
        queue.note_idle(ms(10));
        peer.note_read(ms(11), true);
        assert_eq!(since(), Some(ms(10)), "they woke the thread");
        peer.note_read(ms(15), false);
        assert_eq!(since(), Some(ms(11)), "it was busy, and they came after those before");
        peer.note_read(ms(16), true);
        assert_eq!(since(), Some(ms(11)), "of these some were there already");
        queue.note_idle(ms(20));
        peer.note_read(ms(21), true);
        assert_eq!(since(), Some(ms(20)));
    }
}
