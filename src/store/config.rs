//! Where the store is.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `sqlite:<file>` for the embedded store, or a `postgres://user:password@host/database` URL. A relative file
    /// is looked for in the data directory.
    #[serde(rename = "url")]
    pub location: Location,
    /// Connections to Postgres at most; the embedded store ignores it.
    pub max_connections: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { location: Location::Embedded(PathBuf::from("deodar.db")), max_connections: 8 }
    }
}

/// Which backend, and where.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub enum Location {
    Embedded(PathBuf),
    /// The URL, password included: never logged (see its `Debug`).
    Postgres(String),
}

impl std::fmt::Debug for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Embedded(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(_) => f.write_str("postgres://.."),
        }
    }
}

impl TryFrom<String> for Location {
    type Error = String;

    fn try_from(value: String) -> Result<Self, String> {
        if let Some(path) = value.strip_prefix("sqlite:").filter(|path| !path.is_empty()) {
            return Ok(Self::Embedded(PathBuf::from(path)));
        }
        if value.starts_with("postgres://") || value.starts_with("postgresql://") {
            return Ok(Self::Postgres(value));
        }
        Err("the store's url must be `sqlite:<file>` or `postgres://user:password@host/database`".to_owned())
    }
}

impl From<Location> for String {
    fn from(location: Location) -> String {
        match location {
            Location::Embedded(path) => format!("sqlite:{}", path.display()),
            Location::Postgres(url) => url,
        }
    }
}
