//! One token that only grows, in commit order, over policy, data and signals.

use std::fmt;
use std::str::FromStr;

/// A point in the store's history.
///
/// `number` grows by one with each committed control-plane write, in commit order; `epoch` names the history itself
/// and changes when the database is restored or fails over, because numbers of two histories cannot be compared.
/// To callers it is one opaque token: [`Display`](fmt::Display) and [`FromStr`] are its only outward form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Revision {
    pub epoch: u64,
    pub number: u64,
}

impl Revision {
    pub const fn new(epoch: u64, number: u64) -> Self {
        Self { epoch, number }
    }

    /// Its outward form, made without the formatting machinery: every answer carries one.
    pub fn text(self) -> String {
        let mut text = String::with_capacity(40);
        for nibble in (0..16).rev() {
            // Four bits are always a digit.
            text.extend(char::from_digit((self.epoch >> (nibble * 4) & 0xf) as u32, 16));
        }
        text.push('.');
        text.push_str(itoa::Buffer::new().format(self.number));
        text
    }

    /// Whether a replica standing at `self` has seen everything up to `wanted`.
    /// Never true across epochs: after a restore nothing is known about the old numbers.
    pub fn covers(self, wanted: Self) -> bool {
        self.epoch == wanted.epoch && self.number >= wanted.number
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a revision token; pass one back exactly as an answer carried it")]
pub struct InvalidRevision(String);

impl FromStr for Revision {
    type Err = InvalidRevision;

    fn from_str(value: &str) -> Result<Self, InvalidRevision> {
        let parse = || {
            let (epoch, number) = value.split_once('.')?;
            Some(Self::new(u64::from_str_radix(epoch, 16).ok()?, number.parse().ok()?))
        };
        let parsed: Option<Self> = parse();
        // Only the exact text that Display makes is a token: no second spelling of the same revision.
        parsed
            .filter(|revision| revision.to_string() == value)
            .ok_or_else(|| InvalidRevision(value.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_round_trip_and_only_in_one_spelling() {
        let revision = Revision::new(0xabc, 42);
        assert_eq!(revision.to_string().parse::<Revision>().unwrap(), revision);
        for bad in ["", "abc.42", "0000000000000abc.042", "0000000000000ABC.42", "x.y"] {
            assert!(bad.parse::<Revision>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_revision_covers_only_its_own_history() {
        let at = Revision::new(1, 10);
        assert!(at.covers(Revision::new(1, 10)) && at.covers(Revision::new(1, 3)));
        assert!(!at.covers(Revision::new(1, 11)) && !at.covers(Revision::new(2, 3)));
    }
}
