//! A bundle's whole schema: the vocabulary and the bundle's own files, and what Deodar adds to questions in it.
//!
//! Every action of a bundle's own must take `risk: api::Risk` in its context, so that guardrails cover it; facts
//! that Deodar knows have fixed names, so that no caller can pass them. Policies are checked in `validate`.

use std::collections::{BTreeMap, HashMap};

use cedar_policy::{EntityId, EntityTypeName, EntityUid, Schema, SchemaFragment};
use miette::Diagnostic;
use serde_json::{Map, Value};

use super::finding::{Finding, Severity};
use super::reads::Fact;
use super::vocabulary;
use crate::model::{BundleSource, SourceFile};

/// A context attribute that Deodar fills in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filled {
    Risk,
    Token,
    Device,
    Network,
    Rate,
    Time,
}

impl Filled {
    pub const ALL: [Self; 6] = [Self::Risk, Self::Token, Self::Device, Self::Network, Self::Rate, Self::Time];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Risk => "risk",
            Self::Token => "token",
            Self::Device => "device",
            Self::Network => "network",
            Self::Rate => "rate",
            Self::Time => "time",
        }
    }

    pub const fn fact(self) -> Fact {
        match self {
            Self::Risk => Fact::Risk,
            Self::Token => Fact::Token,
            Self::Device => Fact::Device,
            Self::Network => Fact::Network,
            Self::Rate => Fact::Rate,
            Self::Time => Fact::Time,
        }
    }

    /// The type it must have, by its full name.
    const fn type_name(self) -> &'static str {
        match self {
            Self::Risk => "api::Risk",
            Self::Token => "api::Token",
            Self::Device => "api::Device",
            Self::Network => "api::Network",
            Self::Rate => "api::Rates",
            Self::Time => "api::Time",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|filled| filled.name() == name)
    }
}

/// The schema of a bundle.
pub(super) struct BundleSchema {
    pub schema: Schema,
    /// For each action of the bundle's own: what Deodar fills in.
    pub filled: HashMap<EntityUid, Vec<Filled>>,
}

/// Merges the vocabulary with the bundle's schema files and checks the bundle's actions. `None` with errors.
pub(super) fn build(source: &BundleSource, errors: &mut Vec<Finding>) -> Option<BundleSchema> {
    let before = errors.len();
    let builtin = vocabulary::fragment().map_err(|why| errors.push(broken_vocabulary(why))).ok()?;
    let files: Vec<&SourceFile> = source.files().iter().filter(|file| is_schema(&file.path)).collect();
    let parsed: Vec<(&SourceFile, SchemaFragment)> = files
        .into_iter()
        .filter_map(|file| Some((file, parse(file).map_err(|finding| errors.push(*finding)).ok()?)))
        .collect();
    refuse_vocabulary_namespace(&parsed, errors);
    if errors.len() > before {
        return None;
    }
    let fragments = parsed.iter().map(|(_, fragment)| fragment.clone()).chain([builtin.clone()]);
    let schema = match Schema::from_schema_fragments(fragments) {
        Ok(schema) => schema,
        Err(error) => {
            errors.push(merge_error(&parsed, &error));
            return None;
        }
    };
    let filled = check_actions(&parsed, builtin, errors);
    (errors.len() == before).then_some(BundleSchema { schema, filled })
}

fn is_schema(path: &str) -> bool {
    path.ends_with(".cedarschema") || path.ends_with(".cedarschema.json")
}

fn broken_vocabulary(why: &str) -> Finding {
    let file = SourceFile { path: "vocabulary.cedarschema".into(), text: vocabulary::VOCABULARY.into() };
    Finding::of_file(Severity::Error, &file, format!("the built-in vocabulary cannot be read: {why}"))
}

fn parse(file: &SourceFile) -> Result<SchemaFragment, Box<Finding>> {
    let finding = |error: &dyn Diagnostic| Box::new(Finding::from_cedar(Severity::Error, file, error));
    if file.path.ends_with(".json") {
        return SchemaFragment::from_json_str(&file.text).map_err(|error| finding(&error));
    }
    let parsed = SchemaFragment::from_cedarschema_str(&file.text);
    parsed.map(|(fragment, _)| fragment).map_err(|error| finding(&error))
}

