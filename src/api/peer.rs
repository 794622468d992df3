//! What a connection tells each of its calls: who is at the other end, with which certificates, and when bytes last came
//! from there.
//!
//! A call is parsed as soon as its bytes are read and runs when the thread comes to it. The time between is the queue of a
//! busy server, and this is how it is seen: nobody else knows when the bytes came.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustls::pki_types::CertificateDer;

use crate::model::{CallerCertificate, CertificateChain};

/// Among the extensions of every call.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    address: Option<SocketAddr>,
    /// Nanoseconds of the monotonic clock; zero before the first byte.
    received: Arc<AtomicU64>,
    /// Those that the listener's authorities vouched for.
    certificates: Option<Arc<Certificates>>,
}

#[derive(Debug)]
struct Certificates {
    chain: CertificateChain,
    /// What its own one is known by.
    known: Option<CallerCertificate>,
}

impl Peer {
    pub fn new(address: Option<SocketAddr>) -> Self {
        Self { address, ..Self::default() }
    }

    /// A peer that showed these certificates in its handshake, its own one first, which were verified there; and what the
    /// first is known by, if it can be read.
    #[must_use]
    pub fn with_certificates(
        self,
        chain: Vec<CertificateDer<'static>>,
        known: Option<CallerCertificate>,
    ) -> Self {
        let mut chain = chain.into_iter().map(|certificate| certificate.to_vec());
        let Some(leaf) = chain.next() else { return self };
        let chain = CertificateChain { leaf, above: chain.collect(), own: true };
        Self { certificates: Some(Arc::new(Certificates { chain, known })), ..self }
    }

    /// The verified certificate of the peer, with those that came along; `None` without TLS, and when it showed none.
    pub fn chain(&self) -> Option<&CertificateChain> {
        self.certificates.as_ref().map(|shown| &shown.chain)
    }

    /// What the peer's own certificate is known by.
    pub fn certificate(&self) -> Option<&CallerCertificate> {
        self.certificates.as_ref()?.known.as_ref()
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
