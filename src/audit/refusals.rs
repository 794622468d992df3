//! Refusals: calls that never became a decision, counted by minute, kind and caller.
//!
//! The rows are bounded whatever callers do: so many names a minute, everyone else together as `other`.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use super::mask::clean;
use crate::model::{Refusals, Timestamp};

const MINUTE_MICROS: i64 = 60_000_000;

/// The peer that stands for all who are not counted by name.
const OTHER: &str = "other";

/// Texts of a row, in bytes.
const BOUND: usize = 256;

/// While the store is away rows pile up; beyond this many, names are given up.
const PENDING_ROWS: usize = 10_000;

/// Why a call did not become a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefusalKind {
    /// Nobody knows who called.
    Unauthenticated,
    /// The caller is known, and may not call this.
    PermissionDenied,
    /// No capacity: nothing was looked at.
    Overloaded,
}

impl RefusalKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::PermissionDenied => "permission_denied",
            Self::Overloaded => "overloaded",
        }
    }
}

/// What was counted and is not yet stored.
#[derive(Debug)]
pub(super) struct RefusalCounts {
    replica: String,
    peers_a_minute: usize,
    minute: Timestamp,
    /// Who has a name in this minute; kept when rows are taken, so that storing often does not widen the bound.
    named: BTreeSet<String>,
    pending: BTreeMap<(Timestamp, RefusalKind, String), Refusals>,
    noted: u64,
}

impl RefusalCounts {
    pub(super) fn new(replica: String, peers_a_minute: usize) -> Self {
        let minute = Timestamp::default();
        Self { replica, peers_a_minute, minute, named: BTreeSet::new(), pending: BTreeMap::new(), noted: 0 }
    }

    pub(super) fn note(&mut self, kind: RefusalKind, peer: &str, rpc: &str, now: Timestamp) {
        self.noted = self.noted.saturating_add(1);
        let minute =
            Timestamp::from_micros(now.micros().div_euclid(MINUTE_MICROS).saturating_mul(MINUTE_MICROS));
        if minute != self.minute {
            self.minute = minute;
            self.named.clear();
        }
        let peer = self.name(peer);
        let row = self.pending.entry((minute, kind, peer)).or_insert_with_key(|(_, _, peer)| {
            let (replica, kind) = (self.replica.clone(), kind.as_str().to_owned());
            let (peer, sample) = (peer.clone(), cleaned(rpc));
            Refusals { replica, minute, kind, peer, count: 0, first: now, last: now, sample }
        });
        row.count = row.count.saturating_add(1);
        row.first = row.first.min(now);
        row.last = row.last.max(now);
    }

    /// Every call noted so far, since the start.
    pub(super) fn noted(&self) -> u64 {
        self.noted
    }

    /// Hands over what is to be stored.
    pub(super) fn take(&mut self) -> Vec<Refusals> {
        mem::take(&mut self.pending).into_values().collect()
    }

    fn name(&mut self, peer: &str) -> String {
        let peer = cleaned(peer);
        if self.named.contains(&peer) {
            return peer;
        }
        if self.named.len() >= self.peers_a_minute || self.pending.len() >= PENDING_ROWS {
            return OTHER.to_owned();
        }
        self.named.insert(peer.clone());
        peer
    }
}

fn cleaned(text: &str) -> String {
    // Cut before copying: the text may be as long as a caller likes.
    let mut text = text.get(..text.floor_char_boundary(2 * BOUND)).unwrap_or_default().to_owned();
    clean(&mut text, BOUND);
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn counts(peers: usize) -> RefusalCounts {
        RefusalCounts::new("replica-1".into(), peers)
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn calls_of_one_minute_are_one_row_with_the_first_as_sample() {
        let mut counts = counts(9);
        counts.note(RefusalKind::Unauthenticated, "192.0.2.1", "Check", at(61));
        counts.note(RefusalKind::Unauthenticated, "192.0.2.1", "Explain", at(119));
        counts.note(RefusalKind::Unauthenticated, "192.0.2.1", "Check", at(120));
        let rows = counts.take();
        assert_eq!(rows.len(), 2);
        let first = &rows[0];
        assert_eq!((first.minute, first.count, first.first, first.last), (at(60), 2, at(61), at(119)));
        assert_eq!((first.kind.as_str(), first.sample.as_str()), ("unauthenticated", "Check"));
        assert_eq!(counts.noted(), 3);
        assert!(counts.take().is_empty());
    }

    #[test]
    fn callers_beyond_the_bound_share_a_row_even_when_rows_are_taken_often() {
        let mut counts = counts(2);
        let mut names = BTreeSet::new();
        for peer in 0..50 {
            let now = at(60).plus(Duration::from_millis(peer));
            counts.note(RefusalKind::Overloaded, &format!("peer-{peer}"), "Check", now);
            names.extend(counts.take().into_iter().map(|row| row.peer));
        }
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["other", "peer-0", "peer-1"]);
    }

    #[test]
    fn texts_of_callers_are_cleaned_and_bounded() {
        let mut counts = counts(2);
        counts.note(RefusalKind::PermissionDenied, "a\nb", &"x".repeat(10_000), at(0));
        let row = counts.take().remove(0);
        assert_eq!((row.peer.as_str(), row.sample.len()), ("ab", BOUND));
    }
}
