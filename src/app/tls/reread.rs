//! Keeps the certificates of all listeners what their files say.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::RecursiveMode;
use tokio_util::sync::CancellationToken;

use super::Tls;
use crate::app::watch::{Cause, Watch};
use crate::manage::ListenerBoard;

/// Follows the files until told to stop. `reread` is how often they are read although nothing was told; as often it is
/// looked at whether a certificate expires soon.
pub async fn keep_current(
    listeners: Vec<Arc<Tls>>,
    board: Arc<ListenerBoard>,
    reread: Duration,
    stop: CancellationToken,
) {
    if listeners.is_empty() {
        return stop.cancelled().await;
    }
    // Folders, not files: a file that is replaced takes its watch with it, and where folders are mounted (Kubernetes)
    // only a link beside it is moved.
    let mut watch = Watch::new(folders(&listeners), RecursiveMode::NonRecursive, reread, stop.clone());
    while let Some(cause) = watch.next().await {
        let (listeners, board) = (listeners.clone(), Arc::clone(&board));
        let read = tokio::task::spawn_blocking(move || {
            for tls in &listeners {
                tls.reread(cause == Cause::Hangup);
                tls.report(&board);
            }
        });
        match stop.run_until_cancelled(read).await {
            None => return,
            Some(Ok(())) => {}
            Some(Err(error)) => {
                tracing::error!(%error, "reading certificates panicked; the old ones stay in use");
            }
        }
    }
}

fn folders(listeners: &[Arc<Tls>]) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = listeners
        .iter()
        .flat_map(|tls| {
            let authorities = tls.files.clients.as_ref().map(|(path, _)| path);
            [&tls.files.certificate, &tls.files.key].into_iter().chain(authorities)
        })
        .map(|file| match file.parent() {
            Some(folder) if folder != Path::new("") => folder.to_owned(),
            _ => PathBuf::from("."),
        })
        .collect();
    folders.sort();
    folders.dedup();
    folders
}
