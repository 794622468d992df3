//! From a bundle's files to a snapshot, or to everything that is wrong with them.
//!
//! All errors are told at once, each with its place: an author fixes a bundle in one round. A bundle with an error
//! gives no snapshot at all, so that a half-understood one can never decide.

use std::collections::BTreeSet;
use std::sync::Arc;

use cedar_policy::{Entities, Schema};

use super::candidates::Candidates;
use super::config::Limits;
use super::depth;
use super::finding::{self, Finding, PolicyErrors, PolicyWarning, Severity};
use super::index::Index;
use super::obligations::Terms;
use super::rates;
use super::schema::{self, BundleSchema};
use super::snapshot::{PolicyEffect, PolicyFacts, Snapshot};
use super::statement::{self, Statement};
use super::validate::{self, Findings};
use super::vocabulary;
use crate::model::{ApiId, BundleSource, SourceFile};

impl Snapshot {
    /// Compiles a bundle. With `known_apis`, literals that name other APIs are warned of.
    ///
    /// It takes a while for a large bundle, so call it off the request path.
    pub fn compile(
        source: &BundleSource,
        limits: &Limits,
        known_apis: Option<&BTreeSet<ApiId>>,
    ) -> Result<(Self, Vec<PolicyWarning>), PolicyErrors> {
        depth::on_a_large_stack(|| Self::compile_here(source, limits, known_apis)).unwrap_or_else(|why| {
            let whole = SourceFile { path: "(bundle)".into(), text: String::new() };
            Err(PolicyErrors::new(vec![Finding::of_file(Severity::Error, &whole, why)]))
        })
    }

    fn compile_here(
        source: &BundleSource,
        limits: &Limits,
        known_apis: Option<&BTreeSet<ApiId>>,
    ) -> Result<(Self, Vec<PolicyWarning>), PolicyErrors> {
        let mut found = Findings::default();
        check_files(source, limits, &mut found.errors);
        if !found.errors.is_empty() {
            return Err(PolicyErrors::new(found.errors));
        }
        let bundle_schema = schema::build(source, &mut found.errors);
        let statements = statement::read_all(source, &mut found.errors);
        check_count(&statements, limits, &mut found.errors);
        let terms: Vec<Terms> = statements.iter().map(|s| validate::annotations(s, &mut found)).collect();
        let snapshot = bundle_schema
            .and_then(|schema| assemble(source, schema, &statements, terms, known_apis, &mut found));
        finding::sort(&mut found.errors);
        finding::sort(&mut found.warnings);
        match snapshot {
            Some(snapshot) if found.errors.is_empty() => Ok((snapshot, found.warnings)),
            _ => Err(PolicyErrors::new(found.errors)),
        }
    }
}

