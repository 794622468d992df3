//! What a connection tells each of its calls: who is at the other end, and when bytes last came from there.
//!
//! A call is parsed as soon as its bytes are read and runs when the thread comes to it. The time between is the queue of a
//! busy server, and this is how it is seen: nobody else knows when the bytes came.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Among the extensions of every call.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    address: Option<SocketAddr>,
    /// Nanoseconds of the monotonic clock; zero before the first byte.
    received: Arc<AtomicU64>,
}

impl Peer {
    pub fn new(address: Option<SocketAddr>) -> Self {
        Self { address, ..Self::default() }
    }

    /// The address without its port, for counting.
    pub fn host(&self) -> String {
        self.address.map_or_else(|| "unknown".to_owned(), |address| address.ip().to_string())
    }

    /// Bytes came at this moment of the monotonic clock.
    pub fn note_received(&self, at: Duration) {
        self.received.store(u64::try_from(at.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// When bytes last came: those of a call that did not run yet, for the thread reads again only when it has come to
    /// all calls that it read before.
    pub fn received(&self) -> Option<Duration> {
        match self.received.load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }
}
