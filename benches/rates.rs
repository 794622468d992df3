//! What counting one call costs: principal, principal at the endpoint, and network, all three counted and read.
//!
//! Prints medians over rounds. Run with `cargo bench --bench rates`.

#![expect(clippy::print_stdout, reason = "the numbers are what it is for")]

use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use deodar::model::{ApiId, EndpointId, PrincipalId, Subject, Timestamp};
use deodar::risk::{Config, Counted, CountedEndpoint, CountedPrincipal, RateCounters};

const ROUNDS: usize = 31;
const CALLS: usize = 100_000;

/// Who calls what from where.
struct Calls {
    principals: Vec<PrincipalId>,
    endpoint: EndpointId,
    prefixes: Vec<Subject>,
}

impl Calls {
    fn of(principals: usize) -> Result<Self, Box<dyn std::error::Error>> {
        let api: ApiId = "orders".parse()?;
        let principal = |number| format!("User::corp/0198c5a0-7b3c-7000-8000-{number:012}").parse();
        let prefix = |number: usize| {
            let [.., high, low] = number.to_be_bytes();
            Subject::prefix_of([10, high, low, 1].into()).ok_or("no prefix")
        };
        Ok(Self {
            principals: (0..principals).map(principal).collect::<Result<_, _>>()?,
            endpoint: EndpointId::new(&api, "POST", "/orders/{id}/refund"),
            prefixes: (0..principals.min(65_536)).map(prefix).collect::<Result<_, _>>()?,
        })
    }

    /// Counts so many calls, a microsecond apart, beginning with this one.
    fn count(&self, counters: &RateCounters, first: usize, calls: usize) {
        let pairs = self.principals.iter().cycle().zip(self.prefixes.iter().cycle());
        for (number, (principal, prefix)) in pairs.skip(first % self.principals.len()).take(calls).enumerate()
        {
            let call = Counted {
                principal: Some(CountedPrincipal::Proven(principal)),
                endpoint: Some(CountedEndpoint::Call(&self.endpoint)),
                prefix: Some(prefix),
            };
            let micros = i64::try_from(first + number).unwrap_or(0);
            let now = Timestamp::from_micros(1_790_000_000_000_000 + micros);
            black_box(counters.count(black_box(&call), now));
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
fn timed(work: impl FnOnce()) -> Duration {
    let started = Instant::now();
    work();
    started.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn per_call(time: Duration, calls: usize) -> f64 {
    time.as_secs_f64() * 1e9 / calls as f64
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for principals in [1, 1_000, 80_000] {
        let calls = Calls::of(principals)?;
        let counters = RateCounters::new(&Config::default());
        calls.count(&counters, 0, principals.max(CALLS));
        let round = |round| timed(|| calls.count(&counters, round * CALLS, CALLS));
        let time = median((0..ROUNDS).map(round).collect());
        println!("{principals:>7} principals, 1 thread   {:>7.1} ns a call", per_call(time, CALLS));
    }
    for principals in [1, 1_000] {
        let calls = Calls::of(principals)?;
        let counters = RateCounters::new(&Config::default());
        let threads = thread::available_parallelism()?.get();
        let round = |round: usize| {
            timed(|| {
                thread::scope(|scope| {
                    (0..threads).for_each(|_| {
                        scope.spawn(|| calls.count(&counters, round * CALLS, CALLS));
                    });
                });
            })
        };
        let time = median((0..ROUNDS).map(round).collect());
        let cost = per_call(time, CALLS);
        println!("{principals:>7} principals, {threads} threads  {cost:>7.1} ns a call on each");
    }
    Ok(())
}
