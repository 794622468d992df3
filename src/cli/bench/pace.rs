//! When questions are due.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// What makes the next question due.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// An answer to an earlier one: the load follows the server.
    Closed,
    /// Time: so many a second, whatever the server does.
    Open { rate: f64 },
}

/// The arrivals of a Poisson process: independent callers, so that they also come in bursts.
#[derive(Debug)]
pub struct Arrivals {
    next: Duration,
    mean_gap: Duration,
    random: StdRng,
}

impl Arrivals {
    pub fn new(rate: f64, from: Duration, seed: u64) -> Self {
        let mean_gap = Duration::from_secs_f64(1.0 / rate.max(0.001));
        let mut arrivals = Self { next: from, mean_gap, random: StdRng::seed_from_u64(seed) };
        arrivals.step();
        arrivals
    }

    fn step(&mut self) {
        // In (0, 1], so that the logarithm is finite.
        let uniform = 1.0 - self.random.random::<f64>();
        self.next += self.mean_gap.mul_f64(-uniform.ln());
    }

    /// When the next one comes.
    pub const fn next(&self) -> Duration {
        self.next
    }

    /// Takes the next one, if it is due.
    pub fn take(&mut self, now: Duration) -> Option<Duration> {
        let due = self.next;
        (due <= now).then(|| {
            self.step();
            due
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_come_at_the_rate_but_not_evenly() {
        let start = Duration::from_secs(5);
        let mut arrivals = Arrivals::new(1_000.0, start, 7);
        assert_eq!(arrivals.take(start), None);
        let mut gaps = Vec::new();
        let mut last = start;
        while let Some(due) = arrivals.take(start + Duration::from_secs(100)) {
            gaps.push((due - last).as_secs_f64() * 1_000.0);
            last = due;
        }
        assert!((98_000..102_000).contains(&gaps.len()), "{}", gaps.len());
        // Of exponential gaps, 1/e are longer than the mean, and the mean of the squares is twice its square.
        let longer = gaps.iter().filter(|gap| **gap > 1.0).count() as f64 / gaps.len() as f64;
        assert!((0.35..0.39).contains(&longer), "{longer}");
    }
}
