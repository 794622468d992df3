//! The place of a claim in a token: a top-level name, or a JSON pointer into nested objects.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// `roles` and `https://example.com/roles` are top-level names, taken literally; `/realm_access/roles`, with a
/// slash in front, is a JSON pointer (RFC 6901).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct ClaimPath {
    text: String,
    /// Unescaped; INVARIANT: never empty.
    segments: Vec<String>,
}

impl ClaimPath {
    /// A top-level claim, its name taken literally.
    pub(super) fn top_level(name: &str) -> Self {
        Self { text: name.to_owned(), segments: vec![name.to_owned()] }
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The name at the top of the token.
    pub(super) fn first(&self) -> &str {
        self.segments.first().map(String::as_str).unwrap_or_default()
    }

    /// The claim, if it is there. Only objects are entered: a number is a name here, never an index.
    pub(super) fn find<'a>(&self, claims: &'a Map<String, Value>) -> Option<&'a Value> {
        let (last, path) = self.segments.split_last()?;
        let mut object = claims;
        for segment in path {
            object = object.get(segment)?.as_object()?;
        }
        object.get(last)
    }
}

impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for ClaimPath {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let Some(pointer) = text.strip_prefix('/') else {
            return if text.is_empty() {
                Err("a claim's name cannot be empty".to_owned())
            } else {
                Ok(Self::top_level(&text))
            };
        };
        let mut segments = Vec::new();
        for segment in pointer.split('/') {
            segments.push(unescape(segment).ok_or_else(|| {
                format!("`{text}` is not a path to a claim: write a name, or a JSON pointer such as /realm_access/roles")
            })?);
        }
        Ok(Self { text, segments })
    }
}

impl From<ClaimPath> for String {
    fn from(path: ClaimPath) -> String {
        path.text
    }
}

/// `~1` is a slash and `~0` a tilde (RFC 6901 section 3); any other tilde is a mistake, and so is an empty segment.
fn unescape(segment: &str) -> Option<String> {
    let mut rest = segment;
    let mut plain = String::new();
    while let Some((before, after)) = rest.split_once('~') {
        plain.push_str(before);
        plain.push(if after.starts_with('0') { '~' } else { '/' });
        rest = after.strip_prefix(['0', '1'])?;
    }
    plain.push_str(rest);
    Some(plain).filter(|plain| !plain.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(path: &str) -> Option<Value> {
        let claims = serde_json::json!({
            "roles": 1, "a.b": 2, "https://x/roles": 3, "realm": { "roles": 4, "x/y~z": 5 }, "list": [6],
        });
        ClaimPath::try_from(path.to_owned()).unwrap().find(claims.as_object().unwrap()).cloned()
    }

    #[test]
    fn names_are_literal_and_pointers_go_down() {
        let found = ["roles", "a.b", "https://x/roles", "/realm/roles", "/realm/x~1y~0z"].map(find);
        assert_eq!(found, [1, 2, 3, 4, 5].map(|n| Some(Value::from(n))));
        assert_eq!(["realm.roles", "/list/0", "/roles/x", "/a/b"].map(find), [const { None }; 4]);
    }

    #[test]
    fn broken_paths_are_refused() {
        for bad in ["", "/", "/a//b", "/a/~", "/a/~2"] {
            assert!(ClaimPath::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