fn refuse_vocabulary_namespace(parsed: &[(&SourceFile, SchemaFragment)], errors: &mut Vec<Finding>) {
    for (file, fragment) in parsed {
        let owned = |name: &String| vocabulary::owns(name);
        let namespaces = fragment.namespaces().flatten().map(|namespace| namespace.to_string());
        for name in namespaces.filter(owned) {
            let message = format!(
                "the namespace `{name}` belongs to Deodar's vocabulary: declare your own types in a namespace of your own"
            );
            errors.push(at_word(file, &name, message));
        }
    }
}

/// An error at the first mention of a word: schema declarations carry no places of their own.
fn at_word(file: &SourceFile, word: &str, message: String) -> Finding {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let whole = |found: usize| {
        let before = file.text.get(..found).and_then(|text| text.chars().next_back());
        let after = file.text.get(found + word.len()..).and_then(|text| text.chars().next());
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    };
    let place = file.text.match_indices(word).map(|(found, _)| found).find(|found| whole(*found));
    Finding::at(Severity::Error, file, place.map_or(0..0, |found| found..found + word.len()), message)
}

/// Which file a merge error is about can only be told from the text that the error points at.
fn merge_error(parsed: &[(&SourceFile, SchemaFragment)], error: &dyn Diagnostic) -> Finding {
    let label = error.labels().and_then(|mut labels| labels.next());
    let pointed = label.as_ref().zip(error.source_code()).and_then(|(label, code)| {
        let span = code.read_span(label.inner(), 0, 0).ok()?;
        Some((span.span().offset(), span.data().to_vec()))
    });
    let holds = |file: &SourceFile| {
        pointed.as_ref().is_some_and(|(offset, data)| {
            file.text.as_bytes().get(*offset..offset + data.len()) == Some(data.as_slice())
        })
    };
    let home = parsed.iter().map(|(file, _)| *file).find(|file| holds(file));
    match (home, parsed.first()) {
        (Some(file), _) => Finding::from_cedar(Severity::Error, file, error),
        (None, Some((file, _))) => Finding::of_file(Severity::Error, file, error.to_string()),
        (None, None) => broken_vocabulary(&error.to_string()),
    }
}

/// Looks at the context of every action of the bundle's own.
fn check_actions(
    parsed: &[(&SourceFile, SchemaFragment)],
    builtin: &SchemaFragment,
    errors: &mut Vec<Finding>,
) -> HashMap<EntityUid, Vec<Filled>> {
    let mut types = CommonTypes::default();
    let mut declared = Vec::new();
    types.add(&json_of(builtin));
    for (file, fragment) in parsed {
        let json = json_of(fragment);
        types.add(&json);
        declared.push((*file, json));
    }
    let mut filled = HashMap::new();
    for (file, json) in &declared {
        for (namespace, name, action) in actions(json) {
            let Some(applies) = action.get("appliesTo").filter(|applies| can_be_asked(applies)) else {
                continue;
            };
            let context = applies.get("context").unwrap_or(&Value::Null);
            match types.filled_in(namespace, context) {
                Ok(found) => {
                    filled.extend(action_uid(namespace, name).map(|uid| (uid, found)));
                }
                Err(why) => errors.push(at_word(file, name, format!("the context of action `{name}` {why}"))),
            }
        }
    }
    filled
}

/// An action without principals or resources is only a group of others.
fn can_be_asked(applies: &Value) -> bool {
    let some = |types| applies.get(types).and_then(Value::as_array).is_some_and(|types| !types.is_empty());
    some("principalTypes") && some("resourceTypes")
}

fn json_of(fragment: &SchemaFragment) -> Value {
    fragment.clone().to_json_value().unwrap_or(Value::Null)
}

