//! Threads that only decide: one single-threaded runtime each, connections handed out in turn.
//!
//! A decision waits for nothing, so moving it between threads costs more than it brings; a runtime of its own for each
//! core carries about half as much again as one runtime over all of them. Whatever else the server does (following
//! the feed, writing records, management) runs on the main runtime and is scheduled by the operating system.

use std::io;
use std::net::TcpStream;
use std::thread;

use anyhow::Context;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;

use super::listener::Listener;
use crate::api::layers::AuthenticateCallers;

/// Connections that a thread has not taken up yet; beyond this, the accepting task waits.
const BACKLOG: usize = 64;

/// When to stop.
#[derive(Clone, Default)]
pub struct Stop {
    /// Take no more connections, let calls under way finish.
    pub drain: CancellationToken,
    /// Wait no longer.
    pub cut: CancellationToken,
}

/// Threads, each with its own runtime, that serve the same routes.
pub struct Workers {
    hand_over: Vec<mpsc::Sender<TcpStream>>,
    ended: Vec<oneshot::Receiver<anyhow::Result<()>>>,
}

impl Workers {
    /// Starts the threads. Zero means one for each core that this process may use.
    pub fn start(
        threads: usize,
        routes: &Routes,
        gate: &AuthenticateCallers,
        stop: &Stop,
    ) -> anyhow::Result<Self> {
        let threads = if threads == 0 { thread::available_parallelism()?.get() } else { threads };
        let mut workers = Self { hand_over: Vec::new(), ended: Vec::new() };
        for number in 0..threads {
            let (hand_over, connections) = mpsc::channel(BACKLOG);
            let (tell, ended) = oneshot::channel();
            let (routes, gate, stop) = (routes.clone(), gate.clone(), stop.clone());
            thread::Builder::new()
                .name(format!("decide-{number}"))
                // Policies are evaluated recursively, and Cedar wants room for it.
                .stack_size(8 * 1024 * 1024)
                .spawn(move || {
                    let result = run(connections, routes, gate, &stop);
                    // Whoever started the threads has gone; there is nobody to tell.
                    let _ = tell.send(result);
                })
                .context("cannot start a decision thread")?;
            workers.hand_over.push(hand_over);
            workers.ended.push(ended);
        }
        Ok(workers)
    }

    /// Accepts connections and hands them to the threads in turn, until told to drain; then waits for the threads.
    pub async fn serve(self, listener: Listener, drain: CancellationToken) -> anyhow::Result<()> {
        let accepting = accept(listener, &self.hand_over);
        drain.run_until_cancelled(accepting).await;
        drop(self.hand_over);
        for ended in self.ended {
            ended.await.context("a decision thread panicked")??;
        }
        Ok(())
    }
}

async fn accept(listener: Listener, threads: &[mpsc::Sender<TcpStream>]) {
    for thread in threads.iter().cycle() {
        let connection = match listener.accept().await {
            Ok(connection) => connection,
            Err(error) => {
                // Out of file descriptors, or a client that has gone already: the next one may fare better.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::task::yield_now().await;
                continue;
            }
        };
        if thread.send(connection).await.is_err() {
            tracing::error!("a decision thread has ended; its connection is closed");
        }
    }
}

fn run(
    connections: mpsc::Receiver<TcpStream>,
    routes: Routes,
    gate: AuthenticateCallers,
    stop: &Stop,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let serving = async {
        let incoming = ReceiverStream::new(connections).map(into_async);
        let server = Server::builder().layer(gate);
        server.serve_with_incoming_shutdown(routes.prepare(), incoming, stop.drain.cancelled()).await
    };
    let ended = runtime.block_on(stop.cut.run_until_cancelled(serving));
    ended.unwrap_or(Ok(())).context("a decision thread failed")
}

/// Registers the connection with the runtime of the thread that will serve it.
fn into_async(connection: TcpStream) -> io::Result<tokio::net::TcpStream> {
    tokio::net::TcpStream::from_std(connection)
}
