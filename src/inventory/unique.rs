//! A map of a document that refuses to hold a key twice.
//!
//! YAML and JSON readers let the last of two equal keys win in silence; in a document that decides who may call
//! what, the first one may be the one that somebody reviewed.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

/// Entries in the order of the document.
#[derive(Clone, Debug)]
pub(super) struct UniqueMap<V>(Vec<(String, V)>);

impl<V> Default for UniqueMap<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<V> UniqueMap<V> {
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &V)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    pub(super) fn get(&self, key: &str) -> Option<&V> {
        self.iter().find(|(known, _)| *known == key).map(|(_, value)| value)
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for UniqueMap<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(UniqueVisitor(PhantomData))
    }
}

struct UniqueVisitor<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for UniqueVisitor<V> {
    type Value = UniqueMap<V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map without repeated keys")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<UniqueMap<V>, A::Error> {
        let mut entries = Vec::new();
        let mut seen = std::collections::HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if !seen.insert(key.clone()) {
                return Err(A::Error::custom(format!("the key `{key}` appears twice")));
            }
            entries.push((key, map.next_value()?));
        }
        Ok(UniqueMap(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_key_is_refused_in_both_formats() {
        let yaml = serde_yaml_ng::from_str::<UniqueMap<u8>>("a: 1\nb: 2\na: 3\n").unwrap_err();
        assert!(yaml.to_string().contains("`a` appears twice"), "{yaml}");
        let json = serde_json::from_str::<UniqueMap<u8>>(r#"{"a":1,"a":2}"#).unwrap_err();
        assert!(json.to_string().contains("`a` appears twice"), "{json}");
    }

    #[test]
    fn order_is_kept() {
        let map: UniqueMap<u8> = serde_yaml_ng::from_str("b: 2\na: 1\n").unwrap();
        assert_eq!(map.iter().map(|(key, _)| key).collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!(map.get("a"), Some(&1));
    }
}
