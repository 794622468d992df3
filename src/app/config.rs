//! The configuration: a TOML file, then the environment, then flags. This file only nests what the rooms own.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::tls::TlsConfig;
use crate::{audit, decide, identity, inventory, policy, risk, store};

/// The whole configuration of a server.
///
/// Every value can also be set by an environment variable `DEODAR__SECTION__KEY`, for example
/// `DEODAR__SERVER__DECISIONS=127.0.0.1:9000`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the server keeps its files: the embedded database, the first administrator's key, the development
    /// issuer's key. Relative paths elsewhere in the configuration start at the configuration file.
    pub data_dir: PathBuf,
    /// Development mode: a token issuer `dev` whose key lies in the data directory, and migrations applied at
    /// start. Refused together with a listener beyond loopback.
    pub development: bool,
    /// Listeners.
    pub server: ServerConfig,
    /// Where state is kept.
    pub store: store::Config,
    /// Token issuers, and how their tokens are checked.
    pub identity: identity::Config,
    /// The APIs that are protected.
    pub inventory: inventory::Config,
    /// How signals become risk.
    pub risk: risk::Config,
    /// Where policies are.
    pub policy: policy::Config,
    /// Limits on decisions.
    pub decide: decide::Config,
    /// The record of every decision.
    pub audit: audit::Config,
    /// What is logged.
    pub log: LogConfig,
    /// The folder of the configuration file; relative paths start here.
    #[serde(skip)]
    pub base_dir: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: default_data_dir(),
            development: false,
            server: ServerConfig::default(),
            store: store::Config::default(),
            identity: identity::Config::default(),
            inventory: inventory::Config::default(),
            risk: risk::Config::default(),
            policy: policy::Config::default(),
            decide: decide::Config::default(),
            audit: audit::Config::default(),
            log: LogConfig::default(),
            base_dir: PathBuf::new(),
        }
    }
}

/// Where the server listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// The listener for decisions. Port 0 takes a free one.
    #[schemars(with = "String")]
    pub decisions: SocketAddr,
    /// The listener for management.
    #[schemars(with = "String")]
    pub management: SocketAddr,
    /// TLS on the listener for decisions. With a certificate and its key it speaks TLS and nothing else.
    pub decisions_tls: TlsConfig,
    /// TLS on the listener for management. With a certificate and its key it speaks TLS and nothing else.
    pub management_tls: TlsConfig,
    /// Threads that only decide; 0: one for each core that the process may use.
    pub decision_threads: usize,
    /// Listen beyond loopback without TLS, for listeners that have no certificate. Client keys and tokens then cross the network readable, so do this only
    /// where something else encrypts it, for example a service mesh.
    pub plaintext_beyond_loopback: bool,
    /// How long a stopping server waits for calls under way.
    #[serde(with = "crate::model::duration")]
    #[schemars(with = "String")]
    pub drain_timeout: Duration,
    /// Connections that each listener has at once; one beyond them is closed as soon as it is accepted.
    pub max_connections: NonZeroUsize,
    /// Calls under way at once on one connection; the peer has to wait with those beyond them.
    pub max_concurrent_streams: NonZeroU32,
    /// Single checks that a decision thread reads ahead: while so many wait for their turn, it reads no more.
    pub read_ahead: NonZeroUsize,
    /// Bytes of each connection that wait with the operating system until they are read, at most; Linux allows less if
    /// `net.core.rmem_max` says so. What does not fit waits with the peer, and there nobody sees how long: with too little
    /// an overload is noticed late.
    pub receive_buffer: NonZeroU32,
    /// How often the peer of a connection is asked whether it is still there; at least `1s`. One that does not answer
    /// within 20 seconds is let go.
    #[serde(with = "crate::model::duration")]
    #[schemars(with = "String")]
    pub keepalive: Duration,
    /// How often policy directories are read again even though nobody told of a change, as some file systems do not,
    /// and watched anew in case they were replaced; at least `100ms`. Files that are as they were change nothing.
    #[serde(with = "crate::model::duration")]
    #[schemars(with = "String")]
    pub policy_reread: Duration,
    /// How often certificate files are read again even though nobody told of a change, and looked at whether one expires
    /// soon; at least `100ms`. Files that are as they were change nothing.
    #[serde(with = "crate::model::duration")]
    #[schemars(with = "String")]
    pub certificate_reread: Duration,
}

