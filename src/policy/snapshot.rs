//! A bundle compiled in memory: everything that evaluation needs, immutable and shared by `Arc`.
//!
//! Policies are kept by their scopes, ready to be evaluated; their text and Cedar's own form of them are gone.
//! It is made by `compile` and asked in `call` and `question`.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use cedar_policy::{Effect as CedarEffect, Entities, EntityUid, Policy, Schema};

use super::candidates::Candidates;
use super::obligations::Terms;
use super::schema::Filled;
use crate::model::{BundleDigest, PolicyId};

/// A compiled bundle.
pub struct Snapshot {
    pub(super) digest: BundleDigest,
    pub(super) reads_rates: bool,
    pub(super) schema: Schema,
    /// In the order of their ids.
    pub(super) policies: Vec<Arc<PolicyFacts>>,
    /// The same policies, by what their scopes ask.
    pub(super) candidates: Candidates,
    /// The bundle's static entities, with their ancestors.
    pub(super) stored: Entities,
    /// Every action of the schema, with its groups.
    pub(super) actions: Entities,
    /// For each action of the bundle's own: what Deodar fills in.
    pub(super) filled: HashMap<EntityUid, Vec<Filled>>,
}

impl Snapshot {
    pub fn digest(&self) -> &BundleDigest {
        &self.digest
    }

    /// Whether any policy may read `context.rate`. An answer then rests on a number that each call changes, also
    /// where the policy that reads it did not decide: it did not forbid.
    pub fn reads_rates(&self) -> bool {
        self.reads_rates
    }

    /// All policies, in the order of their ids.
    pub fn policies(&self) -> impl Iterator<Item = &PolicyFacts> {
        self.policies.iter().map(AsRef::as_ref)
    }

    pub fn policy_count(&self) -> usize {
        self.policies.len()
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Snapshot({}, {} policies)", self.digest, self.policies.len())
    }
}

/// Whether a policy permits or forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyEffect {
    Permit,
    Forbid,
}

impl PolicyEffect {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Permit => "permit",
            Self::Forbid => "forbid",
        }
    }

    pub(super) fn of(policy: &Policy) -> Self {
        match policy.effect() {
            CedarEffect::Permit => Self::Permit,
            CedarEffect::Forbid => Self::Forbid,
        }
    }
}

/// What people want to know of one policy.
#[derive(Clone, Debug)]
pub struct PolicyFacts {
    pub id: PolicyId,
    pub effect: PolicyEffect,
    pub file: String,
    /// From 1.
    pub line: usize,
    /// As they are written, the id included.
    pub annotations: BTreeMap<String, String>,
    pub(super) terms: Terms,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_can_be_shared_between_threads() {
        fn shareable<T: Send + Sync + 'static>() {}
        shareable::<Snapshot>();
    }
}
