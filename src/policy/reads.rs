//! Which facts a condition can read, so that only those are built.
//!
//! The answer is an upper bound: where an expression is used as a whole, or in a way that is not understood here,
//! everything in it counts as read. What is left out is therefore never missed, `has` included.

use cedar_policy_core::ast::{BinaryOp, Expr, ExprKind, Literal, Var};

/// One thing that a call's policies may read: an attribute of the context, a field of one, or an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Fact {
    ScopesMet,
    Token,
    TokenIssuer,
    TokenKind,
    TokenClientId,
    TokenAudience,
    TokenScopes,
    TokenAge,
    TokenLifetime,
    TokenAuthAge,
    TokenAcr,
    TokenAmr,
    TokenSenderConstrained,
    Request,
    Host,
    Ip,
    Secure,
    PathParams,
    QueryParams,
    Headers,
    Metadata,
    Risk,
    RiskLevel,
    RiskScore,
    RiskConfidence,
    RiskReasons,
    RiskStale,
    RiskLearning,
    Device,
    DeviceKnown,
    DeviceId,
    DeviceCompliant,
    DevicePostureAge,
    Network,
    NetworkClass,
    NetworkKnown,
    Rate,
    RatePrincipal,
    RatePrincipalEndpoint,
    RateNetwork,
    Time,
    TimeEpoch,
    TimeHour,
    TimeWeekday,
    /// The workload at the other end of the client's connection.
    Peer,
    /// Who acts for the principal.
    Actor,
    PrincipalEntity,
    ActionEntity,
    ResourceEntity,
    /// The context as one value.
    WholeContext,
}

/// The attributes of the context that Deodar fills in, with their fields. Without a field: the attribute itself.
const CONTEXT: [(&str, &str, Fact); 46] = [
    ("scopes_met", "", Fact::ScopesMet),
    ("token", "", Fact::Token),
    ("token", "issuer", Fact::TokenIssuer),
    ("token", "kind", Fact::TokenKind),
    ("token", "client_id", Fact::TokenClientId),
    ("token", "audience", Fact::TokenAudience),
    ("token", "scopes", Fact::TokenScopes),
    ("token", "age_s", Fact::TokenAge),
    ("token", "lifetime_s", Fact::TokenLifetime),
    ("token", "auth_age_s", Fact::TokenAuthAge),
    ("token", "acr", Fact::TokenAcr),
    ("token", "amr", Fact::TokenAmr),
    ("token", "sender_constrained", Fact::TokenSenderConstrained),
    ("request", "", Fact::Request),
    ("request", "host", Fact::Host),
    ("request", "ip", Fact::Ip),
    ("request", "secure", Fact::Secure),
    ("request", "path_params", Fact::PathParams),
    ("request", "query_params", Fact::QueryParams),
    ("request", "headers", Fact::Headers),
    ("request", "metadata", Fact::Metadata),
    ("risk", "", Fact::Risk),
    ("risk", "level", Fact::RiskLevel),
    ("risk", "score", Fact::RiskScore),
    ("risk", "confidence", Fact::RiskConfidence),
    ("risk", "reasons", Fact::RiskReasons),
    ("risk", "stale", Fact::RiskStale),
    ("risk", "learning", Fact::RiskLearning),
    ("device", "", Fact::Device),
    ("device", "known", Fact::DeviceKnown),
    ("device", "id", Fact::DeviceId),
    ("device", "compliant", Fact::DeviceCompliant),
    ("device", "posture_age_s", Fact::DevicePostureAge),
    ("network", "", Fact::Network),
    ("network", "class", Fact::NetworkClass),
    ("network", "known", Fact::NetworkKnown),
    ("rate", "", Fact::Rate),
    ("rate", "principal", Fact::RatePrincipal),
    ("rate", "principal_endpoint", Fact::RatePrincipalEndpoint),
    ("rate", "network", Fact::RateNetwork),
    ("time", "", Fact::Time),
    ("time", "epoch_ms", Fact::TimeEpoch),
    ("time", "hour", Fact::TimeHour),
    ("time", "weekday", Fact::TimeWeekday),
    ("peer", "", Fact::Peer),
    ("actor", "", Fact::Actor),
];

