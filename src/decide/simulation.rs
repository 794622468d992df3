//! A decision thread in virtual time: connections with calls in their sockets, the tasks of a runtime with one thread, and
//! what deciding and refusing cost. The queue and its readers are the real ones.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::{Config, Queue, Reader, Room, Waited, Waiting};

const DECIDING: Duration = Duration::from_micros(14);
const REFUSING: Duration = Duration::from_micros(7);
/// What a runtime does between looks at its sockets.
const TASKS_BETWEEN_LOOKS: usize = 61;
const BYTES: u64 = 700;
/// As many as fit into the buffer of a read.
const CALLS_IN_A_READ: usize = 12;

/// What a thread can decide a second.
const CAPACITY: f64 = 1e6 / 14.0;

enum Task {
    Read(usize),
    Call { connection: usize, came: Duration, sent: Duration, read: Duration, place: Waiting },
}

/// A reader that is called becomes a task.
struct Called {
    connection: usize,
    all: Arc<Mutex<Vec<usize>>>,
}

impl Wake for Called {
    fn wake(self: Arc<Self>) {
        self.all.lock().unwrap().push(self.connection);
    }
}

struct Connection {
    /// When each call was sent that is not read.
    socket: VecDeque<Duration>,
    reader: Reader,
    /// Whether the runtime knows that there is something to read.
    ready: bool,
    waker: Waker,
}

/// What became of the calls of one connection.
#[derive(Clone, Debug, Default)]
struct Outcome {
    /// How long each took that was decided.
    decided: Vec<Duration>,
    denied: usize,
}

impl Outcome {
    fn share_denied(&self) -> f64 {
        self.denied as f64 / (self.denied + self.decided.len()) as f64
    }

    fn p99(&self) -> Duration {
        let mut sorted = self.decided.clone();
        sorted.sort_unstable();
        sorted[sorted.len() * 99 / 100]
    }
}

struct Thread {
    now: Duration,
    /// Calls that were sent before do not count.
    counts_from: Duration,
    queue: Arc<Queue>,
    connections: Vec<Connection>,
    called: Arc<Mutex<Vec<usize>>>,
    tasks: VecDeque<Task>,
    /// When each call is sent, and over which connection.
    calls: VecDeque<(Duration, usize)>,
    /// Until when each answer leads to another call.
    again_until: Duration,
    /// From a moment on the system lets others run for a while.
    stall: Option<(Duration, Duration)>,
    outcomes: Vec<Outcome>,
}

impl Thread {
    fn new(connections: usize, counts_from: Duration) -> Self {
        let queue = Arc::new(Queue::new(256, &Config::default()));
        let called = Arc::new(Mutex::new(Vec::new()));
        let connection = |connection| Connection {
            socket: VecDeque::new(),
            reader: Reader::new(Arc::clone(&queue)),
            ready: false,
            waker: Waker::from(Arc::new(Called { connection, all: Arc::clone(&called) })),
        };
        Self {
            now: Duration::ZERO,
            counts_from,
            connections: (0..connections).map(connection).collect(),
            queue,
            called,
            tasks: VecDeque::new(),
            calls: VecDeque::new(),
            again_until: Duration::ZERO,
            stall: None,
            outcomes: vec![Outcome::default(); connections],
        }
    }

    /// Runs until all calls are answered.
    fn run(mut self) -> Vec<Outcome> {
        let mut since_look = 0;
        loop {
            if let Some((_, lasts)) = self.stall.take_if(|(from, _)| *from <= self.now) {
                self.now += lasts;
            }
            self.deliver();
            if since_look >= TASKS_BETWEEN_LOOKS {
                since_look = 0;
                self.look();
            }
            self.take_called();
            if let Some(task) = self.tasks.pop_front() {
                since_look += 1;
                self.work(task);
                continue;
            }
            self.queue.note_pause(self.now);
            self.take_called();
            if self.tasks.is_empty() && self.connections.iter().all(|one| one.socket.is_empty()) {
                let Some((next, _)) = self.calls.front() else { return self.outcomes };
                self.now = self.now.max(*next);
                self.deliver();
            }
            self.now += Duration::from_micros(1);
            self.queue.note_resumed(self.now);
            self.look();
        }
    }

    fn deliver(&mut self) {
        while let Some((sent, connection)) = self.calls.pop_front_if(|(sent, _)| *sent <= self.now) {
            self.connections[connection].socket.push_back(sent);
        }
    }

    /// Asks the system which sockets can be read.
    fn look(&mut self) {
        for (number, connection) in self.connections.iter_mut().enumerate() {
            if !connection.ready && !connection.socket.is_empty() {
                connection.ready = true;
                self.tasks.push_back(Task::Read(number));
            }
        }
    }

    fn take_called(&mut self) {
        let called = std::mem::take(&mut *self.called.lock().unwrap());
        self.tasks.extend(called.into_iter().map(Task::Read));
    }

