//! Template links: policies made of a template and a name for each of its slots.
//!
//! `cedartemplatelinks.json` has the form that Cedar's own command line reads and writes. A link becomes a policy like any
//! other, under its own id and with the annotations of its template: the index finds it by its names, and a bundle has
//! no second kind of policy.

use std::collections::BTreeMap;
use std::ops::Range;

use cedar_policy::{EntityUid, Policy, PolicyId as CedarId, Template};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::finding::{Finding, Severity};
use super::statement::Statement;
use crate::model::{BundleSource, PolicyId, SourceFile};

pub(super) const FILE: &str = "cedartemplatelinks.json";

/// A template in the file where it stands.
pub(super) struct Pattern<'a> {
    pub template: Template,
    pub file: &'a SourceFile,
    pub range: Range<usize>,
    pub line: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Link {
    template_id: String,
    link_id: String,
    /// `?principal` and `?resource`, each with an entity: `api::User::"dev/alice"`.
    args: BTreeMap<String, String>,
}

/// Reads every link of the bundle. What cannot be linked becomes an error.
pub(super) fn read_all<'a>(
    source: &'a BundleSource,
    patterns: &BTreeMap<PolicyId, Pattern<'a>>,
    errors: &mut Vec<Finding>,
) -> Vec<(Statement<'a>, &'a SourceFile)> {
    let named = |file: &&SourceFile| file.path.rsplit('/').next() == Some(FILE);
    let mut statements = Vec::new();
    for file in source.files().iter().filter(named) {
        let links: Vec<Link> = match serde_json::from_str(&file.text) {
            Ok(links) => links,
            Err(error) => {
                errors.push(Finding::of_file(
                    Severity::Error,
                    file,
                    format!("these are no template links: {error}"),
                ));
                continue;
            }
        };
        let bodies: BTreeMap<&PolicyId, Option<Value>> =
            patterns.iter().map(|(id, pattern)| (id, pattern.template.to_json().ok())).collect();
        for link in links {
            match statement(&link, patterns, &bodies) {
                Ok(statement) => statements.push((statement, file)),
                Err(why) => errors.push(at(file, &link.link_id, format!("link `{}`: {why}", link.link_id))),
            }
        }
    }
    statements
}

/// An error at the first mention of a link.
pub(super) fn at(file: &SourceFile, link: &str, message: String) -> Finding {
    let found = file.text.find(&format!("\"{link}\""));
    Finding::at(Severity::Error, file, found.map_or(0..0, |found| found..found + link.len() + 2), message)
}

fn statement<'a>(
    link: &Link,
    patterns: &BTreeMap<PolicyId, Pattern<'a>>,
    bodies: &BTreeMap<&PolicyId, Option<Value>>,
) -> Result<Statement<'a>, String> {
    let id: PolicyId =
        link.link_id.parse().map_err(|error: crate::model::id::InvalidId| error.to_string())?;
    let unknown = || format!("no template has the id `{}`", link.template_id);
    let (name, pattern) = link
        .template_id
        .parse::<PolicyId>()
        .ok()
        .and_then(|wanted| patterns.get_key_value(&wanted))
        .ok_or_else(unknown)?;
    let body = bodies.get(name).cloned().flatten().ok_or("its template has no JSON form")?;
    let body = filled(body, &pattern.template, &link.args)?;
    let policy =
        Policy::from_json(Some(CedarId::new(id.as_str())), body).map_err(|error| error.to_string())?;
    Ok(Statement { id, policy, file: pattern.file, range: pattern.range.clone(), line: pattern.line })
}

/// The template's JSON form with a name in each slot. Slots stand in scopes only.
fn filled(mut body: Value, template: &Template, args: &BTreeMap<String, String>) -> Result<Value, String> {
    let slots: Vec<String> = template.slots().map(ToString::to_string).collect();
    if let Some(missing) = slots.iter().find(|slot| !args.contains_key(*slot)) {
        return Err(format!("`args` has nothing for the slot `{missing}`"));
    }
    if let Some(extra) = args.keys().find(|slot| !slots.contains(slot)) {
        return Err(format!("its template has no slot `{extra}`"));
    }
    for (slot, text) in args {
        let uid: EntityUid = text.parse().map_err(|error| format!("`{text}` is no entity: {error}"))?;
        let name = json!({ "type": uid.type_name().to_string(), "id": AsRef::<str>::as_ref(uid.id()) });
        let scope = body.get_mut(slot.trim_start_matches('?')).and_then(Value::as_object_mut);
        scope.ok_or_else(|| format!("`{slot}` has no place in a scope")).map(|scope| fill(scope, &name))?;
    }
    Ok(body)
}

