//! The calls that wait for a decision thread: how many are read ahead, and how long each may wait.
//!
//! What is not read yet waits with the operating system and costs nothing; what is read takes memory that the caches lack
//! elsewhere. So no more is read than keeps the thread busy.
//!
//! A queue that comes and goes is a burst, and waiting is the best that can be done with it. One that stays is a server that
//! is asked more than it can do: for all the waiting it answers no more, and everybody waits. So once a thread has had
//! calls to come to for a while, they may wait only a little, and those that waited longer are denied at once; that keeps
//! the queue, and the time of what is decided, short at any load. The idea is that of CoDel (K. Nichols, V. Jacobson:
//! Controlling Queue Delay, 2012), as servers use it (B. Maurer: Fail at Scale, 2015).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use super::Config;
use super::arrivals::Arrivals;
use crate::model::duration::nanos;

/// Where all calls waited too long for a standing queue, one in so many is decided nevertheless.
const ONE_IN: usize = 8;
/// In runs of so many: what is done again and again is in the nearest caches.
const RUN: usize = 16;
/// A turn is over when its reads have cost so much. A read brings a dozen calls or so.
const TURN: u32 = 8;
/// What a read costs whose calls are to be decided.
const DECIDED: u32 = 2;
/// What a read costs whose calls came too long ago: they are denied, in half the time.
const DENIED: u32 = 1;
/// A thread that asks the system what there is to do, and is told at once, has had no pause.
const A_MOMENT: Duration = Duration::from_micros(20);
/// A thread is busy when its pauses are less than a tenth of the time.
const WEIGHT_OF_A_PAUSE: u32 = 10;
/// However long it was busy, the tenth part of this without anything to do ends it.
const REMEMBERED: Duration = Duration::from_secs(1);

/// The calls of one thread. Others may look at it, and only the thread itself changes it.
#[derive(Debug)]
pub struct Queue {
    /// Calls that are read and wait for their turn, at most; but what one read brought is all taken.
    read_ahead: usize,
    /// How long any call may wait.
    max_delay: Duration,
    /// How long a call may wait while the thread is busy.
    standing_delay: Duration,
    waiting: AtomicUsize,
    /// When the thread last had come to all that it knew of: nanoseconds of the monotonic clock.
    paused_at: AtomicU64,
    /// When the thread last had nothing to do: nanoseconds of the monotonic clock.
    idle_at: AtomicU64,
    /// Since when the thread has had hardly a pause: nanoseconds of the monotonic clock.
    busy_since: AtomicU64,
    /// How long it takes the thread to come to all that it has read: nanoseconds.
    round: AtomicU64,
    line: Mutex<Line>,
    /// How many stand in line.
    standing: AtomicUsize,
    /// Calls in a row that had waited too long for a standing queue.
    late: AtomicUsize,
}

/// Readers that wait until there is room for more calls, by their tickets. They come in turn, so that none of them takes
/// all the room; and each turn takes about as long as any other.
#[derive(Debug, Default)]
struct Line {
    readers: BTreeMap<u64, Waker>,
    next: u64,
}

/// A call that waits for its turn; dropped when that comes.
#[derive(Debug)]
pub struct Waiting(Arc<Queue>);

/// Since when a call waits, on the monotonic clock, and where.
#[derive(Clone, Copy, Debug)]
pub struct Waited<'a> {
    pub since: Duration,
    /// When it was read.
    pub read: Duration,
    pub queue: &'a Queue,
}

/// Whether there is room for another call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    Free,
    /// There is none for this reader: from now on it stands in line.
    Full,
    /// It stands in line, and it is not its turn.
    Awaited,
}

/// Where a reader is.
struct Place {
    stands: bool,
    /// Nobody stands before it.
    is_first: bool,
    /// Whether others stand in line.
    others: bool,
}

/// Whoever reads calls from one connection.
#[derive(Debug)]
pub struct Reader {
    queue: Arc<Queue>,
    /// Its number in the line, until its turn is over.
    ticket: Option<u64>,
    /// What it has read in this turn, by its cost.
    spent: u32,
    arrivals: Arrivals,
}

