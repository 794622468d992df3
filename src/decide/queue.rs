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

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::Config;

/// The calls of one thread. Others may look at it, and only the thread itself changes it.
#[derive(Debug)]
pub struct Queue {
    /// Calls that are read and wait for their turn, at most; but what one read brought is all taken.
    read_ahead: usize,
    waiting: AtomicUsize,
    /// Since when the thread always has had something to do: nanoseconds of the monotonic clock.
    busy_since: AtomicU64,
    /// Those that have more to read, when there is room.
    readers: Mutex<Vec<Waker>>,
    /// How often all readers were told that there is room.
    told: AtomicU64,
}

/// A call that waits for its turn; dropped when that comes.
#[derive(Debug)]
pub struct Waiting(Arc<Queue>);

/// Since when a call waits, on the monotonic clock, and where.
#[derive(Clone, Copy, Debug)]
pub struct Waited<'a> {
    pub since: Duration,
    pub queue: &'a Queue,
}

/// A reader's place among those that wait for room.
#[derive(Debug, Default)]
pub struct Reader {
    /// It is on the list that will be told after this many.
    listed: Option<u64>,
}

/// One without a bound.
impl Default for Queue {
    fn default() -> Self {
        Self::new(usize::MAX)
    }
}

impl Queue {
    pub const fn new(read_ahead: usize) -> Self {
        Self {
            read_ahead,
            waiting: AtomicUsize::new(0),
            busy_since: AtomicU64::new(0),
            readers: Mutex::new(Vec::new()),
            told: AtomicU64::new(0),
        }
    }

    /// The thread had nothing to do until now.
    pub fn note_idle(&self, now: Duration) {
        self.busy_since.store(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Since when the thread always has had something to do.
    pub fn busy_since(&self) -> Duration {
        Duration::from_nanos(self.busy_since.load(Ordering::Relaxed))
    }

    /// A call was read, and waits.
    pub fn enter(self: &Arc<Self>) -> Waiting {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(Arc::clone(self))
    }

    /// Ready when another call may be read. Otherwise the reader is woken when half of those that wait have had their turn.
    pub fn poll_room(&self, reader: &mut Reader, context: &Context<'_>) -> Poll<()> {
        if self.waiting.load(Ordering::Relaxed) < self.read_ahead {
            return Poll::Ready(());
        }
        let told = self.told.load(Ordering::Relaxed);
        if reader.listed != Some(told) {
            reader.listed = Some(told);
            self.readers.lock().unwrap_or_else(PoisonError::into_inner).push(context.waker().clone());
        }
        Poll::Pending
    }

    fn leave(&self) {
        if self.waiting.fetch_sub(1, Ordering::Relaxed) != self.read_ahead.div_ceil(2) {
            return;
        }
        self.told.fetch_add(1, Ordering::Relaxed);
        let readers = std::mem::take(&mut *self.readers.lock().unwrap_or_else(PoisonError::into_inner));
        readers.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl Waited<'_> {
    /// Whether it has waited longer than it may.
    pub(super) fn too_long(self, now: Duration, config: &Config) -> bool {
        let waited = now.saturating_sub(self.since);
        let is_standing = now.saturating_sub(self.queue.busy_since()) > config.max_queue_delay;
        waited > config.max_queue_delay || is_standing && waited > config.standing_queue_delay
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
        let too_long =
            |now, waited| Waited { since: ms(now) - waited, queue: &queue }.too_long(ms(now), &config);
        assert!(!too_long(1_090, ms(90)), "a burst");
        assert!(too_long(1_200, ms(101)), "nobody waits so long");
        assert!(!too_long(1_101, ms(10)), "short enough for any queue");
        assert!(too_long(1_101, ms(11)), "the queue stands");
        queue.note_idle(ms(1_102));
        assert!(!too_long(1_150, ms(48)), "it is gone");
    }

    #[test]
    fn a_bound_of_nothing_lets_nobody_wait() {
        let config = Config { max_queue_delay: ms(0), ..Config::default() };
        let queue = Queue::new(1);
        queue.note_idle(ms(5));
        assert!(Waited { since: ms(5), queue: &queue }.too_long(ms(6), &config));
        assert!(!Waited { since: ms(6), queue: &queue }.too_long(ms(6), &config));
    }

    #[derive(Default)]
    struct Counting(AtomicUsize);

    impl Wake for Counting {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn readers_stop_at_the_bound_and_go_on_at_half_of_it() {
        let queue = Arc::new(Queue::new(4));
        let woken = Arc::new(Counting::default());
        let waker = Waker::from(Arc::clone(&woken));
        let context = Context::from_waker(&waker);
        let mut reader = Reader::default();
        let mut waiting: Vec<_> = (0..3).map(|_| queue.enter()).collect();
        assert!(queue.poll_room(&mut reader, &context).is_ready());
        waiting.push(queue.enter());
        for _ in 0..3 {
            assert!(queue.poll_room(&mut reader, &context).is_pending());
        }
        waiting.truncate(2);
        assert_eq!(woken.0.load(Ordering::Relaxed), 0, "not yet");
        waiting.truncate(1);
        assert_eq!(woken.0.load(Ordering::Relaxed), 1, "and once, however often it asked");
        assert!(queue.poll_room(&mut reader, &context).is_ready());
        waiting.extend((0..9).map(|_| queue.enter()));
        assert!(queue.poll_room(&mut reader, &context).is_pending());
        drop(waiting);
        assert_eq!(woken.0.load(Ordering::Relaxed), 2);
    }
}