fn actions(json: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let namespaces = json.as_object().into_iter().flatten();
    namespaces.flat_map(|(namespace, body)| {
        let actions = body.get("actions").and_then(Value::as_object).into_iter().flatten();
        actions.map(move |(name, action)| (namespace.as_str(), name.as_str(), action))
    })
}

fn action_uid(namespace: &str, name: &str) -> Option<EntityUid> {
    let prefix = if namespace.is_empty() { String::new() } else { format!("{namespace}::") };
    let type_name: EntityTypeName = format!("{prefix}Action").parse().ok()?;
    Some(EntityUid::from_type_name_and_id(type_name, EntityId::new(name)))
}

/// The named types of all schema files, by full name, each with the namespace its own names are looked up in.
#[derive(Default)]
struct CommonTypes(BTreeMap<String, (String, Value)>);

/// A type after its names are followed.
enum Resolved<'a> {
    /// A named type of the vocabulary.
    Vocabulary(String),
    Record(&'a str, &'a Map<String, Value>),
    Set(&'a str, &'a Value),
    Other,
}

impl CommonTypes {
    fn add(&mut self, json: &Value) {
        for (namespace, body) in json.as_object().into_iter().flatten() {
            for (name, kind) in body.get("commonTypes").and_then(Value::as_object).into_iter().flatten() {
                let full = if namespace.is_empty() { name.clone() } else { format!("{namespace}::{name}") };
                self.0.insert(full, (namespace.clone(), kind.clone()));
            }
        }
    }

