//! The flags of a Cedar question.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Map, Value};

use crate::api::{pb::decision as pb, plain};
use crate::model::{DomainId, EntityRef};

/// A question in the words of a domain's own schema.
#[derive(Debug, Args)]
#[command(next_help_heading = "Instead of a call: a Cedar question")]
pub struct CedarFlags {
    /// Who wants to; without it, whom the token proves.
    #[arg(long, visible_alias = "principal", value_name = "ENTITY", value_parser = parse_entity, requires = "action")]
    cedar_principal: Option<EntityRef>,
    /// Does what, for example `Shop::Action::"view"`.
    #[arg(long, visible_alias = "cedar-action", value_name = "ENTITY", value_parser = parse_entity, requires = "resource")]
    action: Option<EntityRef>,
    /// To what, for example `Shop::Invoice::"i-42"`.
    #[arg(long, visible_alias = "cedar-resource", value_name = "ENTITY", value_parser = parse_entity, requires = "action")]
    resource: Option<EntityRef>,
    /// The context as a JSON object, without what the server fills in. Numbers must be whole.
    #[arg(long, value_name = "JSON", value_parser = parse_object, requires = "action")]
    context: Option<Map<String, Value>>,
    /// A file with the entities that the policies may need, as a JSON array in Cedar's form.
    #[arg(long, value_name = "FILE", requires = "action")]
    entities: Option<PathBuf>,
    /// The domain whose policies decide [default: default].
    #[arg(long, requires = "action")]
    domain: Option<DomainId>,
}

impl CedarFlags {
    pub fn question(self) -> anyhow::Result<pb::CedarQuestion> {
        let entities = match &self.entities {
            Some(file) => read_entities(file)?,
            None => Vec::new(),
        };
        Ok(pb::CedarQuestion {
            domain: self.domain.map(String::from).unwrap_or_default(),
            principal: self.cedar_principal.map(wire),
            action: self.action.map(wire),
            resource: self.resource.map(wire),
            entities: entities.into_iter().map(plain::from_object).collect(),
            context: self.context.map(plain::from_object),
        })
    }
}

fn wire(entity: EntityRef) -> pb::EntityRef {
    pb::EntityRef { r#type: entity.entity_type, id: entity.id }
}

/// `Type::"id"` as Cedar writes it. `Type::id` is read too, because shells eat quotes.
fn parse_entity(text: &str) -> Result<EntityRef, String> {
    let bad = || format!("`{text}` is not an entity: write Namespace::Type::\"id\"");
    let (entity_type, id) = match text.find("::\"") {
        Some(at) => {
            let (entity_type, quoted) = text.split_at(at);
            let id: String = serde_json::from_str(quoted.trim_start_matches("::")).map_err(|_| bad())?;
            (entity_type, id)
        }
        None => text.rsplit_once("::").map(|(left, id)| (left, id.to_owned())).ok_or_else(bad)?,
    };
    let empty = entity_type.is_empty() || id.is_empty();
    if empty { Err(bad()) } else { Ok(EntityRef { entity_type: entity_type.to_owned(), id }) }
}

fn parse_object(text: &str) -> Result<Map<String, Value>, String> {
    serde_json::from_str(text).map_err(|error| format!("not a JSON object: {error}"))
}

fn read_entities(file: &PathBuf) -> anyhow::Result<Vec<Map<String, Value>>> {
    let text = std::fs::read_to_string(file);
    let text = text.with_context(|| format!("cannot read the entities from {}", file.display()))?;
    let values: Vec<Value> = serde_json::from_str(&text)
        .with_context(|| format!("{} is not a JSON array of entities", file.display()))?;
    let object = |(index, value)| match value {
        Value::Object(object) => Ok(object),
        _ => bail!("entity {index} in {} is not a JSON object", file.display()),
    };
    values.into_iter().enumerate().map(object).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entity(text: &str) -> Option<(String, String)> {
        parse_entity(text).ok().map(|entity| (entity.entity_type, entity.id))
    }

    #[test]
    fn entities_are_read_as_cedar_writes_them() {
        let pair = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
        assert_eq!(entity("Shop::Invoice::\"i-42\""), pair("Shop::Invoice", "i-42"));
        assert_eq!(entity("User::\"a::\\\"b\\\"\""), pair("User", "a::\"b\""));
        assert_eq!(entity("Shop::Invoice::i-42"), pair("Shop::Invoice", "i-42"));
        for wrong in ["", "User", "::\"x\"", "User::\"", "User::\"x\"y", "User::", "User::\"\""] {
            assert_eq!(entity(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn entities_come_from_a_json_array_of_objects() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("entities.json");
        std::fs::write(&file, r#"[{"uid": {"type": "A", "id": "a"}}]"#).unwrap();
        assert_eq!(read_entities(&file).unwrap().len(), 1);
        std::fs::write(&file, "[1]").unwrap();
        assert!(read_entities(&file).unwrap_err().to_string().contains("entity 0"));
        std::fs::write(&file, "{}").unwrap();
        assert!(read_entities(&file).unwrap_err().to_string().contains("entities.json"));
    }
}
