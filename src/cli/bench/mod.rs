//! `bench`: how fast is a running server, and how long do its answers take?
//!
//! Closed loop: so many questions in flight, the next one when an answer is in; that finds the throughput. Open loop:
//! questions come when they come (Poisson), and an answer's time counts from when its question was due, so that a server
//! that stalls cannot hide it by being asked less. Each answer is held against what it should be.

mod body;
mod generator;
mod machine;
mod pace;
mod questions;
mod raw;
mod report;
mod streaming;
mod tally;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::exit::Exit;
use super::{Global, key, output, words};
use crate::api::client::Connection;
use crate::api::dial::Dialer;
use crate::api::load;
use crate::model::{Clock, Secret, SystemClock};
use body::Body;
use generator::{Generator, Load};
use pace::Pace;
use report::Report;

const AFTER_HELP: &str = "\
Examples:
  deodar bench                                               How many decisions a second, at most
  deodar bench --rate 2900 --duration 30s                    How long answers take at a given load
  deodar bench --rate 200000 --connections 16 --concurrency 250 --give-up-after 10ms
                                                             What becomes of the rest where more is asked than it can do
  deodar bench --mode stream --connections 4 --concurrency 64
  deodar bench --mode batch --batch-size 16 --output json
  deodar bench --principals 100000 --warmup 30s              Many callers, each with a token of its own
  deodar bench --requests questions.yaml                     Questions of your own

The questions that come with it are about the APIs of `deodar demo`, from principals of the development issuer in the
data directory. A file of your own is a list of `{method, url, token, as, ip, headers, expect}`, where `expect` is
`allow` or `deny`. Wrong answers and failed calls are counted, and end the command with 1. A policy that limits request
rates stops a bench like anybody else: serve without it, or ask as many principals.";

/// Measures a running server.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct Bench {
    /// How questions are put.
    #[arg(long, value_enum, default_value_t = Mode::Unary)]
    mode: Mode,
    /// How many connections (in mode `stream`: each with one stream).
    #[arg(long, value_name = "NUMBER", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    /// Calls in flight on each connection; with --rate: at most.
    #[arg(long, value_name = "NUMBER", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    concurrency: u32,
    /// Calls a second, however long the answers take (open loop).
    #[arg(long, value_name = "NUMBER", value_parser = parse_rate)]
    rate: Option<f64>,
    /// With --rate: a question that found no place in flight for so long is never asked, and counts as failed, as with a
    /// gateway that bounds its own queue. Without this every question is asked, however late.
    #[arg(long, value_name = "TIME", value_parser = words::parse_span, requires = "rate")]
    give_up_after: Option<Duration>,
    /// Questions in one batch.
    #[arg(long, value_name = "NUMBER", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch_size: u32,
    /// How long to ask before measuring.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = words::parse_span)]
    warmup: Duration,
    /// How long to measure.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = words::parse_span)]
    duration: Duration,
    /// Threads that ask; each has its share of the connections.
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_024))]
    threads: u32,
    /// How many principals ask, each with a token of its own. Few of them soon meet the rate limits of the shipped policies.
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=2_000_000), conflicts_with = "requests")]
    principals: u32,
    /// A file with questions, YAML or JSON.
    #[arg(long, value_name = "FILE")]
    requests: Option<PathBuf>,
    /// Leave credentials away: everything is asked by nobody in particular, and only what is public.
    #[arg(long, conflicts_with_all = ["requests", "principals"])]
    anonymous: bool,
    /// Another RPC, for example of another server, with --bodies.
    #[arg(long, value_name = "PATH", requires = "bodies", conflicts_with_all = ["requests", "principals", "anonymous"])]
    rpc: Option<String>,
    /// A folder of encoded messages for --rpc: NAME.bin, and in NAME.expect the bytes, in hexadecimal digits, that the
    /// answer must contain.
    #[arg(long, value_name = "FOLDER", requires = "rpc")]
    bodies: Option<PathBuf>,
    /// Take the first answer to a question for the right one, whatever is written with the question.
    #[arg(long)]
    trust_answers: bool,
    /// Tell each second how it goes, also where standard error is no terminal.
    #[arg(long)]
    progress: bool,
    /// The process id of the server, if it runs here: tells how much of the CPU it took.
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    /// Where the random order of questions and arrivals begins.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    /// One question a call.
    Unary,
    /// Many questions of one credential a call.
    Batch,
    /// Calls that stay open.
    Stream,
}

impl Mode {
    const fn rpc(self) -> &'static str {
        match self {
            Self::Unary => load::CHECK,
            Self::Batch => load::BATCH_CHECK,
            Self::Stream => load::STREAM_CHECK,
        }
    }
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
    if (0.1..=10_000_000.0).contains(&rate) { Ok(rate) } else { Err("give 0.1 to 10,000,000".to_owned()) }
}

impl Bench {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        if self.duration < Duration::from_millis(100) {
            bail!("a measurement takes at least 100ms; give a longer --duration");
        }
        let trust = global.trust_for("--server", &global.server)?;
        let key = self.key(global)?;
        let dialer = Dialer::new(&global.server, &trust)?;
        let bodies = self.bodies(global, &dialer, key.as_ref()).await?;
        let generator = Generator {
            dialer,
            rpc: self.rpc.clone().unwrap_or_else(|| self.mode.rpc().to_owned()),
            key,
            bodies: bodies.into(),
            load: self.load(),
            clock: Arc::new(SystemClock::new()),
        };
        let measured = generator.run(self.pid, self.progress || std::io::stderr().is_terminal()).await?;
        let report = Report::new(&self, generator.bodies.len(), &measured);
        global.printer().result(&report, Report::human)?;
        Ok(Exit::success_if(report.errors.is_none()))
    }

    /// Other servers than ours are asked without a key unless one is named.
    fn key(&self, global: &Global) -> anyhow::Result<Option<Secret>> {
        if self.rpc.is_some() && global.key_file.is_none() {
            return Ok(None);
        }
        key::find(global, key::Purpose::Decisions)
    }

    async fn bodies(
        &self,
        global: &Global,
        dialer: &Dialer,
        key: Option<&Secret>,
    ) -> anyhow::Result<Vec<Body>> {
        if let (Some(rpc), Some(folder)) = (&self.rpc, &self.bodies) {
            return raw::read(dialer, rpc, key, folder, self.seed).await;
        }
        let mut asked = match &self.requests {
            Some(file) => questions::from_file(file)?,
            None if self.anonymous => questions::anonymous(),
            None => questions::built_in(&global.data_dir(), self.principals, SystemClock::new().now())?,
        };
        if self.rpc.is_none() {
            let connection = Connection::open(&global.server, key, &global.trust()).await?;
            questions::establish(&mut asked, &connection, self.trust_answers).await?;
        }
        let batch = usize::try_from(self.batch_size)?;
        Ok(body::encode(asked, self.mode, batch, self.seed))
    }

    fn load(&self) -> Load {
        let pace = match self.rate {
            Some(rate) => Pace::Open { rate },
            None => Pace::Closed,
        };
        let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        Load {
            mode: self.mode,
            pace,
            connections: count(self.connections),
            concurrency: count(self.concurrency),
            threads: count(self.threads.min(self.connections)),
            give_up_after: self.give_up_after,
            warmup: self.warmup,
            duration: self.duration,
            seed: self.seed,
        }
    }
}

/// Tells the lines of the progress.
fn tell(line: &str) {
    output::note(line);
}
