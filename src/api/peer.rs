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
use crate::model::duration::nanos;
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
    socket: Socket,
}

/// What was read, in nanoseconds of the monotonic clock.
#[derive(Debug, Default)]
struct Socket {
    /// When there was nothing left to read, last.
    drained_at: AtomicU64,
    /// When it was read last; zero before the first time.
    read_at: AtomicU64,
    /// When that came, about.
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
        Self(Arc::new(Inner { address, certificates, queue, socket: Socket::default() }))
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

    /// Bytes were read at this moment of the monotonic clock, and nothing is left if it `drained` the socket. `asked` is
    /// since when they would have been read if there had been room, if there was none.
    pub fn note_read(&self, now: Duration, drained: bool, asked: Option<Duration>) {
        let Socket { drained_at, read_at, came_at } = &self.0.socket;
        let since_drained = now.saturating_sub(Duration::from_nanos(drained_at.load(Ordering::Relaxed)));
        let round = self.0.queue.round();
        let waited = match asked {
            // They came at any time since then; but the thread looks at each socket once a round.
            None => round.min(since_drained / 2),
            // The first of them were there before that; a peer that is made to wait has sent all by then.
            Some(asked) => now.saturating_sub(asked).saturating_add(round).min(since_drained),
        };
        // If it has been idle since, it was they that woke it.
        let came = now.saturating_sub(waited).max(self.0.queue.busy_since());
        came_at.store(nanos(came), Ordering::Relaxed);
        read_at.store(nanos(now).max(1), Ordering::Relaxed);
        if drained {
            drained_at.store(nanos(now), Ordering::Relaxed);
        }
    }

    /// How long a call waits that did not run yet, for the thread reads again only when it has come to all calls that it
    /// read before.
    pub fn waited(&self) -> Option<Waited<'_>> {
        let Socket { read_at, came_at, .. } = &self.0.socket;
        let [read_at, came_at] = [read_at, came_at].map(|moment| moment.load(Ordering::Relaxed));
        let moment = Duration::from_nanos;
        (read_at > 0).then(|| Waited { since: moment(came_at), read: moment(read_at), queue: &self.0.queue })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn bytes_wait_until_the_thread_comes_round_and_then_for_room() {
        let queue = Arc::new(Queue::default());
        let peer = Peer::new(None, None, Arc::clone(&queue));
        let since = || peer.waited().map(|waited| waited.since);
        let read = |now, drained| peer.note_read(ms(now), drained, None);
        assert_eq!(since(), None, "nothing came");
        queue.note_idle(ms(10));
        read(11, true);
        assert_eq!(since(), Some(ms(11)), "the thread was there");
        queue.note_round(ms(3));
        read(15, true);
        assert_eq!(since(), Some(ms(13)), "on average");
        read(55, true);
        assert_eq!(since(), Some(ms(52)), "the thread looked at it before");
        peer.note_read(ms(85), false, Some(ms(79)));
        assert_eq!(since(), Some(ms(76)), "there was no room for six milliseconds");
        peer.note_read(ms(95), true, Some(ms(86)));
        assert_eq!(since(), Some(ms(83)), "nor for some that came before that");
        queue.note_idle(ms(100));
        read(101, true);
        assert_eq!(since(), Some(ms(100)), "they woke it");
    }
}
