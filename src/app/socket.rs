//! A socket that is read in turn: while its thread has enough to do, what comes waits here with the operating system.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::api::peer::Peer;
use crate::decide::{Queue, Reader, Room};
use crate::model::Clock;

/// One end of a TCP connection.
pub struct Socket {
    tcp: TcpStream,
    peer: Peer,
    reader: Reader,
    /// Tells when bytes come.
    clock: Arc<dyn Clock>,
}

impl Socket {
    /// A socket whose calls wait in that queue for their turn.
    pub fn new(tcp: TcpStream, queue: Arc<Queue>, clock: Arc<dyn Clock>) -> Self {
        let peer = Peer::new(tcp.peer_addr().ok(), Arc::clone(&queue));
        Self { tcp, peer, reader: Reader::new(queue), clock }
    }

    /// Whoever is at the other end.
    pub const fn peer(&self) -> &Peer {
        &self.peer
    }

    fn note_unread(&mut self) {
        // An error comes again when the socket is read.
        if let Ok(unread) = unread(&self.tcp) {
            self.reader.note_unread(self.clock.monotonic(), unread);
        }
    }

    fn note_read(&mut self, bytes: usize, room: usize) {
        if bytes == 0 {
            return self.reader.drained();
        }
        let now = self.clock.monotonic();
        let came = self.reader.note_read(now, bytes as u64, bytes < room);
        self.peer.note_read(now, came);
    }
}

/// How many bytes wait to be read.
#[cfg(unix)]
fn unread(socket: &TcpStream) -> io::Result<u64> {
    Ok(rustix::io::ioctl_fionread(socket)?)
}

/// How many bytes wait to be read: elsewhere nobody tells without reading them.
#[cfg(not(unix))]
fn unread(_: &TcpStream) -> io::Result<u64> {
    Err(io::ErrorKind::Unsupported.into())
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Only where something came there is something to wait for.
        ready!(self.tcp.poll_read_ready(context))?;
        match self.reader.room(context) {
            Room::Free => {}
            Room::Full => {
                self.note_unread();
                return Poll::Pending;
            }
            Room::Awaited => return Poll::Pending,
        }
        let room = buffer.remaining();
        let read = Pin::new(&mut self.tcp).poll_read(context, buffer);
        self.note_read(room.saturating_sub(buffer.remaining()), room);
        read
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}
