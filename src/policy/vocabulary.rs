//! The built-in schema: the words of API calls, in namespace `api`.
//!
//! It is part of every bundle's schema. A bundle may not add to the namespace, or two bundles would mean different
//! things by the same words. What a bundle's own schema must look like is checked in `schema`.

use std::sync::LazyLock;

use cedar_policy::SchemaFragment;

/// The built-in schema as text, for people and their editors.
pub const VOCABULARY: &str = include_str!("vocabulary.cedarschema");

/// Grows with every change of [`VOCABULARY`] that could change what a policy means.
pub const VOCABULARY_VERSION: u32 = 1;

/// The namespace that belongs to the vocabulary alone.
pub(super) const NAMESPACE: &str = "api";

static FRAGMENT: LazyLock<Result<SchemaFragment, String>> = LazyLock::new(|| {
    let parsed = SchemaFragment::from_cedarschema_str(VOCABULARY);
    parsed.map(|(fragment, _)| fragment).map_err(|error| error.to_string())
});

/// The built-in schema, parsed once. It fails only if this binary was built from a broken file, which a test excludes.
pub(super) fn fragment() -> Result<&'static SchemaFragment, &'static str> {
    FRAGMENT.as_ref().map_err(String::as_str)
}

/// The built-in schema in Cedar's JSON form.
pub fn vocabulary_json() -> Result<serde_json::Value, VocabularyError> {
    let fragment = fragment().map_err(|why| VocabularyError(why.to_owned()))?;
    fragment.clone().to_json_value().map_err(|error| VocabularyError(error.to_string()))
}

/// The built-in schema cannot be read or written; only a broken build could do that.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the built-in vocabulary is damaged: {0}")]
pub struct VocabularyError(String);

/// Whether a Cedar namespace is the vocabulary's own, or inside it.
pub(super) fn owns(namespace: &str) -> bool {
    namespace.split("::").next() == Some(NAMESPACE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vocabulary_parses_into_one_namespace() {
        let namespaces: Vec<_> = fragment().unwrap().namespaces().flatten().map(|n| n.to_string()).collect();
        assert_eq!(namespaces, [NAMESPACE]);
    }

    #[test]
    fn the_vocabulary_has_a_json_form() {
        let json = vocabulary_json().unwrap();
        assert!(json["api"]["entityTypes"]["Endpoint"].is_object(), "{json}");
    }

    #[test]
    fn inner_namespaces_are_owned_and_lookalikes_are_not() {
        assert!(owns("api") && owns("api::inner"));
        assert!(!owns("apis") && !owns("") && !owns("Orders::api"));
    }
}
