//! When the bytes came that are read from a socket. The system does not tell; but it tells how many are there, and from that
//! of some moments the others are estimated.

use std::collections::VecDeque;
use std::time::Duration;

/// Moments that are remembered at most; beyond them the last one takes the place of the one before.
const REMEMBERED: usize = 16;

/// What came over one connection, and when.
#[derive(Debug)]
pub struct Arrivals {
    /// Bytes that were read.
    read: u64,
    /// A moment by which no more had come than is read by now.
    before: Seen,
    /// Whether nothing was left at that moment.
    drained: bool,
    /// Moments by which more had come.
    later: VecDeque<Seen>,
}

/// How many bytes had come by a moment of the monotonic clock, with those that were read.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    at: Duration,
    bytes: u64,
}

impl Default for Arrivals {
    fn default() -> Self {
        Self { read: 0, before: Seen::default(), drained: true, later: VecDeque::new() }
    }
}

impl Arrivals {
    /// So many bytes are there, and are not read now. Once a `round` the thread looks at a socket of which nothing was left.
    pub fn note_unread(&mut self, now: Duration, unread: u64, round: Duration) {
        if self.later.is_empty() {
            self.before.at = self.earliest(now, round);
        }
        if self.later.len() == REMEMBERED {
            self.later.pop_back();
        }
        self.later.push_back(Seen { at: now, bytes: self.read.saturating_add(unread) });
    }

    /// Bytes are read, and nothing is left if that `drained` the socket. When the first of them came, about.
    pub fn note_read(&mut self, now: Duration, bytes: u64, drained: bool, round: Duration) -> Duration {
        while let Some(seen) = self.later.pop_front_if(|seen| seen.bytes <= self.read) {
            self.before = seen;
            self.drained = false;
        }
        let came = match self.later.front() {
            Some(seen) => self.before.when(self.read, seen),
            None => between(self.earliest(now, round), now, 0.5),
        };
        self.read = self.read.saturating_add(bytes);
        if drained {
            self.later.clear();
            self.before = Seen { at: now, bytes: self.read };
            self.drained = true;
        }
        came
    }

    /// When what is not read can have come at the earliest.
    fn earliest(&self, now: Duration, round: Duration) -> Duration {
        if self.drained { self.before.at.max(now.saturating_sub(round)) } else { self.before.at }
    }
}

impl Seen {
    /// When the byte at this place came, if bytes came evenly until `later`, by which it had come.
    fn when(&self, place: u64, later: &Self) -> Duration {
        let [of, all] = [place, later.bytes].map(|bytes| bytes.saturating_sub(self.bytes));
        #[expect(clippy::cast_precision_loss, reason = "what waits in a socket is less than 2^52 bytes")]
        let share = of as f64 / all.max(1) as f64;
        between(self.at, later.at, share.min(1.0))
    }
}

/// This share of the way from one moment to another.
fn between(from: Duration, to: Duration, share: f64) -> Duration {
    from.saturating_add(to.saturating_sub(from).mul_f64(share))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_thread_with_room_looks_at_the_socket_once_a_round() {
        let mut arrivals = Arrivals::default();
        assert_eq!(arrivals.note_read(ms(50), 100, true, ms(0)), ms(50), "the thread was there");
        assert_eq!(arrivals.note_read(ms(60), 100, true, ms(4)), ms(58), "on average");
        let came = arrivals.note_read(ms(61), 100, true, ms(4));
        assert_eq!(came, Duration::from_micros(60_500), "it was empty before");
    }

    #[test]
    fn what_was_there_when_there_was_no_room_is_told_from_what_came_later() {
        let mut arrivals = Arrivals::default();
        arrivals.note_read(ms(100), 1, true, ms(2));
        arrivals.note_unread(ms(110), 100, ms(2));
        assert_eq!(arrivals.note_read(ms(120), 50, false, ms(2)), ms(108), "after the last look");
        arrivals.note_unread(ms(120), 100, ms(2));
        assert_eq!(arrivals.note_read(ms(130), 50, false, ms(2)), ms(109));
        assert_eq!(arrivals.note_read(ms(130), 25, false, ms(2)), ms(110));
        assert_eq!(arrivals.note_read(ms(130), 25, false, ms(2)), ms(115));
        assert_eq!(arrivals.note_read(ms(130), 100, true, ms(2)), ms(125), "since the last look");
        assert_eq!(arrivals.note_read(ms(170), 100, true, ms(2)), ms(169));
    }

    #[test]
    fn of_many_moments_the_last_ones_are_forgotten() {
        let mut arrivals = Arrivals::default();
        for at in 1..1_000 {
            arrivals.note_unread(ms(at), at, ms(0));
        }
        assert_eq!(arrivals.later.len(), REMEMBERED);
        assert_eq!(arrivals.later.back().map(|seen| seen.bytes), Some(999));
    }

    proptest! {
        /// One byte comes every millisecond; it is seen how many are there, or some or all of them are read.
        #[test]
        fn bytes_that_come_evenly_are_dated_to_the_millisecond(
            steps in proptest::collection::vec((1_u64..20, any::<prop::sample::Index>(), any::<bool>()), 1..60),
        ) {
            let (mut arrivals, mut now, mut read) = (Arrivals::default(), 0, 0);
            for (pause, share, looks) in steps {
                now += pause;
                let unread = now - read;
                if looks {
                    arrivals.note_unread(ms(now), unread, ms(now));
                    continue;
                }
                let bytes = share.index(usize::try_from(unread).unwrap()) as u64 + 1;
                let seen = arrivals.later.back().is_some_and(|seen| seen.bytes > read);
                let came = arrivals.note_read(ms(now), bytes, bytes == unread, ms(now));
                prop_assert!(!seen || came.abs_diff(ms(read)) <= ms(1), "{came:?} is not {read} ms");
                prop_assert!(came <= ms(now));
                read += bytes;
            }
        }
    }
}
