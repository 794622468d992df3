//! Knobs of deciding.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Limits on decisions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Calls under way at once; beyond it, questions are denied as `overloaded`. A message of a batch or a stream counts as
    /// one.
    pub max_in_flight: usize,
    /// How long a call may wait for its turn, in a burst for example. One that waited longer is denied as `overloaded`: to
    /// answer it would make all behind it wait as long.
    #[serde(with = "crate::model::duration")]
    #[schemars(with = "String")]
    pub max_queue_delay: Duration,
    /// How long a call may wait for its turn when the thread that decides has been busy nine tenths of the time for as long
    /// as `max_queue_delay`: then it is asked more than it can do, and the queue has to stay short. Where all
    /// waited longer, one in eight is decided nevertheless, so that somebody is served.
    #[serde(with = "crate::model::duration")]
    #[schemars(with = "String")]
    pub standing_queue_delay: Duration,
    /// Questions that may wait at once for a revision (`at_least`); beyond it they are denied as `not_ready`.
    pub max_waiting: usize,
    /// Time left for a decision when the caller names no deadline.
    #[serde(with = "crate::model::duration")]
    #[schemars(with = "String")]
    pub default_timeout: Duration,
    /// How long before the caller's deadline the answer must be ready; never below 5 ms.
    #[serde(with = "crate::model::duration")]
    #[schemars(with = "String")]
    pub deadline_margin: Duration,
    /// How long a check with `at_least` waits for this replica to catch up.
    #[serde(with = "crate::model::duration")]
    #[schemars(with = "String")]
    pub at_least_wait: Duration,
    /// Questions in one batch at most.
    pub max_batch: usize,
    /// Questions of one stream that may be under way at once; a client that sends more is made to wait.
    pub max_stream_in_flight: usize,
    /// The `realm` of challenges: what clients are told that they are locked out of. Printable ASCII without quotes.
    pub realm: String,
    /// Headers of one call at most; more are refused as `request_too_large`.
    pub max_headers: usize,
    /// Entities in one Cedar question at most.
    pub max_entities: usize,
}

impl Config {
    /// Below this the answer could not reach the caller in time.
    pub const LEAST_MARGIN: Duration = Duration::from_millis(5);
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_in_flight: 1_024,
            max_queue_delay: Duration::from_millis(100),
            standing_queue_delay: Duration::from_millis(20),
            max_waiting: 1_024,
            default_timeout: Duration::from_secs(2),
            deadline_margin: Duration::from_millis(5),
            at_least_wait: Duration::from_millis(500),
            max_batch: 256,
            max_stream_in_flight: 256,
            realm: "api".to_owned(),
            max_headers: 128,
            max_entities: 1_000,
        }
    }
}
