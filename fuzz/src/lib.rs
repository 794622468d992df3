//! What must hold whatever bytes arrive: one module for each target, with the seeds that it starts from.
//!
//! The tests of the product read these files too (`tests/it/fuzzing.rs`), so that every seed is judged by the same code on
//! each run of theirs, without a nightly compiler.

pub mod certificate;
pub mod der;
pub mod draft;
pub mod jwks;
pub mod keys;
pub mod mutation;
pub mod proof;
pub mod random;
pub mod seeds;
pub mod svid;
pub mod token;

/// How an input was judged. That it was judged right is asserted before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Accepted,
    Refused,
}
