//! What a verified token is kept under: a hash of the whole of it, under a key that nobody knows.
//!
//! Tokens with one hash would pass for one another. Nobody can look for such a pair: the key is drawn anew by each process,
//! and neither it nor a hash ever leaves the process. Nor would a token that hashes like one's own be of use: it would
//! have to hash like somebody else's, which one does not know.
//!
//! The hash is HighwayHash of 256 bits (J. Alakuijala, B. Cox, J. Wassenberg: Fast keyed hash/pseudo-random function
//! using SIMD multiply and permute, 2016), which takes a quarter of the time of SHA-256 for a token. Where a token is
//! named outside the process, in records and revocations, that is by its SHA-256.

use std::fmt;

use highway::{HighwayHash, HighwayHasher, Key};

/// Hashes tokens.
pub(super) struct TokenHash(Key);

impl TokenHash {
    /// With a fresh key; `None` when the operating system gives no random bytes.
    pub(super) fn new() -> Option<Self> {
        let mut key = [0; 4];
        aws_lc_rs::rand::fill(bytemuck::bytes_of_mut(&mut key)).ok()?;
        Some(Self(Key(key)))
    }

    /// The hash of a token.
    pub(super) fn of(&self, token: &str) -> [u8; 32] {
        bytemuck::must_cast(HighwayHasher::new(self.0).hash256(token.as_bytes()))
    }
}

/// Without the key.
impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(..)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_process_hashes_in_its_own_way_and_does_not_tell() {
        let [one, another] = [(); 2].map(|()| TokenHash::new().unwrap());
        assert_ne!(one.of("token"), another.of("token"));
        assert_eq!(format!("{one:?}"), "TokenHash(..)");
    }

    proptest! {
        /// Wherever a token is changed, in its signature or before, cut or continued, it is another one.
        #[test]
        fn the_whole_token_is_hashed(
            token in "[A-Za-z0-9._-]{1,900}", at in any::<prop::sample::Index>(), byte in "[A-Za-z0-9._-]",
        ) {
            let hash = TokenHash::new().unwrap();
            let of = hash.of(&token);
            prop_assert_eq!(of, hash.of(&token));
            let at = at.index(token.len());
            let mut changed = token.clone();
            changed.replace_range(at..=at, &byte);
            prop_assert_eq!(of == hash.of(&changed), changed == token);
            prop_assert_ne!(of, hash.of(&token[..at]));
            prop_assert_ne!(of, hash.of(&format!("{token}{byte}")));
        }
    }
}
