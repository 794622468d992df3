//! What a call costs a thread, as it was lately.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// It is a mean in which each call counts a little less than the next, over about so many.
const LATEST: u64 = 32;

/// Nanoseconds. One thread changes it.
#[derive(Debug)]
pub(super) struct Cost(AtomicU64);

impl Cost {
    /// As long as nothing is known but a guess.
    pub(super) const fn guessed(guess: Duration) -> Self {
        Self(AtomicU64::new(guess.subsec_nanos() as u64))
    }

    /// One call took less than a second.
    pub(super) fn note(&self, took: Duration) {
        let mean = self.0.load(Ordering::Relaxed);
        let took = u64::from(took.subsec_nanos());
        self.0.store(mean - mean / LATEST + took / LATEST, Ordering::Relaxed);
    }

    pub(super) fn of_calls(&self, calls: u32) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed).saturating_mul(calls.into()))
    }

    /// How many calls can be had for so much time, of less than a second.
    pub(super) fn calls_in(&self, time: Duration) -> usize {
        let calls = u64::from(time.subsec_nanos()).checked_div(self.0.load(Ordering::Relaxed));
        calls.and_then(|calls| usize::try_from(calls).ok()).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn us(us: u64) -> Duration {
        Duration::from_micros(us)
    }

    #[test]
    fn it_follows_what_calls_take() {
        let cost = Cost::guessed(us(15));
        assert_eq!((cost.of_calls(2), cost.calls_in(us(150))), (us(30), 10));
        (0..200).for_each(|_| cost.note(us(100)));
        let known = cost.of_calls(10).as_micros();
        assert!((990..=1_000).contains(&known), "{known}");
        (0..10).for_each(|_| cost.note(us(10)));
        assert!((us(70)..us(80)).contains(&cost.of_calls(1)), "ten of thirty-two");
    }

    #[test]
    fn what_costs_nothing_can_be_had_without_end() {
        assert_eq!(Cost::guessed(Duration::ZERO).calls_in(us(1)), usize::MAX);
    }
}
