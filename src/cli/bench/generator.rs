//! The load itself: threads with connections, and tasks that ask over them.
//!
//! Each thread has a single-threaded runtime of its own, so that a call is never handed from one thread to another.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tracing::subscriber::NoSubscriber;

use super::body::{Body, Message};
use super::machine::{Sample, Usage};
use super::pace::{Arrivals, Pace};
use super::tally::Tally;
use super::{Mode, report, streaming, tell};
use crate::api::dial::Dialer;
use crate::api::load::{LoadConnection, LoadError};
use crate::model::{Clock, Secret};

/// How the server is asked.
#[derive(Clone, Debug)]
pub struct Load {
    pub mode: Mode,
    pub pace: Pace,
    pub connections: usize,
    /// On each connection.
    pub concurrency: usize,
    pub threads: usize,
    /// How late a question may be asked; `None`: however late.
    pub give_up_after: Option<Duration>,
    pub warmup: Duration,
    pub duration: Duration,
    pub seed: u64,
}

/// Asks.
pub struct Generator {
    pub dialer: Dialer,
    pub rpc: String,
    pub key: Option<Secret>,
    pub bodies: Arc<[Body]>,
    pub load: Load,
    pub clock: Arc<dyn Clock>,
}

/// What came of it.
#[derive(Debug)]
pub struct Measured {
    pub tally: Tally,
    pub duration: Duration,
    /// Absent where the system does not tell.
    pub usage: Option<Usage>,
}

/// The time that counts, on the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub begin: Duration,
    pub end: Duration,
}

impl Window {
    pub fn contains(&self, at: Duration) -> bool {
        (self.begin..self.end).contains(&at)
    }
}

/// How long calls that were under way at the end may still take.
const GRACE: Duration = Duration::from_secs(5);

impl Generator {
    /// Connects, asks for the time of the warm-up and of the measurement, and adds up.
    pub async fn run(&self, pid: Option<u32>, progress: bool) -> anyhow::Result<Measured> {
        stay_silent();
        let (start, started) = watch::channel(None);
        let (ready, mut readiness) = mpsc::unbounded_channel();
        let mut gangs = Vec::new();
        let mut threads = Vec::new();
        for number in 0..self.load.threads {
            let gang = Arc::new(self.gang(number)?);
            threads.push(gang.start(ready.clone(), started.clone())?);
            gangs.push(gang);
        }
        for _ in &threads {
            readiness.recv().await.context("a thread of the generator ended early")??;
        }
        let begin = self.clock.monotonic() + self.load.warmup;
        let window = Window { begin, end: begin + self.load.duration };
        start.send(Some(window))?;
        let usage = self.watch(window, &gangs, pid, progress).await;
        let joined = tokio::task::spawn_blocking(move || threads.into_iter().map(JoinHandle::join).collect());
        let ended: Vec<thread::Result<()>> = joined.await?;
        if ended.iter().any(Result::is_err) {
            return Err(anyhow!("a thread of the generator panicked"));
        }
        let mut tally = Tally::new()?;
        gangs.iter().try_for_each(|gang| tally.add(&gang.tally()))?;
        Ok(Measured { tally, duration: self.load.duration, usage })
    }

    fn gang(&self, number: usize) -> anyhow::Result<Gang> {
        let Load { connections, threads, .. } = self.load;
        let share = connections / threads + usize::from(number < connections % threads);
        Ok(Gang {
            number,
            dialer: self.dialer.clone(),
            rpc: self.rpc.clone(),
            key: self.key.clone(),
            bodies: Arc::clone(&self.bodies),
            // Each begins elsewhere, so that they do not ask the same at the same time.
            next: AtomicUsize::new(number * self.bodies.len() / threads),
            load: Load { connections: share, ..self.load.clone() },
            all_connections: connections,
            clock: Arc::clone(&self.clock),
            tally: Mutex::new(Tally::new()?),
        })
    }

