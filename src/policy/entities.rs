//! Principals, endpoints and value bags as Cedar entities, built natively.
//!
//! Ids are never parsed from text: what a caller sends cannot become a type or break out of quotes. Ancestors are
//! given in full, so that parents need not be entities themselves. What the call is about is `context`'s.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::sync::LazyLock;

use cedar_policy::{Entities, Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression};

use crate::model::{Endpoint, Principal, PrincipalId, PrincipalKind};

/// Why something could not be said in Cedar. It is a fault of this program or of its configuration, never a reason
/// to allow.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unbuildable(String);

impl Unbuildable {
    pub fn because(why: impl Display) -> Self {
        Self(why.to_string())
    }
}

/// The type names of the vocabulary, parsed once.
pub(super) struct Names {
    pub user: EntityTypeName,
    pub workload: EntityTypeName,
    pub anonymous: EntityTypeName,
    pub role: EntityTypeName,
    pub group: EntityTypeName,
    pub service: EntityTypeName,
    pub endpoint: EntityTypeName,
    pub endpoint_state: EntityTypeName,
    pub values: EntityTypeName,
    pub token_kind: EntityTypeName,
    pub network_class: EntityTypeName,
    pub action: EntityTypeName,
}

pub(super) static NAMES: LazyLock<Names> = LazyLock::new(|| Names {
    user: constant("api::User"),
    workload: constant("api::Workload"),
    anonymous: constant("api::Anonymous"),
    role: constant("api::Role"),
    group: constant("api::Group"),
    service: constant("api::Service"),
    endpoint: constant("api::Endpoint"),
    endpoint_state: constant("api::EndpointState"),
    values: constant("api::Values"),
    token_kind: constant("api::TokenKind"),
    network_class: constant("api::NetworkClass"),
    action: constant("api::Action"),
});

#[expect(clippy::expect_used, reason = "the texts are the constants above, and every test uses them")]
fn constant(name: &str) -> EntityTypeName {
    name.parse().expect("a type name of the vocabulary")
}

pub(super) fn uid(type_name: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(type_name.clone(), EntityId::new(id))
}

pub(super) fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_owned())
}

pub(super) fn reference(type_name: &EntityTypeName, id: &str) -> RestrictedExpression {
    RestrictedExpression::new_entity_uid(uid(type_name, id))
}

pub(super) fn set<'a>(values: impl IntoIterator<Item = &'a String>) -> RestrictedExpression {
    RestrictedExpression::new_set(values.into_iter().map(|value| text(value)))
}

pub(super) fn principal_uid(id: &PrincipalId) -> EntityUid {
    let type_name = match id.kind {
        PrincipalKind::User => &NAMES.user,
        PrincipalKind::Workload => &NAMES.workload,
        PrincipalKind::Anonymous => &NAMES.anonymous,
    };
    uid(type_name, id.id())
}

/// The principal with its roles and groups, and what those are in by the bundle's stored entities.
pub(super) fn principal(principal: &Principal, stored: &Entities) -> Result<Entity, Unbuildable> {
    let own = principal_uid(&principal.id);
    if principal.is_anonymous() {
        return Ok(Entity::with_uid(own));
    }
    let (issuer, subject) = principal.id.parts();
    let mut attributes = vec![
        ("issuer".to_owned(), text(issuer)),
        ("subject".to_owned(), text(subject)),
        ("active".to_owned(), RestrictedExpression::new_bool(principal.active)),
    ];
    attributes.extend(principal.tenant.iter().map(|tenant| ("tenant".to_owned(), text(tenant))));
    let roles = principal.roles.iter().map(|role| uid(&NAMES.role, role));
    let groups = principal.groups.iter().map(|group| uid(&NAMES.group, group));
    let tags = principal.tags.iter().map(|(name, values)| (name.clone(), set(values)));
    Entity::new_with_tags(own, attributes, with_ancestors(roles.chain(groups), stored), tags)
        .map_err(Unbuildable::because)
}

pub(super) fn endpoint_uid(endpoint: &Endpoint) -> EntityUid {
    uid(&NAMES.endpoint, endpoint.id.as_str())
}

/// The endpoint in its service, and what that is in by the bundle's stored entities.
pub(super) fn endpoint(endpoint: &Endpoint, stored: &Entities) -> Result<Entity, Unbuildable> {
    let mut attributes = vec![
        ("method".to_owned(), text(&endpoint.method)),
        ("template".to_owned(), text(&endpoint.template)),
        ("sensitivity".to_owned(), RestrictedExpression::new_long(i64::from(endpoint.sensitivity.get()))),
        ("state".to_owned(), reference(&NAMES.endpoint_state, endpoint.state.as_str())),
        ("labels".to_owned(), set(&endpoint.labels)),
    ];
    attributes.extend(endpoint.operation.iter().map(|name| ("operation".to_owned(), text(name))));
    let service = uid(&NAMES.service, endpoint.api.id.as_str());
    Entity::new_with_tags(endpoint_uid(endpoint), attributes, with_ancestors([service], stored), [])
        .map_err(Unbuildable::because)
}

/// Parents with everything above them.
fn with_ancestors(parents: impl IntoIterator<Item = EntityUid>, stored: &Entities) -> BTreeSet<EntityUid> {
    let mut all = BTreeSet::new();
    for parent in parents {
        all.extend(stored.ancestors(&parent).into_iter().flatten().cloned());
        all.insert(parent);
    }
    all
}

/// A bag of named values: an entity whose tags they are. A name may have several values.
pub(super) fn values<'a>(
    name: &str,
    pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<Entity, Unbuildable> {
    let mut grouped: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (key, value) in pairs {
        grouped.entry(key).or_default().insert(value);
    }
    let tags = grouped
        .into_iter()
        .map(|(key, values)| (key.to_owned(), RestrictedExpression::new_set(values.into_iter().map(text))));
    Entity::new_with_tags(uid(&NAMES.values, name), [], [], tags).map_err(Unbuildable::because)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_with_quotes_stays_one_id() {
        let id: PrincipalId = r#"User::dev/a" || true || api::Role::"admin"#.parse().unwrap();
        assert_eq!(principal_uid(&id).type_name().to_string(), "api::User");
        assert_eq!(AsRef::<str>::as_ref(principal_uid(&id).id()), id.id());
    }

    #[test]
    fn stored_groups_bring_their_roles_along() {
        let group = uid(&NAMES.group, "sales");
        let role = uid(&NAMES.role, "clerk");
        let stored = Entity::new_no_attrs(group, [role.clone()].into());
        let stored = Entities::from_entities([stored], None).unwrap();
        let mut alice = Principal::bare("User::dev/alice".parse().unwrap());
        alice.groups.insert("sales".into());
        let built = Entities::from_entities([principal(&alice, &stored).unwrap()], None).unwrap();
        assert!(built.is_ancestor_of(&role, &principal_uid(&alice.id)));
    }

    #[test]
    fn a_repeated_name_keeps_all_its_values() {
        let bag = values("query_params", [("tag", "a"), ("tag", "b"), ("tag", "a")]).unwrap();
        let tag = bag.tag("tag").unwrap().unwrap();
        assert!(matches!(tag, cedar_policy::EvalResult::Set(set) if set.len() == 2));
    }
}
