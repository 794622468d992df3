//! Connections to a running server.

use super::Global;
use super::key::{self, Purpose};
use crate::api::client::Connection;

/// Connects to the decision listener as a gateway.
pub async fn decisions(global: &Global) -> anyhow::Result<Connection> {
    let key = key::find(global, Purpose::Decisions)?;
    Ok(Connection::open(&global.server, key.as_ref(), &global.trust()).await?)
}

/// Connects to the management listener.
pub async fn management(global: &Global) -> anyhow::Result<Connection> {
    let key = key::find(global, Purpose::Management)?;
    Ok(Connection::open(&global.management, key.as_ref(), &global.trust()).await?)
}