    fn work(&mut self, task: Task) {
        match task {
            Task::Read(number) => self.read(number),
            Task::Call { connection, came, sent, read, place } => {
                drop(place);
                let waited = Waited { since: came, read, queue: &self.queue };
                let late = waited.too_long(self.now);
                self.now += if late { REFUSING } else { DECIDING };
                if self.now < self.again_until {
                    self.calls.push_back((self.now, connection));
                }
                let outcome = &mut self.outcomes[connection];
                match late {
                    _ if sent < self.counts_from => {}
                    true => outcome.denied += 1,
                    false => outcome.decided.push(self.now - sent),
                }
            }
        }
    }

    fn read(&mut self, number: usize) {
        let connection = &mut self.connections[number];
        while connection.ready {
            match connection.reader.room(&Context::from_waker(&connection.waker)) {
                Room::Free => {}
                Room::Full => {
                    let unread = connection.socket.len() as u64 * BYTES;
                    return connection.reader.note_unread(self.now, unread);
                }
                Room::Awaited => return,
            }
            let drained = connection.socket.len() < CALLS_IN_A_READ;
            let calls = connection.socket.drain(..connection.socket.len().min(CALLS_IN_A_READ));
            let calls: Vec<_> = calls.collect();
            let bytes = calls.len() as u64 * BYTES;
            let came = connection.reader.note_read(self.now, bytes, drained);
            connection.ready = !drained;
            for sent in calls {
                let (read, place) = (self.now, self.queue.enter());
                self.tasks.push_back(Task::Call { connection: number, came, sent, read, place });
            }
        }
    }
}

/// Independent callers: so many a second, from a moment on, for a while, over these connections in turn.
fn poisson(
    rate: f64,
    from: Duration,
    lasts: Duration,
    over: std::ops::Range<usize>,
) -> Vec<(Duration, usize)> {
    let mut random = StdRng::seed_from_u64(7);
    let mut at = from;
    let mut calls = Vec::new();
    for connection in over.cycle() {
        at += Duration::from_secs_f64(-(1.0 - random.random::<f64>()).ln() / rate);
        if at > from + lasts {
            break;
        }
        calls.push((at, connection));
    }
    calls
}

fn run(connections: usize, mut calls: Vec<(Duration, usize)>, counts_from: Duration) -> Vec<Outcome> {
    calls.sort_unstable();
    let mut thread = Thread::new(connections, counts_from);
    thread.calls = calls.into();
    thread.run()
}

fn sum(outcomes: &[Outcome]) -> Outcome {
    outcomes.iter().fold(Outcome::default(), |mut sum, one| {
        sum.decided.extend(&one.decided);
        sum.denied += one.denied;
        sum
    })
}

const START: Duration = Duration::from_secs(1);
const LASTS: Duration = Duration::from_secs(2);
/// An overload is taken for a burst at first.
const SETTLED: Duration = Duration::from_millis(1_500);

#[test]
fn below_what_a_thread_can_do_nobody_is_denied() {
    let all = sum(&run(16, poisson(CAPACITY * 0.9, START, LASTS, 0..16), START));
    assert_eq!(all.denied, 0);
    assert!(all.p99() < Duration::from_millis(5), "{:?}", all.p99());
}

#[test]
fn a_thread_that_did_not_run_for_a_moment_denies_nobody() {
    let mut thread = Thread::new(4, START);
    thread.calls = (0..256).map(|number| (START, number % 4)).collect();
    thread.again_until = START + LASTS;
    thread.stall = Some((Duration::from_millis(2_500), Duration::from_millis(30)));
    let all = sum(&thread.run());
    assert!(all.decided.len() > 100_000, "it is saturated");
    assert_eq!(all.denied, 0);
}

#[test]
fn a_burst_that_takes_less_than_a_tenth_of_a_second_is_decided() {
    let burst = poisson(5_000_000.0, START, Duration::from_millis(1), 0..16);
    assert!(burst.len() > 4_500);
    assert_eq!(sum(&run(16, burst, START)).denied, 0);
}

#[test]
fn the_time_of_what_is_decided_stays_flat_at_any_load_that_can_be_refused() {
    for load in [1.1, 1.3, 1.5, 1.7] {
        for connections in [4, 16, 200] {
            let calls = poisson(CAPACITY * load, START, LASTS, 0..connections);
            let all = sum(&run(connections, calls, SETTLED));
            let per_second = all.decided.len() as f64 / (START + LASTS - SETTLED).as_secs_f64();
            // When the others are refused, in half the time.
            let possible = CAPACITY * (2.0 - load);
            let bound = Duration::from_millis(if connections < 100 { 22 } else { 40 });
            assert!(all.p99() < bound, "{load} over {connections}: {:?}", all.p99());
            assert!(per_second > possible * 0.95, "{load} over {connections}: {per_second} of {possible}");
        }
    }
}

#[test]
fn a_client_with_few_calls_is_served_beside_those_with_too_many() {
    for others in [1, 16] {
        let flood = poisson(CAPACITY * 1.5, START, LASTS, 0..others);
        let polite = poisson(500.0, START, LASTS, others..others + 1);
        let outcomes = run(others + 1, [flood, polite].concat(), SETTLED);
        let polite = &outcomes[others];
        assert!(sum(&outcomes[..others]).share_denied() > 0.4);
        assert!(polite.share_denied() < 0.01, "beside {others}: {}", polite.share_denied());
        assert!(polite.p99() < Duration::from_millis(20), "beside {others}: {:?}", polite.p99());
    }
}
