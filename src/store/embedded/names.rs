//! Which names a batch of audit records may hold: a Bloom filter, so that a search for one name opens few batches.
//!
//! B. H. Bloom, "Space/time trade-offs in hash coding with allowable errors", CACM 13(7), 1970; probes by double
//! hashing (Kirsch and Mitzenmacher, 2006). It never denies a name that is there. Ten bits and seven probes a name
//! claim one that is not there about once in a hundred times. Stored for good: neither hash nor probes may change.

use std::collections::HashSet;

use foldhash::fast::RandomState;
use sha2::{Digest, Sha256};

const BITS_PER_NAME: usize = 10;
const PROBES: u64 = 7;

/// What kind of name it is; the same text of another kind is another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Principal = 1,
    Resource = 2,
    Pep = 3,
    Reason = 4,
}

/// A filter over these names, as it is stored.
pub(super) fn filter<'a>(names: impl Iterator<Item = (Kind, &'a [u8])>) -> Vec<u8> {
    let mut distinct: HashSet<(Kind, &[u8]), RandomState> = HashSet::default();
    // Many are those of the record before, by the numbers of their kinds.
    let mut latest: [Option<&[u8]>; 5] = [None; 5];
    for (kind, name) in names {
        let before = latest.get_mut(kind as usize).and_then(|latest| latest.replace(name));
        if before != Some(name) {
            distinct.insert((kind, name));
        }
    }
    let mut bytes = vec![0_u8; (distinct.len() * BITS_PER_NAME).div_ceil(8).max(8)];
    let bits = bytes.len() as u64 * 8;
    for (kind, name) in distinct {
        for (byte, mask) in probes(kind, name, bits) {
            if let Some(byte) = bytes.get_mut(byte) {
                *byte |= mask;
            }
        }
    }
    bytes
}

/// Whether the name may be among those that the filter was made of.
pub(super) fn may_hold(filter: &[u8], kind: Kind, name: &[u8]) -> bool {
    let bits = filter.len() as u64 * 8;
    probes(kind, name, bits).all(|(byte, mask)| filter.get(byte).is_some_and(|byte| byte & mask != 0))
}

/// The bits of a name: which byte, and which bit in it. A filter without bits has none and rules nothing out.
fn probes(kind: Kind, name: &[u8], bits: u64) -> impl Iterator<Item = (usize, u8)> {
    let digest: [u8; 32] = Sha256::new().chain_update([kind as u8]).chain_update(name).finalize().into();
    let [first, step] = [0, 8].map(|at| {
        let eight = digest.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
        u64::from_le_bytes(eight.unwrap_or_default())
    });
    let probe = move |turn: u64| first.wrapping_add(turn.wrapping_mul(step)).checked_rem(bits);
    (0..PROBES).filter_map(probe).map(|bit| ((bit / 8) as usize, 1 << (bit % 8)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_name_that_is_there_is_never_denied(names in proptest::collection::vec(".{0,20}", 0..50)) {
            let filter = filter(names.iter().map(|name| (Kind::Principal, name.as_bytes())));
            prop_assert!(names.iter().all(|name| may_hold(&filter, Kind::Principal, name.as_bytes())));
        }
    }

    #[test]
    fn few_of_the_names_that_are_not_there_are_claimed() {
        let names: Vec<String> = (0..512).map(|number| format!("User::dev/{number}")).collect();
        let filter = filter(names.iter().map(|name| (Kind::Principal, name.as_bytes())));
        let claimed = |kind| {
            names.iter().filter(|name| may_hold(&filter, kind, format!("{name}-other").as_bytes())).count()
        };
        assert!(claimed(Kind::Principal) < 20, "{}", claimed(Kind::Principal));
        let kinds = names.iter().filter(|name| may_hold(&filter, Kind::Resource, name.as_bytes())).count();
        assert!(kinds < 20, "the same text of another kind is another name: {kinds}");
    }

    /// If this fails, batches that are stored already can no longer be searched.
    #[test]
    fn a_filter_has_these_bytes() {
        let filter =
            filter([(Kind::Pep, "edge".as_bytes()), (Kind::Reason, "allowed".as_bytes())].into_iter());
        assert_eq!(hex::encode(filter), GOLDEN);
    }

    const GOLDEN: &str = "3040200164002104";
}
