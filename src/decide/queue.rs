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

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::Config;
use crate::model::duration::nanos;

/// Of the calls that waited too long for a standing queue, one in so many is decided nevertheless.
const ONE_IN: usize = 8;

/// The calls of one thread. Others may look at it, and only the thread itself changes it.
#[derive(Debug)]
pub struct Queue {
    /// Calls that are read and wait for their turn, at most; but what one read brought is all taken.
    read_ahead: usize,
    waiting: AtomicUsize,
    /// Since when the thread always has had something to do: nanoseconds of the monotonic clock.
    busy_since: AtomicU64,
    /// How long it takes the thread to come to all that it has read: nanoseconds.
    round: AtomicU64,
    line: Mutex<Line>,
    /// How many stand in line.
    standing: AtomicUsize,
    /// Calls that had waited too long for a standing queue.
    late: AtomicUsize,
}

/// Readers that wait until there is room for more calls. They come in turn, so that none of them takes all the room.
#[derive(Debug, Default)]
struct Line {
    /// Those that left before their turn are `None`.
    readers: VecDeque<Option<Waker>>,
    /// The ticket of the first of them. Those with lower ones have been called.
    first: u64,
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

/// Whoever reads calls from one connection.
#[derive(Debug)]
pub struct Reader {
    queue: Arc<Queue>,
    /// Its number in the line, until it has had its turn.
    ticket: Option<u64>,
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
            busy_since: AtomicU64::new(0),
            round: AtomicU64::new(0),
            line: Mutex::default(),
            standing: AtomicUsize::new(0),
            late: AtomicUsize::new(0),
        }
    }

    /// The thread had nothing to do until now.
    pub fn note_idle(&self, now: Duration) {
        self.busy_since.store(nanos(now), Ordering::Relaxed);
    }

    /// Since when the thread always has had something to do.
    pub fn busy_since(&self) -> Duration {
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
        self.late.fetch_add(1, Ordering::Relaxed) % ONE_IN == ONE_IN - 1
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

    /// Calls the next reader; and all of them where nothing waits any more. One that is called need not read: its peer may
    /// take no answers, and then the connection is stuck in writing. Nobody else is to wait for that.
    // INVARIANT: while readers stand in line some call waits, so that one that leaves will call them.
    fn call(&self) {
        if self.standing.load(Ordering::Relaxed) == 0 {
            return;
        }
        let is_idle = self.waiting.load(Ordering::Relaxed) == 0;
        let mut line = self.line();
        while let Some(reader) = line.readers.pop_front() {
            line.first = line.first.wrapping_add(1);
            self.standing.fetch_sub(1, Ordering::Relaxed);
            let Some(reader) = reader else { continue };
            reader.wake();
            if !is_idle {
                break;
            }
        }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reader {
    pub const fn new(queue: Arc<Queue>) -> Self {
        Self { queue, ticket: None }
    }

    /// Ready when another call may be read. Otherwise it stands in line, and is woken when it is its turn.
    pub fn poll_room(&mut self, context: &Context<'_>) -> Poll<()> {
        let called = match self.ticket {
            None => self.queue.standing.load(Ordering::Relaxed) == 0,
            Some(ticket) => ticket < self.queue.line().first,
        };
        if called && self.queue.has_room() {
            return Poll::Ready(());
        }
        if called || self.ticket.is_none() {
            self.ticket = Some(self.queue.line().stand(context.waker()));
            self.queue.standing.fetch_add(1, Ordering::Relaxed);
        }
        Poll::Pending
    }

    /// There is nothing left to read for now: it is the next one's turn.
    pub fn drained(&mut self) {
        if self.ticket.take().is_some() && self.queue.has_room() {
            self.queue.call();
        }
    }
}

/// Nobody behind it waits for one that is gone.
impl Drop for Reader {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else { return };
        let mut line = self.queue.line();
        let place = ticket.checked_sub(line.first).and_then(|place| usize::try_from(place).ok());
        match place.and_then(|place| line.readers.get_mut(place)) {
            Some(place) => *place = None,
            None => {
                drop(line);
                self.queue.call();
            }
        }
    }
}

impl Line {
    /// The ticket of one who stands at the end.
    fn stand(&mut self, reader: &Waker) -> u64 {
        self.readers.push_back(Some(reader.clone()));
        self.first.wrapping_add(self.readers.len() as u64).wrapping_sub(1)
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

    #[test]
    fn a_burst_may_wait_long_and_a_standing_queue_a_little() {
        let config = Config { max_queue_delay: ms(100), standing_queue_delay: ms(10), ..Config::default() };
        let queue = Queue::new(1);
        queue.note_idle(ms(1_000));
        let too_long = |now, waited| {
            Waited { since: ms(now) - waited, read: ms(now), queue: &queue }.too_long(ms(now), &config)
        };
        assert!(!too_long(1_090, ms(90)), "a burst");
        assert!(too_long(1_200, ms(101)), "nobody waits so long");
        assert!(!too_long(1_101, ms(10)), "short enough for any queue");
        assert!(too_long(1_101, ms(11)), "the queue stands");
        let denied = (1..ONE_IN * 3).filter(|_| too_long(1_101, ms(99))).count();
        assert_eq!(denied, (ONE_IN - 1) * 3 - 1, "all but one in eight");
        queue.note_idle(ms(1_102));
        assert!(!too_long(1_150, ms(48)), "it is gone");
    }

    #[test]
    fn a_bound_of_nothing_lets_nobody_wait() {
        let config = Config { max_queue_delay: ms(0), ..Config::default() };
        let queue = Queue::new(1);
        queue.note_idle(ms(5));
        assert!(Waited { since: ms(5), read: ms(5), queue: &queue }.too_long(ms(6), &config));
        assert!(!Waited { since: ms(6), read: ms(6), queue: &queue }.too_long(ms(6), &config));
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

        fn may_read(&mut self) -> bool {
            let waker = Waker::from(Arc::clone(&self.woken));
            self.reader.poll_room(&Context::from_waker(&waker)).is_ready()
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
        for _ in 0..3 {
            assert!(!reader.may_read());
        }
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
    fn a_reader_that_is_called_and_does_not_read_keeps_nobody_waiting() {
        let queue = Arc::new(Queue::new(4));
        let mut waiting = enter(&queue, 4);
        let [mut stuck, mut second, mut third] = [(); 3].map(|()| Asking::of(&queue));
        assert!(!stuck.may_read() && !second.may_read() && !third.may_read());
        waiting.truncate(1);
        assert_eq!((stuck.woken(), second.woken(), third.woken()), (1, 0, 0));
        drop(waiting);
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
    }
}
