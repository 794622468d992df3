//! Who goes first where there are fewer cores than threads that want one: those that decide.

/// So much nicer than they were: then the others get a third of a core beside a thread that decides. Storing the records
/// of what it decides takes half of that.
const NICER_BY: i32 = 3;

/// Lets every thread of this process go behind those that decide, as far as they are there by now. Without it the times
/// of decisions vary more, and nothing else is different.
pub fn let_decisions_go_first() {
    // On Linux a priority is a thread's own (setpriority(2)), and a new thread has that of the one that started it.
    #[cfg(target_os = "linux")]
    for thread in others() {
        if let Err(error) = give_way(thread) {
            tracing::debug!(%error, "cannot let decisions go first");
        }
    }
}

/// Beginning with what it has: whoever started this process may have made all of it nice.
#[cfg(target_os = "linux")]
fn give_way(thread: rustix::process::Pid) -> rustix::io::Result<()> {
    let niceness = rustix::process::getpriority_process(Some(thread))?;
    rustix::process::setpriority_process(Some(thread), niceness.saturating_add(NICER_BY))
}

#[cfg(target_os = "linux")]
fn others() -> Vec<rustix::process::Pid> {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return Vec::new() };
    let other = |thread: std::fs::DirEntry| {
        let name = std::fs::read_to_string(thread.path().join("comm")).ok()?;
        let id = thread.file_name().to_str()?.parse().ok()?;
        let decides = name.starts_with(super::workers::NAME);
        rustix::process::Pid::from_raw(id).filter(|_| !decides)
    };
    threads.flatten().filter_map(other).collect()
}
