//! The candidates of a request, remembered for the next one that is alike.
//!
//! Requests whose principals meet the same sides of scopes, and whose endpoints do, have the same candidates. So
//! each list of sides gets a number, and a pair of numbers finds the candidates in one probe, however many
//! policies there are. Everything is bounded: what is full is emptied and fills again with what is in use.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cedar_policy_core::ast::{EntityUID, Request};
use cedar_policy_core::entities::{Dereference, Entities};
use papaya::HashMap;

use super::condition::{Condition, Constant, Constants};
use super::index::{Index, Sides};
use super::reads::{Fact, Reads};
use super::scope::Side;
use super::snapshot::PolicyEffect;

/// Remembered sets; one takes some hundred bytes.
const MAX_SETS: usize = 16_384;
/// Numbered lists of sides.
const MAX_CLASSES: usize = 65_536;

/// The policies that can decide a request, each with its scope already met, in the order of their ids.
#[derive(Debug, Default)]
pub(super) struct CandidateSet {
    pub forbids: Vec<Arc<Condition>>,
    pub permits: Vec<Arc<Condition>>,
    /// What all of them together can read.
    pub reads: Reads,
    /// What must be put into the context for [`Constants::InContext`].
    pub constants: Vec<Constant>,
}

impl CandidateSet {
    pub fn new(mut conditions: Vec<Arc<Condition>>) -> Self {
        conditions.sort_unstable_by(|a, b| a.facts.id.cmp(&b.facts.id));
        let reads = conditions.iter().fold(Reads::NONE, |reads, condition| reads.and(condition.reads));
        let mut constants: Vec<Constant> = Vec::new();
        for constant in conditions.iter().flat_map(|condition| condition.constants()) {
            if !constants.iter().any(|known| known.name == constant.name) {
                constants.push(constant.clone());
            }
        }
        let (permits, forbids) =
            conditions.into_iter().partition(|condition| condition.facts.effect == PolicyEffect::Permit);
        Self { forbids, permits, reads, constants }
    }

    /// How the context must be built for these: constants only where no policy reads the context as one value.
    pub fn wanted_constants(&self) -> Constants {
        if self.reads.has(Fact::WholeContext) { Constants::Absent } else { Constants::InContext }
    }
}

/// A number for everybody, or everything, that meets the same sides. Numbers are never used again.
pub(super) type Class = u64;

/// An index with its memory.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    pub index: Index,
    classes: HashMap<Box<[Side]>, Class>,
    last_class: AtomicU64,
    sets: HashMap<(Class, Class), Arc<CandidateSet>>,
}

impl Candidates {
    pub fn new(index: Index) -> Self {
        Self { index, ..Self::default() }
    }

    /// The candidates of a request whose entities come with it. Nothing is remembered.
    pub fn for_request(&self, request: &Request, entities: &Entities) -> CandidateSet {
        let index = &self.index;
        let above = |uid: &EntityUID| match entities.entity(uid) {
            Dereference::Data(entity) => entity.ancestors().collect(),
            Dereference::NoSuchEntity | Dereference::Residual(_) => Vec::new(),
        };
        let principal = request.principal().uid().map(|uid| index.principal_sides(uid, above(uid)));
        let action = request.action().uid().map(|uid| index.action_sides(uid, above(uid)));
        let resource = request.resource().uid().map(|uid| index.resource_sides(uid, above(uid)));
        let (principal, action) = (principal.unwrap_or_default(), action.unwrap_or_default());
        CandidateSet::new(index.candidates(&principal, &action, &resource.unwrap_or_default()))
    }

    /// The class of principals that meet these sides.
    pub fn principal_class(&self, sides: &Sides) -> Class {
        self.class(sides.clone())
    }

    /// The class of endpoints whose action and resource meet these sides.
    pub fn endpoint_class(&self, action: &Sides, resource: &Sides) -> Class {
        self.class(action.iter().chain([&Side::END]).chain(resource).copied().collect())
    }

    fn class(&self, sides: Box<[Side]>) -> Class {
        let classes = self.classes.pin();
        if let Some(class) = classes.get(&sides) {
            return *class;
        }
        if classes.len() >= MAX_CLASSES {
            classes.clear();
        }
        *classes.get_or_insert_with(sides, || self.last_class.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// The candidates of a principal of one class and an endpoint of another; `find` says them at the first time.
    pub fn set(
        &self,
        principal: Class,
        endpoint: Class,
        find: impl FnOnce(&Index) -> Vec<Arc<Condition>>,
    ) -> Arc<CandidateSet> {
        let sets = self.sets.pin();
        if let Some(set) = sets.get(&(principal, endpoint)) {
            return Arc::clone(set);
        }
        let set = Arc::new(CandidateSet::new(find(&self.index)));
        if sets.len() >= MAX_SETS {
            sets.clear();
        }
        sets.insert((principal, endpoint), Arc::clone(&set));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::super::support::{Call, snapshot};
    use super::*;
    use crate::model::Reason;

    #[test]
    fn numbers_are_shared_by_equal_lists_only() {
        let candidates = Candidates::default();
        let (none, any): (Sides, Sides) = (Box::new([]), Box::new([Side::ANY]));
        assert_eq!(candidates.principal_class(&any), candidates.principal_class(&any));
        assert_ne!(candidates.principal_class(&any), candidates.principal_class(&none));
        assert_ne!(candidates.endpoint_class(&any, &none), candidates.endpoint_class(&none, &any));
    }

    #[test]
    fn what_is_full_is_emptied_and_numbers_stay_unique() {
        let candidates = Candidates::default();
        let first = candidates.set(0, 0, |_| Vec::new());
        for endpoint in 1..=MAX_SETS as u64 {
            candidates.set(1, endpoint, |_| Vec::new());
        }
        assert!(candidates.sets.pin().len() <= MAX_SETS);
        assert!(!Arc::ptr_eq(&first, &candidates.set(0, 0, |_| Vec::new())));
    }

    #[test]
    fn alike_requests_are_answered_alike() {
        let snapshot = snapshot("@id(\"p\") permit(principal in api::Role::\"clerk\", action, resource);");
        for _ in 0..3 {
            assert_eq!(Call::default().evaluate(&snapshot).reason, Reason::Allowed);
            let anonymous = Call { anonymous: true, token: None, ..Call::default() };
            assert_eq!(anonymous.evaluate(&snapshot).reason, Reason::NoMatchingPermit);
        }
    }
}
