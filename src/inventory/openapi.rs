//! An OpenAPI 3.0 or 3.1 document, as far as the inventory reads it.
//!
//! Only the fields that decide who may call what are here; everything else in a document is ignored. What the
//! fields mean is in `declare`.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::unique::UniqueMap;

/// A document that cannot be read or does not have the form of OpenAPI.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    #[error("cannot read the OpenAPI document `{}`", file.display())]
    Read {
        file: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("`{}` is not an OpenAPI document", file.display())]
    Syntax {
        file: PathBuf,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("`{}` is OpenAPI {found}; versions 3.0 and 3.1 are read", file.display())]
    Version { file: PathBuf, found: String },
}

#[derive(Debug, Deserialize)]
pub(super) struct Document {
    #[serde(default)]
    openapi: Option<String>,
    /// Version 2.0 names itself here.
    #[serde(default)]
    swagger: Option<Value>,
    #[serde(default)]
    pub(super) servers: Option<Vec<Server>>,
    #[serde(default)]
    pub(super) paths: Paths,
    #[serde(default)]
    pub(super) security: Option<Vec<UniqueMap<Vec<String>>>>,
    #[serde(default)]
    pub(super) components: Components,
    #[serde(flatten)]
    pub(super) notes: Notes,
}

#[derive(Debug, Deserialize)]
pub(super) struct Server {
    pub(super) url: String,
    #[serde(default)]
    pub(super) variables: UniqueMap<ServerVariable>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ServerVariable {
    pub(super) default: String,
}

/// Path items by path, in the order of the document; the extensions beside them are skipped.
#[derive(Debug, Default)]
pub(super) struct Paths(Vec<(String, PathItem)>);

impl Paths {
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &PathItem)> {
        self.0.iter().map(|(path, item)| (path.as_str(), item))
    }
}

impl<'de> Deserialize<'de> for Paths {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PathsVisitor)
    }
}

struct PathsVisitor;

