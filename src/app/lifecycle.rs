//! When to stop, and when to read policies again: signals of the operating system.

use tokio_util::sync::CancellationToken;

/// Cancels the token at SIGINT (Ctrl-C) or SIGTERM.
pub async fn cancel_on_signal(stop: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let streams = signal(SignalKind::interrupt()).and_then(|int| Ok((int, signal(SignalKind::terminate())?)));
    let (mut interrupt, mut terminate) = match streams {
        Ok(streams) => streams,
        Err(error) => {
            tracing::error!(%error, "cannot listen for signals; stop the process by force");
            return;
        }
    };
    tokio::select! {
        _ = interrupt.recv() => tracing::info!("SIGINT received; draining"),
        _ = terminate.recv() => tracing::info!("SIGTERM received; draining"),
    }
    stop.cancel();
}