/// A keepalive that is more frequent keeps peers busy and finds nothing more.
const LEAST_KEEPALIVE: Duration = Duration::from_secs(1);
const LEAST_REREAD: Duration = Duration::from_millis(100);

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            decisions: SocketAddr::from(([127, 0, 0, 1], 7350)),
            management: SocketAddr::from(([127, 0, 0, 1], 7351)),
            decisions_tls: TlsConfig::default(),
            management_tls: TlsConfig::default(),
            decision_threads: 0,
            plaintext_beyond_loopback: false,
            drain_timeout: Duration::from_secs(10),
            max_connections: NonZeroUsize::new(4_096).unwrap_or(NonZeroUsize::MIN),
            max_concurrent_streams: NonZeroU32::new(256).unwrap_or(NonZeroU32::MIN),
            read_ahead: NonZeroUsize::new(256).unwrap_or(NonZeroUsize::MIN),
            receive_buffer: NonZeroU32::new(1 << 20).unwrap_or(NonZeroU32::MIN),
            keepalive: Duration::from_secs(30),
            policy_reread: Duration::from_secs(30),
            certificate_reread: Duration::from_secs(30),
        }
    }
}

/// What is logged, to standard error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// Which events: a level (`error`, `warn`, `info`, `debug`, `trace`), or directives such as
    /// `info,deodar::store=debug`.
    pub filter: String,
    /// `text` or `json`.
    pub format: LogFormat,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { filter: "info".to_owned(), format: LogFormat::Text }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("there is no configuration file {}", .0.display())]
    NoFile(PathBuf),
    #[error("the configuration is wrong: {0}")]
    Invalid(Box<figment::Error>),
    #[error("{0}")]
    Unsafe(String),
    #[error("server.{knob} is less than {}", crate::model::duration::format(*.least))]
    TooShort { knob: &'static str, least: Duration },
    #[error("server.{listener}_tls: {why}")]
    Tls { listener: &'static str, why: String },
}

impl Config {
    /// Reads the file (if any), then the environment; what neither sets has its default. Checked as a whole.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        Self::load_with(file, None)
    }

    /// Like [`Config::load`], with a data directory that wins over the file and the environment.
    pub fn load_with(file: Option<&Path>, data_dir: Option<&Path>) -> Result<Self, ConfigError> {
        let mut figment = Figment::from(Serialized::defaults(Self::default()));
        if let Some(file) = file {
            if !file.is_file() {
                return Err(ConfigError::NoFile(file.to_owned()));
            }
            figment = figment.merge(Toml::file_exact(file));
        }
        let figment = figment.merge(Env::prefixed("DEODAR__").split("__"));
        let flags = data_dir.map(|folder| Serialized::default("data_dir", folder));
        let mut config: Self = flags
            .into_iter()
            .fold(figment, Figment::merge)
            .extract()
            .map_err(|error| ConfigError::Invalid(Box::new(error)))?;
        config.settle_paths(file.and_then(Path::parent).unwrap_or(Path::new("")));
        config.check()?;
        Ok(config)
    }

    /// Makes the paths that this room uses itself independent of the folder that the server is started in.
    pub fn settle_paths(&mut self, base: &Path) {
        self.base_dir = base.to_owned();
        self.data_dir = base.join(&self.data_dir);
        self.server.decisions_tls.settle_paths(base);
        self.server.management_tls.settle_paths(base);
        if let store::Location::Embedded(path) = &mut self.store.location {
            *path = self.data_dir.join(&path);
        }
    }

    /// What no single value shows.
    pub fn check(&self) -> Result<(), ConfigError> {
        for (name, address, tls) in self.server.listeners() {
            tls.check().map_err(|why| ConfigError::Tls { listener: name, why })?;
            if address.ip().is_loopback() {
                continue;
            }
            if self.development {
                let why =
                    format!("development mode listens on loopback only, but server.{name} is {address}");
                return Err(ConfigError::Unsafe(why));
            }
            if !tls.is_on() && !self.server.plaintext_beyond_loopback {
                let why = format!(
                    "server.{name} = {address} would send client keys and tokens over the network unencrypted; \
                     give the listener a certificate (server.{name}_tls), listen on 127.0.0.1, or set \
                     server.plaintext_beyond_loopback = true if something else encrypts"
                );
                return Err(ConfigError::Unsafe(why));
            }
        }
        self.server.check()
    }
}

