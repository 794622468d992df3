//! Durations as people write them in a configuration: `250ms`, `30s`, `15m`, `24h`, `7d`.
//!
//! For use with `#[serde(with = "crate::model::duration")]`. One number and one unit, so that a value has one
//! reading; a bare number is refused, because nobody can tell seconds from milliseconds by looking at it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer};

/// The units with their length in microseconds, longest first.
const UNITS: [(&str, u64); 6] = [
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

/// One that threads share without a lock, in whole nanoseconds: 584 years at most. Whoever reads it learns nothing of what
/// else was written before.
#[derive(Debug, Default)]
pub struct AtomicDuration(AtomicU64);

impl AtomicDuration {
    pub fn load(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }

    pub fn store(&self, duration: Duration) {
        self.0.store(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// Reads one number and one unit: `15m`. Fails with a sentence that names the value.
pub fn parse(text: &str) -> Result<Duration, String> {
    let bad = || {
        format!(
            "`{text}` is not a duration: write a whole number and a unit, such as 250ms, 30s, 15m, 24h or 7d"
        )
    };
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at_checked(digits).ok_or_else(bad)?;
    let (_, micros) = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or_else(bad)?;
    let number: u64 = number.parse().map_err(|_| bad())?;
    number.checked_mul(micros).map(Duration::from_micros).ok_or_else(bad)
}

/// Writes the duration in the longest unit that fits it exactly; what is below a microsecond is dropped.
pub fn format(duration: Duration) -> String {
    let micros = duration.as_micros();
    if micros == 0 {
        return "0s".to_owned();
    }
    let fits = |(_, length): &(&str, u64)| micros.is_multiple_of(u128::from(*length));
    let (unit, length) = UNITS.into_iter().find(fits).unwrap_or(("us", 1));
    format!("{}{unit}", micros / u128::from(length))
}

pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*duration))
}

pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_duration_is_one_number_and_one_unit() {
        assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse("15m"), Ok(Duration::from_secs(900)));
        assert_eq!(parse("0s"), Ok(Duration::ZERO));
        for bad in ["", "30", "s", "-1s", "1.5h", "1h30m", "1 s", "1S", "99999999999999d", "１s"] {
            assert!(parse(bad).unwrap_err().contains(&format!("`{bad}`")), "{bad}");
        }
    }

    #[test]
    fn a_duration_is_written_in_its_longest_exact_unit() {
        let written = |secs| format(Duration::from_secs(secs));
        assert_eq!([written(0), written(90), written(5_400), written(86_400)], ["0s", "90s", "90m", "1d"]);
    }

    #[test]
    fn configuration_reads_and_writes_it_as_text() {
        #[derive(serde::Serialize, Deserialize)]
        struct Knob {
            #[serde(with = "crate::model::duration")]
            wait: Duration,
        }
        let knob: Knob = toml::from_str("wait = \"30s\"").unwrap();
        assert_eq!(knob.wait, Duration::from_secs(30));
        assert_eq!(toml::to_string(&knob).unwrap(), "wait = \"30s\"\n");
        assert!(toml::from_str::<Knob>("wait = 30").is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(micros in 0u64..=u64::MAX / 2) {
            let duration = Duration::from_micros(micros);
            prop_assert_eq!(parse(&format(duration)), Ok(duration));
        }
    }
}