impl Fact {
    /// The fact at `context.<attribute>.<field>`; without a field, that the attribute is there.
    pub fn named(attribute: &str, field: &str) -> Option<Self> {
        CONTEXT.iter().find(|(a, f, _)| *a == attribute && *f == field).map(|(_, _, fact)| *fact)
    }

    /// The fact at a field: one without a name is none, and not the attribute itself.
    pub fn of_field(attribute: &str, field: &str) -> Option<Self> {
        Some(field).filter(|field| !field.is_empty()).and_then(|field| Self::named(attribute, field))
    }

    /// The fields of an attribute of the context.
    pub fn fields(attribute: &str) -> impl Iterator<Item = (&'static str, Self)> {
        let fields = CONTEXT.iter().filter(move |(a, f, _)| *a == attribute && !f.is_empty());
        fields.map(|(_, field, fact)| (*field, *fact))
    }

    /// Whether it is a field of `context.token`.
    pub const fn is_of_token(self) -> bool {
        self as u8 > Self::Token as u8 && self as u8 <= Self::TokenSenderConstrained as u8
    }
}

/// A set of facts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reads(u64);

impl Reads {
    pub const NONE: Self = Self(0);
    pub const ALL: Self = Self(u64::MAX);

    /// What an expression can read.
    pub fn of(expression: &Expr) -> Self {
        let mut reads = Self::NONE;
        reads.add_expression(expression);
        reads
    }

    pub const fn has(self, fact: Fact) -> bool {
        self.0 & (1 << fact as u8) != 0
    }

    pub fn has_any(self, facts: &[Fact]) -> bool {
        facts.iter().any(|fact| self.has(*fact))
    }

    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub const fn with(self, fact: Fact) -> Self {
        Self(self.0 | 1 << fact as u8)
    }

    fn add(&mut self, fact: Fact) {
        *self = self.with(fact);
    }

    /// `context has <attribute>`.
    fn add_presence(&mut self, attribute: &str) {
        self.add_field(attribute, "");
    }

    /// `context.<attribute>.<field>`, which also needs the attribute itself.
    fn add_field(&mut self, attribute: &str, field: &str) {
        self.add_stranger(attribute);
        for (_, _, fact) in
            CONTEXT.iter().filter(|(a, f, _)| *a == attribute && (f.is_empty() || *f == field))
        {
            self.add(*fact);
        }
    }

    /// A name that Deodar fills nothing in for. It could be that of a constant that was put there for another policy, so
    /// nothing may be put there.
    fn add_stranger(&mut self, attribute: &str) {
        if !CONTEXT.iter().any(|(known, ..)| *known == attribute) {
            self.add(Fact::WholeContext);
        }
    }

    /// `context.<attribute>` as a value.
    fn add_attribute(&mut self, attribute: &str) {
        self.add_stranger(attribute);
        CONTEXT.iter().filter(|(a, ..)| *a == attribute).for_each(|(_, _, fact)| self.add(*fact));
    }

