//! From the scopes of all policies to the few that a request can meet.
//!
//! Each policy is kept under what its scope asks of principal, action and resource. A request's principal meets
//! certain sides (any, `==` itself, `in` itself and each ancestor, `is` its type, `is .. in` both), and so do its
//! action and resource; the policies under the combinations of these are the candidates. Only sides that occur in some
//! scope count.
//!
//! Why no other policy matters: Cedar evaluates `principal side && action side && resource side && conditions` from
//! the left. `==`, `in` and `is` between a request's variable and names of a policy cannot fail (an entity
//! that is not there has no ancestors), so where a side is false the whole is false before a condition is
//! looked at: the policy is neither satisfied nor in error. And where a policy is found, all three sides are true, so
//! that what is left of it is its conditions. Dropping policies that are neither satisfied nor in error changes
//! no answer (cedar-spec proves it: `isAuthorized_eq_for_sound_policy_slice`). All of this holds if ancestors are
//! those of the entities used for evaluation, transitively closed, the action's groups included.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cedar_policy_core::ast::{EntityUID, Policy};

use super::condition::Condition;
use super::scope::{Numbers, Scope, Side};
use super::snapshot::PolicyFacts;
use crate::model::PolicyId;

/// Policies by scope.
#[derive(Debug)]
pub(super) struct Index {
    /// Names this state of the index among all that this process ever had.
    generation: u64,
    numbers: Numbers,
    /// How many policies have a side, for the principal, the action and the resource.
    principals: HashMap<Side, u32>,
    actions: HashMap<Side, u32>,
    resources: HashMap<Side, u32>,
    buckets: HashMap<(Side, Side, Side), Vec<u32>>,
    entries: Vec<Option<Entry>>,
    vacant: Vec<u32>,
    places: HashMap<PolicyId, u32>,
}

#[derive(Debug)]
struct Entry {
    condition: Arc<Condition>,
    scope: Scope,
}

/// The sides that one entity meets, of those that occur.
pub(super) type Sides = Box<[Side]>;

impl Default for Index {
    fn default() -> Self {
        Self {
            generation: next_generation(),
            numbers: Numbers::default(),
            principals: HashMap::new(),
            actions: HashMap::new(),
            resources: HashMap::new(),
            buckets: HashMap::new(),
            entries: Vec::new(),
            vacant: Vec::new(),
            places: HashMap::new(),
        }
    }
}

/// Zero is never used, and no number twice.
fn next_generation() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

impl Index {
    #[cfg(test)]
    pub fn conditions(&self) -> impl Iterator<Item = &Arc<Condition>> {
        self.entries.iter().flatten().map(|entry| &entry.condition)
    }

    /// Adds a policy under its id, in place of the one that had it. Nothing else is touched.
    pub fn insert(&mut self, policy: &Policy, facts: Arc<PolicyFacts>) {
        self.remove(&facts.id);
        let id = facts.id.clone();
        let (scope, condition) = match self.numbers.scope(policy) {
            Some(scope) => (scope, Condition::beyond_scope(policy, facts)),
            // Looked at for every request, and then evaluated with its scope.
            None => (Scope::any(), Condition::with_scope(policy, facts)),
        };
        let Some(place) = self.place_for(Entry { condition: Arc::new(condition), scope: scope.clone() })
        else {
            return;
        };
        self.places.insert(id, place);
        *self.principals.entry(scope.principal).or_default() += 1;
        *self.resources.entry(scope.resource).or_default() += 1;
        for action in &scope.actions {
            *self.actions.entry(*action).or_default() += 1;
            self.buckets.entry((scope.principal, *action, scope.resource)).or_default().push(place);
        }
        self.generation = next_generation();
    }

    /// Puts an entry where one was removed, or at the end.
    fn place_for(&mut self, entry: Entry) -> Option<u32> {
        if let Some(place) = self.vacant.pop() {
            *self.entries.get_mut(place as usize)? = Some(entry);
            return Some(place);
        }
        let place = u32::try_from(self.entries.len()).ok()?;
        self.entries.push(Some(entry));
        Some(place)
    }

