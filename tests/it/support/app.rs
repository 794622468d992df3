//! The real server on free ports, with a development issuer, the shipped policies and the fixtures.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use deodar::api::client::Connection;
use deodar::api::dial::Trust;
use deodar::api::pb::manage as pb;
use deodar::app::{ADMINISTRATOR_KEY, App, Config, Running, read_key};
use deodar::model::{Clock, Secret, SystemClock};
use tempfile::TempDir;

use super::postgres::TestDatabase;

/// Which store a server runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    Sqlite,
    Postgres,
}

/// A running server and everything to talk to it. Call [`TestApp::stop`] at the end.
pub struct TestApp {
    pub running: Running,
    pub dir: TempDir,
    pub admin_key: Secret,
    /// A gateway that is granted everything.
    pub gateway_key: Secret,
    /// A gateway that may ask about API `orders` only, and assert nothing.
    pub limited_key: Secret,
    /// Dropped, and with it the database, when the server is gone.
    _database: Option<TestDatabase>,
}

impl TestApp {
    pub async fn start(backend: Backend) -> Self {
        Self::start_with(backend, "").await
    }

    /// With more lines of configuration: whole sections only.
    pub async fn start_with(backend: Backend, more: &str) -> Self {
        let database = match backend {
            Backend::Sqlite => None,
            Backend::Postgres => Some(TestDatabase::migrated().await),
        };
        Self::run(database, more, Arc::new(SystemClock::new())).await
    }

    /// On the embedded store, with a clock of the test's.
    pub async fn start_at(clock: Arc<dyn Clock>, more: &str) -> Self {
        Self::run(None, more, clock).await
    }

    async fn run(database: Option<TestDatabase>, more: &str, clock: Arc<dyn Clock>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let running = run(dir.path(), database.as_ref(), more, clock).await;
        let admin_key = read_key(&dir.path().join(ADMINISTRATOR_KEY)).unwrap();
        let management = connect(running.management(), &admin_key).await;
        let gateway_key = create_client(&management, all_granted()).await;
        let limited_key = create_client(&management, limited()).await;
        Self { running, dir, admin_key, gateway_key, limited_key, _database: database }
    }

    /// A connection to the decision listener.
    pub async fn decisions(&self, key: &Secret) -> Connection {
        connect(self.running.decisions(), key).await
    }

    /// A connection to the management listener, as administrator.
    pub async fn management(&self) -> Connection {
        connect(self.running.management(), &self.admin_key).await
    }

    pub async fn stop(self) {
        self.running.stop().await.unwrap();
    }
}

pub async fn connect(address: std::net::SocketAddr, key: &Secret) -> Connection {
    Connection::open(&format!("http://{address}"), Some(key), &Trust::default()).await.unwrap()
}

pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Where the API [`things`] is.
pub const THINGS_HOST: &str = "things.example.com";

/// Sections for the API `things` in a domain of its own: its policies permit everything, so what is refused there is refused
/// for the credential. `api` are more lines about it, `more` are more sections.
pub fn things(api: &str, more: &str) -> String {
    let root = repository();
    let root = root.display();
    format!(
        r#"
[policy.domains.things]
directories = ["{root}/tests/fixtures/dpop"]

[[inventory.apis]]
id = "things"
domain = "things"
openapi = "{root}/tests/fixtures/dpop/things.openapi.yaml"
hosts = ["{THINGS_HOST}"]
{api}
{more}
"#
    )
}

/// The configuration of a test server, as a file would hold it.
pub fn configuration(dir: &Path, database_url: Option<&str>, more: &str) -> Config {
    let root = repository();
    let root = root.display();
    let store = database_url.unwrap_or("sqlite:deodar.db");
    // An unoptimised server among many tests has to wait for its turn; unless that is what a test is about.
    let patience = if more.contains("[decide]") { "" } else { "[decide]\nmax_queue_delay = \"1m\"" };
    let text = format!(
        r#"
development = true
data_dir = "{data}"

[server]
decisions = "127.0.0.1:0"
management = "127.0.0.1:0"

[store]
url = "{store}"

[policy.domains.default]
directories = ["{root}/policies/zero-trust", "{root}/policies/demo", "{root}/tests/fixtures/policies"]

[policy.domains.shop]
directories = ["{root}/tests/fixtures/shop"]

[[inventory.apis]]
id = "orders"
openapi = "{root}/policies/demo/orders.openapi.yaml"
hosts = ["orders.example.com"]

[[inventory.apis]]
id = "accounts"
openapi = "{root}/policies/demo/accounts.openapi.yaml"
hosts = ["accounts.example.com"]

[[inventory.apis]]
id = "faults"
openapi = "{root}/tests/fixtures/faults.openapi.yaml"
hosts = ["faults.example.com"]

[[inventory.apis]]
id = "legacy"
openapi = "{root}/tests/fixtures/legacy.openapi.yaml"
hosts = ["legacy.example.com"]
mode = "observe"
observe_until = "2126-01-01T00:00:00Z"

{patience}
{more}
"#,
        data = dir.display(),
    );
    let file = dir.join("deodar.toml");
    fs::write(&file, text).unwrap();
    Config::load(Some(&file)).unwrap()
}

async fn run(dir: &Path, database: Option<&TestDatabase>, more: &str, clock: Arc<dyn Clock>) -> Running {
    let config = configuration(dir, database.map(|database| database.url.as_str()), more);
    App::build(config, clock).await.unwrap().start()
}

pub async fn create_client(management: &Connection, client: pb::Client) -> Secret {
    let request = pb::CreateClientRequest { client: Some(client), without_key: false };
    let created = management.clients().create_client(request).await.unwrap().into_inner();
    Secret::new(created.key)
}

fn all_granted() -> pb::Client {
    let assertions = [
        pb::Assertion::Principal,
        pb::Assertion::SourceAddress,
        pb::Assertion::Device,
        pb::Assertion::ClientCertificate,
    ];
    pb::Client {
        client_id: "test-gateway".into(),
        roles: vec![pb::Role::Gateway.into()],
        grants: Some(pb::Grants {
            all_apis: true,
            domains: vec!["default".into(), "shop".into()],
            assertions: assertions.into_iter().map(Into::into).collect(),
            explain: true,
            ..pb::Grants::default()
        }),
        ..pb::Client::default()
    }
}

fn limited() -> pb::Client {
    pb::Client {
        client_id: "limited-gateway".into(),
        roles: vec![pb::Role::Gateway.into()],
        grants: Some(pb::Grants {
            apis: vec!["orders".into()],
            domains: vec!["default".into()],
            ..pb::Grants::default()
        }),
        ..pb::Client::default()
    }
}