    fn add_expression(&mut self, expression: &Expr) {
        match expression.expr_kind() {
            ExprKind::Var(var) => self.add_variable(*var),
            // A named entity that something may be read of: nobody knows whose.
            ExprKind::Lit(Literal::EntityUID(_)) | ExprKind::Slot(_) | ExprKind::Unknown(_) => {
                *self = Self::ALL
            }
            ExprKind::Lit(_) => {}
            ExprKind::GetAttr { expr, attr } => match place(expr) {
                Place::Context => self.add_attribute(attr),
                Place::Attribute(outer) => self.add_field(outer, attr),
                Place::Elsewhere => self.add_expression(expr),
            },
            ExprKind::HasAttr { expr, attr } => self.add_has(expr, attr, None),
            ExprKind::ExtHasAttr { expr, attrs } => {
                self.add_has(expr, attrs.first(), attrs.get(1).map(AsRef::as_ref));
            }
            ExprKind::BinaryApp { op, arg1, arg2 } => self.add_binary(*op, arg1, arg2),
            ExprKind::Is { expr, .. } => self.add_compared(expr),
            ExprKind::If { test_expr, then_expr, else_expr } => {
                [test_expr, then_expr, else_expr].into_iter().for_each(|part| self.add_expression(part));
            }
            ExprKind::And { left, right } | ExprKind::Or { left, right } => {
                self.add_expression(left);
                self.add_expression(right);
            }
            ExprKind::UnaryApp { arg, .. } => self.add_expression(arg),
            ExprKind::Like { expr, .. } => self.add_expression(expr),
            ExprKind::ExtensionFunctionApp { args, .. } => {
                args.iter().for_each(|arg| self.add_expression(arg))
            }
            // A set is only compared and searched; nothing is read of its members.
            ExprKind::Set(members) => members.iter().for_each(|member| self.add_compared(member)),
            ExprKind::Record(fields) => fields.values().for_each(|field| self.add_expression(field)),
        }
    }

    fn add_variable(&mut self, var: Var) {
        match var {
            Var::Principal => self.add(Fact::PrincipalEntity),
            Var::Action => self.add(Fact::ActionEntity),
            Var::Resource => self.add(Fact::ResourceEntity),
            Var::Context => *self = Self::ALL,
        }
    }

    fn add_has(&mut self, of: &Expr, first: &str, second: Option<&str>) {
        match (place(of), second) {
            (Place::Context, None) => self.add_presence(first),
            (Place::Context, Some(second)) => self.add_field(first, second),
            (Place::Attribute(outer), _) => self.add_field(outer, first),
            (Place::Elsewhere, _) => self.add_expression(of),
        }
    }

    fn add_binary(&mut self, op: BinaryOp, left: &Expr, right: &Expr) {
        match op {
            BinaryOp::Eq => {
                self.add_compared(left);
                self.add_compared(right);
            }
            // Of the right side only the name counts.
            BinaryOp::In | BinaryOp::Contains => {
                self.add_expression(left);
                self.add_compared(right);
            }
            _ => {
                self.add_expression(left);
                self.add_expression(right);
            }
        }
    }

    /// An expression whose value is only compared: a name alone needs no entity.
    fn add_compared(&mut self, expression: &Expr) {
        match expression.expr_kind() {
            ExprKind::Lit(_) | ExprKind::Var(Var::Principal | Var::Action | Var::Resource) => {}
            _ => self.add_expression(expression),
        }
    }
}

/// Where an expression stands in the context.
pub(super) enum Place<'a> {
    Context,
    Attribute(&'a str),
    Elsewhere,
}

