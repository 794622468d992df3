//! A policy's scope in small numbers: what it asks of the principal, the action and the resource.
//!
//! Names and types that occur in scopes are numbered once, so that looking for candidates compares numbers. What
//! is found with them, and why that is enough, is in `index`.

use std::collections::HashMap;

use cedar_policy_core::ast::{
    ActionConstraint, EntityReference, EntityType, EntityUID, Policy, PrincipalOrResourceConstraint,
};

/// What a scope asks of one of the three: nothing, a name, a name above it, a type, or a type and a name above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Side(u64);

impl Side {
    pub const ANY: Self = Self(0);
    /// No side of any scope: ends one list of sides where several are written as one.
    pub const END: Self = Self(u64::MAX);

    const fn new(form: u64, kind: u32, name: u32) -> Self {
        // INVARIANT: kinds fit 24 bits (see `Numbers::kind`), so different sides are different numbers.
        Self(form << 56 | (kind as u64) << 32 | name as u64)
    }

    const fn equals(name: u32) -> Self {
        Self::new(1, 0, name)
    }

    const fn within(name: u32) -> Self {
        Self::new(2, 0, name)
    }

    const fn is(kind: u32) -> Self {
        Self::new(3, kind, 0)
    }

    const fn is_within(kind: u32, name: u32) -> Self {
        Self::new(4, kind, name)
    }
}

/// The scope of one policy. `action in [a, b]` has one action side for each member, and none is never met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scope {
    pub principal: Side,
    pub actions: Box<[Side]>,
    pub resource: Side,
}

impl Scope {
    /// Met by every request.
    pub fn any() -> Self {
        Self { principal: Side::ANY, actions: Box::new([Side::ANY]), resource: Side::ANY }
    }
}

/// The numbers of the names and types that occur in scopes.
#[derive(Clone, Debug, Default)]
pub(super) struct Numbers {
    names: HashMap<EntityUID, u32>,
    kinds: HashMap<EntityType, u32>,
}

impl Numbers {
    /// The scope of a policy. `None` where it has a form that this does not know, such as an open slot.
    pub fn scope(&mut self, policy: &Policy) -> Option<Scope> {
        let principal = self.side(policy.principal_constraint().as_inner())?;
        let resource = self.side(policy.resource_constraint().as_inner())?;
        let actions = match policy.action_constraint() {
            ActionConstraint::Any => vec![Side::ANY],
            ActionConstraint::Eq(action) => vec![Side::equals(self.name(action)?)],
            ActionConstraint::In(actions) => self.members(actions.iter().map(AsRef::as_ref))?,
        };
        Some(Scope { principal, actions: actions.into(), resource })
    }

    fn members<'a>(&mut self, actions: impl Iterator<Item = &'a EntityUID>) -> Option<Vec<Side>> {
        let mut sides = Vec::new();
        for action in actions {
            sides.push(Side::within(self.name(action)?));
        }
        sides.sort_unstable();
        sides.dedup();
        Some(sides)
    }

    fn side(&mut self, constraint: &PrincipalOrResourceConstraint) -> Option<Side> {
        match constraint {
            PrincipalOrResourceConstraint::Any => Some(Side::ANY),
            PrincipalOrResourceConstraint::Eq(EntityReference::EUID(name)) => {
                self.name(name).map(Side::equals)
            }
            PrincipalOrResourceConstraint::In(EntityReference::EUID(name)) => {
                self.name(name).map(Side::within)
            }
            PrincipalOrResourceConstraint::Is(kind) => self.kind(kind).map(Side::is),
            PrincipalOrResourceConstraint::IsIn(kind, EntityReference::EUID(name)) => {
                Some(Side::is_within(self.kind(kind)?, self.name(name)?))
            }
            PrincipalOrResourceConstraint::Eq(EntityReference::Slot(_))
            | PrincipalOrResourceConstraint::In(EntityReference::Slot(_))
            | PrincipalOrResourceConstraint::IsIn(_, EntityReference::Slot(_)) => None,
        }
    }

    fn name(&mut self, name: &EntityUID) -> Option<u32> {
        if let Some(number) = self.names.get(name) {
            return Some(*number);
        }
        let number = u32::try_from(self.names.len()).ok()?;
        self.names.insert(name.clone(), number);
        Some(number)
    }

    fn kind(&mut self, kind: &EntityType) -> Option<u32> {
        if let Some(number) = self.kinds.get(kind) {
            return Some(*number);
        }
        let number = u32::try_from(self.kinds.len()).ok().filter(|number| *number < 1 << 24)?;
        self.kinds.insert(kind.clone(), number);
        Some(number)
    }

    /// Every side that an entity meets, sorted: by itself, its type and everything above it.
    pub fn met_by<'a>(
        &self,
        entity: &EntityUID,
        ancestors: impl IntoIterator<Item = &'a EntityUID>,
    ) -> Vec<Side> {
        let kind = self.kinds.get(entity.entity_type()).copied();
        let own = self.names.get(entity).copied();
        let above = ancestors.into_iter().filter_map(|ancestor| self.names.get(ancestor).copied());
        let mut sides = vec![Side::ANY];
        sides.extend(own.map(Side::equals));
        sides.extend(kind.map(Side::is));
        for name in own.into_iter().chain(above) {
            sides.push(Side::within(name));
            sides.extend(kind.map(|kind| Side::is_within(kind, name)));
        }
        sides.sort_unstable();
        sides.dedup();
        sides
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(numbers: &mut Numbers, head: &str) -> Scope {
        let policy: cedar_policy::Policy = format!("permit({head});").parse().unwrap();
        numbers.scope(policy.as_ref()).unwrap()
    }

    fn met(numbers: &Numbers, entity: &str, ancestors: &[&str]) -> Vec<Side> {
        let ancestors: Vec<EntityUID> = ancestors.iter().map(|name| name.parse().unwrap()).collect();
        numbers.met_by(&entity.parse().unwrap(), &ancestors)
    }

    #[test]
    fn an_entity_meets_the_sides_that_its_scope_would() {
        let mut numbers = Numbers::default();
        let mut side =
            |principal: &str| scope(&mut numbers, &format!("{principal}, action, resource")).principal;
        let sides = [
            side("principal"),
            side("principal == U::\"a\""),
            side("principal in U::\"a\""),
            side("principal in G::\"g\""),
            side("principal is U"),
            side("principal is U in G::\"g\""),
        ];
        let met_by_a = met(&numbers, "U::\"a\"", &["G::\"g\"", "G::\"unheard\""]);
        assert!(sides.iter().all(|side| met_by_a.contains(side)));
        let met_by_b = met(&numbers, "U::\"b\"", &[]);
        assert_eq!(met_by_b, [sides[0], sides[4]]);
        let met_by_group = met(&numbers, "G::\"g\"", &[]);
        assert!(met_by_group.contains(&sides[3]) && !met_by_group.contains(&sides[5]));
    }

    #[test]
    fn each_action_of_a_list_is_a_side() {
        let mut numbers = Numbers::default();
        let list = "principal, action in [Action::\"a\", Action::\"b\", Action::\"a\"], resource";
        assert_eq!(scope(&mut numbers, list).actions.len(), 2);
        assert!(scope(&mut numbers, "principal, action in [], resource").actions.is_empty());
    }

    #[test]
    fn open_slots_are_not_understood() {
        let template =
            cedar_policy::Template::parse(None, "permit(principal == ?principal, action, resource);");
        let constraint = template.unwrap().as_ref().principal_constraint().clone();
        assert_eq!(Numbers::default().side(constraint.as_inner()), None);
    }
}
