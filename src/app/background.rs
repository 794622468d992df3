//! The tasks behind the listeners: none of them may end before the stop.
//!
//! A server whose follower or whose writer of records is gone would go on answering from what it knew once, and look
//! well. So the first task that ends by itself, or panics, is told by name; what to do about it is left to `run`.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Tasks that run until the stop.
pub struct Background {
    tasks: TaskTracker,
    stop: CancellationToken,
    first_gone: watch::Sender<Option<Gone>>,
}

/// A task that ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Gone {
    #[error("{0} ended by itself")]
    Ended(&'static str),
    #[error("{0} panicked")]
    Panicked(&'static str),
}

impl Background {
    pub fn new(stop: CancellationToken) -> Self {
        Self { tasks: TaskTracker::new(), stop, first_gone: watch::Sender::new(None) }
    }

    /// Runs a task, which ends when `stop` is cancelled and not before.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let end = End { name, stop: self.stop.clone(), first_gone: self.first_gone.clone() };
        self.tasks.spawn(async move {
            let _end = end;
            task.await;
        });
    }

    /// Waits until a task ends before the stop; for ever when none does.
    pub async fn gone(&self) -> Gone {
        let mut first_gone = self.first_gone.subscribe();
        match first_gone.wait_for(Option::is_some).await.map(|gone| *gone) {
            Ok(Some(gone)) => gone,
            // The sender is ours, and what is waited for is there.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// Stops all tasks and waits for them, at most this long. False when some have not ended.
    pub async fn stop(&self, at_most: Duration) -> bool {
        self.stop.cancel();
        self.tasks.close();
        tokio::time::timeout(at_most, self.tasks.wait()).await.is_ok()
    }
}

/// Sees a task end, in whichever way it does.
struct End {
    name: &'static str,
    stop: CancellationToken,
    first_gone: watch::Sender<Option<Gone>>,
}

impl Drop for End {
    fn drop(&mut self) {
        if self.stop.is_cancelled() {
            return;
        }
        let gone = if std::thread::panicking() { Gone::Panicked } else { Gone::Ended };
        self.first_gone.send_if_modified(|first| {
            let is_first = first.is_none();
            first.get_or_insert(gone(self.name));
            is_first
        });
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_task_that_ends_or_panics_before_the_stop_is_named() {
        let background = Background::new(CancellationToken::new());
        background.spawn("the idler", std::future::pending());
        background.spawn("the quitter", async {});
        assert_eq!(background.gone().await, Gone::Ended("the quitter"));
        assert_eq!(background.gone().await, Gone::Ended("the quitter"), "it stays said");

        let background = Background::new(CancellationToken::new());
        background.spawn("the dropper", async { panic!("this test panics on purpose") });
        assert_eq!(background.gone().await, Gone::Panicked("the dropper"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_waits_for_the_tasks_but_not_for_ever() {
        let stop = CancellationToken::new();
        let background = Background::new(stop.clone());
        background.spawn("the obedient", stop.clone().cancelled_owned());
        assert!(background.stop(Duration::from_secs(1)).await);
        assert_eq!(background.gone().now_or_never(), None, "it ended when it should");

        let background = Background::new(CancellationToken::new());
        background.spawn("the deaf", std::future::pending());
        assert!(!background.stop(Duration::from_secs(1)).await);
    }
}
