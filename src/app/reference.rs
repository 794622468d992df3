//! The reference of the configuration, made from its types: what the doc comments, units and defaults say.
//!
//! [`toml()`] is a file to start from, [`markdown()`] the page of the documentation. Nothing is written by hand here,
//! so neither can be wrong about a setting that exists, or forget one.

mod markdown;
mod schema;
mod toml;

pub use markdown::markdown;
pub use toml::toml;

use serde_json::Value;

use super::config::Config;

/// Why there is no reference; only a mistake in the types of a configuration can be the cause.
#[derive(Debug, thiserror::Error)]
pub enum ReferenceError {
    #[error("the default configuration cannot be written down")]
    Defaults(#[source] serde_json::Error),
    #[error("the default of `{key}` cannot be written as TOML")]
    Toml {
        key: String,
        #[source]
        source: ::toml::ser::Error,
    },
}

/// One table of the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Section {
    /// `["server"]`; empty for the top. In a map, the name that the user chooses is `<name>`.
    pub path: Vec<String>,
    pub shape: Shape,
    pub text: String,
    pub knobs: Vec<Knob>,
}

/// How often a table is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Once: `[server]`.
    Table,
    /// As often as wanted, in order: `[[identity.issuers]]`.
    List,
    /// As often as wanted, by name: `[policy.domains.<name>]`.
    Map,
    /// Once in each of the table that it is in.
    Inner,
}

/// One setting.
#[derive(Clone, Debug, PartialEq)]
pub struct Knob {
    pub key: String,
    /// For people: `duration`, `list of strings`, `"text" or "json"`.
    pub kind: String,
    pub default: Default,
    pub text: String,
    /// The variable that sets it; absent inside lists and maps.
    pub environment: Option<String>,
}

/// What a setting is when nobody sets it.
#[derive(Clone, Debug, PartialEq)]
pub enum Default {
    Value(Value),
    /// It is then not there at all.
    Unset,
    /// It must be set.
    Required,
    /// It depends on the machine.
    Described(&'static str),
}

/// The default configuration, without what depends on the machine.
pub fn defaults() -> Result<Value, ReferenceError> {
    let mut defaults = serde_json::to_value(Config::default()).map_err(ReferenceError::Defaults)?;
    if let Some(top) = defaults.as_object_mut() {
        top.remove("data_dir");
    }
    Ok(defaults)
}

/// Every table with its settings, in the order of the types.
pub fn sections() -> Result<Vec<Section>, ReferenceError> {
    Ok(schema::sections(&schemars::schema_for!(Config).to_value(), &defaults()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section<'a>(sections: &'a [Section], path: &str) -> &'a Section {
        sections.iter().find(|section| section.path.join(".") == path).unwrap()
    }

    fn knob<'a>(section: &'a Section, key: &str) -> &'a Knob {
        section.knobs.iter().find(|knob| knob.key == key).unwrap()
    }

    #[test]
    fn a_setting_has_its_unit_its_default_and_its_variable() {
        let sections = sections().unwrap();
        let server = section(&sections, "server");
        let drain = knob(server, "drain_timeout");
        assert_eq!((drain.kind.as_str(), &drain.default), ("duration", &Default::Value("10s".into())));
        assert_eq!(drain.environment.as_deref(), Some("DEODAR__SERVER__DRAIN_TIMEOUT"));
        assert!(drain.text.starts_with("How long"), "{}", drain.text);
        assert_eq!(knob(section(&sections, "log"), "format").kind, "\"text\" or \"json\"");
    }

    #[test]
    fn issuers_are_a_list_and_must_have_a_name() {
        let sections = sections().unwrap();
        let issuers = section(&sections, "identity.issuers");
        assert_eq!(issuers.shape, Shape::List);
        let alias = knob(issuers, "alias");
        assert_eq!((&alias.default, &alias.environment), (&Default::Required, &None));
        assert_eq!(knob(issuers, "leeway").default, Default::Value("30s".into()));
        assert_eq!(section(&sections, "identity.issuers.claims").shape, Shape::Inner);
        assert_eq!(section(&sections, "policy.domains.<name>").shape, Shape::Map);
    }

    #[test]
    fn every_setting_is_explained() {
        for section in sections().unwrap() {
            for knob in &section.knobs {
                assert!(!knob.text.is_empty(), "{}.{} has no doc comment", section.path.join("."), knob.key);
            }
        }
    }

    #[test]
    fn nothing_of_this_machine_is_in_it() {
        let folder = crate::app::config::default_data_dir().display().to_string();
        assert!(!markdown().unwrap().contains(&folder) && !toml().unwrap().contains(&folder));
    }
}
