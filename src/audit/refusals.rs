//! Refusals: calls that never became a decision, counted by minute, kind and caller.
//!
//! The rows are bounded whatever callers do: so many names a minute, everyone else together as `other`. Clients and
//! strangers are bounded apart, because addresses cost nothing: a flood from many of them takes no client's name away.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::net::{IpAddr, Ipv6Addr};

use super::mask::clean;
use crate::model::{Refusals, Timestamp};

const MINUTE_MICROS: i64 = 60_000_000;

/// The peer that stands for all who are not counted by name.
const OTHER: &str = "other";

/// Texts of a row, in bytes.
const BOUND: usize = 256;

/// While the store is away rows pile up; beyond this many of clients, or of strangers, names are given up.
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
    clients: Peers,
    strangers: Peers,
    pending: BTreeMap<Key, Refusals>,
    last: Option<Last>,
    noted: u64,
}

type Key = (Timestamp, RefusalKind, String);

/// Whom the last call came from and where it was counted. An overload is one caller over and over, and counting its
/// calls is a good part of refusing them.
#[derive(Debug)]
struct Last {
    peer: String,
    key: Key,
}

/// The callers that share one bound.
#[derive(Debug, Default)]
struct Peers {
    /// Who has a name in this minute; kept when rows are taken, so that storing often does not widen the bound.
    named: BTreeSet<String>,
    /// Rows that wait to be stored, of earlier minutes too.
    pending: usize,
}

impl RefusalCounts {
    pub(super) fn new(replica: String, peers_a_minute: usize) -> Self {
        Self {
            replica,
            peers_a_minute,
            minute: Timestamp::default(),
            clients: Peers::default(),
            strangers: Peers::default(),
            pending: BTreeMap::new(),
            last: None,
            noted: 0,
        }
    }

    pub(super) fn note(&mut self, kind: RefusalKind, peer: &str, rpc: &str, now: Timestamp) {
        self.noted = self.noted.saturating_add(1);
        let minute =
            Timestamp::from_micros(now.micros().div_euclid(MINUTE_MICROS).saturating_mul(MINUTE_MICROS));
        if let Some(row) = self.row_of_last(minute, kind, peer) {
            return row.add(now);
        }
        if minute != self.minute {
            self.minute = minute;
            self.clients.named.clear();
            self.strangers.named.clear();
        }
        let peers = match kind {
            RefusalKind::Unauthenticated => &mut self.strangers,
            RefusalKind::PermissionDenied | RefusalKind::Overloaded => &mut self.clients,
        };
        let key = (minute, kind, peers.name(identity(kind, peer), self.peers_a_minute));
        self.last = Some(Last { peer: peer.to_owned(), key: key.clone() });
        let row = self.pending.entry(key).or_insert_with_key(|(_, _, peer)| {
            peers.pending = peers.pending.saturating_add(1);
            let (replica, kind) = (self.replica.clone(), kind.as_str().to_owned());
            let (peer, sample) = (peer.clone(), cleaned(rpc));
            Refusals { replica, minute, kind, peer, count: 0, first: now, last: now, sample }
        });
        row.add(now);
    }

    /// The row of the last call, if this one belongs there too.
    fn row_of_last(&mut self, minute: Timestamp, kind: RefusalKind, peer: &str) -> Option<&mut Refusals> {
        let last =
            self.last.as_ref().filter(|last| last.peer == peer && (last.key.0, last.key.1) == (minute, kind));
        self.pending.get_mut(&last?.key)
    }

    /// Every call noted so far, since the start.
    pub(super) fn noted(&self) -> u64 {
        self.noted
    }

    /// Hands over what is to be stored.
    pub(super) fn take(&mut self) -> Vec<Refusals> {
        self.clients.pending = 0;
        self.strangers.pending = 0;
        mem::take(&mut self.pending).into_values().collect()
    }
}

impl Peers {
    fn name(&mut self, peer: String, most: usize) -> String {
        if self.named.contains(&peer) {
            return peer;
        }
        if self.named.len() >= most || self.pending >= PENDING_ROWS {
            return OTHER.to_owned();
        }
        self.named.insert(peer.clone());
        peer
    }
}

