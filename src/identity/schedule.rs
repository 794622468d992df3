//! When a key set is fetched: before it is no longer fresh, after a failure with a growing pause, and when a token
//! names a key that is not in it, but not more often than the cool-down allows.
//!
//! Time is an argument and nothing is fetched here. Attempts are numbered, so that a decision can wait for the end of the
//! one that concerns it.

use std::time::Duration;

use super::key_config::KeyFetchConfig;
use crate::model::Timestamp;

/// A set is fetched again after this part of the time for which it is fresh: five eighths leave room for retries.
const EARLY: (u32, u32) = (5, 8);

/// The number of an attempt.
pub(super) type Attempt = u64;

#[derive(Debug)]
pub(super) struct Schedule {
    cool_down: Duration,
    min_retry: Duration,
    max_retry: Duration,
    /// How many attempts were begun, and how many of them ended.
    begun: Attempt,
    ended: Attempt,
    /// Failures in a row.
    failures: u32,
    /// The last end of an attempt, and how long after it the next one begins unasked.
    pause: Option<(Timestamp, Duration)>,
    /// When a token last caused an attempt, and which one.
    provoked: Option<(Timestamp, Attempt)>,
}

impl Schedule {
    pub(super) const fn new(config: &KeyFetchConfig) -> Self {
        Self {
            cool_down: config.cool_down,
            min_retry: config.min_retry,
            max_retry: config.max_retry,
            begun: 0,
            ended: 0,
            failures: 0,
            pause: None,
            provoked: None,
        }
    }

    /// How long until the next attempt; nothing when it is due.
    pub(super) fn until_due(&self, now: Timestamp) -> Duration {
        let asked_for = self.provoked.is_some_and(|(_, attempt)| attempt > self.begun);
        match self.pause {
            Some((since, pause)) if !asked_for => left(since, pause, now),
            _ => Duration::ZERO,
        }
    }

    pub(super) const fn begin(&mut self) -> Attempt {
        self.begun += 1;
        self.begun
    }

    /// The attempt under way brought a set that is fresh for this long.
    pub(super) fn succeed(&mut self, now: Timestamp, fresh: Duration) {
        self.ended = self.begun;
        self.failures = 0;
        self.pause = Some((now, fresh * EARLY.0 / EARLY.1));
    }

    /// The attempt under way brought nothing.
    pub(super) fn fail(&mut self, now: Timestamp) {
        self.ended = self.begun;
        let doubled = self.min_retry.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        self.pause = Some((now, doubled.min(self.max_retry)));
    }

    /// A token came while there are no keys at all: the attempt to wait for. `None` when the last one failed and the next
    /// is not due yet.
    pub(super) fn want_any(&self, now: Timestamp) -> Option<Attempt> {
        if self.begun > self.ended {
            return Some(self.begun);
        }
        self.until_due(now).is_zero().then_some(self.begun + 1)
    }

    /// A token came with a key that is not in the set: the attempt to wait for. It is one that begins after this, as the one
    /// under way may have been answered before the key was there; unless that one was caused in the same way. `None` within
    /// the cool-down.
    pub(super) fn want_key(&mut self, now: Timestamp) -> Option<Attempt> {
        if let Some((at, attempt)) = self.provoked {
            if attempt > self.ended {
                return Some(attempt);
            }
            if !left(at, self.cool_down, now).is_zero() {
                return None;
            }
        }
        self.provoked = Some((now, self.begun + 1));
        Some(self.begun + 1)
    }

    pub(super) const fn failures(&self) -> u32 {
        self.failures
    }
}

