//! How much memory a cached token takes: the principal with its texts, and what decisions make ready from it later.
//!
//! What is made ready belongs to other rooms and does not exist yet when the token is weighed, so its size is estimated
//! from the same texts. `tests/it/memory.rs` holds the estimate against what an allocator counts.

use std::collections::BTreeSet;

use super::cache::Authenticated;
use crate::model::{Principal, TokenFacts};

/// The cache's own nodes, the digest, the headers of what is shared, and what rounding up adds.
const FIXED: usize = 640;
/// What decisions make ready of a principal without roles, groups and tags: its entity, the subjects of signals.
const MADE_READY: usize = 2_600;
/// A role or a group as an ancestor of the entity: a place in a table that is up to half empty.
const ANCESTOR: usize = 170;
/// A value in a Cedar set. Those of scopes are made for few policies, so this is half of what one takes.
const VALUE: usize = 60;
/// What an allocator adds to a text, on average.
const ROUNDING: usize = 16;
/// A leaf of a tree of texts.
const LEAF: usize = 288;
/// How many texts a leaf holds when they came one by one.
const IN_LEAF: usize = 8;

/// The memory that an entry of the cache takes, in bytes.
pub(super) fn weight(known: &Authenticated) -> usize {
    let principal = &*known.principal;
    let tags = principal.tags.iter().map(|(name, values)| 2 * text(name) + VALUE + words(values));
    let dropped = known.dropped.iter().map(|sentence| text(sentence));
    FIXED
        + size_of::<Principal>()
        + named(principal)
        + ancestors(&principal.roles)
        + ancestors(&principal.groups)
        + tags.sum::<usize>()
        + dropped.sum::<usize>()
        + principal.token.as_ref().map_or(0, of_token)
}

/// Its name and its tenant, here and in what is made ready.
fn named(principal: &Principal) -> usize {
    let tenant = principal.tenant.as_deref().map_or(0, text);
    MADE_READY + 2 * text(principal.id.as_str()) + 2 * tenant
}

fn of_token(token: &TokenFacts) -> usize {
    let once = [&token.client_id, &token.acr].into_iter().flatten();
    // The subjects of signals name these again.
    let twice = [&token.token_id, &token.session_id].into_iter().flatten();
    once.map(|value| text(value)).sum::<usize>()
        + twice.map(|value| 2 * text(value)).sum::<usize>()
        + words(&token.audience)
        + words(&token.scopes)
        + words(&token.amr)
        + token.actor.as_deref().map_or(0, |actor| size_of::<Principal>() + named(actor))
}

/// Roles or groups: here, and as ancestors of the entity.
fn ancestors(names: &BTreeSet<String>) -> usize {
    tree(names) + names.iter().map(|name| text(name) + ANCESTOR).sum::<usize>()
}

/// Values: here, and as a set in Cedar's form.
fn words(values: &BTreeSet<String>) -> usize {
    tree(values) + values.len() * VALUE
}

fn tree(texts: &BTreeSet<String>) -> usize {
    texts.len().div_ceil(IN_LEAF) * LEAF + texts.iter().map(|value| text(value)).sum::<usize>()
}

const fn text(value: &str) -> usize {
    value.len() + ROUNDING
}
