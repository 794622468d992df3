//! The composition root: reads the configuration, builds every room with what it needs, runs them and stops them.
//!
//! Two phases: [`App::build`] does everything that can fail (files, database, policies, sockets), [`App::start`]
//! only lets it run. Nothing here decides anything.

mod background;
mod bootstrap;
mod build;
mod bundles;
mod complaint;
pub mod config;
mod connection;
pub mod dev_issuer;
mod fetch;
mod lifecycle;
mod listener;
mod migrate;
mod policies;
mod priority;
pub mod reference;
mod run;
mod shipped;
mod socket;
mod telemetry;
mod tls;
mod token_report;
mod verify;
mod watch;
mod workers;

pub use bootstrap::{ADMINISTRATOR_KEY, GATEWAY_KEY, read_key};
pub use build::App;
pub use config::Config;
pub use fetch::HttpFetcher;
pub use lifecycle::stop_on_signal;
pub use migrate::migrate;
pub use priority::let_decisions_go_first;
pub use run::Running;
pub use shipped::unpack as unpack_policies;
pub use token_report::{CheckReport, CheckResult, TokenReport, inspect_token};
pub use verify::verify;

use std::sync::Arc;

use crate::model::SystemClock;

/// Runs a server until it is told to stop (SIGINT, SIGTERM).
pub async fn serve(config: Config) -> anyhow::Result<()> {
    telemetry::init(&config.log)?;
    let app = App::build(config, Arc::new(SystemClock::new())).await?;
    // Before anybody is told that the server is there: who is told may stop it at once.
    let stop = stop_on_signal();
    let running = app.start();
    let_decisions_go_first();
    tracing::info!(
        decisions = %running.decisions(),
        management = %running.management(),
        "deodar is listening"
    );
    running.run_until(stop).await
}