impl ServerConfig {
    /// The listeners: name, address, TLS.
    fn listeners(&self) -> [(&'static str, SocketAddr, &TlsConfig); 2] {
        [
            ("decisions", self.decisions, &self.decisions_tls),
            ("management", self.management, &self.management_tls),
        ]
    }

    fn check(&self) -> Result<(), ConfigError> {
        for (knob, value, least) in [
            ("keepalive", self.keepalive, LEAST_KEEPALIVE),
            ("policy_reread", self.policy_reread, LEAST_REREAD),
            ("certificate_reread", self.certificate_reread, LEAST_REREAD),
        ] {
            if value < least {
                return Err(ConfigError::TooShort { knob, least });
            }
        }
        Ok(())
    }
}

/// The folder for a user's application data; the working directory where there is none.
pub fn default_data_dir() -> PathBuf {
    directories::ProjectDirs::from("", "", "deodar")
        .map_or_else(|| PathBuf::from("deodar-data"), |folders| folders.data_dir().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(toml: &str) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("deodar.toml");
        std::fs::write(&file, toml).unwrap();
        Config::load(Some(&file))
    }

    #[test]
    fn an_empty_file_gives_the_defaults() {
        let config = load("").unwrap();
        assert_eq!(config.server, ServerConfig::default());
        assert!(!config.development);
    }

    #[test]
    fn unknown_keys_are_named() {
        let error = load("[server]\ndecision = \"127.0.0.1:1\"").unwrap_err().to_string();
        assert!(error.contains("decision"), "{error}");
    }

    #[test]
    fn a_plaintext_listener_beyond_loopback_must_be_asked_for() {
        let open = "[server]\ndecisions = \"0.0.0.0:7350\"\n";
        let error = load(open).unwrap_err().to_string();
        assert!(error.contains("plaintext_beyond_loopback"), "{error}");
        assert!(load(&format!("{open}plaintext_beyond_loopback = true")).is_ok());
        let development = format!("development = true\n{open}plaintext_beyond_loopback = true");
        assert!(load(&development).is_err());
    }

    #[test]
    fn a_listener_with_tls_may_be_beyond_loopback_and_half_a_tls_is_refused() {
        let open =
            "[server]\ndecisions = \"0.0.0.0:7350\"\n[server.decisions_tls]\ncertificate = \"tls.crt\"\n";
        let config = load(&format!("{open}key = \"tls.key\"\nmin_version = \"TLSv1.3\"")).unwrap();
        assert!(config.server.decisions_tls.certificate.unwrap().is_absolute(), "relative to the file");
        let error = load(open).unwrap_err().to_string();
        assert!(error.contains("server.decisions_tls") && error.contains("key is not"), "{error}");
    }

    #[test]
    fn intervals_that_would_keep_the_server_busy_are_refused() {
        for knob in ["keepalive", "policy_reread", "certificate_reread"] {
            let error = load(&format!("[server]\n{knob} = \"1ms\"")).unwrap_err().to_string();
            assert!(error.contains(knob), "{error}");
        }
    }
}
