//! What was measured: times in a histogram, and what went wrong.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::body::Judgement;
use crate::api::load::LoadError;

/// Times between a microsecond and a minute are told apart to three digits.
const SHORTEST: u64 = 1_000;
const LONGEST: u64 = 60_000_000_000;

/// The answers of one thread, or of all.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Nanoseconds, of all answers but those of an overload.
    pub latency: Histogram<u64>,
    /// The same of answers that say overload.
    pub refusals: Histogram<u64>,
    pub calls: u64,
    pub decisions: u64,
    /// Answers that are not what they should be.
    pub wrong: u64,
    /// Answers that say that the server has too much to do.
    pub overloaded: u64,
    /// Calls without an answer.
    pub failed: u64,
    pub first_failure: Option<String>,
}

impl Tally {
    pub fn new() -> anyhow::Result<Self> {
        let histogram = Histogram::new_with_bounds(SHORTEST, LONGEST, 3)?;
        Ok(Self {
            latency: histogram.clone(),
            refusals: histogram,
            calls: 0,
            decisions: 0,
            wrong: 0,
            overloaded: 0,
            failed: 0,
            first_failure: None,
        })
    }

    pub fn answered(&mut self, latency: Duration, decisions: u64, judgement: Judgement) {
        let refused = matches!(judgement, Judgement::Overloaded);
        let histogram = if refused { &mut self.refusals } else { &mut self.latency };
        histogram.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(LONGEST));
        self.calls += 1;
        self.decisions += decisions;
        match judgement {
            Judgement::Right => {}
            Judgement::Wrong => self.wrong += 1,
            Judgement::Overloaded => self.overloaded += 1,
        }
    }

    pub fn failed(&mut self, error: &LoadError) {
        self.unanswered(1, || {
            let cause = std::error::Error::source(error);
            cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
        });
    }

    pub fn unanswered(&mut self, calls: u64, why: impl FnOnce() -> String) {
        if calls > 0 {
            self.failed += calls;
            self.first_failure.get_or_insert_with(why);
        }
    }

    pub fn add(&mut self, other: &Self) -> anyhow::Result<()> {
        self.latency.add(&other.latency)?;
        self.refusals.add(&other.refusals)?;
        self.calls += other.calls;
        self.decisions += other.decisions;
        self.wrong += other.wrong;
        self.overloaded += other.overloaded;
        self.failed += other.failed;
        if let Some(failure) = &other.first_failure {
            self.first_failure.get_or_insert_with(|| failure.clone());
        }
        Ok(())
    }

    pub const fn errors(&self) -> u64 {
        self.wrong + self.overloaded + self.failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_add_up() {
        let (mut all, mut one) = (Tally::new().unwrap(), Tally::new().unwrap());
        one.answered(Duration::from_micros(80), 16, Judgement::Right);
        one.answered(Duration::from_secs(3_600), 16, Judgement::Overloaded);
        one.failed(&LoadError::Truncated);
        all.add(&one).unwrap();
        all.add(&one).unwrap();
        assert_eq!((all.calls, all.decisions, all.overloaded, all.failed, all.errors()), (4, 64, 2, 2, 4));
        assert_eq!((all.latency.max() / 1_000, all.latency.len()), (80, 2));
        assert_eq!((all.refusals.len(), all.refusals.max() > 1_000_000_000), (2, true));
        assert!(all.first_failure.is_some());
    }
}
