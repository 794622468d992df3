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
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use super::Config;
use crate::model::duration::AtomicDuration;

/// Where all calls waited too long for a standing queue, one in so many is decided nevertheless.
const ONE_IN: usize = 8;
/// In runs of so many: what is done again and again is in the nearest caches.
const RUN: usize = 16;
/// A thread that asks the system what there is to do, and is told at once, has had no pause.
const A_MOMENT: Duration = Duration::from_micros(20);
/// A busy thread that comes to no call for so long did not run: the system had something else to do.
const A_STALL: Duration = Duration::from_millis(5);
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
    pub(super) standing_delay: Duration,
    waiting: AtomicUsize,
    /// When the thread last had come to all that it knew of, on the monotonic clock.
    paused_at: AtomicDuration,
    /// When the thread last had nothing to do, on the monotonic clock.
    idle_at: AtomicDuration,
    /// Since when the thread has had hardly a pause, on the monotonic clock.
    busy_since: AtomicDuration,
    /// How long it takes the thread to come to all that it has read.
    round: AtomicDuration,
    /// When the thread came to a call last, on the monotonic clock.
    came_at: AtomicDuration,
    /// Until when the thread did not run, the last time, on the monotonic clock.
    stalled_until: AtomicDuration,
    /// For how long.
    stalled_for: AtomicDuration,
    line: Mutex<Line>,
    /// How many stand in line.
    pub(super) standing: AtomicUsize,
    /// Calls in a row that had waited too long for a standing queue.
    late: AtomicUsize,
}

/// Readers that wait until there is room for more calls, by their tickets. They come in turn, so that none of them takes
/// all the room; and each turn takes about as long as any other.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub readers: BTreeMap<u64, Waker>,
    pub next: u64,
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
            paused_at: AtomicDuration::default(),
            idle_at: AtomicDuration::default(),
            busy_since: AtomicDuration::default(),
            round: AtomicDuration::default(),
            came_at: AtomicDuration::default(),
            stalled_until: AtomicDuration::default(),
            stalled_for: AtomicDuration::default(),
            line: Mutex::default(),
            standing: AtomicUsize::new(0),
            late: AtomicUsize::new(0),
        }
    }

    /// The thread has come to all that it knows of, and asks the system for more.
    pub fn note_pause(&self, now: Duration) {
        self.paused_at.store(now);
        self.dissolve();
    }

    /// There is more to do.
    pub fn note_resumed(&self, now: Duration) {
        let paused = now.saturating_sub(self.paused_at.load());
        if paused < A_MOMENT {
            return;
        }
        self.idle_at.store(now);
        let earliest = now.saturating_sub(REMEMBERED);
        let since = self.busy_since().max(earliest).saturating_add(paused.saturating_mul(WEIGHT_OF_A_PAUSE));
        self.busy_since.store(since.min(now));
    }

    /// When the thread last had nothing to do.
    pub(super) fn idle_at(&self) -> Duration {
        self.idle_at.load()
    }

    /// Since when the thread has had hardly a pause.
    fn busy_since(&self) -> Duration {
        self.busy_since.load()
    }

    /// The thread came to a call this long after it was read.
    pub(super) fn note_round(&self, round: Duration) {
        self.round.store(round);
    }

    /// The thread has come to a call.
    fn note_call(&self, now: Duration) {
        let gap = now.saturating_sub(self.came_at.load().max(self.idle_at()));
        self.came_at.store(now);
        if gap > A_STALL {
            self.stalled_until.store(now);
            self.stalled_for.store(gap);
        }
    }

    /// For how long the thread has not run since that moment: it tells nothing of how much it is asked.
    fn stalled_since(&self, since: Duration) -> Duration {
        self.stalled_for.load().min(self.stalled_until.load().saturating_sub(since))
    }

    /// How long it takes the thread to come to all that it has read.
    pub(super) fn round(&self) -> Duration {
        self.round.load()
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

    pub(super) fn has_room(&self) -> bool {
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
    pub(super) fn call(&self) {
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

    pub(super) fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
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
        self.queue.note_call(now);
        let waited = now.saturating_sub(self.since);
        if waited > max_delay {
            return true;
        }
        if waited.saturating_sub(self.queue.stalled_since(self.since)) <= standing_delay {
            self.queue.note_in_time();
            return false;
        }
        let is_standing = now.saturating_sub(self.queue.busy_since()) > max_delay;
        is_standing && !self.queue.picks_one_of_the_late()
    }
}

#[cfg(test)]
mod tests {
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
        let too_long = |now, waited| {
            queue.came_at.store(ms(now));
            Waited { since: ms(now) - waited, read: ms(now), queue: &queue }.too_long(ms(now))
        };
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
    fn the_time_that_a_thread_did_not_run_is_no_wait() {
        let config = Config { max_queue_delay: ms(100), standing_queue_delay: ms(10), ..Config::default() };
        let queue = Queue::new(1, &config);
        idle(&queue, ms(500), ms(1_000));
        let too_long =
            |now, since| Waited { since: ms(since), read: ms(now), queue: &queue }.too_long(ms(now));
        for now in 1_000..1_200 {
            assert!(!too_long(now, now - 5));
        }
        assert!(!too_long(1_240, 1_190), "41 ms without a call");
        assert!(!too_long(1_241, 1_195));
        assert!(too_long(1_242, 1_190), "11 ms before and after that");
        assert!(too_long(1_243, 1_142), "nobody waits so long");
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
}