pub(super) fn place(expression: &Expr) -> Place<'_> {
    let is_context = |expr: &Expr| matches!(expr.expr_kind(), ExprKind::Var(Var::Context));
    match expression.expr_kind() {
        ExprKind::Var(Var::Context) => Place::Context,
        ExprKind::GetAttr { expr, attr } if is_context(expr) => Place::Attribute(attr),
        _ => Place::Elsewhere,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(condition: &str) -> Reads {
        Reads::of(&condition.parse::<Expr>().unwrap())
    }

    fn facts(facts: &[Fact]) -> Reads {
        facts.iter().fold(Reads::NONE, |reads, fact| reads.with(*fact))
    }

    #[test]
    fn a_field_needs_its_attribute_and_no_other_field() {
        assert_eq!(reads("context.risk.level >= 3"), facts(&[Fact::Risk, Fact::RiskLevel]));
        assert_eq!(reads("context[\"risk\"][\"level\"] >= 3"), facts(&[Fact::Risk, Fact::RiskLevel]));
        let by_principal = facts(&[Fact::Rate, Fact::RatePrincipal]);
        assert_eq!(reads("context.rate.principal.last_minute > 60"), by_principal);
    }

    #[test]
    fn asking_whether_something_is_there_is_reading_it() {
        assert_eq!(reads("context has token"), facts(&[Fact::Token]));
        assert_eq!(reads("context.token has acr"), facts(&[Fact::Token, Fact::TokenAcr]));
        assert_eq!(reads("context has token.acr"), facts(&[Fact::Token, Fact::TokenAcr]));
        assert_eq!(reads("context has request.ip"), facts(&[Fact::Request, Fact::Ip]));
    }

    #[test]
    fn a_name_that_is_not_known_leaves_no_room_for_constants() {
        for condition in ["context has object", "context has \"ip(\\\"::1\\\")\"", "context[\"x\"] == 1"] {
            assert_eq!(reads(condition), facts(&[Fact::WholeContext]), "{condition}");
        }
    }

    #[test]
    fn whatever_is_read_of_another_workload_needs_it_whole() {
        for condition in [
            "context has peer",
            "context.peer.subject == \"x\"",
            "context has peer.subject",
            "context.peer has tenant",
            "context.peer in api::Role::\"x\"",
            "context.peer == api::Workload::\"prod/web\"",
            "context.peer is api::Workload",
            "context.peer.hasTag(\"dir:team\")",
            "[context.peer].contains(api::Workload::\"prod/web\")",
        ] {
            assert_eq!(reads(condition), facts(&[Fact::Peer]), "{condition}");
        }
        assert_eq!(reads("context.actor == context.peer"), facts(&[Fact::Peer, Fact::Actor]));
        assert_eq!(reads("principal == context.actor"), facts(&[Fact::Actor]));
    }

    #[test]
    fn a_record_as_a_value_is_read_whole() {
        let risk = reads("{a: context.risk}.a.level > 1");
        assert!(risk.has(Fact::RiskReasons) && risk.has(Fact::RiskStale) && !risk.has(Fact::Token));
        for whole in
            ["context == {}", "(if true then context else context).risk.level > 1", "{a: context}.a has x"]
        {
            assert_eq!(reads(whole), Reads::ALL, "{whole}");
        }
    }

    #[test]
    fn a_name_that_is_only_compared_needs_no_entity() {
        for condition in [
            "principal == api::User::\"dev/a\"",
            "resource is api::Endpoint",
            "[principal, resource].contains(api::User::\"x\")",
            "action == api::Action::\"GET\"",
        ] {
            assert_eq!(reads(condition), Reads::NONE, "{condition}");
        }
        assert_eq!(reads("principal in api::Role::\"x\""), facts(&[Fact::PrincipalEntity]));
        assert_eq!(reads("resource in [api::Service::\"x\"]"), facts(&[Fact::ResourceEntity]));
        assert_eq!(reads("action in [api::Action::\"read\"]"), facts(&[Fact::ActionEntity]));
    }

    #[test]
    fn what_may_be_read_of_a_named_entity_is_everything() {
        assert_eq!(reads("api::User::\"x\".active"), Reads::ALL);
        assert_eq!(reads("(if true then api::User::\"x\" else principal).active"), Reads::ALL);
        assert_eq!(reads("api::Values::\"headers\".hasTag(\"x\")"), Reads::ALL);
        assert_eq!(reads("api::User::\"x\" in api::Role::\"y\""), Reads::ALL);
    }

    #[test]
    fn no_fact_is_listed_twice_or_out_of_range() {
        let mut seen = Reads::NONE;
        for (attribute, field, fact) in CONTEXT {
            assert!(!seen.has(fact), "{attribute}.{field}");
            assert_eq!(fact.is_of_token(), attribute == "token" && !field.is_empty());
            seen.add(fact);
        }
        assert!((Fact::WholeContext as u8) < 64 && !seen.has(Fact::WholeContext));
    }
}