    /// Cedar has already refused types that refer to themselves, so this ends.
    fn resolve<'a>(&'a self, namespace: &'a str, kind: &'a Value) -> Resolved<'a> {
        let named = kind.get("type").and_then(Value::as_str).unwrap_or_default();
        match (named, kind.get("attributes").and_then(Value::as_object), kind.get("element")) {
            ("Record", Some(attributes), _) => return Resolved::Record(namespace, attributes),
            ("Set", _, Some(element)) => return Resolved::Set(namespace, element),
            ("Entity" | "Extension", ..) => return Resolved::Other,
            _ => {}
        }
        let name = kind.get("name").and_then(Value::as_str).unwrap_or(named);
        let full = [format!("{namespace}::{name}"), name.to_owned()];
        let Some((full, (home, inner))) = full.iter().find_map(|full| self.0.get_key_value(full)) else {
            return Resolved::Other;
        };
        if vocabulary::owns(home) { Resolved::Vocabulary(full.clone()) } else { self.resolve(home, inner) }
    }

    /// What Deodar fills in, or why the context cannot be used.
    fn filled_in(&self, namespace: &str, context: &Value) -> Result<Vec<Filled>, String> {
        const NEEDS_RISK: &str =
            "must include `risk: api::Risk`: guardrails about risk would not cover the action otherwise";
        let (home, attributes) = match self.resolve(namespace, context) {
            Resolved::Record(home, attributes) => (home, attributes),
            Resolved::Vocabulary(name) => {
                return Err(format!("is `{name}`, which only API calls have: write a record of your own"));
            }
            Resolved::Set(..) | Resolved::Other => return Err(NEEDS_RISK.to_owned()),
        };
        let mut found = Vec::new();
        for (name, kind) in attributes {
            match (Filled::named(name), self.resolve(home, kind)) {
                (Some(filled), Resolved::Vocabulary(full)) if full == filled.type_name() => {
                    found.push(filled)
                }
                (Some(filled), _) => {
                    let wanted = filled.type_name();
                    return Err(format!(
                        "has an attribute `{name}` that is not `{wanted}`: Deodar fills in that name"
                    ));
                }
                (None, _) => self.refuse_vocabulary_types(name, home, kind)?,
            }
        }
        let optional =
            attributes.get("risk").and_then(|risk| risk.get("required")) == Some(&Value::Bool(false));
        if !found.contains(&Filled::Risk) || optional {
            return Err(NEEDS_RISK.to_owned());
        }
        Ok(found)
    }

    /// Facts that Deodar states must not be passed by a caller under another name.
    fn refuse_vocabulary_types(&self, name: &str, namespace: &str, kind: &Value) -> Result<(), String> {
        match self.resolve(namespace, kind) {
            Resolved::Vocabulary(full) => {
                let allowed =
                    Filled::ALL.map(|filled| format!("`{}: {}`", filled.name(), filled.type_name()));
                Err(format!("has `{full}` in `{name}`: only {} are filled in", allowed.join(", ")))
            }
            Resolved::Record(home, attributes) => attributes.iter().try_for_each(|(inner, kind)| {
                self.refuse_vocabulary_types(&format!("{name}.{inner}"), home, kind)
            }),
            Resolved::Set(home, element) => self.refuse_vocabulary_types(name, home, element),
            Resolved::Other => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<BundleSchema, String> {
        let file = SourceFile { path: "own.cedarschema".into(), text: text.into() };
        let mut errors = Vec::new();
        let built = build(&BundleSource::new(vec![file]), &mut errors);
        built.ok_or_else(|| errors.iter().map(Finding::to_string).collect::<Vec<_>>().join("\n"))
    }

    fn with_context(context: &str) -> Result<BundleSchema, String> {
        check(&format!(
            "namespace Shop {{ type Danger = api::Risk; type Bag = {{ risk: Danger, time?: api::Time }};
               entity User, Order; action buy appliesTo {{ principal: User, resource: Order, context: {context} }}; }}"
        ))
    }

    #[test]
    fn a_context_with_risk_is_filled_in() {
        for context in ["{ risk: api::Risk, note: String, by?: api::User }", "Bag", "{ risk: Danger }"] {
            let built = with_context(context).unwrap_or_else(|error| panic!("{context}: {error}"));
            let filled = &built.filled[&"Shop::Action::\"buy\"".parse().unwrap()];
            assert!(filled.contains(&Filled::Risk), "{context}");
            assert_eq!(filled.contains(&Filled::Time), context == "Bag");
        }
    }

    #[test]
    fn a_context_without_required_risk_is_refused_at_the_action() {
        for context in ["{}", "{ note: String }", "{ risk?: api::Risk }"] {
            let error = with_context(context).err().unwrap();
            assert!(error.starts_with("own.cedarschema:2:"), "{error}");
            assert!(error.contains("the context of action `buy` must include `risk: api::Risk`"), "{error}");
        }
    }

    #[test]
    fn filled_names_have_their_types_and_those_types_no_other_names() {
        for (context, needle) in [
            ("{ risk: Long }", "has an attribute `risk` that is not `api::Risk`"),
            ("{ risk: api::Risk, time: Long }", "has an attribute `time` that is not `api::Time`"),
            ("{ risk: api::Risk, other: api::Risk }", "has `api::Risk` in `other`"),
            ("{ risk: api::Risk, deep: { t: api::Token } }", "has `api::Token` in `deep.t`"),
            ("{ risk: api::Risk, many: Set<Danger> }", "has `api::Risk` in `many`"),
            ("api::Call", "is `api::Call`"),
        ] {
            let error = with_context(context).err().unwrap();
            assert!(error.contains(needle), "{context}: {error}");
        }
    }

    #[test]
    fn the_vocabulary_cannot_be_extended() {
        for text in ["namespace api { entity Extra; }", "namespace api::more { entity Extra; }"] {
            let error = check(text).err().unwrap();
            assert!(error.starts_with("own.cedarschema:1:11: the namespace `api"), "{error}");
        }
    }

    #[test]
    fn syntax_and_merge_errors_have_places() {
        assert!(check("namespace Shop {\n entity ;\n}").err().unwrap().starts_with("own.cedarschema:2:"));
        assert!(check("namespace Shop {\n entity A in Nobody;\n}").err().unwrap().contains("Nobody"));
    }

    #[test]
    fn action_groups_need_no_context() {
        assert!(check("namespace Shop { action all; }").unwrap().filled.is_empty());
    }
}
