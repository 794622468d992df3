//! What the deployment knows of principals, laid over what their credentials say.
//!
//! A credential never overrides the directory: who is not active there is not active, whoever vouches. Roles, groups and
//! tags of the directory are added. A principal with its entry is made once and kept beside the principal, so that a
//! cached token costs one look-up at each decision.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::shards::Shards;
use crate::model::{DirectoryChange, DirectoryEntry, Principal, PrincipalId};

#[derive(Debug)]
struct Known {
    /// No other state of any entry has it.
    generation: u64,
    entry: DirectoryEntry,
    /// The principal of which nothing but the name is known, with this entry.
    bare: Arc<Principal>,
}

/// Every entry of the directory.
#[derive(Debug)]
pub struct Directory {
    entries: Shards<PrincipalId, Arc<Known>>,
    generations: AtomicU64,
}

impl Directory {
    pub fn new() -> Self {
        Self { entries: Shards::new(), generations: AtomicU64::new(0) }
    }

    /// The principal with what the directory knows of it; itself when that is nothing.
    pub fn complete(&self, principal: Arc<Principal>) -> Arc<Principal> {
        let Some(known) = self.entries.get(&principal.id) else { return principal };
        if is_bare(&principal) {
            return Arc::clone(&known.bare);
        }
        let merge = || merged(&principal, &known.entry);
        principal.in_directory.get_or_prepare(known.generation, merge)
    }

    /// Takes in one edit. Of one principal, the edit applied last holds: apply in the order of the feed.
    pub fn apply(&self, change: &DirectoryChange) {
        let known = change.entry.clone().map(|entry| self.known(entry));
        self.entries.update(change.principal.clone(), |_| known);
    }

    /// Puts these in the place of all.
    pub fn replace_all(&self, entries: Vec<DirectoryEntry>) {
        self.entries
            .replace_all(entries.into_iter().map(|entry| (entry.principal.clone(), self.known(entry))));
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn known(&self, entry: DirectoryEntry) -> Arc<Known> {
        let generation = self.generations.fetch_add(1, Ordering::Relaxed);
        let bare = Arc::new(merged(&Principal::bare(entry.principal.clone()), &entry));
        Arc::new(Known { generation, entry, bare })
    }
}

impl Default for Directory {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether nothing is known of it but its name.
fn is_bare(principal: &Principal) -> bool {
    let Principal { tenant, active, roles, groups, tags, token, .. } = principal;
    let says_nothing = roles.is_empty() && groups.is_empty() && tags.is_empty();
    *active && says_nothing && tenant.is_none() && token.is_none()
}

fn merged(principal: &Principal, entry: &DirectoryEntry) -> Principal {
    let mut merged = principal.clone();
    merged.active &= entry.active;
    merged.roles.extend(entry.roles.iter().cloned());
    merged.groups.extend(entry.groups.iter().cloned());
    // A token's own tags begin with `claim:`, so that none can pass for one of these.
    let tags = entry.tags.iter().map(|(name, values)| (format!("dir:{name}"), values.clone()));
    merged.tags.extend(tags);
    merged
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::model::Timestamp;

    fn words(words: &[&str]) -> BTreeSet<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn entry(active: bool, roles: &[&str]) -> DirectoryEntry {
        DirectoryEntry {
            principal: "User::dev/alice".parse().unwrap(),
            active,
            roles: words(roles),
            groups: words(&["sales"]),
            tags: BTreeMap::from([("team".to_owned(), words(&["blue"]))]),
            note: String::new(),
            etag: "1".into(),
            updated_by: "root".parse().unwrap(),
            updated_at: Timestamp::from_seconds(1),
        }
    }

    fn put(directory: &Directory, entry: DirectoryEntry) {
        let principal = entry.principal.clone();
        directory.apply(&DirectoryChange { principal, entry: Some(entry) });
    }

    fn alice() -> Arc<Principal> {
        let mut alice = Principal::bare("User::dev/alice".parse().unwrap());
        alice.roles = words(&["clerk"]);
        Arc::new(alice)
    }

    #[test]
    fn who_is_not_in_the_directory_is_not_even_copied() {
        let directory = Directory::new();
        let alice = alice();
        assert!(Arc::ptr_eq(&directory.complete(Arc::clone(&alice)), &alice));
        put(&directory, DirectoryEntry { principal: "User::dev/bob".parse().unwrap(), ..entry(false, &[]) });
        assert!(Arc::ptr_eq(&directory.complete(Arc::clone(&alice)), &alice));
    }

    #[test]
    fn an_entry_adds_to_what_the_token_says_and_is_merged_once() {
        let directory = Directory::new();
        put(&directory, entry(true, &["manager"]));
        let alice = alice();
        let merged = directory.complete(Arc::clone(&alice));
        assert_eq!(merged.roles, words(&["clerk", "manager"]));
        assert_eq!((&merged.groups, &merged.tags["dir:team"]), (&words(&["sales"]), &words(&["blue"])));
        assert!(merged.active);
        assert!(Arc::ptr_eq(&directory.complete(alice), &merged));
    }

    #[test]
    fn an_edit_is_seen_by_a_principal_that_was_merged_before() {
        let directory = Directory::new();
        put(&directory, entry(true, &["manager"]));
        let alice = alice();
        assert!(directory.complete(Arc::clone(&alice)).active);
        put(&directory, entry(false, &[]));
        let merged = directory.complete(Arc::clone(&alice));
        assert!(!merged.active && merged.roles == words(&["clerk"]));
        directory.apply(&DirectoryChange { principal: alice.id.clone(), entry: None });
        assert!(Arc::ptr_eq(&directory.complete(Arc::clone(&alice)), &alice));
    }

    #[test]
    fn a_principal_of_which_only_the_name_is_known_is_merged_beforehand() {
        let directory = Directory::new();
        directory.replace_all(vec![entry(true, &["manager"])]);
        let ask = || directory.complete(Arc::new(Principal::bare("User::dev/alice".parse().unwrap())));
        assert_eq!(ask().roles, words(&["manager"]));
        assert!(Arc::ptr_eq(&ask(), &ask()));
    }

    #[test]
    fn the_directory_makes_nobody_active_whom_the_credential_says_is_not() {
        let directory = Directory::new();
        put(&directory, entry(true, &[]));
        let inactive = Principal { active: false, ..Principal::clone(&alice()) };
        assert!(!directory.complete(Arc::new(inactive)).active);
    }
}
