//! A watch over files: tells when it is time to read them again.
//!
//! Some file systems tell nobody of changes, and a folder that is replaced takes its watch with it. So a SIGHUP is a
//! reason as well, and every now and then there is one without any news. What is read, and what comes of it, is left to
//! those who watch.

use std::future;
use std::path::PathBuf;
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// Files are written in several steps; changes are taken together when nothing moved for this long.
const QUIET: Duration = Duration::from_millis(50);
/// The same when something moves all the time.
const PATIENCE: Duration = Duration::from_secs(1);

/// Why files are to be read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It is time. Comes at once the first time: what changed before the watch began is not missed.
    Time,
    /// A SIGHUP: what is still wrong is to be said again.
    Hangup,
    /// Something changed.
    Change,
}

/// Watches folders until the stop.
pub struct Watch {
    folders: Vec<PathBuf>,
    mode: RecursiveMode,
    /// Told of every change; a full channel already says that something changed.
    changed: mpsc::Sender<()>,
    changes: mpsc::Receiver<()>,
    hangups: Option<Signal>,
    rereads: Interval,
    watcher: Option<notify::RecommendedWatcher>,
    is_troubled: bool,
    stop: CancellationToken,
}

impl Watch {
    /// `reread` is how often files are read although nothing was told.
    pub fn new(
        folders: Vec<PathBuf>,
        mode: RecursiveMode,
        reread: Duration,
        stop: CancellationToken,
    ) -> Self {
        let (changed, changes) = mpsc::channel(1);
        let mut rereads = tokio::time::interval(reread);
        rereads.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (hangups, watcher) = (hangups(), None);
        Self { folders, mode, changed, changes, hangups, rereads, watcher, is_troubled: false, stop }
    }

    /// Waits for a reason to read; `None` at the stop.
    pub async fn next(&mut self) -> Option<Cause> {
        let stop = self.stop.clone();
        tokio::select! {
            biased;
            () = stop.cancelled() => None,
            _ = self.rereads.tick() => {
                self.begin();
                Some(Cause::Time)
            }
            () = next(&mut self.hangups) => Some(Cause::Hangup),
            Some(()) = self.changes.recv() => {
                settle(&mut self.changes, &stop).await;
                Some(Cause::Change)
            }
        }
    }

    /// Watches the folders as they are now, in place of what was watched before.
    fn begin(&mut self) {
        match watcher(self.changed.clone(), &self.folders, self.mode) {
            Ok(watcher) => {
                self.watcher = Some(watcher);
                self.is_troubled = false;
            }
            // The old watch, if there is one, still sees some of it.
            Err(error) if !self.is_troubled => {
                tracing::warn!(%error, "files cannot be watched; changes are found at the next reading");
                self.is_troubled = true;
            }
            Err(_) => {}
        }
    }
}

fn watcher(
    changed: mpsc::Sender<()>,
    folders: &[PathBuf],
    mode: RecursiveMode,
) -> notify::Result<notify::RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading the files is an event too; to follow it would mean reading them for ever.
        if event.is_ok_and(|event| !event.kind.is_access()) {
            let _already_told = changed.try_send(());
        }
    })?;
    for folder in folders {
        watcher.watch(folder, mode)?;
    }
    Ok(watcher)
}

/// The SIGHUPs of this process; without them files are watched all the same.
fn hangups() -> Option<Signal> {
    signal(SignalKind::hangup()).inspect_err(|error| tracing::warn!(%error, "cannot listen for SIGHUP")).ok()
}

async fn next(hangups: &mut Option<Signal>) {
    match hangups {
        Some(hangups) => {
            if hangups.recv().await.is_none() {
                future::pending().await
            }
        }
        None => future::pending().await,
    }
}

/// Waits until nothing has changed for a moment, or for long enough, or until the stop.
async fn settle(changes: &mut mpsc::Receiver<()>, stop: &CancellationToken) {
    let quiet = async { while let Ok(Some(())) = tokio::time::timeout(QUIET, changes.recv()).await {} };
    stop.run_until_cancelled(tokio::time::timeout(PATIENCE, quiet)).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn changes_without_end_are_taken_up_after_a_second_and_left_at_the_stop() {
        let (changed, mut changes) = mpsc::channel(1);
        let changing = tokio::spawn(async move {
            while changed.send(()).await.is_ok() {
                tokio::time::sleep(QUIET / 2).await;
            }
        });
        let started = tokio::time::Instant::now();
        let stop = CancellationToken::new();
        settle(&mut changes, &stop).await;
        assert_eq!(started.elapsed(), PATIENCE);
        stop.cancel();
        settle(&mut changes, &stop).await;
        assert_eq!(started.elapsed(), PATIENCE);
        changing.abort();
    }
}
