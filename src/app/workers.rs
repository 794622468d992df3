//! Threads that only decide: one single-threaded runtime each, connections handed out in turn.
//!
//! A decision waits for nothing, so moving it between threads costs more than it brings; a runtime of its own for each
//! core carries about half as much again as one runtime over all of them. Whatever else the server does (following
//! the feed, writing records, management) runs on the main runtime and is scheduled by the operating system.

use std::pin::pin;
use std::sync::Arc;
use std::thread;

use anyhow::{Context, anyhow};
use futures::StreamExt;
use futures::future::select_all;
use futures::stream::FuturesUnordered;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::server::Connected;

use super::config::ServerConfig;
use super::connection::{Connection, Taken};
use super::listener::{KEEPALIVE_TIMEOUT, Listener};
use crate::api::Front;
use crate::decide::Queue;
use crate::model::Clock;

/// What the names of these threads begin with.
pub(super) const NAME: &str = "decide-";

/// Connections that a thread has not taken up yet; beyond this, others get them.
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
    hand_over: Vec<mpsc::Sender<Taken>>,
    ended: FuturesUnordered<oneshot::Receiver<anyhow::Result<()>>>,
}

/// A decision thread is not there any more.
#[derive(Debug, PartialEq, Eq)]
struct Gone;

impl Workers {
    /// Starts the threads. Zero of them means one for each core that this process may use.
    pub fn start(config: &ServerConfig, front: &Front, stop: &Stop) -> anyhow::Result<Self> {
        let threads = match config.decision_threads {
            0 => thread::available_parallelism()?.get(),
            threads => threads,
        };
        Self::spawn(threads, |connections| {
            let (front, stop, config) = (front.clone(), stop.clone(), config.clone());
            move || run(connections, &front, &config, &stop)
        })
    }

    fn spawn<W>(threads: usize, work: impl Fn(mpsc::Receiver<Taken>) -> W) -> anyhow::Result<Self>
    where
        W: FnOnce() -> anyhow::Result<()> + Send + 'static,
    {
        let mut workers = Self { hand_over: Vec::new(), ended: FuturesUnordered::new() };
        for number in 0..threads {
            let (hand_over, connections) = mpsc::channel(BACKLOG);
            let (tell, ended) = oneshot::channel();
            let (started, has_started) = std::sync::mpsc::channel();
            let work = work(connections);
            thread::Builder::new()
                .name(format!("{NAME}{number}"))
                // Policies are evaluated recursively, and Cedar wants room for it.
                .stack_size(8 * 1024 * 1024)
                .spawn(move || {
                    let _ = started.send(());
                    // Whoever started the threads has gone; there is nobody to tell.
                    let _ = tell.send(work());
                })
                .context("cannot start a decision thread")?;
            // It has its name now. Without a sender it has gone already, and `ended` says how.
            let _ = has_started.recv();
            workers.hand_over.push(hand_over);
            workers.ended.push(ended);
        }
        Ok(workers)
    }

    /// Accepts connections and hands them to the threads in turn, until told to drain; then waits for the threads.
    /// A thread that ends before that drains them all, and is an error.
    pub async fn serve(mut self, mut listener: Listener, drain: CancellationToken) -> anyhow::Result<()> {
        let served = tokio::select! {
            biased;
            () = drain.cancelled() => Ok(()),
            Some(result) = self.ended.next() => {
                Err(how(result).err().unwrap_or_else(|| anyhow!("a decision thread ended by itself")))
            }
            // The thread says itself why it is gone, unless it has not come to that yet.
            Gone = hand_out(&mut listener, &self.hand_over) => Err(anyhow!("a decision thread has gone")),
        };
        drain.cancel();
        drop((listener, self.hand_over));
        while let Some(result) = self.ended.next().await {
            let ended = how(result);
            if served.is_ok() {
                ended?;
            }
        }
        served
    }
}

fn how(ended: Result<anyhow::Result<()>, oneshot::error::RecvError>) -> anyhow::Result<()> {
    ended.context("a decision thread panicked")?
}

