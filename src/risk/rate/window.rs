//! Sliding windows of one subject's calls, counted by any number of threads without locks.
//!
//! A window is a ring of slices, each one word: which slice it is, and how many calls fell into it. Words of slices
//! that are over count nothing and are taken over by a later one, so nothing has to run for a count to expire.

use std::array;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::model::{Rate, Timestamp};

/// A window has one slice less than its ring has slots: the ring also holds the slice that the window begins in.
const SECOND_SLOTS: usize = 8 + 1;
const MINUTE_SLOTS: usize = 10 + 1;
const HOUR_SLOTS: usize = 10 + 1;

/// The length of a slice, in microseconds. INVARIANT: slots - 1 of them make the window.
const SECOND_SLICE: i64 = 125_000;
const MINUTE_SLICE: i64 = 6_000_000;
const HOUR_SLICE: i64 = 360_000_000;

/// A slice stops counting here, far below the end of its half word, so that racing threads cannot run over it.
const MOST_CALLS: u32 = 1 << 31;

const MILLISECOND: i64 = 1_000;
const HOUR: i64 = 3_600_000_000;

/// One slice of a window: its place in the ring and its number, of which the low 32 bits are enough (they repeat
/// after 17 years of slices of an eighth of a second).
#[derive(Clone, Copy, Debug)]
struct Slice {
    slot: usize,
    number: u32,
}

impl Slice {
    fn at(now: i64, length: i64, slots: usize) -> Self {
        let number = now.div_euclid(length);
        // The remainder fits any integer; the number is cut to its low half on purpose.
        Self { slot: number.rem_euclid(slots as i64) as usize, number: number as u32 }
    }
}

/// A moment, divided into the slices of all windows once for all subjects of a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    now: i64,
    second: Slice,
    minute: Slice,
    hour: Slice,
}

impl Moment {
    pub(super) fn new(now: Timestamp) -> Self {
        let now = now.micros();
        Self {
            now,
            second: Slice::at(now, SECOND_SLICE, SECOND_SLOTS),
            minute: Slice::at(now, MINUTE_SLICE, MINUTE_SLOTS),
            hour: Slice::at(now, HOUR_SLICE, HOUR_SLOTS),
        }
    }
}

/// The windows of one subject: 256 bytes, four cache lines of its own, so that subjects do not slow each other down.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Windows {
    /// When the subject was last counted, in microseconds; to a millisecond, so that it is rarely written.
    last: AtomicI64,
    second: Ring<SECOND_SLOTS>,
    minute: Ring<MINUTE_SLOTS>,
    hour: Ring<HOUR_SLOTS>,
}

impl Windows {
    pub(super) fn new() -> Self {
        Self { last: AtomicI64::new(i64::MIN), second: Ring::new(), minute: Ring::new(), hour: Ring::new() }
    }

    /// The calls of each window up to now, but for those of its latest slice.
    ///
    /// Reading is parted from counting because a write waits for its cache line, and holds up the reads behind it.
    pub(super) fn before(&self, moment: &Moment) -> Rate {
        Rate {
            last_second: self.second.before(moment.second),
            last_minute: self.minute.before(moment.minute),
            last_hour: self.hour.before(moment.hour),
        }
    }

    /// Counts one call and tells how many there were, those `before` and this one included.
    pub(super) fn count(&self, moment: &Moment, before: Rate) -> Rate {
        self.touch(moment.now);
        Rate {
            last_second: before.last_second.saturating_add(self.second.add(moment.second)),
            last_minute: before.last_minute.saturating_add(self.minute.add(moment.minute)),
            last_hour: before.last_hour.saturating_add(self.hour.add(moment.hour)),
        }
    }