/// One without a bound.
impl Default for Queue {
    fn default() -> Self {
        Self::new(usize::MAX, &Config::default())
    }
}

impl Queue {
    pub fn new(read_ahead: usize, config: &Config) -> Self {
        Self {
            read_ahead,
            max_delay: config.max_queue_delay,
            standing_delay: config.standing_queue_delay.min(config.max_queue_delay),
            waiting: AtomicUsize::new(0),
            paused_at: AtomicU64::new(0),
            idle_at: AtomicU64::new(0),
            busy_since: AtomicU64::new(0),
            round: AtomicU64::new(0),
            line: Mutex::default(),
            standing: AtomicUsize::new(0),
            late: AtomicUsize::new(0),
        }
    }

    /// The thread has come to all that it knows of, and asks the system for more.
    pub fn note_pause(&self, now: Duration) {
        self.paused_at.store(nanos(now), Ordering::Relaxed);
        self.dissolve();
    }

    /// There is more to do.
    pub fn note_resumed(&self, now: Duration) {
        let paused = now.saturating_sub(Duration::from_nanos(self.paused_at.load(Ordering::Relaxed)));
        if paused < A_MOMENT {
            return;
        }
        self.idle_at.store(nanos(now), Ordering::Relaxed);
        let earliest = now.saturating_sub(REMEMBERED);
        let since = self.busy_since().max(earliest).saturating_add(paused.saturating_mul(WEIGHT_OF_A_PAUSE));
        self.busy_since.store(nanos(since.min(now)), Ordering::Relaxed);
    }

    /// When the thread last had nothing to do.
    fn idle_at(&self) -> Duration {
        Duration::from_nanos(self.idle_at.load(Ordering::Relaxed))
    }

    /// Since when the thread has had hardly a pause.
    fn busy_since(&self) -> Duration {
        Duration::from_nanos(self.busy_since.load(Ordering::Relaxed))
    }

    /// The thread came to a call this long after it was read.
    fn note_round(&self, round: Duration) {
        self.round.store(nanos(round), Ordering::Relaxed);
    }

    /// How long it takes the thread to come to all that it has read.
    fn round(&self) -> Duration {
        Duration::from_nanos(self.round.load(Ordering::Relaxed))
    }

    /// A call was read, and waits.
    pub fn enter(self: &Arc<Self>) -> Waiting {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(Arc::clone(self))
    }

    /// When so many ask that all are late, to deny them all would serve nobody.
    fn picks_one_of_the_late(&self) -> bool {
        self.late.fetch_add(1, Ordering::Relaxed) / RUN % ONE_IN == ONE_IN - 1
    }

    /// A call need not be picked where others are in time.
    fn note_in_time(&self) {
        self.late.store(0, Ordering::Relaxed);
    }