    /// Takes a policy out. False if there was none of this id.
    pub fn remove(&mut self, id: &PolicyId) -> bool {
        let Some(place) = self.places.remove(id) else { return false };
        let Some(entry) = self.entries.get_mut(place as usize).and_then(Option::take) else { return false };
        self.vacant.push(place);
        let Scope { principal, actions, resource } = entry.scope;
        release(&mut self.principals, principal);
        release(&mut self.resources, resource);
        for action in actions {
            release(&mut self.actions, action);
            let key = (principal, action, resource);
            let Some(bucket) = self.buckets.get_mut(&key) else { continue };
            bucket.retain(|kept| *kept != place);
            if bucket.is_empty() {
                self.buckets.remove(&key);
            }
        }
        self.generation = next_generation();
        true
    }

    /// Sides found with one generation mean nothing to another.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    pub fn principal_sides<'a>(
        &self,
        principal: &EntityUID,
        ancestors: impl IntoIterator<Item = &'a EntityUID>,
    ) -> Sides {
        self.occurring(&self.principals, principal, ancestors)
    }

    pub fn action_sides<'a>(
        &self,
        action: &EntityUID,
        ancestors: impl IntoIterator<Item = &'a EntityUID>,
    ) -> Sides {
        self.occurring(&self.actions, action, ancestors)
    }

    pub fn resource_sides<'a>(
        &self,
        resource: &EntityUID,
        ancestors: impl IntoIterator<Item = &'a EntityUID>,
    ) -> Sides {
        self.occurring(&self.resources, resource, ancestors)
    }

    fn occurring<'a>(
        &self,
        sides: &HashMap<Side, u32>,
        entity: &EntityUID,
        ancestors: impl IntoIterator<Item = &'a EntityUID>,
    ) -> Sides {
        let met = self.numbers.met_by(entity, ancestors);
        met.into_iter().filter(|side| sides.contains_key(side)).collect()
    }

    /// The policies whose scope is met, each once and in no order. All three lists are sorted.
    ///
    /// It never looks at more combinations than there are distinct scopes: where the three lists
    /// have more, the scopes are gone through instead.
    pub fn candidates(&self, principal: &[Side], action: &[Side], resource: &[Side]) -> Vec<Arc<Condition>> {
        let combinations = principal.len().saturating_mul(action.len()).saturating_mul(resource.len());
        let mut places = if combinations <= self.buckets.len() {
            self.probe(principal, action, resource)
        } else {
            self.scan(principal, action, resource)
        };
        // A policy about a list of actions can be met by more than one of them.
        places.sort_unstable();
        places.dedup();
        let entries = places.into_iter().filter_map(|place| self.entries.get(place as usize)?.as_ref());
        entries.map(|entry| Arc::clone(&entry.condition)).collect()
    }

    fn probe(&self, principals: &[Side], actions: &[Side], resources: &[Side]) -> Vec<u32> {
        let mut places = Vec::new();
        for principal in principals {
            for action in actions {
                for resource in resources {
                    places.extend(self.buckets.get(&(*principal, *action, *resource)).into_iter().flatten());
                }
            }
        }
        places
    }

    fn scan(&self, principals: &[Side], actions: &[Side], resources: &[Side]) -> Vec<u32> {
        let met = |sides: &[Side], side: &Side| sides.binary_search(side).is_ok();
        let hit = self.buckets.iter().filter(|((principal, action, resource), _)| {
            met(actions, action) && met(resources, resource) && met(principals, principal)
        });
        hit.flat_map(|(_, places)| places).copied().collect()
    }
}

/// Counts one use of a side less.
fn release(sides: &mut HashMap<Side, u32>, side: Side) {
    if let Some(count) = sides.get_mut(&side) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            sides.remove(&side);
        }
    }
}

#[cfg(test)]
mod tests;
