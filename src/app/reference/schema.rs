//! JSON Schema -> tables and settings.

use serde_json::Value;

use super::{Default, Knob, Section, Shape};
use crate::model::duration;

/// What stands for a name that the user chooses.
const NAME: &str = "<name>";

/// Reads the schema of the whole configuration.
pub fn sections(schema: &Value, defaults: &Value) -> Vec<Section> {
    let mut walk = Walk { root: schema, found: Vec::new() };
    walk.table(schema, &[], Shape::Table, &text_of(schema), defaults);
    walk.found
}

struct Walk<'a> {
    root: &'a Value,
    found: Vec<Section>,
}

/// What the schema of a field turns out to be.
enum Field<'a> {
    Table(&'a Value),
    List(&'a Value),
    Map(&'a Value),
    Knob(&'a Value),
}

impl<'a> Walk<'a> {
    /// Adds a table, then the tables inside it.
    fn table(&mut self, schema: &'a Value, path: &[String], shape: Shape, text: &str, defaults: &Value) {
        let properties = schema.get("properties").and_then(Value::as_object);
        let mut section = Section { path: path.to_vec(), shape, text: text.to_owned(), knobs: Vec::new() };
        let place = self.found.len();
        for (key, field) in properties.into_iter().flatten() {
            let default = defaults.get(key).or_else(|| field.get("default"));
            let inner = [path, &[key.to_owned()]].concat();
            let text = text_of(field);
            match self.classify(field) {
                Field::Knob(resolved) => {
                    let required = is_required(schema, key);
                    section.knobs.push(self.knob(&section, key, field, resolved, default, required));
                }
                Field::Table(table) => {
                    let shape = if shape == Shape::Table { shape } else { Shape::Inner };
                    let text = if text.is_empty() { text_of(table) } else { text };
                    self.table(table, &inner, shape, &text, default.unwrap_or(&Value::Null));
                }
                Field::List(item) => self.table(item, &inner, Shape::List, &text, &Value::Null),
                Field::Map(item) => {
                    let inner = [inner.as_slice(), &[NAME.to_owned()]].concat();
                    self.table(item, &inner, Shape::Map, &text, &Value::Null);
                }
            }
        }
        self.found.insert(place, section);
    }

    fn classify(&self, field: &'a Value) -> Field<'a> {
        let resolved = self.resolve(field);
        let is_table = |schema: &Value| schema.get("properties").is_some();
        if is_table(resolved) {
            return Field::Table(resolved);
        }
        if let Some(item) = resolved.get("items").map(|item| self.resolve(item)).filter(|item| is_table(item))
        {
            return Field::List(item);
        }
        let values = resolved.get("additionalProperties").map(|value| self.resolve(value));
        match values.filter(|value| is_table(value)) {
            Some(value) => Field::Map(value),
            None => Field::Knob(resolved),
        }
    }

    /// Follows references, and takes `T` for an optional `T`.
    fn resolve(&self, schema: &'a Value) -> &'a Value {
        if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
            let target = name.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
            return target.map_or(schema, |target| self.resolve(target));
        }
        let choices = schema.get("anyOf").and_then(Value::as_array);
        let mut present = choices.into_iter().flatten().filter(|choice| !is_null(choice));
        match (present.next(), present.next()) {
            (Some(only), None) => self.resolve(only),
            _ => schema,
        }
    }

    fn knob(
        &self,
        section: &Section,
        key: &str,
        field: &Value,
        resolved: &'a Value,
        default: Option<&Value>,
        required: bool,
    ) -> Knob {
        let default = match default {
            // Both the types and this machine have a value for it, and neither is anybody else's.
            _ if section.path.is_empty() && key == "data_dir" => {
                Default::Described("the user's folder for application data")
            }
            Some(Value::Null) | None if required => Default::Required,
            Some(Value::Null) | None => Default::Unset,
            Some(value) => Default::Value(value.clone()),
        };
        let own = text_of(field);
        let path = || [section.path.as_slice(), &[key.to_owned()]].concat();
        let variable = || format!("DEODAR__{}", path().join("__").to_uppercase());
        Knob {
            key: key.to_owned(),
            kind: self.kind(resolved, &default),
            text: if own.is_empty() { text_of(resolved) } else { own },
            environment: (section.shape == Shape::Table).then(variable),
            default,
        }
    }

    /// The type in words.
    fn kind(&self, schema: &'a Value, default: &Default) -> String {
        if let Some(words) = choices(schema) {
            return words;
        }
        let several = schema.get("anyOf").and_then(Value::as_array);
        if let Some(several) = several {
            let kinds = several.iter().map(|one| self.kind(self.resolve(one), &Default::Unset));
            return kinds.collect::<Vec<_>>().join(" or ");
        }
        match type_of(schema) {
            "string" => match default {
                Default::Value(Value::String(text)) if duration::parse(text).is_ok() => "duration".to_owned(),
                _ => "string".to_owned(),
            },
            "array" => {
                let item = schema.get("items").map_or(&Value::Null, |item| self.resolve(item));
                match choices(item) {
                    Some(words) => format!("list of {words}"),
                    None => format!("list of {}s", self.kind(item, &Default::Unset)),
                }
            }
            "object" => "table".to_owned(),
            "" => "anything".to_owned(),
            other => other.to_owned(),
        }
    }
}

fn is_required(table: &Value, key: &str) -> bool {
    let required = table.get("required").and_then(Value::as_array);
    required.is_some_and(|keys| keys.iter().any(|name| name == key))
}

fn is_null(schema: &Value) -> bool {
    schema.get("type").is_some_and(|kind| kind == "null")
}

/// The first type that is not null.
fn type_of(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::String(kind)) => kind,
        Some(Value::Array(kinds)) => {
            kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null").unwrap_or_default()
        }
        _ => "",
    }
}

/// The words of an enum: `"text" or "json"`.
fn choices(schema: &Value) -> Option<String> {
    let listed = schema.get("enum").and_then(Value::as_array).map(|words| words.iter().collect::<Vec<_>>());
    let described = || {
        let one_of = schema.get("oneOf").and_then(Value::as_array)?;
        let words = one_of.iter().flat_map(|choice| match choice.get("enum").and_then(Value::as_array) {
            Some(words) => words.iter().collect::<Vec<_>>(),
            None => choice.get("const").into_iter().collect(),
        });
        Some(words.collect::<Vec<_>>())
    };
    let words = listed.or_else(described).filter(|words| !words.is_empty())?;
    Some(words.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or "))
}

/// The doc comment, its lines joined and its paragraphs kept apart.
fn text_of(schema: &Value) -> String {
    let text = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    let paragraphs =
        text.split("\n\n").map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "));
    paragraphs.collect::<Vec<_>>().join("\n\n")
}