    fn has_room(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) < self.read_ahead
    }

    /// When half of those that waited have had their turn, the first reader has its own.
    fn leave(&self) {
        let waited = self.waiting.fetch_sub(1, Ordering::Relaxed);
        if waited == 1 || waited == self.read_ahead.div_ceil(2) {
            self.call();
        }
    }

    /// Calls the first reader, which leaves the line when it reads.
    // INVARIANT: while readers stand in line, calls wait, of which one will call the first, or that has been called, or the
    // thread comes to a pause.
    fn call(&self) {
        if self.standing.load(Ordering::Relaxed) == 0 {
            return;
        }
        let first = self.line().readers.first_key_value().map(|(_, reader)| reader.clone());
        if let Some(reader) = first {
            reader.wake();
        }
    }

    /// Whoever was called did not read: its connection may be stuck in writing. Nobody else is to wait for that.
    fn dissolve(&self) {
        if self.standing.load(Ordering::Relaxed) == 0 {
            return;
        }
        let readers = std::mem::take(&mut self.line().readers);
        self.standing.store(0, Ordering::Relaxed);
        readers.into_values().for_each(Waker::wake);
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reader {
    pub fn new(queue: Arc<Queue>) -> Self {
        Self { queue, ticket: None, spent: 0, arrivals: Arrivals::default() }
    }

    /// Whether another call may be read. Otherwise the reader stands in line, and is woken when it is its turn.
    pub fn room(&mut self, context: &Context<'_>) -> Room {
        let Place { stands, is_first, others } = self.place();
        if stands && !is_first {
            return Room::Awaited;
        }
        let had_turn = others && self.spent >= TURN;
        if self.queue.has_room() && !had_turn && (is_first || self.spent > 0) {
            self.leave_line();
            return Room::Free;
        }
        if stands {
            return Room::Awaited;
        }
        if had_turn {
            (self.ticket, self.spent) = (None, 0);
        }
        self.stand(context.waker());
        if self.queue.has_room() {
            self.queue.call();
        }
        Room::Full
    }

    fn place(&self) -> Place {
        if self.queue.standing.load(Ordering::Relaxed) == 0 {
            return Place { stands: false, is_first: true, others: false };
        }
        let ticket = self.ticket.unwrap_or(u64::MAX);
        let line = self.queue.line();
        let stands = line.readers.contains_key(&ticket);
        let is_first = line.readers.range(..ticket).next().is_none();
        Place { stands, is_first, others: line.readers.len() > usize::from(stands) }
    }

    /// One whose turn is not over, because there was no more room, keeps its place.
    fn stand(&mut self, waker: &Waker) {
        let mut line = self.queue.line();
        let ticket = self.ticket.unwrap_or(line.next);
        line.next = line.next.max(ticket.saturating_add(1));
        line.readers.insert(ticket, waker.clone());
        self.ticket = Some(ticket);
        self.queue.standing.store(line.readers.len(), Ordering::Relaxed);
    }

    fn leave_line(&self) {
        let Some(ticket) = self.ticket else { return };
        let mut line = self.queue.line();
        line.readers.remove(&ticket);
        self.queue.standing.store(line.readers.len(), Ordering::Relaxed);
    }

    /// So many bytes are there, and there is no room for them.
    pub fn note_unread(&mut self, now: Duration, unread: u64) {
        self.arrivals.note_unread(now, unread, self.queue.round());
    }

    /// Bytes are read, and nothing is left if that `drained` the connection. When the first of them came, about.
    pub fn note_read(&mut self, now: Duration, bytes: u64, drained: bool) -> Duration {
        let came = self.arrivals.note_read(now, bytes, drained, self.queue.round());
        // If the thread has been idle since, it was they that woke it.
        let came = came.max(self.queue.idle_at());
        let in_time = now.saturating_sub(came) <= self.queue.standing_delay;
        self.spent = self.spent.saturating_add(if in_time { DECIDED } else { DENIED });
        if drained {
            self.drained();
        }
        came
    }

    /// There is nothing left to read for now: it is the next one's turn.
    pub fn drained(&mut self) {
        (self.ticket, self.spent) = (None, 0);
        if self.queue.has_room() {
            self.queue.call();
        }
    }
}

/// Nobody behind it waits for one that is gone.
impl Drop for Reader {
    fn drop(&mut self) {
        self.leave_line();
        self.queue.call();
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl Waited<'_> {
    /// Whether it has waited longer than it may, now that the thread has come to it.
    pub(super) fn too_long(self, now: Duration) -> bool {
        let Queue { max_delay, standing_delay, .. } = *self.queue;
        self.queue.note_round(now.saturating_sub(self.read));
        let waited = now.saturating_sub(self.since);
        if waited <= standing_delay {
            self.queue.note_in_time();
            return false;
        }
        let is_standing = now.saturating_sub(self.queue.busy_since()) > max_delay;
        waited > max_delay || is_standing && !self.queue.picks_one_of_the_late()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// The thread has nothing to do from one moment to another.
    fn idle(queue: &Queue, from: Duration, until: Duration) {
        queue.note_pause(from);
        queue.note_resumed(until);
    }

    #[test]
    fn a_burst_may_wait_long_and_a_standing_queue_a_little() {
        let config = Config { max_queue_delay: ms(100), standing_queue_delay: ms(10), ..Config::default() };
        let queue = Queue::new(1, &config);
        idle(&queue, ms(500), ms(1_000));
        let too_long =
            |now, waited| Waited { since: ms(now) - waited, read: ms(now), queue: &queue }.too_long(ms(now));
        assert!(!too_long(1_090, ms(90)), "a burst");
        assert!(too_long(1_200, ms(101)), "nobody waits so long");
        assert!(!too_long(1_101, ms(10)), "short enough for any queue");
        assert!(too_long(1_101, ms(11)), "the queue stands");
        let rounds = RUN * ONE_IN;
        let denied = (1..rounds * 3).filter(|_| too_long(1_101, ms(99))).count();
        assert_eq!(denied, (rounds - RUN) * 3 - 1, "all but one in eight");
        for _ in 1..rounds {
            assert!(too_long(1_101, ms(99)), "unless others are decided");
            assert!(!too_long(1_101, ms(10)));
        }
        idle(&queue, ms(1_102), ms(1_140));
        assert!(!too_long(1_150, ms(48)), "it is gone");
    }

    #[test]
    fn a_bound_of_nothing_lets_nobody_wait() {
        let config = Config { max_queue_delay: ms(0), ..Config::default() };
        let queue = Queue::new(1, &config);
        idle(&queue, ms(0), ms(5));
        assert!(Waited { since: ms(5), read: ms(5), queue: &queue }.too_long(ms(6)));
        assert!(!Waited { since: ms(6), read: ms(6), queue: &queue }.too_long(ms(6)));
    }

    #[test]
    fn a_thread_is_busy_while_its_pauses_are_less_than_a_tenth_of_the_time() {
        let queue = Queue::new(1, &Config::default());
        let busy_at = |now| ms(now).saturating_sub(queue.busy_since());
        idle(&queue, ms(5_000), ms(6_000));
        assert_eq!((busy_at(6_000), queue.idle_at()), (ms(0), ms(6_000)));
        queue.note_pause(ms(6_050));
        queue.note_resumed(ms(6_050) + A_MOMENT / 2);
        assert_eq!((busy_at(6_100), queue.idle_at()), (ms(100), ms(6_000)), "that was none");
        for now in (6_100..6_200).step_by(10) {
            idle(&queue, ms(now), ms(now) + Duration::from_micros(500));
        }
        assert_eq!(busy_at(6_200), ms(150), "half of a tenth");
        for now in (6_200..6_400).step_by(10) {
            idle(&queue, ms(now), ms(now + 2));
        }
        assert_eq!(busy_at(6_392), ms(0), "a fifth");
        idle(&queue, ms(99_000), ms(99_050));
        assert_eq!(busy_at(99_050), ms(500), "what was long ago is forgotten");
    }

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    struct Asking {
        reader: Reader,
        woken: Arc<Woken>,
    }

    impl Asking {
        fn of(queue: &Arc<Queue>) -> Self {
            Self { reader: Reader::new(Arc::clone(queue)), woken: Arc::default() }
        }

        fn room(&mut self) -> Room {
            let waker = Waker::from(Arc::clone(&self.woken));
            self.reader.room(&Context::from_waker(&waker))
        }

        /// Whether there was room, and it has read.
        fn reads(&mut self) -> bool {
            let free = self.room() == Room::Free;
            if free {
                self.reader.note_read(ms(9_000), 1, false);
            }
            free
        }

        /// Whether it was called since it was asked for this last.
        fn called(&self) -> bool {
            self.woken.0.swap(0, Ordering::Relaxed) > 0
        }
    }

    fn asking(queue: &Arc<Queue>) -> [Asking; 3] {
        [(); 3].map(|()| Asking::of(queue))
    }

    fn called(asking: &[Asking; 3]) -> [bool; 3] {
        asking.each_ref().map(Asking::called)
    }

    fn enter(queue: &Arc<Queue>, calls: usize) -> Vec<Waiting> {
        (0..calls).map(|_| queue.enter()).collect()
    }

    #[test]
    fn reading_stops_at_the_bound_and_goes_on_at_half_of_it() {
        let queue = Arc::new(Queue::new(4, &Config::default()));
        let mut reader = Asking::of(&queue);
        let mut waiting = enter(&queue, 3);
        assert!(reader.reads());
        waiting.extend(enter(&queue, 1));
        assert_eq!([(); 3].map(|()| reader.room()), [Room::Full, Room::Awaited, Room::Awaited]);
        waiting.truncate(2);
        assert!(!reader.called(), "not yet");
        waiting.truncate(1);
        assert!(reader.called());
        assert!(reader.reads());
        waiting.extend(enter(&queue, 9));
        assert!(!reader.reads());
        drop(waiting);
        assert!(reader.called());
    }

    #[test]
    fn readers_come_in_turn() {
        let queue = Arc::new(Queue::new(4, &Config::default()));
        let mut waiting = enter(&queue, 4);
        let mut readers = asking(&queue);
        assert!(!readers[0].reads() && !readers[1].reads());
        waiting.truncate(2);
        assert_eq!(called(&readers), [false; 3]);
        waiting.truncate(1);
        assert_eq!(called(&readers), [true, false, false]);
        assert!(!readers[2].reads(), "there is room, and others were here before");
        assert!(!readers[1].reads(), "also if it asks");
        assert!(readers[0].reads());
        readers[0].reader.drained();
        assert!(readers[1].called() && !readers[2].called(), "what the first had left");
        assert!(!readers[0].reads(), "behind the others again");
        assert!(readers[1].reads());
        readers[1].reader.drained();
        assert!(readers[2].reads());
        readers[2].reader.drained();
        assert!(readers[0].reads());
        readers[0].reader.drained();
        assert!(Asking::of(&queue).reads(), "nobody stands in line");
    }

    #[test]
    fn a_turn_takes_about_as_long_as_any_other() {
        let queue = Arc::new(Queue::new(100, &Config::default()));
        let mut waiting = enter(&queue, 100);
        let mut readers = asking(&queue);
        assert!(!readers[0].reads() && !readers[1].reads());
        waiting.truncate(49);
        assert_eq!((0..9).filter(|_| readers[0].reads()).count(), 4, "they are decided");
        assert_eq!(called(&readers), [true, true, false], "there is room for others");
        // What is read now may have come any time within the last seconds.
        queue.note_round(ms(5_000));
        assert_eq!((0..9).filter(|_| readers[1].reads()).count(), 8, "they are denied");
        assert_eq!(called(&readers), [true, false, false]);
        drop(readers);
        let mut alone = Asking::of(&queue);
        assert!((0..100).all(|_| alone.reads()), "nobody else stands in line");
    }

    #[test]
    fn a_turn_that_is_not_over_goes_on_when_there_is_room() {
        let queue = Arc::new(Queue::new(4, &Config::default()));
        let mut waiting = enter(&queue, 4);
        let mut readers = asking(&queue);
        assert!(readers.iter_mut().all(|reader| !reader.reads()));
        for _ in 0..4 {
            waiting.truncate(1);
            assert_eq!(called(&readers), [true, false, false]);
            assert!(readers[0].reads());
            waiting.extend(enter(&queue, 3));
            assert!(!readers[0].reads());
        }
        waiting.truncate(1);
        assert!(!readers[0].reads(), "it is over");
        assert!(readers[1].reads());
    }

    #[test]
    fn a_reader_that_is_called_and_does_not_read_keeps_nobody_waiting() {
        let queue = Arc::new(Queue::new(4, &Config::default()));
        let waiting = enter(&queue, 4);
        let mut readers = asking(&queue);
        assert!(readers.iter_mut().all(|reader| !reader.reads()));
        drop(waiting);
        assert_eq!(called(&readers), [true, false, false]);
        queue.note_pause(ms(0));
        assert_eq!(called(&readers), [true; 3]);
        assert!(readers[2].reads() && readers[1].reads() && Asking::of(&queue).reads());
    }

    #[test]
    fn readers_that_go_keep_nobody_waiting() {
        let queue = Arc::new(Queue::new(4, &Config::default()));
        let mut waiting = enter(&queue, 4);
        let [mut first, mut gone, mut last] = asking(&queue);
        assert!(!first.reads() && !gone.reads() && !last.reads());
        waiting.truncate(1);
        assert!(first.called());
        drop(gone);
        assert!(!last.called());
        drop(first);
        assert!(last.called());
        assert!(last.reads());
        last.reader.drained();
        assert_eq!(queue.standing.load(Ordering::Relaxed), 0);
    }
}
