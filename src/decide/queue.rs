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
use crate::model::duration::nanos;

/// Of the calls that waited too long for a standing queue, one in so many is decided nevertheless.
const ONE_IN: usize = 8;
/// In runs of so many: what is done again and again is in the nearest caches.
const RUN: usize = 16;
/// How often a connection is read before it is another's turn: a read brings a dozen calls or so.
const READS_IN_A_TURN: u32 = 4;
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
    /// Calls that had waited too long for a standing queue.
    late: AtomicUsize,
}

/// Readers that wait until there is room for more calls, by their tickets. They come in turn, so that none of them takes
/// all the room.
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

/// Whoever reads calls from one connection.
#[derive(Debug)]
pub struct Reader {
    queue: Arc<Queue>,
    /// Its number in the line, until it has had its turn.
    ticket: Option<u64>,
    /// How often it has read in this turn.
    reads: u32,
}

/// One without a bound.
impl Default for Queue {
    fn default() -> Self {
        Self::new(usize::MAX)
    }
}

impl Queue {
    pub fn new(read_ahead: usize) -> Self {
        Self {
            read_ahead,
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
        self.call_all();
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
    pub fn idle_at(&self) -> Duration {
        Duration::from_nanos(self.idle_at.load(Ordering::Relaxed))
    }

    /// Since when the thread has had hardly a pause.
    fn busy_since(&self) -> Duration {
        Duration::from_nanos(self.busy_since.load(Ordering::Relaxed))
    }

    /// The thread came to a call this long after it was read.
    pub fn note_round(&self, round: Duration) {
        self.round.store(nanos(round), Ordering::Relaxed);
    }

    /// How long it takes the thread to come to all that it has read.
    pub fn round(&self) -> Duration {
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

    fn has_room(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) < self.read_ahead
    }

    /// When half of those that waited have had their turn, the next reader has its own.
    fn leave(&self) {
        let waited = self.waiting.fetch_sub(1, Ordering::Relaxed);
        if waited == 1 || waited == self.read_ahead.div_ceil(2) {
            self.call();
        }
    }

    /// Calls the next reader. One that is called need not read: its connection may be stuck in writing.
    // INVARIANT: while readers stand in line, calls wait, of which one will call them, or the thread comes to a pause.
    fn call(&self) {
        if self.standing.load(Ordering::Relaxed) == 0 {
            return;
        }
        let first = self.line().readers.pop_first();
        if let Some((_, reader)) = first {
            self.standing.fetch_sub(1, Ordering::Relaxed);
            reader.wake();
        }
    }

    /// Whoever was called before did not read, and nobody else is to wait for that.
    fn call_all(&self) {
        while self.standing.load(Ordering::Relaxed) > 0 {
            self.call();
        }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reader {
    pub const fn new(queue: Arc<Queue>) -> Self {
        Self { queue, ticket: None, reads: 0 }
    }

    /// Whether another call may be read. Otherwise the reader stands in line, and is woken when it is its turn.
    pub fn room(&mut self, context: &Context<'_>) -> Room {
        let others_stand = self.queue.standing.load(Ordering::Relaxed) > 0;
        let is_called = match self.ticket {
            None => self.reads > 0 || !others_stand,
            Some(ticket) => !self.queue.line().readers.contains_key(&ticket),
        };
        if !is_called && self.ticket.is_some() {
            return Room::Awaited;
        }
        let had_turn = others_stand && self.reads >= READS_IN_A_TURN;
        if is_called && !had_turn && self.queue.has_room() {
            self.reads = self.reads.saturating_add(1);
            return Room::Free;
        }
        self.stand(context.waker());
        if had_turn && self.queue.has_room() {
            self.queue.call();
        }
        Room::Full
    }

    /// One that was called when others had taken all the room keeps its place.
    fn stand(&mut self, waker: &Waker) {
        let kept = self.ticket.filter(|_| self.reads == 0);
        self.ticket = Some(self.queue.line().stand(kept, waker));
        self.reads = 0;
        self.queue.standing.fetch_add(1, Ordering::Relaxed);
    }

    /// There is nothing left to read for now: it is the next one's turn.
    pub fn drained(&mut self) {
        self.reads = 0;
        if self.ticket.take().is_some() && self.queue.has_room() {
            self.queue.call();
        }
    }
}

/// Nobody behind it waits for one that is gone.
impl Drop for Reader {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else { return };
        let stood = self.queue.line().readers.remove(&ticket).is_some();
        if stood {
            self.queue.standing.fetch_sub(1, Ordering::Relaxed);
        } else {
            self.queue.call();
        }
    }
}

impl Line {
    /// Lets a reader stand where its ticket says, or else at the end. Its ticket.
    fn stand(&mut self, ticket: Option<u64>, reader: &Waker) -> u64 {
        let ticket = ticket.unwrap_or(self.next);
        self.next = self.next.max(ticket.saturating_add(1));
        self.readers.insert(ticket, reader.clone());
        ticket
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl Waited<'_> {
    /// Whether it has waited longer than it may, now that the thread has come to it.
    pub(super) fn too_long(self, now: Duration, config: &Config) -> bool {
        self.queue.note_round(now.saturating_sub(self.read));
        let waited = now.saturating_sub(self.since);
        if waited <= config.standing_queue_delay.min(config.max_queue_delay) {
            return false;
        }
        let is_standing = now.saturating_sub(self.queue.busy_since()) > config.max_queue_delay;
        waited > config.max_queue_delay || is_standing && !self.queue.picks_one_of_the_late()
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
        let queue = Queue::new(1);
        idle(&queue, ms(500), ms(1_000));
        let too_long = |now, waited| {
            Waited { since: ms(now) - waited, read: ms(now), queue: &queue }.too_long(ms(now), &config)
        };
        assert!(!too_long(1_090, ms(90)), "a burst");
        assert!(too_long(1_200, ms(101)), "nobody waits so long");
        assert!(!too_long(1_101, ms(10)), "short enough for any queue");
        assert!(too_long(1_101, ms(11)), "the queue stands");
        let rounds = RUN * ONE_IN;
        let denied = (1..rounds * 3).filter(|_| too_long(1_101, ms(99))).count();
        assert_eq!(denied, (rounds - RUN) * 3 - 1, "all but one in eight");
        idle(&queue, ms(1_102), ms(1_140));
        assert!(!too_long(1_150, ms(48)), "it is gone");
    }

    #[test]
    fn a_bound_of_nothing_lets_nobody_wait() {
        let config = Config { max_queue_delay: ms(0), ..Config::default() };
        let queue = Queue::new(1);
        idle(&queue, ms(0), ms(5));
        assert!(Waited { since: ms(5), read: ms(5), queue: &queue }.too_long(ms(6), &config));
        assert!(!Waited { since: ms(6), read: ms(6), queue: &queue }.too_long(ms(6), &config));
    }

    #[test]
    fn a_thread_is_busy_while_its_pauses_are_less_than_a_tenth_of_the_time() {
        let queue = Queue::new(1);
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
    struct Counting(AtomicUsize);

    impl Wake for Counting {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    struct Asking {
        reader: Reader,
        woken: Arc<Counting>,
    }

    impl Asking {
        fn of(queue: &Arc<Queue>) -> Self {
            Self { reader: Reader::new(Arc::clone(queue)), woken: Arc::default() }
        }

        fn room(&mut self) -> Room {
            let waker = Waker::from(Arc::clone(&self.woken));
            self.reader.room(&Context::from_waker(&waker))
        }

        fn may_read(&mut self) -> bool {
            self.room() == Room::Free
        }

        fn woken(&self) -> usize {
            self.woken.0.load(Ordering::Relaxed)
        }
    }

    fn enter(queue: &Arc<Queue>, calls: usize) -> Vec<Waiting> {
        (0..calls).map(|_| queue.enter()).collect()
    }

    #[test]
    fn reading_stops_at_the_bound_and_goes_on_at_half_of_it() {
        let queue = Arc::new(Queue::new(4));
        let mut reader = Asking::of(&queue);
        let mut waiting = enter(&queue, 3);
        assert!(reader.may_read());
        waiting.extend(enter(&queue, 1));
        assert_eq!([(); 3].map(|()| reader.room()), [Room::Full, Room::Awaited, Room::Awaited]);
        waiting.truncate(2);
        assert_eq!(reader.woken(), 0, "not yet");
        waiting.truncate(1);
        assert_eq!(reader.woken(), 1, "and once, however often it asked");
        assert!(reader.may_read());
        waiting.extend(enter(&queue, 9));
        assert!(!reader.may_read());
        drop(waiting);
        assert_eq!(reader.woken(), 2);
    }

    #[test]
    fn readers_come_in_turn() {
        let queue = Arc::new(Queue::new(4));
        let mut waiting = enter(&queue, 4);
        let [mut first, mut second, mut third] = [(); 3].map(|()| Asking::of(&queue));
        assert!(!first.may_read() && !second.may_read());
        waiting.truncate(2);
        assert_eq!((first.woken(), second.woken()), (0, 0));
        waiting.truncate(1);
        assert_eq!((first.woken(), second.woken()), (1, 0));
        assert!(!third.may_read(), "there is room, and others were here before");
        assert!(first.may_read());
        waiting.extend(enter(&queue, 3));
        assert!(!first.may_read(), "behind the others again");
        waiting.truncate(1);
        assert_eq!((first.woken(), second.woken(), third.woken()), (1, 1, 0));
        assert!(second.may_read());
        second.reader.drained();
        assert_eq!(third.woken(), 1, "what the second had left");
        third.reader.drained();
        assert!(first.may_read());
        first.reader.drained();
        assert!(Asking::of(&queue).may_read(), "nobody stands in line");
    }

    #[test]
    fn a_turn_ends_after_some_reads_if_others_stand_in_line() {
        let queue = Arc::new(Queue::new(100));
        let mut waiting = enter(&queue, 100);
        let [mut first, mut second] = [(); 2].map(|()| Asking::of(&queue));
        assert!(!first.may_read() && !second.may_read());
        waiting.truncate(49);
        for _ in 0..READS_IN_A_TURN {
            assert!(first.may_read());
        }
        assert_eq!((first.room(), second.woken()), (Room::Full, 1), "there is room for others");
        for _ in 0..READS_IN_A_TURN {
            assert!(second.may_read());
        }
        assert_eq!((second.room(), first.woken()), (Room::Full, 2));
        drop(waiting);
        assert_eq!(second.woken(), 2);
        for _ in 0..READS_IN_A_TURN * 3 {
            assert!(second.may_read(), "nobody else stands in line");
        }
    }

    #[test]
    fn one_that_finds_no_room_when_it_is_called_keeps_its_place() {
        let queue = Arc::new(Queue::new(4));
        let mut waiting = enter(&queue, 4);
        let [mut first, mut second, mut third] = [(); 3].map(|()| Asking::of(&queue));
        assert!(!first.may_read() && !second.may_read() && !third.may_read());
        drop(waiting);
        queue.note_pause(ms(0));
        assert_eq!([&first, &second, &third].map(Asking::woken), [1; 3]);
        assert!(first.may_read());
        waiting = enter(&queue, 4);
        assert!(!first.may_read() && !third.may_read() && !second.may_read());
        waiting.truncate(1);
        assert_eq!([&first, &second, &third].map(Asking::woken), [1, 2, 1]);
        waiting.truncate(0);
        assert_eq!([&first, &second, &third].map(Asking::woken), [1, 2, 2]);
    }

    #[test]
    fn a_reader_that_is_called_and_does_not_read_keeps_nobody_waiting() {
        let queue = Arc::new(Queue::new(4));
        let mut waiting = enter(&queue, 4);
        let [mut stuck, mut second, mut third] = [(); 3].map(|()| Asking::of(&queue));
        assert!(!stuck.may_read() && !second.may_read() && !third.may_read());
        waiting.truncate(1);
        assert_eq!((stuck.woken(), second.woken(), third.woken()), (1, 0, 0));
        drop(waiting);
        queue.note_pause(ms(0));
        assert_eq!((second.woken(), third.woken()), (1, 1));
        assert!(third.may_read() && second.may_read() && Asking::of(&queue).may_read());
    }

    #[test]
    fn readers_that_go_keep_nobody_waiting() {
        let queue = Arc::new(Queue::new(4));
        let mut waiting = enter(&queue, 4);
        let [mut called, mut gone, mut last] = [(); 3].map(|()| Asking::of(&queue));
        assert!(!called.may_read() && !gone.may_read() && !last.may_read());
        waiting.truncate(1);
        assert_eq!(called.woken(), 1);
        drop(gone);
        assert_eq!(last.woken(), 0);
        drop(called);
        assert_eq!(last.woken(), 1);
        assert!(last.may_read());
        last.reader.drained();
        assert_eq!(queue.standing.load(Ordering::Relaxed), 0);
    }
}
