//! A listener: an address, bound before anything runs, and the routes it serves.

use std::net::{SocketAddr, TcpStream};

use anyhow::Context;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use crate::api::layers::AuthenticateCallers;

/// A bound socket. It takes connections from now on, and serves them once it runs.
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

impl Listener {
    pub async fn bind(name: &str, address: SocketAddr) -> anyhow::Result<Self> {
        let context = || format!("cannot listen for {name} at {address}; is another server running there?");
        let socket = TcpListener::bind(address).await.with_context(context)?;
        let address = socket.local_addr().with_context(context)?;
        Ok(Self { socket, address })
    }

    /// Where it really listens, when port 0 was asked for.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next connection, detached from this runtime so that another one can serve it.
    pub async fn accept(&self) -> std::io::Result<TcpStream> {
        let (connection, _) = self.socket.accept().await?;
        connection.set_nodelay(true)?;
        // It stays non-blocking, as the other runtime needs it.
        connection.into_std()
    }

    /// Serves until told to stop; then lets calls under way finish.
    pub async fn serve(
        self,
        routes: Routes,
        gate: AuthenticateCallers,
        stop: CancellationToken,
    ) -> Result<(), tonic::transport::Error> {
        let incoming = TcpIncoming::from(self.socket).with_nodelay(Some(true));
        Server::builder()
            .layer(gate)
            .add_routes(routes.prepare())
            .serve_with_incoming_shutdown(incoming, stop.cancelled_owned())
            .await
    }
}
