//! A listener: an address, bound before anything runs, and the connections that come in there.
//!
//! It speaks plaintext or TLS, by its settings; the one type serves for decisions and for management. It takes only so
//! many at once, and its own troubles (no file descriptor left, peers that are gone already) neither
//! end it nor make it spin. What the connections are for is left to those who serve them.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures::{Stream, StreamExt, future, stream};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::service::Routes;
use tonic::transport::Server;
use tower_layer::{Identity, Stack};

use super::complaint::Complaint;
use super::config::ServerConfig;
use super::connection::{Connection, Taken};
use super::tls::Tls;
use super::workers::Stop;
use crate::api::layers::AuthenticateCallers;
use crate::manage::ListenerStatus;
use crate::model::Clock;

/// The pause when there is nothing to accept a connection with, such as a file descriptor.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a peer may take to answer a keepalive.
pub(super) const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Connections that wait to be accepted, at most.
const BACKLOG: u32 = 1024;

/// A bound socket. It takes connections from now on, and serves them once it runs.
pub struct Listener {
    name: &'static str,
    socket: TcpListener,
    address: SocketAddr,
    clock: Arc<dyn Clock>,
    /// `None`: plaintext.
    tls: Option<Arc<Tls>>,
    places: Arc<Semaphore>,
    full: Complaint,
    trouble: Complaint,
}

impl Listener {
    pub async fn bind(
        name: &'static str,
        address: SocketAddr,
        config: &ServerConfig,
        tls: Option<Arc<Tls>>,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let context = || format!("cannot listen for {name} at {address}; is another server running there?");
        let socket = listening(address, config.receive_buffer).and_then(|socket| socket.listen(BACKLOG));
        let socket = socket.with_context(context)?;
        let address = socket.local_addr().with_context(context)?;
        let places = Arc::new(Semaphore::new(config.max_connections.get().min(Semaphore::MAX_PERMITS)));
        let (full, trouble) = (Complaint::default(), Complaint::default());
        Ok(Self { name, socket, address, clock, tls, places, full, trouble })
    }

    pub fn status(&self) -> ListenerStatus {
        let tls = self.tls.as_ref().map(|tls| tls.status());
        ListenerStatus { name: self.name, address: self.address, tls }
    }

    /// Where it really listens, when port 0 was asked for.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next connection that there is a place for.
    pub async fn accept(&mut self) -> Taken {
        loop {
            match self.socket.accept().await {
                Ok((connection, _)) => {
                    if let Some(taken) = self.admit(connection) {
                        return taken;
                    }
                }
                Err(error) => self.endure(&error).await,
            }
        }
    }

    /// Gives a connection a place; where there is none, it is closed at once.
    fn admit(&mut self, connection: TcpStream) -> Option<Taken> {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            if let Some(closed) = self.full.note() {
                tracing::warn!(
                    listener = self.name,
                    closed,
                    "more connections than server.max_connections; those beyond are closed"
                );
            }
            return None;
        };
        // A connection that cannot be set up is one whose peer has gone.
        self.detach(connection, place).inspect_err(|error| tracing::debug!(%error, "a peer has gone")).ok()
    }

    /// Detaches a connection from this runtime, so that another one can serve it. It stays non-blocking.
    fn detach(&self, connection: TcpStream, place: OwnedSemaphorePermit) -> io::Result<Taken> {
        connection.set_nodelay(true)?;
        let handshake = self.tls.as_ref().map(|tls| tls.handshake());
        Ok(Taken { socket: connection.into_std()?, place, handshake, clock: Arc::clone(&self.clock) })
    }

    /// Waits until it makes sense to accept again.
    async fn endure(&mut self, error: &io::Error) {
        if matches!(
            error.kind(),
            ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted
        ) {
            return;
        }
        if let Some(times) = self.trouble.note() {
            tracing::error!(listener = self.name, %error, times, "cannot accept connections");
        }
        tokio::time::sleep(PAUSE).await;
    }

    /// Serves until told to drain; then lets calls under way finish, until they are cut.
    pub async fn serve(
        self,
        routes: Routes,
        gate: AuthenticateCallers,
        config: &ServerConfig,
        stop: &Stop,
    ) -> Result<(), tonic::transport::Error> {
        let cut = stop.cut.clone();
        // As many as there are places: one that is slow in its handshake lets the others by.
        let (most, name) = (config.max_connections.get(), self.name);
        let opened =
            self.connections().map(move |taken| Connection::open(taken, Some(cut.clone()), Arc::default()));
        let incoming = opened.buffer_unordered(most).filter_map(move |opened| {
            let opened = opened.inspect_err(|error| {
                tracing::debug!(listener = name, %error, "a connection did not come about");
            });
            future::ready(opened.ok().map(Ok::<_, io::Error>))
        });
        server(gate, config)
            .serve_with_incoming_shutdown(routes.prepare(), incoming, stop.drain.cancelled())
            .await
    }

    fn connections(self) -> impl Stream<Item = Taken> {
        stream::unfold(self, async |mut listener| Some((listener.accept().await, listener)))
    }
}