    /// Waits for the end, telling how it goes, and looks at the CPU at both ends of the window.
    async fn watch(
        &self,
        window: Window,
        gangs: &[Arc<Gang>],
        pid: Option<u32>,
        progress: bool,
    ) -> Option<Usage> {
        self.sleep_until(window.begin).await;
        let before = Sample::take(pid);
        let (mut at, mut calls) = (window.begin, 0);
        while at < window.end {
            at = window.end.min(at + Duration::from_secs(1));
            self.sleep_until(at).await;
            if progress && let Ok(mut sum) = Tally::new() {
                let added = gangs.iter().try_for_each(|gang| sum.add(&gang.tally()));
                if added.is_ok() {
                    tell(&report::progress(at - window.begin, sum.calls - calls, &sum));
                }
                calls = sum.calls;
            }
        }
        let after = Sample::take(pid);
        Some(Usage::between(&before?, &after?, self.load.duration))
    }

    async fn sleep_until(&self, at: Duration) {
        tokio::time::sleep(at.saturating_sub(self.clock.monotonic())).await;
    }
}

/// As long as nobody has said who hears of them, each span of the HTTP/2 stack is offered to the `log` crate, which costs
/// a generator 4 % of its time.
fn stay_silent() {
    // Somebody who hears of them already is as good.
    let _somebody_hears = tracing::subscriber::set_global_default(NoSubscriber::new());
}

/// What the tasks of one thread share.
pub struct Gang {
    number: usize,
    dialer: Dialer,
    rpc: String,
    key: Option<Secret>,
    bodies: Arc<[Body]>,
    next: AtomicUsize,
    /// With this thread's share of the connections.
    pub load: Load,
    pub all_connections: usize,
    pub clock: Arc<dyn Clock>,
    tally: Mutex<Tally>,
}

type Ready = mpsc::UnboundedSender<Result<(), LoadError>>;
type Started = watch::Receiver<Option<Window>>;

impl Gang {
    fn start(self: &Arc<Self>, ready: Ready, started: Started) -> anyhow::Result<JoinHandle<()>> {
        let gang = Arc::clone(self);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let name = format!("bench-{}", self.number);
        Ok(thread::Builder::new().name(name).spawn(move || runtime.block_on(gang.work(ready, started)))?)
    }

    async fn work(self: Arc<Self>, ready: Ready, mut started: Started) {
        let mut connections = Vec::new();
        for _ in 0..self.load.connections {
            match LoadConnection::open(&self.dialer, &self.rpc, self.key.as_ref()).await {
                Ok(connection) => connections.push(connection),
                // Nobody listens only when another thread has failed before.
                Err(error) => return drop(ready.send(Err(error))),
            }
        }
        if ready.send(Ok(())).is_err() {
            return;
        }
        let window = started.wait_for(Option::is_some).await.ok().and_then(|window| *window);
        let Some(window) = window else { return };
        match (self.load.mode, self.load.pace) {
            (Mode::Stream, _) => streaming::run(&self, connections, window).await,
            (_, Pace::Closed) => self.closed(connections, window).await,
            (_, Pace::Open { rate }) => self.open(&connections, rate, window).await,
        }
    }

    async fn closed(self: &Arc<Self>, connections: Vec<LoadConnection>, window: Window) {
        let mut workers = JoinSet::new();
        for connection in connections {
            for _ in 0..self.load.concurrency {
                workers.spawn(Arc::clone(self).ask_on(connection.clone(), window));
            }
        }
        while workers.join_next().await.is_some() {}
    }

    /// Asks one question after the other.
    async fn ask_on(self: Arc<Self>, mut connection: LoadConnection, window: Window) {
        loop {
            let asked = self.clock.monotonic();
            if asked >= window.end || !self.ask(&mut connection, asked, window, |_, now| now).await {
                return;
            }
        }
    }

