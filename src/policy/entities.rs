//! Principals, endpoints and value bags as Cedar entities, built natively.
//!
//! Ids are never parsed from text: what a caller sends cannot become a type or break out of quotes. Ancestors are
//! given in full, so that parents need not be entities themselves. What the call is about is `context`'s.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Display;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use cedar_policy_core::ast::{Eid, Entity, EntityType, EntityUID, Literal, Name, PartialValue, Value};
use cedar_policy_core::entities::{Dereference, Entities};

use super::context::value;
use super::facts::{Which, Who};
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

/// The names of the vocabulary, parsed once.
pub(super) struct Names {
    pub user: EntityType,
    pub workload: EntityType,
    pub anonymous: EntityType,
    pub role: EntityType,
    pub group: EntityType,
    pub service: EntityType,
    pub endpoint: EntityType,
    pub endpoint_state: EntityType,
    pub token_kind: EntityType,
    pub network_class: EntityType,
    pub action: EntityType,
    pub path_params: Arc<EntityUID>,
    pub query_params: Arc<EntityUID>,
    pub headers: Arc<EntityUID>,
    pub metadata: Arc<EntityUID>,
    /// The constructor of addresses.
    pub ip: Name,
}

pub(super) static NAMES: LazyLock<Names> = LazyLock::new(|| {
    let values: EntityType = constant("api::Values");
    let bag = |name: &str| Arc::new(uid(&values, name));
    Names {
        user: constant("api::User"),
        workload: constant("api::Workload"),
        anonymous: constant("api::Anonymous"),
        role: constant("api::Role"),
        group: constant("api::Group"),
        service: constant("api::Service"),
        endpoint: constant("api::Endpoint"),
        endpoint_state: constant("api::EndpointState"),
        token_kind: constant("api::TokenKind"),
        network_class: constant("api::NetworkClass"),
        action: constant("api::Action"),
        path_params: bag("path_params"),
        query_params: bag("query_params"),
        headers: bag("headers"),
        metadata: bag("metadata"),
        ip: constant("ip"),
    }
});

#[expect(clippy::expect_used, reason = "the texts are the constants above, and every test uses them")]
fn constant<T: FromStr<Err: std::fmt::Debug>>(name: &str) -> T {
    name.parse().expect("a name of the vocabulary")
}

pub(super) fn uid(kind: &EntityType, id: &str) -> EntityUID {
    EntityUID::from_components(kind.clone(), Eid::new(id), None)
}

pub(super) fn text(value: &str) -> Value {
    Value::new(Literal::from(value), None)
}

pub(super) fn long(value: impl Into<i64>) -> Value {
    Value::new(Literal::Long(value.into()), None)
}

pub(super) fn truth(value: bool) -> Value {
    Value::new(Literal::Bool(value), None)
}

pub(super) fn reference(kind: &EntityType, id: &str) -> Value {
    Value::new(Literal::from(uid(kind, id)), None)
}

/// An entity as a value: its name.
pub(super) fn by_name(entity: &Entity) -> Value {
    Value::new(Literal::from(entity.uid().clone()), None)
}

pub(super) fn set<'a>(values: impl IntoIterator<Item = &'a str>) -> Value {
    Value::set_of_lits(values.into_iter().map(Literal::from), None)
}

pub(super) fn words(values: &BTreeSet<String>) -> Value {
    set(values.iter().map(String::as_str))
}

pub(super) fn principal_uid(id: &PrincipalId) -> EntityUID {
    let kind = match id.kind {
        PrincipalKind::User => &NAMES.user,
        PrincipalKind::Workload => &NAMES.workload,
        PrincipalKind::Anonymous => &NAMES.anonymous,
    };
    uid(kind, id.id())
}