impl<'de> Visitor<'de> for PathsVisitor {
    type Value = Paths;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of path items")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Paths, A::Error> {
        let mut items = Vec::new();
        let mut seen = HashSet::new();
        while let Some(path) = map.next_key::<String>()? {
            if path.starts_with("x-") {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            if !seen.insert(path.clone()) {
                return Err(A::Error::custom(format!("the path `{path}` appears twice")));
            }
            items.push((path, map.next_value()?));
        }
        Ok(Paths(items))
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct PathItem {
    #[serde(rename = "$ref", default)]
    pub(super) reference: Option<String>,
    #[serde(default)]
    pub(super) servers: Option<Vec<Server>>,
    #[serde(default)]
    get: Option<Operation>,
    #[serde(default)]
    put: Option<Operation>,
    #[serde(default)]
    post: Option<Operation>,
    #[serde(default)]
    delete: Option<Operation>,
    #[serde(default)]
    options: Option<Operation>,
    #[serde(default)]
    head: Option<Operation>,
    #[serde(default)]
    patch: Option<Operation>,
    #[serde(default)]
    trace: Option<Operation>,
    #[serde(flatten)]
    pub(super) notes: Notes,
}

impl PathItem {
    /// The operations with their methods in upper case.
    pub(super) fn operations(&self) -> impl Iterator<Item = (&'static str, &Operation)> {
        [
            ("GET", &self.get),
            ("PUT", &self.put),
            ("POST", &self.post),
            ("DELETE", &self.delete),
            ("OPTIONS", &self.options),
            ("HEAD", &self.head),
            ("PATCH", &self.patch),
            ("TRACE", &self.trace),
        ]
        .into_iter()
        .filter_map(|(method, operation)| operation.as_ref().map(|operation| (method, operation)))
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Operation {
    #[serde(rename = "operationId", default)]
    pub(super) operation_id: Option<String>,
    #[serde(default)]
    pub(super) servers: Option<Vec<Server>>,
    #[serde(default)]
    pub(super) security: Option<Vec<UniqueMap<Vec<String>>>>,
    #[serde(flatten)]
    pub(super) notes: Notes,
}

/// Deodar's extensions; allowed on the document, a path and an operation, where the nearest one wins.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Notes {
    #[serde(rename = "x-deodar-sensitivity", default)]
    pub(super) sensitivity: Option<Value>,
    #[serde(rename = "x-deodar-action", default)]
    pub(super) action: Option<Value>,
    #[serde(rename = "x-deodar-labels", default)]
    pub(super) labels: Option<Value>,
    #[serde(rename = "x-deodar-sender-constrained", default)]
    pub(super) sender_constrained: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Components {
    #[serde(rename = "securitySchemes", default)]
    pub(super) security_schemes: UniqueMap<SecurityScheme>,
}

#[derive(Debug, Deserialize)]
pub(super) struct SecurityScheme {
    #[serde(rename = "$ref", default)]
    pub(super) reference: Option<String>,
    #[serde(rename = "type", default)]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) scheme: Option<String>,
}

impl Document {
    /// Reads a file: JSON when its name ends in `.json`, YAML otherwise.
    pub(super) fn read(file: &Path) -> Result<Self, DocumentError> {
        let read = |source| DocumentError::Read { file: file.to_owned(), source };
        let text = std::fs::read_to_string(file).map_err(read)?;
        Self::parse(file, &text)
    }

    /// Reads the text of `file`.
    pub(super) fn parse(file: &Path, text: &str) -> Result<Self, DocumentError> {
        type Cause = Box<dyn std::error::Error + Send + Sync>;
        let json = file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
        let document: Self = if json {
            serde_json::from_str(text).map_err(Cause::from)
        } else {
            serde_yaml_ng::from_str(text).map_err(Cause::from)
        }
        .map_err(|source| DocumentError::Syntax { file: file.to_owned(), source })?;
        document.check_version(file)?;
        Ok(document)
    }

    fn check_version(&self, file: &Path) -> Result<(), DocumentError> {
        let found = match (&self.openapi, &self.swagger) {
            (Some(version), _) if version.starts_with("3.0.") || version.starts_with("3.1.") => return Ok(()),
            (Some(version), _) => version.clone(),
            (None, Some(Value::String(version))) => version.clone(),
            (None, Some(version)) => version.to_string(),
            (None, None) => "without a version".to_owned(),
        };
        Err(DocumentError::Version { file: file.to_owned(), found })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(file: &str, text: &str) -> Result<Document, DocumentError> {
        Document::parse(Path::new(file), text)
    }

    #[test]
    fn both_formats_are_read() {
        let yaml =
            "openapi: 3.1.0\ninfo: {title: x, version: '1'}\npaths:\n  /a:\n    get: {responses: {}}\n";
        let json = r#"{"openapi":"3.0.3","paths":{"/a":{"get":{"responses":{}}}}}"#;
        assert_eq!(parse("a.yaml", yaml).unwrap().paths.iter().count(), 1);
        assert_eq!(parse("a.json", json).unwrap().paths.iter().count(), 1);
    }

    #[test]
    fn what_the_inventory_does_not_read_may_have_any_form() {
        let text = "
openapi: 3.1.0
info: {title: x, version: 1}
x-anchor: &responses {200: {description: ok, content: {application/json: {schema: {type: [string, 'null']}}}}}
webhooks: {ping: {post: {}}}
paths:
  x-first: [1, 2]
  /a/{id}:
    parameters: [{$ref: '#/components/parameters/Id'}]
    get:
      tags: [a]
      deprecated: true
      responses: *responses
      callbacks: {done: {'{$request.body#/url}': {post: {}}}}
components:
  parameters: {Id: {name: id, in: path, required: true, schema: {$ref: '#/components/schemas/Id'}}}
  schemas: {Id: {anyOf: [{$ref: '#/components/schemas/Id'}]}}
tags: [{name: a}]
";
        let document = parse("a.yaml", text).unwrap();
        let operations = document.paths.iter().map(|(_, item)| item.operations().count());
        assert_eq!(operations.collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn a_repeated_method_is_refused() {
        assert!(parse("a.yaml", "openapi: 3.1.0\npaths:\n  /a:\n    get: {}\n    get: {}\n").is_err());
        assert!(parse("a.json", r#"{"openapi":"3.1.0","paths":{"/a":{"get":{},"get":{}}}}"#).is_err());
    }

    #[test]
    fn other_versions_are_refused_by_name() {
        let error = parse("old.yaml", "swagger: '2.0'\npaths: {}\n").unwrap_err().to_string();
        assert!(error.contains("old.yaml") && error.contains("2.0"), "{error}");
        assert!(parse("x.yaml", "openapi: 4.0.0\n").is_err());
        assert!(parse("x.yaml", "paths: {}\n").is_err());
    }

    #[test]
    fn a_repeated_path_is_refused() {
        let text = "openapi: 3.1.0\npaths:\n  /a: {}\n  /b: {}\n  /a: {}\n";
        let error = parse("a.yaml", text).unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("/a"), "{source}");
    }

    #[test]
    fn text_that_is_no_document_is_an_error_and_no_panic() {
        for text in ["", "[]", "{", "openapi: [", "\u{0}", "a: &a [*a]"] {
            assert!(parse("a.yaml", text).is_err(), "{text:?}");
            assert!(parse("a.json", text).is_err(), "{text:?}");
        }
    }
}
