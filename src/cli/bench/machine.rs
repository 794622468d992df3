//! Who used the CPU meanwhile: the server, this generator, and everybody else on the machine.
//!
//! Without that, a slow answer of a disturbed machine and a slow server look the same. From `/proc`, so on Linux only.

use std::fs;
use std::time::Duration;

use serde::Serialize;

/// Linux counts CPU time in hundredths of a second for programs, whatever its own clock is.
const TICKS: f64 = 100.0;

/// CPU time used up to now, in ticks.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    server: Option<u64>,
    /// The part of it that decision threads used, if it is a Deodar.
    deciding: Option<u64>,
    generator: u64,
    machine: u64,
}

/// CPU used over a while, in cores.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Usage {
    pub server_cores: Option<f64>,
    /// The part of it that decision threads used, if the server is a Deodar; the rest writes records and the like.
    pub deciding_cores: Option<f64>,
    pub generator_cores: f64,
    pub other_cores: f64,
}

impl Sample {
    /// `None` where the system does not tell.
    pub fn take(pid: Option<u32>) -> Option<Self> {
        let server = pid.and_then(|pid| process(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?));
        let generator = process(&fs::read_to_string("/proc/self/stat").ok()?)?;
        let machine = machine(&fs::read_to_string("/proc/stat").ok()?)?;
        Some(Self { server, deciding: pid.and_then(deciding), generator, machine })
    }
}

impl Usage {
    pub fn between(before: &Sample, after: &Sample, duration: Duration) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "ticks of a measurement are few")]
        let cores = |before: u64, after: u64| {
            after.saturating_sub(before) as f64 / TICKS / duration.as_secs_f64().max(0.001)
        };
        let both = |before: Option<u64>, after| before.zip(after).map(|(before, after)| cores(before, after));
        let server_cores = both(before.server, after.server);
        let deciding_cores = both(before.deciding, after.deciding);
        let generator_cores = cores(before.generator, after.generator);
        let all = cores(before.machine, after.machine);
        let other_cores = (all - generator_cores - server_cores.unwrap_or_default()).max(0.0);
        Self { server_cores, deciding_cores, generator_cores, other_cores }
    }
}

/// What the threads of a process used that are called like decision threads; `None` if it has none.
fn deciding(pid: u32) -> Option<u64> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten();
    let stats = threads.filter_map(|thread| fs::read_to_string(thread.path().join("stat")).ok());
    stats.filter(|stat| stat.contains("(decide-")).filter_map(|stat| process(&stat)).reduce(|a, b| a + b)
}

/// utime + stime of `/proc/<pid>/stat`: the 14th and 15th field, the second being a name in parentheses.
fn process(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

/// All of the first line of `/proc/stat` but idle, iowait and what is counted as user time already.
fn machine(stat: &str) -> Option<u64> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let fields: Vec<u64> = line.split_ascii_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
    let [user, nice, system, _idle, _iowait, irq, softirq, steal, ..] = fields.as_slice() else {
        return None;
    };
    Some(user + nice + system + irq + softirq + steal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_found_behind_any_name() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 900 0 0 0 250 50 0 0 20 0 9 0 1 1 1";
        assert_eq!(process(stat), Some(300));
        assert_eq!(machine("cpu  100 1 20 9000 5 2 3 4 50 0\ncpu0 1 1"), Some(130));
        assert_eq!(machine("nonsense"), None);
    }

    #[test]
    fn what_neither_side_used_is_others() {
        let before = Sample { server: Some(0), deciding: None, generator: 0, machine: 0 };
        let after = Sample { server: Some(100), deciding: Some(9), generator: 50, machine: 180 };
        let usage = Usage::between(&before, &after, Duration::from_secs(1));
        assert_eq!((usage.server_cores, usage.deciding_cores), (Some(1.0), None));
        assert!((usage.other_cores - 0.3).abs() < 1e-9);
    }
}