    /// Asks the next question, and counts it if the moment that `counts` picks lies in the window. False when the
    /// connection is of no more use.
    async fn ask(
        &self,
        connection: &mut LoadConnection,
        due: Duration,
        window: Window,
        counts: fn(Duration, Duration) -> Duration,
    ) -> bool {
        let Some(Body { message: Message::Unary(framed), expected }) = self.next_body() else { return false };
        let answer = connection.call(framed.clone()).await;
        let now = self.clock.monotonic();
        let usable = answer.as_ref().err().is_none_or(LoadError::is_answer);
        if window.contains(counts(due, now)) {
            self.count(|tally| match &answer {
                Ok(answer) => tally.answered(now - due, expected.decisions(), expected.judge(answer)),
                Err(error) => tally.failed(error),
            });
        }
        usable
    }

    /// Asks whenever a question is due. Its time counts from then on, also while it waits here.
    async fn open(self: &Arc<Self>, connections: &[LoadConnection], rate: f64, window: Window) {
        #[expect(clippy::cast_precision_loss, reason = "a handful of threads")]
        let rate = rate / self.load.threads as f64;
        let seed = self.load.seed.wrapping_add(self.number as u64);
        let mut arrivals = Arrivals::new(rate, self.clock.monotonic(), seed);
        let places = Arc::new(Semaphore::new(self.load.concurrency * connections.len()));
        let mut calls = JoinSet::new();
        let mut turns = connections.iter().cycle();
        while arrivals.next() < window.end {
            let now = self.clock.monotonic();
            while calls.try_join_next().is_some() {}
            self.give_up(&mut arrivals, now, window);
            while let Ok(place) = Arc::clone(&places).try_acquire_owned()
                && let Some(due) = arrivals.take(now)
                && let Some(connection) = turns.next()
            {
                let (gang, mut connection) = (Arc::clone(self), connection.clone());
                calls.spawn(async move {
                    let _place = place;
                    gang.ask(&mut connection, due, window, |due, _| due).await
                });
            }
            if now >= window.end {
                break;
            }
            if places.available_permits() == 0 {
                // Whoever is due is due for a while; to look again and again would only take time from the server.
                let left = window.end.saturating_sub(now);
                let _ = tokio::time::timeout(left, places.acquire()).await;
                continue;
            }
            pause(arrivals.next().saturating_sub(now)).await;
        }
        let rest = tokio::time::timeout(GRACE, async { while calls.join_next().await.is_some() {} }).await;
        if rest.is_err() {
            self.count(|tally| tally.unanswered(calls.len() as u64, || "no answer in time".to_owned()));
        }
        self.count_unasked(&mut arrivals, window.end, window);
    }

    /// Gives up what found no place for too long.
    pub fn give_up(&self, arrivals: &mut Arrivals, now: Duration, window: Window) {
        if let Some(patience) = self.load.give_up_after {
            self.count_unasked(arrivals, now.saturating_sub(patience), window);
        }
    }

    /// Questions that were due by then and found no place. Those of the end would have waited at least until then.
    pub fn count_unasked(&self, arrivals: &mut Arrivals, by: Duration, window: Window) {
        let mut unasked = 0;
        while let Some(due) = arrivals.take(by) {
            unasked += u64::from(window.contains(due));
        }
        self.count(|tally| tally.unanswered(unasked, || "never asked: too many were in flight".to_owned()));
    }

    /// The next question in turn.
    pub fn next_body(&self) -> Option<&Body> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        self.bodies.get(turn % self.bodies.len().max(1))
    }

    pub fn count<T>(&self, note: impl FnOnce(&mut Tally) -> T) -> T {
        note(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn tally(&self) -> Tally {
        self.count(|tally| tally.clone())
    }
}

/// Waits, but not so long that the moment is missed: timers are coarse (a millisecond), so the last stretch is spent
/// looking at the connections again and again.
pub async fn pause(left: Duration) {
    const COARSE: Duration = Duration::from_millis(3);
    if left > COARSE {
        return tokio::time::sleep(left - COARSE).await;
    }
    // About a microsecond, in which a server on the other half of this core is not held up.
    for _ in 0..16 {
        std::hint::spin_loop();
    }
    tokio::task::yield_now().await;
}