/// What can be said of the files before any of them is understood.
fn check_files(source: &BundleSource, limits: &Limits, errors: &mut Vec<Finding>) {
    let mut bytes = 0_usize;
    for file in source.files() {
        bytes = bytes.saturating_add(file.text.len());
        if bytes > limits.max_bundle_bytes {
            let limit = limits.max_bundle_bytes;
            let message = format!("the bundle has more than {limit} bytes; this file is one too many");
            errors.push(Finding::of_file(Severity::Error, file, message));
            return;
        }
        errors.extend(depth::check(file));
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

fn check_count(statements: &[Statement<'_>], limits: &Limits, errors: &mut Vec<Finding>) {
    if let Some(extra) = statements.get(limits.max_policies) {
        let message =
            format!("the bundle has more than {} policies; this is the first too many", limits.max_policies);
        errors.push(extra.at_policy(Severity::Error, message));
    }
}

/// The checks that need the schema, and the snapshot if nothing stands against it. `None` with errors.
fn assemble(
    source: &BundleSource,
    BundleSchema { schema, filled }: BundleSchema,
    statements: &[Statement<'_>],
    terms: Vec<Terms>,
    known_apis: Option<&BTreeSet<ApiId>>,
    found: &mut Findings,
) -> Option<Snapshot> {
    validate::with_cedar(&schema, statements, found);
    let stored = stored_entities(source, &schema, &mut found.errors)?;
    if let Some(known) = known_apis {
        statements.iter().for_each(|statement| validate::literals(statement, &stored, known, found));
    }
    let actions = schema.action_entities().map_err(|error| schema_error(source, &error.to_string()));
    let actions = actions.map_err(|finding| found.errors.extend(finding)).ok()?;
    let (policies, index) = index(statements, terms);
    let candidates = Candidates::new(index);
    let reads_rates = statements.iter().any(|statement| rates::may_be_read(&statement.policy));
    let digest = source.digest();
    Some(Snapshot { digest, reads_rates, schema, policies, candidates, stored, actions, filled })
}

/// The policies in the order of their ids, and by their scopes.
fn index(statements: &[Statement<'_>], terms: Vec<Terms>) -> (Vec<Arc<PolicyFacts>>, Index) {
    let mut policies = Vec::with_capacity(statements.len());
    let mut index = Index::default();
    for (statement, terms) in statements.iter().zip(terms) {
        let facts = Arc::new(facts(statement, terms));
        index.insert(statement.policy.as_ref(), Arc::clone(&facts));
        policies.push(facts);
    }
    policies.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    (policies, index)
}

fn schema_error(source: &BundleSource, why: &str) -> Option<Finding> {
    source.files().first().map(|file| Finding::of_file(Severity::Error, file, why))
}

fn facts(statement: &Statement<'_>, terms: Terms) -> PolicyFacts {
    let annotations = statement.policy.annotations();
    PolicyFacts {
        id: statement.id.clone(),
        effect: PolicyEffect::of(&statement.policy),
        file: statement.file.path.clone(),
        line: statement.line,
        annotations: annotations.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        terms,
    }
}

/// Reads every `cedarentities.json`, checked against the schema. `None` with errors.
fn stored_entities(source: &BundleSource, schema: &Schema, errors: &mut Vec<Finding>) -> Option<Entities> {
    let mut stored = Entities::empty();
    for file in source.files().iter().filter(|file| file_name(&file.path) == "cedarentities.json") {
        match add_entities(stored, file, schema) {
            Ok(more) => stored = more,
            Err(finding) => {
                errors.push(*finding);
                return None;
            }
        }
    }
    Some(stored)
}

fn add_entities(stored: Entities, file: &SourceFile, schema: &Schema) -> Result<Entities, Box<Finding>> {
    let at = |word: &str, message: String| {
        let range = file.text.find(word).map_or(0..0, |found| found..found + word.len());
        Box::new(Finding::at(Severity::Error, file, range, message))
    };
    let parsed = Entities::from_json_str(&file.text, Some(schema)).map_err(|error| {
        let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
        at("", format!("{error}{}", source.unwrap_or_default()))
    })?;
    // With a schema, Cedar adds its actions to the entities; they are kept elsewhere.
    let own: Vec<_> =
        parsed.into_iter().filter(|entity| entity.uid().type_name().basename() != "Action").collect();
    for uid in own.iter().map(cedar_policy::Entity::uid) {
        let name = uid.type_name().to_string();
        let allowed = ["api::Group", "api::Role", "api::Service"].contains(&name.as_str());
        if vocabulary::owns(&uid.type_name().namespace()) && !allowed {
            let message = format!(
                "`{uid}` cannot be stored: principals come from credentials and endpoints from the inventory; \
                 of the vocabulary, only groups, roles and services can"
            );
            return Err(at(uid.id().as_ref(), message));
        }
    }
    stored.add_entities(own, None).map_err(|error| at("", error.to_string()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::support::{SHOP, bundle, compile_error};
    use super::*;

    fn warnings(files: &[(&str, &str)], known: Option<&[&str]>) -> Vec<String> {
        let known = known.map(|known| known.iter().map(|id| id.parse().unwrap()).collect());
        let (_, warnings) = Snapshot::compile(&bundle(files), &Limits::default(), known.as_ref()).unwrap();
        warnings.iter().map(Finding::to_string).collect()
    }

    #[test]
    fn errors_of_all_kinds_are_told_at_once() {
        let error = compile_error(&[
            ("a.cedar", "@id(\"a\") permit(principal, action, resource) when { context.nothing };"),
            ("b.cedar", "permit(principal, action, resource);"),
            ("c.cedar", "@id(\"c\") @retry_after(\"soon\") forbid(principal, action, resource);"),
            (
                "d.cedar",
                "@id(\"d\")\nforbid(principal, action, resource) when { context.rate.network.last_day > 1 };",
            ),
        ]);
        for needle in
            ["a.cedar:1:", "b.cedar:1:1: this policy has no `@id", "c.cedar:1:10: `soon`", "d.cedar:2:44: "]
        {
            assert!(error.to_string().contains(needle), "{needle}: {error}");
        }
        assert!(error.rendered().contains("context.nothing"), "{}", error.rendered());
    }

    #[test]
    fn a_mistake_is_told_once_and_not_for_every_action() {
        let text = "@id(\"a\") permit(principal, action, resource is api::Endpoint)\n when { context.tken.acr == \"x\" };";
        let error = compile_error(&[("a.cedar", text)]);
        let [finding] = error.findings() else { panic!("{error}") };
        assert_eq!((finding.line, finding.column), (2, 9));
        assert!(finding.rendered.contains("did you mean `token`?"), "{}", finding.rendered);
    }

    #[test]
    fn a_snapshot_knows_whether_rates_are_read() {
        let reads = |condition: &str| {
            let text = format!(
                "@id(\"r\") forbid(principal, action, resource is api::Endpoint) when {{ {condition} }};"
            );
            Snapshot::compile(&bundle(&[("r.cedar", &text)]), &Limits::default(), None)
                .unwrap()
                .0
                .reads_rates()
        };
        assert!(reads("context.rate.principal.last_minute > 60"));
        assert!(!reads("context.risk.level > 3"));
    }

    #[test]
    fn a_policy_that_follows_two_references_is_refused() {
        let error = compile_error(&[(
            "deep.cedar",
            "@id(\"deep\") permit(principal, action, resource is api::Endpoint)
             when { context has object && context.object has owner && context.object.owner.active };",
        )]);
        assert!(error.to_string().contains("deep.cedar:2:"), "{error}");
    }

    #[test]
    fn a_word_outside_a_closed_set_is_an_error() {
        let error = compile_error(&[(
            "t.cedar",
            "@id(\"t\") forbid(principal, action, resource is api::Endpoint) when { resource.state == api::EndpointState::\"declred\" };",
        )]);
        assert!(error.to_string().contains("declred"), "{error}");
    }

    #[test]
    fn unknown_annotations_are_warned_of() {
        let found = warnings(
            &[("w.cedar", "@id(\"w\")\n@step_upp(\"x\")\npermit(principal, action, resource);")],
            None,
        );
        assert!(
            found.len() == 1 && found[0].starts_with("w.cedar:2:1: `@step_upp` means nothing"),
            "{found:?}"
        );
    }

    #[test]
    fn literals_of_unknown_apis_are_warned_of() {
        let text = "@id(\"a\") permit(principal, action, resource in api::Service::\"ordrs\");
                    @id(\"b\") permit(principal, action, resource == api::Endpoint::\"orders/GET /x\");
                    @id(\"c\") permit(principal, action, resource in api::Service::\"stored\");";
        let stored = r#"[{"uid":{"type":"api::Service","id":"stored"},"attrs":{},"parents":[]}]"#;
        let files = [("a.cedar", text), ("cedarentities.json", stored)];
        let found = warnings(&files, Some(&["orders"]));
        assert!(found.len() == 1 && found[0].contains("api::Service::\"ordrs\""), "{found:?}");
        assert!(warnings(&files, None).is_empty());
    }

    #[test]
    fn stored_entities_must_fit_the_schema_and_be_storable() {
        let entity = |uid: &str, attrs: &str| format!(r#"[{{"uid":{uid},"attrs":{attrs},"parents":[]}}]"#);
        let wrong = entity(r#"{"type":"Shop::Order","id":"o"}"#, r#"{"total":"much"}"#);
        let error = compile_error(&[("s.cedarschema", SHOP), ("cedarentities.json", &wrong)]);
        assert!(error.to_string().starts_with("cedarentities.json:1:1:"), "{error}");
        let user = entity(
            r#"{"type":"api::User","id":"dev/alice"}"#,
            r#"{"issuer":"dev","subject":"alice","active":true}"#,
        );
        let error = compile_error(&[("cedarentities.json", &user)]);
        assert!(error.to_string().contains("principals come from credentials"), "{error}");
    }

    #[test]
    fn a_bundle_over_its_bounds_is_refused() {
        let source = bundle(&[(
            "a.cedar",
            "@id(\"a\") permit(principal, action, resource);\n@id(\"b\") permit(principal, action, resource);",
        )]);
        let compile = |max_bundle_bytes, max_policies| {
            Snapshot::compile(&source, &Limits { max_bundle_bytes, max_policies }, None)
        };
        assert!(compile(1000, 2).is_ok());
        assert!(
            compile(1000, 1)
                .unwrap_err()
                .to_string()
                .contains("a.cedar:2:1: the bundle has more than 1 policies")
        );
        assert!(compile(10, 2).unwrap_err().to_string().contains("more than 10 bytes"));
    }

    #[test]
    fn a_snapshot_lists_its_policies() {
        let source =
            bundle(&[("a.cedar", "\n@id(\"a\") @owner(\"x\") forbid(principal, action, resource);")]);
        let (snapshot, _) = Snapshot::compile(&source, &Limits::default(), None).unwrap();
        let facts = snapshot.policies().next().unwrap();
        assert_eq!((facts.effect, facts.file.as_str(), facts.line), (PolicyEffect::Forbid, "a.cedar", 2));
        assert_eq!(facts.annotations["owner"], "x");
        assert_eq!(*snapshot.digest(), source.digest());
    }

    proptest! {
        #[test]
        fn random_text_never_panics(policy in ".{0,200}", schema in ".{0,200}", entities in ".{0,100}") {
            let files = [("a.cedar", policy.as_str()), ("b.cedarschema", &schema), ("cedarentities.json", &entities)];
            let _ = Snapshot::compile(&bundle(&files), &Limits::default(), None);
        }

        #[test]
        fn nearly_valid_policies_never_panic(
            words in proptest::collection::vec(
                proptest::sample::select(vec![
                    "@id(\"x\")", "permit", "forbid", "(principal, action, resource)", "when", "unless", "{", "}",
                    "context", ".rate", ".risk.level", ">", "1", ";", "has", "principal", "?principal", "\u{1F332}",
                ]),
                0..20,
            )
        ) {
            let _ = Snapshot::compile(&bundle(&[("a.cedar", &words.join(" "))]), &Limits::default(), None);
        }
    }
}