/// The principal with its roles and groups, and what those are in by the bundle's stored entities.
pub(super) fn principal(principal: &Principal, stored: &Entities) -> Entity {
    let own = principal_uid(&principal.id);
    if principal.is_anonymous() {
        return Entity::with_uid(own);
    }
    let attributes = Who::ALL.map(|(name, who)| (name, who.of(principal).map(value)));
    let roles = principal.roles.iter().map(|role| uid(&NAMES.role, role));
    let groups = principal.groups.iter().map(|group| uid(&NAMES.group, group));
    let tags = principal.tags.iter().map(|(name, values)| (name.as_str(), words(values)));
    entity(own, attributes, with_ancestors(roles.chain(groups), stored), tags)
}

pub(super) fn endpoint_uid(endpoint: &Endpoint) -> EntityUID {
    uid(&NAMES.endpoint, endpoint.id.as_str())
}

/// The endpoint in its service, and what that is in by the bundle's stored entities.
pub(super) fn endpoint(endpoint: &Endpoint, stored: &Entities) -> Entity {
    let attributes = Which::ALL.map(|(name, which)| (name, which.of(endpoint).map(value)));
    let service = uid(&NAMES.service, endpoint.api.id.as_str());
    entity(endpoint_uid(endpoint), attributes, with_ancestors([service], stored), [])
}

/// A bag of named values: an entity whose tags they are. A name may have several values.
pub(super) fn values<'a>(name: &EntityUID, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Entity {
    let mut grouped: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (key, value) in pairs {
        grouped.entry(key).or_default().insert(value);
    }
    let tags = grouped.into_iter().map(|(key, values)| (key, set(values)));
    entity(name.clone(), [], HashSet::new(), tags)
}

/// An entity of values that need no evaluation.
fn entity<'a>(
    name: EntityUID,
    attributes: impl IntoIterator<Item = (&'static str, Option<Value>)>,
    ancestors: HashSet<EntityUID>,
    tags: impl IntoIterator<Item = (&'a str, Value)>,
) -> Entity {
    let attributes = attributes.into_iter();
    let attributes = attributes.filter_map(|(name, value)| Some((name.into(), PartialValue::Value(value?))));
    let tags = tags.into_iter().map(|(name, value)| (name.into(), PartialValue::Value(value)));
    Entity::new_with_attr_partial_value(name, attributes, HashSet::new(), ancestors, tags)
}

/// Parents with everything above them.
fn with_ancestors(parents: impl IntoIterator<Item = EntityUID>, stored: &Entities) -> HashSet<EntityUID> {
    let mut all = HashSet::new();
    for parent in parents {
        if let Dereference::Data(known) = stored.entity(&parent) {
            all.extend(known.ancestors().cloned());
        }
        all.insert(parent);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_with_quotes_stays_one_id() {
        let id: PrincipalId = r#"User::dev/a" || true || api::Role::"admin"#.parse().unwrap();
        assert_eq!(principal_uid(&id).entity_type().to_string(), "api::User");
        assert_eq!(AsRef::<str>::as_ref(principal_uid(&id).eid()), id.id());
    }

    #[test]
    fn stored_groups_bring_their_roles_along() {
        let json = r#"[{"uid":{"type":"api::Group","id":"sales"},"attrs":{},"parents":[{"type":"api::Role","id":"clerk"}]}]"#;
        let stored = cedar_policy::Entities::from_json_str(json, None).unwrap();
        let mut alice = Principal::bare("User::dev/alice".parse().unwrap());
        alice.groups.insert("sales".into());
        let built = principal(&alice, stored.as_ref());
        assert!(built.is_descendant_of(&uid(&NAMES.role, "clerk")));
        assert!(built.is_descendant_of(&uid(&NAMES.group, "sales")));
    }

    #[test]
    fn a_repeated_name_keeps_all_its_values() {
        let bag = values(&NAMES.query_params, [("tag", "a"), ("tag", "b"), ("tag", "a")]);
        assert_eq!(bag.get_tag("tag"), Some(&PartialValue::Value(set(["a", "b"]))));
    }
}
