//! One decision, counted: how many instructions it takes with 10, 1,000 and 100,000 policies.
//!
//! Wall-clock times of shared machines are noise; instructions are not. `scripts/bench-instructions` runs this under
//! callgrind, counts only what happens inside [`one_decision`], and compares with `benches/instructions.toml`.
//! With `--time` it tells times instead, and with `--steps` those of each step, for a look without callgrind.

mod decider;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use decider::{Bench, MOST_DECISIONS};
use deodar::model::Effect;
use mimalloc::MiMalloc;

/// As the server has it.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

struct Arguments {
    policies: usize,
    decisions: usize,
    time: bool,
    steps: bool,
    /// Where to tell that everything is prepared; then wait for a line on standard input.
    ready: Option<PathBuf>,
}

fn arguments() -> anyhow::Result<Arguments> {
    let mut parsed = Arguments { policies: 1_000, decisions: 100, time: false, steps: false, ready: None };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--policies" => parsed.policies = value()?.parse()?,
            "--decisions" => parsed.decisions = value()?.parse()?,
            "--ready" => parsed.ready = Some(value()?.into()),
            "--time" => parsed.time = true,
            "--steps" => parsed.steps = true,
            "--bench" => {} // Cargo says so.
            _ => bail!("unknown argument {argument}"),
        }
    }
    ensure!((1..=MOST_DECISIONS).contains(&parsed.decisions), "1 to {MOST_DECISIONS} decisions");
    Ok(parsed)
}

fn main() -> anyhow::Result<()> {
    let arguments = arguments()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let bench = runtime.block_on(Bench::new(arguments.policies))?;
    // Once each, so that tokens are verified and lazy things are there.
    for turn in 0..bench.queries.len() * 2 {
        ensure!(bench.decide(turn)? == Effect::Allow, "the question must be allowed");
    }
    if let Some(file) = &arguments.ready {
        std::fs::write(file, std::process::id().to_string())?;
        io::stdin().read_line(&mut String::new())?;
    }
    if arguments.steps {
        return tell_steps(&bench, arguments.decisions);
    }
    let mut times = Vec::with_capacity(arguments.decisions);
    for turn in 0..arguments.decisions {
        let begin = bench.clock.monotonic();
        bench.decide(turn)?;
        times.push(bench.clock.monotonic().saturating_sub(begin));
    }
    times.sort();
    let at = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or_default().as_nanos();
    if arguments.time {
        let (policies, p50, p99) = (arguments.policies, at(50), at(99));
        writeln!(io::stdout(), "{{\"policies\": {policies}, \"p50_ns\": {p50}, \"p99_ns\": {p99}}}")?;
    }
    Ok(())
}

/// The median of each step, in nanoseconds; reading the clock is a part of each.
fn tell_steps(bench: &Bench, decisions: usize) -> anyhow::Result<()> {
    let mut steps: Vec<(&str, Vec<Duration>)> = Vec::new();
    for turn in 0..decisions {
        for (number, (name, took)) in bench.time_steps(turn)?.into_iter().enumerate() {
            match steps.get_mut(number) {
                Some((_, times)) => times.push(took),
                None => steps.push((name, vec![took])),
            }
        }
    }
    for (name, times) in &mut steps {
        times.sort_unstable();
        let at = |percent: usize| times.get(times.len() * percent / 100).map_or(0, Duration::as_nanos);
        writeln!(io::stdout(), "{{\"step\": \"{name}\", \"p50_ns\": {}, \"p99_ns\": {}}}", at(50), at(99))?;
    }
    Ok(())
}
