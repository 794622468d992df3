//! Connections to a running server.

use super::Global;
use super::key::{self, Purpose};
use crate::api::client::Connection;

/// Connects to the decision listener as a gateway.
pub async fn decisions(global: &Global) -> anyhow::Result<Connection> {
    let trust = global.trust_for("--server", &global.server)?;
    let key = key::find(global, Purpose::Decisions)?;
    Ok(Connection::open(&global.server, key.as_ref(), &trust).await?)
}

/// Connects to the management listener.
pub async fn management(global: &Global) -> anyhow::Result<Connection> {
    let trust = global.trust_for("--management", &global.management)?;
    let key = key::find(global, Purpose::Management)?;
    Ok(Connection::open(&global.management, key.as_ref(), &trust).await?)
}
