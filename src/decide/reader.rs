//! Readers of connections: each reads in its turn, while there is room for more calls.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Waker};
use std::time::Duration;

use super::Queue;
use super::arrivals::Arrivals;

/// A turn is over when its reads have cost so much. A read brings a dozen calls or so.
const TURN: u32 = 8;
/// What a read costs whose calls are to be decided.
const DECIDED: u32 = 2;
/// What a read costs whose calls came too long ago: they are denied, in half the time.
const DENIED: u32 = 1;

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

/// Whoever reads calls from one connection, while there is room for them.
#[derive(Debug)]
pub struct Reader {
    queue: Arc<Queue>,
    /// Its number in the line, until its turn is over.
    ticket: Option<u64>,
    /// What it has read in this turn, by its cost.
    spent: u32,
    arrivals: Arrivals,
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
        let is_over = self.spent >= TURN;
        let had_turn = others && is_over;
        if self.queue.has_room() && !had_turn && (is_first || self.spent > 0) {
            if stands {
                self.leave_line();
            }
            return Room::Free;
        }
        if stands {
            return Room::Awaited;
        }
        // Also where nobody stands yet: who comes now must not wait for one whose turn would never come.
        if is_over {
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::super::{Config, Waiting};
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
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
    fn one_that_has_read_alone_holds_nobody_up() {
        let queue = Arc::new(Queue::new(4, &Config::default()));
        let mut readers = asking(&queue);
        assert!((0..100).all(|_| readers[0].reads()));
        let mut waiting = enter(&queue, 4);
        assert!(!readers[0].reads() && !readers[1].reads());
        waiting.truncate(1);
        assert_eq!(called(&readers), [true, false, false]);
        assert!(readers[0].reads());
        waiting.extend(enter(&queue, 3));
        readers[0].reader.drained();
        waiting.truncate(1);
        assert_eq!(called(&readers), [false, true, false]);
        assert!(readers[1].reads());
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
