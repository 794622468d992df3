//! A connection that a listener took: it holds its place among those the listener may have, and can be cut. It speaks
//! plaintext or TLS, and nobody behind it sees a difference.
//!
//! The place is free again when the connection is dropped. tonic serves each connection in a task that nobody else can
//! reach, so a cut is an error at the socket: the task ends with it, and so do the calls on the connection.

use std::io::{self, ErrorKind};
use std::net;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

use super::socket::Socket;
use super::tls::{Handshake, Secured};
use crate::api::peer::{Certificates, Peer};
use crate::decide::Queue;
use crate::identity::NamedCertificate;
use crate::model::Clock;

/// How long a peer may take for the preface, the first bytes of HTTP/2. Until it is there no keepalive looks after the
/// connection, and peers that say nothing would keep everyone else's places.
const PREFACE_TIMEOUT: Duration = Duration::from_secs(10);
/// RFC 9113, section 3.4: `PRI * HTTP/2.0` and so on.
const PREFACE_BYTES: usize = 24;

/// A connection that is taken and not yet served, so that any runtime can serve it.
pub struct Taken {
    /// Non-blocking.
    pub(super) socket: net::TcpStream,
    pub(super) place: OwnedSemaphorePermit,
    /// `None`: plaintext.
    pub(super) handshake: Option<Handshake>,
    /// Tells when bytes come.
    pub(super) clock: Arc<dyn Clock>,
}

/// A connection that is being served.
pub struct Connection {
    stream: Stream,
    /// What is left of the preface, and when there is no more time for it.
    preface: Option<(usize, Pin<Box<Sleep>>)>,
    cut: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    _place: OwnedSemaphorePermit,
}

/// What the bytes go over.
enum Stream {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
}

impl Connection {
    /// Registers the connection with the runtime that this is called on, and shakes hands where it speaks TLS. Without a
    /// token its runtime is what is stopped: looking at a token that many threads share costs each of them something at
    /// every read.
    pub async fn open(taken: Taken, cut: Option<CancellationToken>, queue: Arc<Queue>) -> io::Result<Self> {
        let socket = Socket::new(TcpStream::from_std(taken.socket)?, queue, taken.clock);
        let stream = match taken.handshake {
            None => Stream::Plain(socket),
            Some(handshake) => Stream::Tls(Box::new(secured(handshake, socket).await?)),
        };
        Ok(Self {
            stream,
            preface: Some((PREFACE_BYTES, Box::pin(tokio::time::sleep(PREFACE_TIMEOUT)))),
            cut: cut.map(|cut| Box::pin(cut.cancelled_owned())),
            _place: taken.place,
        })
    }

    /// Why the connection ends now although its peer does not want that.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Option<ErrorKind> {
        if self.cut.as_mut().is_some_and(|cut| cut.as_mut().poll(context).is_ready()) {
            return Some(ErrorKind::ConnectionAborted);
        }
        let late = |(_, limit): &mut (usize, Pin<Box<Sleep>>)| limit.as_mut().poll(context).is_ready();
        self.preface.as_mut().is_some_and(late).then_some(ErrorKind::TimedOut)
    }

    fn note_read(&mut self, bytes: usize) {
        if let Some((left, _)) = &mut self.preface {
            *left = left.saturating_sub(bytes);
            if *left == 0 {
                self.preface = None;
            }
        }
    }
}

/// Shakes hands, and lets the peer be known by what it showed.
async fn secured(handshake: Handshake, socket: Socket) -> io::Result<TlsStream<Socket>> {
    let Secured { stream, certificates } = handshake.with(socket).await?;
    let own = certificates.first().and_then(|own| NamedCertificate::read(own));
    let known = own.map(NamedCertificate::into_caller);
    if let Some(certificates) = Certificates::shown(certificates, known) {
        stream.get_ref().0.peer().showed(certificates);
    }
    Ok(stream)
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        let socket = match &self.stream {
            Stream::Plain(socket) => socket,
            Stream::Tls(stream) => stream.get_ref().0,
        };
        socket.peer().clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(end) = self.poll_end(context) {
            return Poll::Ready(Err(end.into()));
        }
        let room = buffer.remaining();
        let read = match &mut self.stream {
            Stream::Plain(socket) => Pin::new(socket).poll_read(context, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        };
        self.note_read(room.saturating_sub(buffer.remaining()));
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(socket) => Pin::new(socket).poll_write(context, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    /// With it, HTTP/2 writes each answer of 256 bytes and more by itself, so as not to copy it. Answers here are about as
    /// long as that: to copy them is cheaper than to ask the kernel for each.
    fn is_write_vectored(&self) -> bool {
        false
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(socket) => Pin::new(socket).poll_flush(context),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(socket) => Pin::new(socket).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
