//! How often one decision allocates, and how much: in process, with a token that is known and the shipped policies.
//!
//! `cargo bench --bench allocations`. The counts are exact and the same each time, so two versions can be compared.

mod decider;

use std::alloc::System;
use std::io::{self, Write as _};

use anyhow::ensure;
use decider::{Bench, MOST_DECISIONS};
use deodar::model::Effect;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Policies in all: those that are shipped, and others that cannot apply.
const POLICIES: usize = 1_000;

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let bench = runtime.block_on(Bench::new(POLICIES))?;
    // Until everything is there that is made once, for each question.
    let warm = bench.queries.len() * 4;
    for turn in 0..warm {
        ensure!(bench.decide(turn)? == Effect::Allow, "the question must be allowed");
    }
    let decisions = MOST_DECISIONS - warm;
    let region = Region::new(ALLOCATOR);
    for turn in 0..decisions {
        bench.decide(turn)?;
    }
    let change = region.change();
    let each = |count: usize| count as f64 / decisions as f64;
    writeln!(
        io::stdout(),
        "{{\"allocations\": {:.2}, \"bytes\": {:.0}, \"decisions\": {decisions}}}",
        each(change.allocations + change.reallocations),
        each(change.bytes_allocated)
    )?;
    Ok(())
}