/// What a caller is counted by: a client's id, or a stranger's address. One IPv6 host has a /64 to call from, so that
/// the addresses in it are one caller.
fn identity(kind: RefusalKind, peer: &str) -> String {
    let address = match kind {
        RefusalKind::Unauthenticated => peer.parse::<IpAddr>().ok(),
        RefusalKind::PermissionDenied | RefusalKind::Overloaded => None,
    };
    // An IPv4 client seen through a dual-stack socket is the same client.
    match address.map(|address| address.to_canonical()) {
        Some(IpAddr::V4(address)) => address.to_string(),
        Some(IpAddr::V6(address)) => {
            let network = Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX));
            format!("{network}/64")
        }
        None => cleaned(peer),
    }
}

fn cleaned(text: &str) -> String {
    let mut text = Cow::Borrowed(text);
    clean(&mut text, BOUND);
    text.into_owned()
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

    fn peers_of(kind: &str, rows: &[Refusals]) -> Vec<String> {
        rows.iter().filter(|row| row.kind == kind).map(|row| row.peer.clone()).collect()
    }

    #[test]
    fn strangers_from_many_addresses_take_no_name_from_clients() {
        let mut counts = counts(4);
        for host in 0..=255 {
            counts.note(RefusalKind::Unauthenticated, &format!("192.0.2.{host}"), "Check", at(60));
        }
        counts.note(RefusalKind::PermissionDenied, "edge", "Check", at(61));
        counts.note(RefusalKind::Overloaded, "mesh", "Check", at(61));
        let rows = counts.take();
        assert_eq!(peers_of("permission_denied", &rows), ["edge"]);
        assert_eq!(peers_of("overloaded", &rows), ["mesh"]);
        let strangers = peers_of("unauthenticated", &rows);
        assert_eq!(strangers, ["192.0.2.0", "192.0.2.1", "192.0.2.2", "192.0.2.3", "other"]);
    }

    #[test]
    fn rows_of_strangers_that_pile_up_take_no_name_from_clients() {
        let mut counts = counts(PENDING_ROWS);
        for host in 0..PENDING_ROWS {
            counts.note(RefusalKind::Unauthenticated, &format!("stranger-{host}"), "Check", at(60));
        }
        counts.note(RefusalKind::Unauthenticated, "late", "Check", at(120));
        counts.note(RefusalKind::Overloaded, "edge", "Check", at(120));
        let rows = counts.take();
        assert_eq!(rows.len(), PENDING_ROWS + 2);
        assert_eq!(peers_of("overloaded", &rows), ["edge"]);
        assert!(!peers_of("unauthenticated", &rows).contains(&"late".to_owned()));
        counts.note(RefusalKind::Unauthenticated, "later", "Check", at(180));
        assert_eq!(peers_of("unauthenticated", &counts.take()), ["later"]);
    }

    #[test]
    fn the_addresses_of_one_ipv6_host_are_one_stranger() {
        let mut counts = counts(9);
        for address in ["2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:3::1", "::ffff:192.0.2.7"] {
            counts.note(RefusalKind::Unauthenticated, address, "Check", at(60));
        }
        counts.note(RefusalKind::PermissionDenied, "fe80::1", "Check", at(60));
        let rows = counts.take();
        let strangers = ["192.0.2.7", "2001:db8:1:2::/64", "2001:db8:1:3::/64"];
        assert_eq!(peers_of("unauthenticated", &rows), strangers);
        assert_eq!(peers_of("permission_denied", &rows), ["fe80::1"], "only strangers are addresses");
        assert_eq!(rows.iter().map(|row| row.count).max(), Some(2));
    }

    #[test]
    fn texts_of_callers_are_cleaned_and_bounded() {
        let mut counts = counts(2);
        counts.note(RefusalKind::PermissionDenied, "a\nb", &"x".repeat(10_000), at(0));
        let row = counts.take().remove(0);
        assert_eq!((row.peer.as_str(), row.sample.len()), ("ab", BOUND));
    }
}
