//! When to stop: signals of the operating system.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that is cancelled at SIGINT (Ctrl-C) or SIGTERM. The signals are caught when this returns, and not before: until
/// then they end the process.
pub fn stop_on_signal() -> CancellationToken {
    let stop = CancellationToken::new();
    match streams() {
        Ok(streams) => {
            tokio::spawn(cancel(stop.clone(), streams));
        }
        Err(error) => tracing::error!(%error, "cannot listen for signals; stop the process by force"),
    }
    stop
}

fn streams() -> std::io::Result<(Signal, Signal)> {
    Ok((signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?))
}

async fn cancel(stop: CancellationToken, (mut interrupt, mut terminate): (Signal, Signal)) {
    tokio::select! {
        _ = interrupt.recv() => tracing::info!("SIGINT received; draining"),
        _ = terminate.recv() => tracing::info!("SIGTERM received; draining"),
    }
    stop.cancel();
}
