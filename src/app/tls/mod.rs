//! TLS of one listener: what its next handshake uses, read from files and read again while it runs.
//!
//! A reading that cannot be used changes nothing: the old certificate goes on, the log and the status say why. Each
//! connection keeps what it began with. Who the peers may call is not looked at here.

mod config;
mod handshake;
mod material;
mod reread;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use arc_swap::ArcSwap;
use tokio::sync::Semaphore;

pub use config::TlsConfig;
pub use handshake::{Handshake, Secured};
pub use reread::keep_current;

use super::complaint::Complaint;
use crate::manage::{ListenerBoard, TlsStatus};
use crate::model::{Clock, Timestamp};
use config::TlsFiles;
use material::{CertificateFacts, Material};

/// How often an expiry that comes near is said again.
const WARN_AGAIN: Duration = Duration::from_secs(24 * 3_600);

/// The TLS of a listener.
pub struct Tls {
    listener: &'static str,
    config: TlsConfig,
    files: TlsFiles,
    clock: Arc<dyn Clock>,
    current: ArcSwap<Current>,
    reading: Mutex<Reading>,
    handshakes: Arc<Semaphore>,
    failed: Arc<Mutex<Complaint>>,
}

/// What handshakes use now.
struct Current {
    server: Arc<rustls::ServerConfig>,
    facts: CertificateFacts,
    loaded_at: Timestamp,
}

/// What came of the last reading.
struct Reading {
    /// What was read, or why it could not be.
    seen: Result<[u8; 32], String>,
    /// Why it is not in force.
    refused: Option<String>,
    warned_at: Option<Timestamp>,
}

impl Tls {
    /// Reads the files for the first time; `None` for a listener without TLS.
    pub fn load(
        listener: &'static str,
        config: &TlsConfig,
        clock: &Arc<dyn Clock>,
    ) -> anyhow::Result<Option<Arc<Self>>> {
        let context = || format!("the listener for {listener} cannot speak TLS (server.{listener}_tls)");
        let Some(files) = config.files().map_err(anyhow::Error::msg).with_context(context)? else {
            return Ok(None);
        };
        let material = Material::read(&files).with_context(context)?;
        let current = Current::build(&material, config, clock).with_context(context)?;
        let reading = Reading { seen: Ok(material.digest()), refused: None, warned_at: None };
        let tls = Self {
            listener,
            config: config.clone(),
            files,
            clock: Arc::clone(clock),
            current: ArcSwap::from_pointee(current),
            reading: Mutex::new(reading),
            handshakes: Arc::new(Semaphore::new(config.max_handshakes.get().min(Semaphore::MAX_PERMITS))),
            failed: Arc::default(),
        };
        Ok(Some(Arc::new(tls)))
    }

    /// What the next connection shakes hands with.
    pub fn handshake(&self) -> Handshake {
        Handshake {
            listener: self.listener,
            server: Arc::clone(&self.current.load().server),
            turns: Arc::clone(&self.handshakes),
            timeout: self.config.handshake_timeout,
            failed: Arc::clone(&self.failed),
        }
    }

    /// Reads the files again and takes up what is new in them. `again`: what is still wrong is said again.
    fn reread(&self, again: bool) {
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let material = Material::read(&self.files);
        let seen = material.as_ref().map(Material::digest).map_err(|error| format!("{error:#}"));
        if seen != reading.seen || (again && reading.refused.is_some()) {
            let taken = material.and_then(|material| Current::build(&material, &self.config, &self.clock));
            reading.refused = self.take_up(taken);
            reading.seen = seen;
            reading.warned_at = None;
        }
        self.warn_of_expiry(&mut reading);
    }

    /// Says why nothing was taken up.
    fn take_up(&self, taken: anyhow::Result<Current>) -> Option<String> {
        let listener = self.listener;
        match taken {
            Ok(current) => {
                let CertificateFacts { sha256, expires_at, .. } = &current.facts;
                tracing::info!(listener, sha256, %expires_at, "new certificate files are in use");
                self.current.store(Arc::new(current));
                None
            }
            Err(error) => {
                let why = format!("{error:#}");
                tracing::error!(
                    listener,
                    "the new certificate files are refused, the old ones stay in use: {why}"
                );
                Some(why)
            }
        }
    }

    fn warn_of_expiry(&self, reading: &mut Reading) {
        let now = self.clock.now();
        let current = self.current.load();
        let was_said = reading.warned_at.is_some_and(|said_at| now.since(said_at) < WARN_AGAIN);
        if was_said || !current.facts.expires_within(self.config.expiry_warning, now) {
            return;
        }
        let expires_at = current.facts.expires_at;
        tracing::warn!(listener = self.listener, %expires_at, "the listener's certificate expires soon; renew it");
        reading.warned_at = Some(now);
    }

    /// How things stand.
    pub fn status(&self) -> TlsStatus {
        let reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.current.load();
        let CertificateFacts { sha256, names, expires_at, .. } = &current.facts;
        TlsStatus {
            client_certificates: self.config.client_certificates.as_str(),
            certificate_sha256: sha256.clone(),
            names: names.clone(),
            expires_at: *expires_at,
            warn_at: expires_at.minus(self.config.expiry_warning),
            loaded_at: current.loaded_at,
            refused: reading.refused.clone(),
        }
    }

    fn report(&self, board: &ListenerBoard) {
        board.report_tls(self.listener, self.status());
    }
}

impl Current {
    fn build(material: &Material, config: &TlsConfig, clock: &Arc<dyn Clock>) -> anyhow::Result<Self> {
        let (server, facts) = material.build(config.min_version, clock)?;
        Ok(Self { server: Arc::new(server), facts, loaded_at: clock.now() })
    }
}
