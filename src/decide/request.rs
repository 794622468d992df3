//! Who asks, and until when an answer is of use.

use std::time::Duration;

use super::Config;
use crate::model::{Client, Clock};

/// The circumstances of a query: the PEP, the RPC it used, and its deadline.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub caller: &'a Client,
    /// For counting refusals: `/deodar.decision.v1.DecisionService/Check`.
    pub rpc: &'a str,
    pub deadline: Deadline,
    /// How long to wait for the revision that the query asks for, if it asks for one.
    pub patience: Duration,
    /// The call came when too many others were under way.
    pub overloaded: bool,
}

/// When the answer must be ready, on the monotonic clock.
///
/// It lies before the caller's own deadline by a margin: a caller that has waited in vain hangs up, and then the gateway's
/// own failure mode would decide instead of us.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Duration);

impl Deadline {
    /// `arrived` is when the call came in, `timeout` what the caller gave it; absent, the configured default holds.
    pub fn after(arrived: Duration, timeout: Option<Duration>, config: &Config) -> Self {
        let margin = config.deadline_margin.max(Config::LEAST_MARGIN);
        let time = timeout.unwrap_or(config.default_timeout).saturating_sub(margin);
        Self(arrived.saturating_add(time))
    }

    /// `None` when the time is up.
    pub fn left(self, clock: &dyn Clock) -> Option<Duration> {
        self.0.checked_sub(clock.monotonic()).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ManualClock, Timestamp};

    #[test]
    fn the_deadline_lies_a_margin_before_the_callers() {
        let clock = ManualClock::at(Timestamp::from_seconds(1));
        let given = Some(Duration::from_millis(50));
        let deadline = Deadline::after(clock.monotonic(), given, &Config::default());
        assert_eq!(deadline.left(&clock), Some(Duration::from_millis(45)));
        clock.advance(Duration::from_millis(45));
        assert_eq!(deadline.left(&clock), None);
    }

    #[test]
    fn a_timeout_within_the_margin_leaves_no_time() {
        let clock = ManualClock::at(Timestamp::from_seconds(1));
        let deadline = Deadline::after(clock.monotonic(), Some(Duration::from_millis(3)), &Config::default());
        assert_eq!(deadline.left(&clock), None);
    }
}
