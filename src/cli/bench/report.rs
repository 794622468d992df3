//! The result of a measurement, for people and for programs.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::generator::Measured;
use super::machine::Usage;
use super::tally::Tally;
use super::{Bench, Mode};
use crate::cli::output;

/// Everything that was measured, and how.
#[derive(Debug, Serialize)]
pub struct Report {
    mode: Mode,
    /// `closed`, or `open` with a rate.
    r#loop: &'static str,
    connections: u32,
    concurrency: u32,
    threads: u32,
    rate: Option<f64>,
    give_up_after_s: Option<f64>,
    batch_size: Option<u32>,
    /// Different messages that took turns.
    messages: usize,
    duration_s: f64,
    calls: u64,
    decisions: u64,
    calls_per_s: f64,
    decisions_per_s: f64,
    latency_us: Latency,
    /// Of answers that say overload, which the other times leave out.
    overloaded_latency_us: Option<Latency>,
    pub errors: Errors,
    cpu: Option<Usage>,
    /// CPU time of the server for one decision.
    server_us_per_decision: Option<f64>,
    /// The part of it that decision threads used, if the server is a Deodar.
    deciding_us_per_decision: Option<f64>,
}

/// From when a question was asked, or with a rate from when it was due, to its answer; of a batch as a whole.
#[derive(Debug, Serialize)]
struct Latency {
    mean: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

/// What went wrong.
#[derive(Debug, Serialize)]
pub struct Errors {
    wrong: u64,
    overloaded: u64,
    failed: u64,
    first_failure: Option<String>,
}

impl Errors {
    pub const fn is_none(&self) -> bool {
        self.wrong == 0 && self.overloaded == 0 && self.failed == 0
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown with a few digits")]
const fn float(number: u64) -> f64 {
    number as f64
}

fn micros(nanos: u64) -> f64 {
    // Three digits is what the histogram knows.
    (float(nanos) / 100.0).round() / 10.0
}

impl Report {
    pub(super) fn new(bench: &Bench, messages: usize, measured: &Measured) -> Self {
        let Measured { tally, duration, usage } = measured;
        let seconds = duration.as_secs_f64();
        let decisions = Some(float(tally.decisions)).filter(|decisions| *decisions > 0.0);
        let each = |cores: Option<f64>| Some(cores? * seconds * 1e6 / decisions?);
        Self {
            mode: bench.mode,
            r#loop: if bench.rate.is_some() { "open" } else { "closed" },
            connections: bench.connections,
            concurrency: bench.concurrency,
            threads: bench.threads.min(bench.connections),
            rate: bench.rate,
            give_up_after_s: bench.give_up_after.map(|patience| patience.as_secs_f64()),
            batch_size: (bench.mode == Mode::Batch).then_some(bench.batch_size),
            messages,
            duration_s: seconds,
            calls: tally.calls,
            decisions: tally.decisions,
            calls_per_s: (float(tally.calls) / seconds).round(),
            decisions_per_s: (float(tally.decisions) / seconds).round(),
            latency_us: Latency::of(&tally.latency),
            overloaded_latency_us: (tally.overloaded > 0).then(|| Latency::of(&tally.refusals)),
            errors: Errors {
                wrong: tally.wrong,
                overloaded: tally.overloaded,
                failed: tally.failed,
                first_failure: tally.first_failure.clone(),
            },
            cpu: *usage,
            server_us_per_decision: usage.and_then(|usage| each(usage.server_cores)),
            deciding_us_per_decision: usage.and_then(|usage| each(usage.deciding_cores)),
        }
    }

    pub fn human(&self) -> String {
        let Latency { mean, p50, p90, p99, p999, max } = self.latency_us;
        let ms = |micros: f64| format!("{:.3} ms", micros / 1_000.0);
        let Errors { wrong, overloaded, failed, .. } = self.errors;
        let deciding =
            self.deciding_us_per_decision.map(|us| format!(", {us:.1} of them on decision threads"));
        let refused = self.overloaded_latency_us.as_ref();
        let cpu = self.cpu.map(|usage| {
            let server = usage.server_cores.map(|cores| format!("server {cores:.2}, ")).unwrap_or_default();
            format!("{server}generator {:.2}, others {:.2} cores", usage.generator_cores, usage.other_cores)
        });
        output::fields([
            (
                "decisions",
                format!(
                    "{:.0} a second, {} in {:.1} s",
                    self.decisions_per_s, self.decisions, self.duration_s
                ),
            ),
            ("calls", format!("{:.0} a second", self.calls_per_s)),
            ("latency", format!("p50 {}  p90 {}  p99 {}  p99.9 {}", ms(p50), ms(p90), ms(p99), ms(p999))),
            ("", format!("mean {}  max {}", ms(mean), ms(max))),
            (
                "overloaded",
                refused.map(|at| format!("p50 {}  p99 {}", ms(at.p50), ms(at.p99))).unwrap_or_default(),
            ),
            ("errors", format!("{wrong} wrong, {overloaded} overloaded, {failed} failed")),
            ("first failure", self.errors.first_failure.clone().unwrap_or_default()),
            ("cpu", cpu.unwrap_or_default()),
            (
                "server",
                self.server_us_per_decision
                    .map(|us| format!("{us:.1} us of CPU a decision{}", deciding.unwrap_or_default()))
                    .unwrap_or_default(),
            ),
        ])
    }
}

impl Latency {
    fn of(times: &Histogram<u64>) -> Self {
        let at = |quantile| micros(times.value_at_quantile(quantile));
        Self {
            mean: (times.mean() / 100.0).round() / 10.0,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: micros(times.max()),
        }
    }
}

/// One line of the progress: this second's calls, and the times since the beginning.
pub fn progress(elapsed: Duration, calls: u64, tally: &Tally) -> String {
    let Latency { p50, p99, .. } = Latency::of(&tally.latency);
    format!(
        "{:>4.0} s  {calls:>8} calls  p50 {:.3} ms  p99 {:.3} ms  {} errors",
        elapsed.as_secs_f64(),
        p50 / 1_000.0,
        p99 / 1_000.0,
        tally.errors()
    )
}
