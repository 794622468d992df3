//! How values are read from the command line and shown: moments, spans of time, lists.

use std::time::Duration;

use crate::api::plain;
use crate::model::{Timestamp, duration};

/// RFC 3339, as a flag's value.
pub fn parse_moment(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text)
}

/// `500ms`, `30s`, `15m`, as a flag's value.
pub fn parse_span(text: &str) -> Result<Duration, String> {
    duration::parse(text)
}

/// A name and a value around the first separator, as a flag's value.
pub fn parse_pair(text: &str, separator: char) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once(separator)
        .filter(|(name, _)| !name.trim().is_empty())
        .ok_or_else(|| format!("`{text}` is not `name{separator}value`"))?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// A span as programs read it, like protobuf's JSON: `300s`, `0.25s`.
pub fn seconds(span: Duration) -> String {
    let text = format!("{}.{:09}", span.as_secs(), span.subsec_nanos());
    format!("{}s", text.trim_end_matches('0').trim_end_matches('.'))
}

/// RFC 3339, or nothing.
pub fn moment_or_empty(at: Option<Timestamp>) -> String {
    at.map(|at| at.to_string()).unwrap_or_default()
}

/// Without fractions of a second, for tables.
pub fn short_moment(text: &str) -> String {
    match text.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => text.to_owned(),
    }
}

pub fn commas<T: AsRef<str>>(words: &[T]) -> String {
    words.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ")
}

/// The numbers of an enum on the wire as words.
pub fn reasons(numbers: &[i32]) -> Vec<String> {
    numbers.iter().copied().map(plain::reason).collect()
}

/// `level 2 (medium)`.
pub const fn risk_level(level: u32) -> &'static str {
    match level {
        0 => "none",
        1 => "low",
        2 => "medium",
        3 => "high",
        4 => "critical",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_shown_as_protobuf_shows_them() {
        let shown = [0, 250, 1_000, 300_000].map(|millis| seconds(Duration::from_millis(millis)));
        assert_eq!(shown, ["0s", "0.25s", "1s", "300s"]);
    }

    #[test]
    fn a_pair_is_split_at_the_first_separator() {
        assert_eq!(parse_pair("a: b:c", ':'), Ok(("a".to_owned(), "b:c".to_owned())));
        assert!(parse_pair("ab", ':').is_err() && parse_pair(":b", ':').is_err());
    }

    #[test]
    fn tables_show_whole_seconds() {
        assert_eq!(short_moment("2026-11-22T10:00:00.25Z"), "2026-11-22T10:00:00Z");
        assert_eq!(short_moment("2026-11-22T10:00:00Z"), "2026-11-22T10:00:00Z");
    }
}
