//! One handshake: bounded in time, and in how many there are at once.
//!
//! It runs on the thread that will serve the connection, as a task of its own, so that a peer that is slow or silent
//! holds up nobody but itself.

use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::{InvalidMessage, ServerConfig};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::app::complaint::Complaint;
use crate::app::socket::Socket;

/// A handshake that is to be made.
pub struct Handshake {
    pub(super) listener: &'static str,
    pub(super) server: Arc<ServerConfig>,
    pub(super) turns: Arc<Semaphore>,
    pub(super) timeout: Duration,
    pub(super) failed: Arc<Mutex<Complaint>>,
}

/// A connection after its handshake.
pub struct Secured {
    pub stream: TlsStream<Socket>,
    /// What the peer showed and our authorities vouched for, its own certificate first; empty when it showed none.
    pub certificates: Vec<CertificateDer<'static>>,
}

impl Handshake {
    /// Shakes hands. The time runs from now on, waiting for a turn included.
    pub async fn with(self, socket: Socket) -> io::Result<Secured> {
        let peer = socket.peer().ip();
        let made = tokio::time::timeout(self.timeout, self.make(socket)).await;
        let made = made.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()));
        made.inspect_err(|error| self.complain(error, peer))
    }

    async fn make(&self, socket: Socket) -> io::Result<Secured> {
        // Only a server that is gone closes it.
        let _turn = self.turns.acquire().await.map_err(|_| io::Error::from(ErrorKind::ConnectionAborted))?;
        let stream = TlsAcceptor::from(Arc::clone(&self.server)).accept(socket).await?;
        let (_, session) = stream.get_ref();
        let shown = session.peer_certificates().unwrap_or_default();
        let certificates = shown.iter().map(|certificate| certificate.clone().into_owned()).collect();
        Ok(Secured { stream, certificates })
    }

    /// Who connects with the wrong certificate must be able to find out here why; and must not fill the log.
    fn complain(&self, error: &io::Error, peer: Option<std::net::IpAddr>) {
        let why = reason(error);
        tracing::debug!(listener = self.listener, ?peer, why, "a TLS handshake failed");
        let times = self.failed.lock().unwrap_or_else(PoisonError::into_inner).note();
        if let Some(times) = times {
            tracing::warn!(
                listener = self.listener,
                ?peer,
                why,
                times,
                "TLS handshakes failed; this is the last"
            );
        }
    }
}

fn reason(error: &io::Error) -> String {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
            "the peer does not speak TLS".to_owned()
        }
        Some(other) => other.to_string(),
        None if error.kind() == ErrorKind::TimedOut => "the peer took too long".to_owned(),
        None => error.to_string(),
    }
}