/// How connections of every listener are served: with bounds, and nobody gets past the gate.
fn server(gate: AuthenticateCallers, config: &ServerConfig) -> Server<Stack<AuthenticateCallers, Identity>> {
    Server::builder()
        .max_concurrent_streams(config.max_concurrent_streams.get())
        .http2_keepalive_interval(Some(config.keepalive))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .layer(gate)
}

/// A socket for connections of which so many bytes wait with the system.
fn listening(address: SocketAddr, receive_buffer: NonZeroU32) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // So that a server can start where another has just ended; elsewhere it means something else.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    // Connections inherit it, and it must be known before they come.
    socket.set_recv_buffer_size(receive_buffer.get())?;
    socket.bind(address)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::model::SystemClock;

    #[tokio::test]
    async fn what_waits_with_the_system_is_bounded_by_the_setting() {
        let address = "127.0.0.1:0".parse().unwrap();
        let bound = |bytes| {
            let listening = listening(address, NonZeroU32::new(bytes).unwrap());
            listening.unwrap().recv_buffer_size().unwrap()
        };
        // Linux doubles it, for its own bookkeeping.
        assert!(bound(16_384) < 65_536 && bound(16_384) >= 16_384);
        assert!(bound(131_072) >= 131_072);
    }

    async fn listener(max_connections: usize) -> Listener {
        let max_connections = NonZeroUsize::new(max_connections).unwrap();
        let config = ServerConfig { max_connections, ..ServerConfig::default() };
        let clock = Arc::new(SystemClock::new());
        Listener::bind("tests", "127.0.0.1:0".parse().unwrap(), &config, None, clock).await.unwrap()
    }

    #[tokio::test]
    async fn a_connection_beyond_the_bound_is_closed_at_once() {
        let mut listener = listener(1).await;
        let address = listener.address();
        let _first_peer = TcpStream::connect(address).await.unwrap();
        let first = listener.accept().await;
        let mut second_peer = TcpStream::connect(address).await.unwrap();
        let mut byte = [0];
        tokio::select! {
            _ = listener.accept() => panic!("there is no place"),
            read = second_peer.read(&mut byte) => assert!(matches!(read, Ok(0) | Err(_))),
        }
        drop(first);
        let _third_peer = TcpStream::connect(address).await.unwrap();
        listener.accept().await;
    }

    #[tokio::test(start_paused = true)]
    async fn an_accept_that_fails_for_want_of_descriptors_is_followed_by_a_pause() {
        let mut listener = listener(1).await;
        let before = tokio::time::Instant::now();
        listener.endure(&io::Error::from(ErrorKind::ConnectionAborted)).await;
        assert_eq!(before.elapsed(), Duration::ZERO);
        // EMFILE, which has no `ErrorKind` of its own.
        listener.endure(&io::Error::from_raw_os_error(24)).await;
        assert!(before.elapsed() >= PAUSE);
        assert_eq!(listener.trouble.note(), None, "it has just been said");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_says_nothing_and_one_that_is_cut_are_let_go() {
        let mut listener = listener(2).await;
        let _peer = TcpStream::connect(listener.address()).await.unwrap();
        let mut silent = Connection::open(listener.accept().await, None, Arc::default()).await.unwrap();
        assert_eq!(silent.read(&mut [0]).await.unwrap_err().kind(), ErrorKind::TimedOut);

        let cut = tokio_util::sync::CancellationToken::new();
        let _peer = TcpStream::connect(listener.address()).await.unwrap();
        let mut served =
            Connection::open(listener.accept().await, Some(cut.clone()), Arc::default()).await.unwrap();
        cut.cancel();
        assert_eq!(served.read(&mut [0]).await.unwrap_err().kind(), ErrorKind::ConnectionAborted);
        assert_eq!(listener.places.available_permits(), 0);
        drop((silent, served));
        assert_eq!(listener.places.available_permits(), 2);
    }
}
