//! `deodar demo`: a server, a sample API and a short story, with nothing to set up.
//!
//! The server runs in this process but is asked over a real gRPC connection, with a real client key, about tokens that
//! a real issuer signed. What it needs is unpacked into a folder that can be looked at and edited afterwards.

mod setup;
mod story;
mod view;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use clap::Args;

use super::output::{self, Output};
use super::{Exit, Global};
use crate::api::dial::Trust;
use crate::app::{self, App, Running};
use crate::model::SystemClock;
use story::Story;
use view::Told;

const AFTER_HELP: &str = "\
Examples:
  deodar demo                        Play the story, then stay up with commands to try
  deodar demo --exit                 Play the story and stop
  deodar demo --exit --output json   One JSON object a decision";

/// Starts a server with a sample API and plays a short story of decisions against it.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct Demo {
    /// Stop after the story instead of staying up.
    #[arg(long)]
    exit: bool,
}

impl Demo {
    pub async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let folder = global.data_dir.clone().unwrap_or_else(|| app::config::default_data_dir().join("demo"));
        let output = global.printer();
        let (running, config) = start(folder.clone(), self.exit).await?;
        output::note(&format!("The demo keeps its files in {}", folder.display()));
        let told = play(&running, &folder, &global.trust(), output).await;
        if self.exit || told.is_err() {
            running.stop().await?;
            return told.map(|_| Exit::Success);
        }
        let stop = app::stop_on_signal();
        output::note(&view::what_to_try(&running, &folder, &config, &told?));
        running.run_until(stop).await?;
        Ok(Exit::Success)
    }
}

/// Unpacks what the demo needs and starts a server on it. One that stays up listens where the CLI looks for it.
async fn start(folder: PathBuf, brief: bool) -> anyhow::Result<(Running, PathBuf)> {
    let file = setup::unpack(&folder).with_context(|| format!("cannot write to {}", folder.display()))?;
    let mut config = app::Config::load(Some(&file))?;
    if brief {
        config.server.decisions.set_port(0);
        config.server.management.set_port(0);
    }
    let app = App::build(config, Arc::new(SystemClock::new())).await?;
    Ok((app.start(), file))
}

/// Plays the story, printing each decision as it is made.
async fn play(running: &Running, folder: &Path, trust: &Trust, output: Output) -> anyhow::Result<Vec<Told>> {
    let mut story = Story::begin(running, folder, trust).await?;
    let mut told = Vec::new();
    output.heading(&view::heading())?;
    while let Some(decision) = story.next().await? {
        output.item(&decision, Told::row)?;
        told.push(decision);
    }
    story.end().await?;
    output::note(&view::summary(&told));
    Ok(told)
}