/// `principal == ?principal`, `principal in ?principal`, `principal is api::User in ?principal`.
fn fill(scope: &mut Map<String, Value>, name: &Value) {
    if scope.remove("slot").is_some() {
        scope.insert("entity".to_owned(), name.clone());
    }
    if let Some(within) = scope.get_mut("in").and_then(Value::as_object_mut) {
        fill(within, name);
    }
}

#[cfg(test)]
mod tests {
    use super::super::support::{Call, bundle, compile_error, snapshot_of};
    use crate::model::Reason;

    const OWNERS: &str = "@id(\"owners\") @log(\"info\") permit(principal == ?principal, action, resource in ?resource) when { context.scopes_met };";
    const TEAMS: &str = "@id(\"teams\") forbid(principal is api::User in ?principal, action, resource);";

    fn link(template: &str, id: &str, args: &[(&str, &str)]) -> String {
        let args: serde_json::Map<_, _> =
            args.iter().map(|(slot, name)| ((*slot).to_owned(), (*name).into())).collect();
        serde_json::json!([{ "template_id": template, "link_id": id, "args": args }]).to_string()
    }

    fn error(links: &str) -> String {
        compile_error(&[("t.cedar", OWNERS), ("cedartemplatelinks.json", links)]).to_string()
    }

    #[test]
    fn a_link_is_a_policy_about_its_names() {
        let args = [("?principal", "api::User::\"dev/alice\""), ("?resource", "api::Service::\"orders\"")];
        let links = link("owners", "alice-owns-orders", &args);
        let snapshot = snapshot_of(&bundle(&[("t.cedar", OWNERS), ("cedartemplatelinks.json", &links)]));
        let allowed = Call::default().evaluate(&snapshot);
        assert_eq!(allowed.reason, Reason::Allowed);
        assert_eq!(allowed.policies[0].as_str(), "alice-owns-orders");
        assert_eq!(allowed.obligations[0].policy.as_str(), "alice-owns-orders");
        let elsewhere = Call { api: "accounts", ..Call::default() };
        assert_eq!(elsewhere.evaluate(&snapshot).reason, Reason::NoMatchingPermit);
    }

    #[test]
    fn a_slot_within_a_type_is_filled() {
        let links = link("teams", "no-sales", &[("?principal", "api::Group::\"sales\"")]);
        let all = "@id(\"all\") permit(principal, action, resource);";
        let files = [("t.cedar", TEAMS), ("a.cedar", all), ("cedartemplatelinks.json", &links)];
        let denied = Call::default().evaluate(&snapshot_of(&bundle(&files)));
        assert_eq!((denied.reason, denied.policies[0].as_str()), (Reason::ForbiddenByPolicy, "no-sales"));
    }

    #[test]
    fn a_template_without_links_says_nothing() {
        let snapshot = snapshot_of(&bundle(&[("t.cedar", OWNERS)]));
        assert_eq!(snapshot.policy_count(), 0);
    }

    #[test]
    fn what_cannot_be_linked_is_an_error_at_its_place() {
        let alice = ("?principal", "api::User::\"dev/alice\"");
        let orders = ("?resource", "api::Service::\"orders\"");
        for (links, says) in [
            (link("nobody", "x", &[alice]), "no template has the id `nobody`"),
            (link("owners", "x", &[alice]), "nothing for the slot `?resource`"),
            (link("owners", "x", &[alice, orders, ("?action", "a::B::\"c\"")]), "no slot `?action`"),
            (link("owners", "x", &[("?principal", "alice"), orders]), "`alice` is no entity"),
            (link("owners", "owners", &[alice, orders]), "used twice"),
            (link("owners", "", &[alice, orders]), "policy id"),
            ("{}".to_owned(), "these are no template links"),
        ] {
            let error = error(&links);
            assert!(error.contains(says) && error.contains("cedartemplatelinks.json"), "{says}: {error}");
        }
        // The validator looks at what the link says.
        let robot = ("?principal", "api::Robot::\"r2\"");
        assert!(error(&link("owners", "x", &[robot, orders])).contains("api::Robot"));
    }
}