/// Hands out connections for as long as every thread is there.
async fn hand_out(listener: &mut Listener, threads: &[mpsc::Sender<Taken>]) -> Gone {
    let mut turn = 0;
    loop {
        let connection = listener.accept().await;
        if hand_over(threads, turn, connection).await.is_err() {
            return Gone;
        }
        turn = turn.wrapping_add(1).checked_rem(threads.len()).unwrap_or(0);
    }
}

/// Gives a connection to the thread whose turn it is, or to the next one that has room: a thread that is stuck holds
/// up nobody else's connections. Waits only when none has room.
async fn hand_over(threads: &[mpsc::Sender<Taken>], turn: usize, mut connection: Taken) -> Result<(), Gone> {
    for thread in threads.iter().cycle().skip(turn).take(threads.len()) {
        match thread.try_send(connection) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Full(back)) => connection = back,
            Err(TrySendError::Closed(_)) => return Err(Gone),
        }
    }
    let rooms = threads.iter().map(|thread| Box::pin(thread.reserve()));
    let (room, _, _) = select_all(rooms).await;
    room.map_err(|_| Gone)?.send(connection);
    Ok(())
}

fn run(
    connections: mpsc::Receiver<Taken>,
    front: &Front,
    config: &ServerConfig,
    stop: &Stop,
) -> anyhow::Result<()> {
    let queue = Arc::new(front.queue(config.read_ahead.get()));
    let runtime = runtime(Arc::clone(&queue), Arc::clone(front.clock()))?;
    // A cut drops this runtime and all that it serves.
    runtime.block_on(stop.cut.run_until_cancelled(serve(connections, front, config, &queue, &stop.drain)));
    Ok(())
}

/// One that tells the queue when it had nothing to do.
fn runtime(queue: Arc<Queue>, clock: Arc<dyn Clock>) -> std::io::Result<Runtime> {
    let (pausing, pausing_clock) = (Arc::clone(&queue), Arc::clone(&clock));
    Builder::new_current_thread()
        .enable_all()
        .on_thread_park(move || pausing.note_pause(pausing_clock.monotonic()))
        .on_thread_unpark(move || queue.note_resumed(clock.monotonic()))
        .build()
}

/// Serves connections until told to drain, or until nobody can hand over any more; then lets calls under way finish.
async fn serve(
    mut connections: mpsc::Receiver<Taken>,
    front: &Front,
    config: &ServerConfig,
    queue: &Arc<Queue>,
    drain: &CancellationToken,
) {
    let serving = http2(config);
    // Each connection looks at its token whenever it wakes. One that all threads share would cost each of them something.
    let draining = CancellationToken::new();
    let served = TaskTracker::new();
    while let Some(Some(taken)) = drain.run_until_cancelled(connections.recv()).await {
        served.spawn(serve_one(serving.clone(), front.clone(), taken, Arc::clone(queue), draining.clone()));
    }
    drop(connections);
    draining.cancel();
    served.close();
    served.wait().await;
}

async fn serve_one(
    serving: http2::Builder<TokioExecutor>,
    front: Front,
    taken: Taken,
    queue: Arc<Queue>,
    draining: CancellationToken,
) {
    let connection = match draining.run_until_cancelled(Connection::open(taken, None, queue)).await {
        Some(Ok(connection)) => connection,
        Some(Err(error)) => return tracing::debug!(%error, "a connection did not come about"),
        None => return,
    };
    let calls = front.connection(connection.connect_info());
    let mut serving = pin!(serving.serve_connection(TokioIo::new(connection), calls));
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = draining.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended with an error");
    }
}

