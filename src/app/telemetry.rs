//! Logging: to standard error, as text for people or JSON for machines.

use anyhow::Context;
use tracing_subscriber::EnvFilter;

use super::config::{LogConfig, LogFormat};

/// Installs the process-wide subscriber. Fails on a filter that cannot be read, or when there is one already.
pub fn init(config: &LogConfig) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.filter)
        .with_context(|| format!("log.filter `{}` cannot be read", config.filter))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let installed = match config.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    installed.map_err(|error| anyhow::anyhow!("cannot start logging: {error}"))
}
