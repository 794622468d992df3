//! The management door: `deodar.manage.v1`, one file for each noun.

mod clients;
mod principals;
mod records;
mod revocations;
mod risk;
mod signals;
mod system;

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use super::layers::caller;
use crate::manage::{ManageError, Management};
use crate::model::Timestamp;

/// Serves every management service.
#[derive(Clone)]
pub(super) struct Door {
    management: Arc<Management>,
}

impl Door {
    pub fn new(management: Arc<Management>) -> Self {
        Self { management }
    }
}

/// Reads a field that must be there.
fn parse<T>(field: &'static str, text: &str) -> Result<T, ManageError>
where
    T: FromStr,
    T::Err: ToString,
{
    text.parse().map_err(|error: T::Err| ManageError::invalid(field, error.to_string()))
}

/// Reads a field that may be empty.
fn parse_optional<T>(field: &'static str, text: &str) -> Result<Option<T>, ManageError>
where
    T: FromStr,
    T::Err: ToString,
{
    if text.is_empty() { Ok(None) } else { parse(field, text).map(Some) }
}

fn timestamp(at: Timestamp) -> prost_types::Timestamp {
    let micros = at.micros();
    let nanos = i32::try_from(micros.rem_euclid(1_000_000) * 1_000).unwrap_or_default();
    prost_types::Timestamp { seconds: micros.div_euclid(1_000_000), nanos }
}

fn from_timestamp(field: &'static str, at: prost_types::Timestamp) -> Result<Timestamp, ManageError> {
    let whole = at.seconds.checked_mul(1_000_000).filter(|_| (0..1_000_000_000).contains(&at.nanos));
    whole
        .and_then(|micros| micros.checked_add(i64::from(at.nanos / 1_000)))
        .map(Timestamp::from_micros)
        .ok_or_else(|| ManageError::invalid(field, "is not a time"))
}

fn from_duration(field: &'static str, span: prost_types::Duration) -> Result<Duration, ManageError> {
    Duration::try_from(span).map_err(|_| ManageError::invalid(field, "is not a span of time, or negative"))
}