/// What is left at `now` of a span that began at `since`. Nothing, when the clock was set back to before it: a pause must not
/// become one of years.
fn left(since: Timestamp, span: Duration, now: Timestamp) -> Duration {
    if now < since { Duration::ZERO } else { span.saturating_sub(now.since(since)) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    /// Cool-down 10 s, pauses of 1 s to 30 s.
    fn schedule() -> Schedule {
        Schedule::new(&KeyFetchConfig::default())
    }

    const LIFE: Duration = Duration::from_secs(80);

    #[test]
    fn a_set_is_fetched_at_the_start_and_again_before_it_is_old() {
        let mut schedule = schedule();
        assert_eq!(schedule.until_due(at(0)), Duration::ZERO);
        assert_eq!(schedule.want_any(at(0)), Some(1), "the first attempt is worth waiting for");
        assert_eq!(schedule.begin(), 1);
        assert_eq!(schedule.want_any(at(0)), Some(1));
        schedule.succeed(at(0), LIFE);
        assert_eq!(schedule.until_due(at(0)), Duration::from_secs(50));
        assert_eq!(schedule.until_due(at(60)), Duration::ZERO);
        assert_eq!(schedule.until_due(at(-1)), Duration::ZERO, "the clock was set back");
    }

    #[test]
    fn pauses_after_failures_grow_to_their_bound_and_begin_anew() {
        let mut schedule = schedule();
        let mut pauses = Vec::new();
        for _ in 0..8 {
            schedule.begin();
            schedule.fail(at(0));
            pauses.push(schedule.until_due(at(0)).as_secs());
            assert_eq!(schedule.want_any(at(0)), None, "nobody waits during a pause");
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(schedule.want_any(at(30)), Some(9));
        schedule.begin();
        schedule.succeed(at(30), LIFE);
        schedule.begin();
        schedule.fail(at(80));
        assert_eq!(schedule.until_due(at(80)), Duration::from_secs(1));
    }

    #[test]
    fn an_unknown_key_causes_one_attempt_in_a_cool_down() {
        let mut schedule = schedule();
        schedule.begin();
        schedule.succeed(at(0), LIFE);
        assert_eq!(schedule.want_key(at(1)), Some(2), "the start counts for no cool-down");
        assert_eq!(schedule.until_due(at(1)), Duration::ZERO);
        assert_eq!(schedule.want_key(at(1)), Some(2), "the second waits with the first");
        assert_eq!(schedule.begin(), 2);
        assert_eq!(schedule.want_key(at(2)), Some(2));
        schedule.succeed(at(2), LIFE);
        assert_eq!((schedule.want_key(at(3)), schedule.want_key(at(10))), (None, None));
        assert_eq!(schedule.want_key(at(11)), Some(3));
    }

    #[test]
    fn an_attempt_that_began_before_the_unknown_key_came_does_not_count_for_it() {
        let mut schedule = schedule();
        assert_eq!(schedule.begin(), 1);
        assert_eq!(schedule.want_key(at(0)), Some(2));
        schedule.succeed(at(0), LIFE);
        assert_eq!(schedule.until_due(at(0)), Duration::ZERO, "the second one follows at once");
    }

    proptest! {
        /// Whatever comes in whatever order, unknown keys cause no more attempts than the cool-down allows.
        #[test]
        fn unknown_keys_cannot_hurry_it(steps in proptest::collection::vec((0i64..4, 0u8..4), 1..200)) {
            let mut schedule = schedule();
            schedule.begin();
            schedule.succeed(at(0), Duration::from_secs(1_000_000));
            let (mut now, mut under_way, mut attempts) = (0, false, 0);
            for (wait, what) in steps {
                now += wait;
                match what {
                    0 | 1 => { schedule.want_key(at(now)); }
                    2 if !under_way && schedule.until_due(at(now)).is_zero() => {
                        schedule.begin();
                        (under_way, attempts) = (true, attempts + 1);
                    }
                    3 if under_way => {
                        schedule.succeed(at(now), Duration::from_secs(1_000_000));
                        under_way = false;
                    }
                    _ => {}
                }
            }
            prop_assert!(attempts <= now / 10 + 1, "{attempts} attempts in {now} s");
        }
    }
}
