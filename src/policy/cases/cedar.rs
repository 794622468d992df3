//! Test files of the Cedar command line (`cedar run-tests`), accepted as they are.
//!
//! Such a test brings its whole world: request, context and entities, with nothing filled in. One thing differs on
//! purpose: where Cedar skips a forbid that fails, Deodar denies.

use cedar_policy::{Context, Entities, EntityUid, Request};
use serde::Deserialize;
use serde_json::Value;

use super::format::ExpectedEffect;
use crate::policy::evaluate::{Evaluation, Standing};
use crate::policy::question::cause;
use crate::policy::snapshot::Snapshot;

/// One test. `name` is optional there, and fields that we do not know are not ours to refuse.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct CedarCase {
    #[serde(default)]
    pub name: Option<String>,
    pub request: RequestWords,
    pub entities: Value,
    pub decision: ExpectedEffect,
    /// These must be among the determining policies.
    pub reason: Vec<String>,
    pub num_errors: usize,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct RequestWords {
    pub principal: String,
    pub action: String,
    pub resource: String,
    #[serde(default)]
    pub context: Value,
}

impl CedarCase {
    pub fn evaluate(&self, snapshot: &Snapshot) -> Result<Evaluation, String> {
        let schema = &snapshot.schema;
        if self.entities.is_string() {
            return Err(
                "entities in a file of their own are not supported: write them into the test".to_owned()
            );
        }
        let entities =
            Entities::from_json_value(self.entities.clone(), Some(schema)).map_err(|error| cause(&error))?;
        let (principal, action, resource) =
            (uid(&self.request.principal)?, uid(&self.request.action)?, uid(&self.request.resource)?);
        let context = match &self.request.context {
            Value::Null => Context::empty(),
            given => {
                Context::from_json_value(given.clone(), Some((schema, &action))).map_err(|e| cause(&e))?
            }
        };
        let request = Request::new(principal, action, resource, context, Some(schema))
            .map_err(|error| cause(&error))?;
        let standing = Standing { token: None, scopes_met: true, security: None };
        Ok(snapshot.judge(&request, &entities, standing))
    }
}

fn uid(text: &str) -> Result<EntityUid, String> {
    text.parse().map_err(|error| format!("`{text}` is not an entity: {error}"))
}