/// How a connection is served: as those of other listeners are.
fn http2(config: &ServerConfig) -> http2::Builder<TokioExecutor> {
    let mut serving = http2::Builder::new(TokioExecutor::new());
    serving
        .timer(TokioTimer::new())
        // gRPC has no use for it.
        .auto_date_header(false)
        .max_concurrent_streams(config.max_concurrent_streams.get())
        .keep_alive_interval(config.keepalive)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT);
    serving
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::TcpStream;

    use super::*;
    use crate::model::SystemClock;

    const SOON: Duration = Duration::from_secs(20);

    async fn listener() -> Listener {
        let address = "127.0.0.1:0".parse().unwrap();
        let clock = Arc::new(SystemClock::new());
        Listener::bind("tests", address, &ServerConfig::default(), None, clock).await.unwrap()
    }

    /// Threads that do nothing until they are told to end, and the way to tell them.
    fn idle(threads: usize, result: fn() -> anyhow::Result<()>) -> (Workers, Vec<mpsc::Sender<()>>) {
        let tell = std::cell::RefCell::new(Vec::new());
        let workers = Workers::spawn(threads, |connections| {
            let (end, mut told) = mpsc::channel(1);
            tell.borrow_mut().push(end);
            move || {
                let _ = told.blocking_recv();
                drop(connections);
                result()
            }
        });
        (workers.unwrap(), tell.into_inner())
    }

    async fn taken(listener: &mut Listener) -> (TcpStream, Taken) {
        let peer = TcpStream::connect(listener.address()).await.unwrap();
        (peer, listener.accept().await)
    }

    #[tokio::test]
    async fn a_stuck_thread_holds_up_nobody_else() {
        let mut listener = listener().await;
        let (stuck, _held) = mpsc::channel(1);
        let (free, mut served) = mpsc::channel(BACKLOG);
        let threads = [stuck, free];
        for turn in [0, 1, 0, 1, 0] {
            let (_peer, connection) = taken(&mut listener).await;
            hand_over(&threads, turn, connection).await.unwrap();
        }
        for _ in 0..4 {
            assert!(served.try_recv().is_ok(), "all but the first went to the free thread");
        }
    }

    #[tokio::test]
    async fn when_all_threads_are_full_the_first_with_room_gets_the_connection() {
        let mut listener = listener().await;
        let (first, _held) = mpsc::channel(1);
        let (second, mut served) = mpsc::channel(1);
        let threads = [first, second];
        for _ in 0..2 {
            let (_peer, connection) = taken(&mut listener).await;
            hand_over(&threads, 0, connection).await.unwrap();
        }
        let (_peer, connection) = taken(&mut listener).await;
        let mut waiting = Box::pin(hand_over(&threads, 0, connection));
        assert!(futures::poll!(&mut waiting).is_pending());
        served.recv().await.unwrap();
        tokio::time::timeout(SOON, waiting).await.unwrap().unwrap();
        assert!(served.recv().await.is_some());
    }

    #[tokio::test]
    async fn a_thread_that_ends_before_its_time_stops_all_with_an_error() {
        for (result, says) in [
            ((|| Ok(())) as fn() -> anyhow::Result<()>, "ended by itself"),
            (|| Err(anyhow!("no memory")), "no memory"),
            (|| panic!("this test panics on purpose"), "panicked"),
        ] {
            let (workers, mut tell) = idle(2, result);
            let drain = CancellationToken::new();
            let serving = tokio::spawn(workers.serve(listener().await, drain.clone()));
            drop(tell.remove(0));
            tokio::time::timeout(SOON, drain.cancelled()).await.unwrap();
            drop(tell);
            let error = tokio::time::timeout(SOON, serving).await.unwrap().unwrap().unwrap_err();
            assert!(format!("{error:#}").contains(says), "{error:#}");
        }
    }

    #[tokio::test]
    async fn threads_that_end_after_the_drain_are_no_error() {
        let (workers, tell) = idle(2, || Ok(()));
        let drain = CancellationToken::new();
        let serving = tokio::spawn(workers.serve(listener().await, drain.clone()));
        drain.cancel();
        drop(tell);
        tokio::time::timeout(SOON, serving).await.unwrap().unwrap().unwrap();
    }
}