    /// Moves the time of the last call on. It goes back only when it lies so far ahead that the clock must have been
    /// wrong: a thread that was held up comes with an old time, and must not make a busy subject look idle.
    fn touch(&self, now: i64) {
        let last = self.last.load(Ordering::Relaxed);
        let newer = now.saturating_sub(last);
        if !(-HOUR..MILLISECOND).contains(&newer) {
            // Whoever was faster has set a time as good as this one.
            let _faster = self.last.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// When the subject was last counted, in microseconds. What was counted while the clock was far ahead is over
    /// since the clock is right again, and as old as can be.
    pub(super) fn last_counted(&self, moment: &Moment) -> i64 {
        let last = self.last.load(Ordering::Relaxed);
        if last.saturating_sub(moment.now) > HOUR { i64::MIN } else { last }
    }

    /// Begins anew, for another subject.
    pub(super) fn clear(&self, moment: &Moment) {
        self.second.clear();
        self.minute.clear();
        self.hour.clear();
        self.last.store(moment.now, Ordering::Relaxed);
    }
}

/// One window. Each word holds the number of a slice in its high half, and its calls in the low half.
#[derive(Debug)]
struct Ring<const SLOTS: usize>([AtomicU64; SLOTS]);

impl<const SLOTS: usize> Ring<SLOTS> {
    fn new() -> Self {
        Self(array::from_fn(|_| AtomicU64::new(0)))
    }

    /// Counts a call in the latest slice, and tells the calls in it.
    fn add(&self, now: Slice) -> u32 {
        self.0.get(now.slot).map_or(0, |word| Self::add_to(word, now.number))
    }

    fn add_to(word: &AtomicU64, number: u32) -> u32 {
        let mut seen = word.load(Ordering::Relaxed);
        loop {
            let (held, calls) = halves(seen);
            // A word that is ahead belongs to a thread that was faster, or to a clock that was set back. Counting
            // there keeps the call for longer than needed; taking the word over would lose the calls in it.
            let ahead = distance(held, number);
            if (0..=SLOTS as i32).contains(&ahead) {
                if calls >= MOST_CALLS {
                    return calls;
                }
                return halves(word.fetch_add(1, Ordering::Relaxed)).1.saturating_add(1);
            }
            let fresh = u64::from(number) << 32 | 1;
            match word.compare_exchange_weak(seen, fresh, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return 1,
                Err(found) => seen = found,
            }
        }
    }

    /// The calls in the other slices that the window touches, and in those that are ahead of a clock that was set back.
    fn before(&self, now: Slice) -> u32 {
        let slots = SLOTS as i32;
        let calls = self.0.iter().enumerate().map(|(slot, word)| {
            let (held, calls) = halves(word.load(Ordering::Relaxed));
            let touched = (-slots + 1..=slots).contains(&distance(held, now.number));
            if touched && slot != now.slot { calls } else { 0 }
        });
        calls.fold(0, u32::saturating_add)
    }

    fn clear(&self) {
        self.0.iter().for_each(|word| word.store(0, Ordering::Relaxed));
    }
}

/// The number of the slice, and its calls.
const fn halves(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
}

/// How many slices `of` is ahead of `from`; negative when it is behind.
const fn distance(of: u32, from: u32) -> i32 {
    of.wrapping_sub(from).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_windows_of_a_subject_fill_four_cache_lines() {
        assert_eq!((size_of::<Windows>(), align_of::<Windows>()), (256, 64));
    }

    #[test]
    fn slices_make_up_their_windows() {
        assert_eq!(SECOND_SLICE * (SECOND_SLOTS as i64 - 1), 1_000_000);
        assert_eq!(MINUTE_SLICE * (MINUTE_SLOTS as i64 - 1), 60_000_000);
        assert_eq!(HOUR_SLICE * (HOUR_SLOTS as i64 - 1), 3_600_000_000);
    }

    #[test]
    fn a_full_slice_stays_full_and_spills_into_nothing() {
        let ring = Ring::<SECOND_SLOTS>::new();
        let now = Slice::at(Timestamp::from_seconds(1_000_000).micros(), SECOND_SLICE, SECOND_SLOTS);
        ring.0[now.slot].store(u64::from(now.number) << 32 | u64::from(MOST_CALLS - 1), Ordering::Relaxed);
        assert_eq!([ring.add(now), ring.add(now), ring.add(now)], [MOST_CALLS; 3]);
        assert_eq!(ring.before(now), 0);
    }

    #[test]
    fn moments_before_the_epoch_count_too() {
        let windows = Windows::new();
        let moment = Moment::new(Timestamp::from_micros(-7));
        let rate = windows.count(&moment, windows.before(&moment));
        assert_eq!((rate.last_second, rate.last_minute, rate.last_hour), (1, 1, 1));
    }
}
