//! Listeners that speak TLS, with real connections: who gets in and who does not, what a renewal disturbs (nothing),
//! and what a peer that is slow disturbs (only itself).

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use deodar::api::client::Connection;
use deodar::api::dial::Trust;
use deodar::api::pb::{decision as pb, manage};
use deodar::app::{ADMINISTRATOR_KEY, App, Running, read_key};
use deodar::model::{Clock, ManualClock, Secret, SystemClock};
use rcgen::ExtendedKeyUsagePurpose;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use crate::python::{option_env_at_run_time, proto_json};
use crate::support::app::{configuration, create_client, repository};
use crate::support::pki::{Authority, HERE, Issued, trust, write};

const SOON: Duration = Duration::from_secs(30);

/// A server whose two listeners speak TLS with one certificate.
struct Secure {
    running: Running,
    authority: Authority,
    server: Issued,
    /// An administrator's.
    key: Secret,
    dir: TempDir,
}

impl Secure {
    /// `more` are lines for the TLS of both listeners.
    async fn start(more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::new(dir.path(), "root");
        let server = authority.server(dir.path(), "server", &HERE);
        Self::start_in(dir, authority, server, more).await
    }

    async fn start_in(dir: TempDir, authority: Authority, server: Issued, more: &str) -> Self {
        let sections = [server.section("decisions", more), server.section("management", more)].concat();
        Self::running(dir, authority, server, &sections, Arc::new(SystemClock::new())).await
    }

    async fn running(
        dir: TempDir,
        authority: Authority,
        server: Issued,
        sections: &str,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let app = App::build(configuration(dir.path(), None, sections), clock).await.unwrap();
        let running = app.start();
        let key = read_key(&dir.path().join(ADMINISTRATOR_KEY)).unwrap();
        Self { running, authority, server, key, dir }
    }

    /// Client certificates are as told; `root` vouches for them.
    async fn with_clients(certificates: &str) -> Self {
        Self::with_clients_at(certificates, Arc::new(SystemClock::new())).await
    }

    async fn with_clients_at(certificates: &str, clock: Arc<dyn Clock>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::new(dir.path(), "root");
        let server = authority.server(dir.path(), "server", &HERE);
        let more =
            format!("client_certificates = \"{certificates}\"\nclient_ca = \"{}\"", authority.file.display());
        let sections = ["decisions", "management"].map(|name| server.section(name, &more)).concat();
        Self::running(dir, authority, server, &sections, clock).await
    }

    fn urls(&self) -> [String; 2] {
        [self.running.decisions_url(), self.running.management_url()]
    }

    async fn management(&self, trust: &Trust) -> Connection {
        Connection::open(&self.running.management_url(), Some(&self.key), trust).await.unwrap()
    }

    async fn gateway(&self, trust: &Trust) -> Connection {
        let key = create_client(&self.management(trust).await, gateway("edge")).await;
        Connection::open(&self.running.decisions_url(), Some(&key), trust).await.unwrap()
    }

    async fn status(&self) -> manage::GetStatusResponse {
        let management = self.management(&trust(&self.authority)).await;
        management.get_status(manage::GetStatusRequest {}).await.unwrap()
    }

    async fn until(&self, what: &str, mut fits: impl AsyncFnMut(&Self) -> bool) {
        let wait = async {
            while !fits(self).await {
                tokio::task::yield_now().await;
            }
        };
        assert!(tokio::time::timeout(SOON, wait).await.is_ok(), "{what} did not come about");
    }

    async fn stop(self) {
        self.running.stop().await.unwrap();
    }
}

async fn build(dir: &Path, sections: &str) -> anyhow::Result<App> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    App::build(configuration(dir, None, sections), clock).await
}

fn gateway(id: &str) -> manage::Client {
    manage::Client {
        client_id: id.into(),
        roles: vec![manage::Role::Gateway.into()],
        grants: Some(manage::Grants { all_apis: true, ..manage::Grants::default() }),
        ..manage::Client::default()
    }
}

fn question() -> pb::CheckRequest {
    let call = pb::ApiCall {
        method: "GET".into(),
        host: "orders.example.com".into(),
        path: "/health".into(),
        ..pb::ApiCall::default()
    };
    pb::CheckRequest {
        question: Some(pb::Question { kind: Some(pb::question::Kind::Call(call)) }),
        ..pb::CheckRequest::default()
    }
}

/// Why a client that trusts so gets nowhere: at the connection, or at its first call.
async fn refusal(url: &str, trust: &Trust) -> String {
    match Connection::open(url, Some(&Secret::new("deodar_x_y")), trust).await {
        Err(error) => error.to_string(),
        Ok(connection) => {
            // With TLS 1.3 the client is through before the listener has looked at its certificate.
            let answer = connection.get_status(manage::GetStatusRequest {}).await;
            let error = answer.expect_err("the connection should have been refused");
            assert_ne!(error.code, "unauthenticated", "it was let in");
            error.message
        }
    }
}

/// Whether a client gets as far as being asked for its key.
async fn gets_in(url: &str, trust: &Trust) -> bool {
    let connection = Connection::open(url, Some(&Secret::new("deodar_x_y")), trust).await.unwrap();
    let answer = connection.get_status(manage::GetStatusRequest {}).await;
    answer.unwrap_err().code == "unauthenticated"
}

#[tokio::test(flavor = "multi_thread")]
async fn both_listeners_serve_over_tls() {
    let secure = Secure::start("").await;
    let trust = trust(&secure.authority);
    let answer = secure.gateway(&trust).await.check(question(), SOON).await.unwrap();
    assert_eq!(answer.decision.unwrap().effect, i32::from(pb::Effect::Allow));
    let listeners = secure.status().await.listeners;
    let names: Vec<&str> = listeners.iter().map(|listener| listener.name.as_str()).collect();
    assert_eq!(names, ["decisions", "management"]);
    for listener in listeners {
        let tls = listener.tls.unwrap();
        assert_eq!((tls.names, tls.client_certificates.as_str()), (HERE.map(str::to_owned).to_vec(), "none"));
    }
    secure.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_believes_only_its_authority_and_the_name_it_asked_for() {
    let secure = Secure::start("").await;
    let other = Authority::new(secure.dir.path(), "other");
    for url in secure.urls() {
        assert!(refusal(&url, &trust(&other)).await.contains("--ca-file"));
        assert!(refusal(&url, &Trust::default()).await.contains("--ca-file"), "the system does not know it");
    }
    secure.stop().await;

    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(dir.path(), "root");
    let server = authority.server(dir.path(), "server", &["elsewhere.example.com"]);
    let secure = Secure::start_in(dir, authority, server, "").await;
    for url in secure.urls() {
        let told = refusal(&url, &trust(&secure.authority)).await;
        assert!(told.contains("not valid for name"), "{told}");
    }
    secure.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_client_certificate_is_required_only_a_good_one_gets_in() {
    let secure = Secure::with_clients("required").await;
    let (dir, authority) = (secure.dir.path(), &secure.authority);
    let good = authority.client(dir, "good", &["edge.example.com"]).trusting(authority);
    let stranger = Authority::new(dir, "other").client(dir, "stranger", &["edge.example.com"]);
    let expired = authority.expired(dir, "expired", ExtendedKeyUsagePurpose::ClientAuth);
    let server = authority.server(dir, "no-client", &["edge.example.com"]);
    for url in secure.urls() {
        assert!(gets_in(&url, &good).await);
        let told = refusal(&url, &trust(authority)).await;
        assert!(told.contains("--tls-cert"), "{told}");
        for (issued, alert) in [(&stranger, "UnknownCA"), (&expired, "CertificateExpired"), (&server, "")] {
            let told = refusal(&url, &issued.trusting(authority)).await;
            assert!(told.contains("refuses this client's TLS") && told.contains(alert), "{told}");
        }
    }
    secure.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_one_is_wanted_nobody_needs_one_but_a_bad_one_is_refused() {
    let secure = Secure::with_clients("wanted").await;
    let (dir, authority) = (secure.dir.path(), &secure.authority);
    let good = authority.client(dir, "good", &["edge.example.com"]);
    let stranger = Authority::new(dir, "other").client(dir, "stranger", &["edge.example.com"]);
    for url in secure.urls() {
        assert!(gets_in(&url, &trust(authority)).await);
        assert!(gets_in(&url, &good.trusting(authority)).await);
        let told = refusal(&url, &stranger.trusting(authority)).await;
        assert!(told.contains("UnknownCA"), "{told}");
    }
    secure.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_versions_of_tls_are_refused() {
    let secure = Secure::start("min_version = \"TLSv1.3\"").await;
    let lenient = Secure::start("").await;
    for listener in [lenient.running.decisions(), lenient.running.management()] {
        assert_eq!(hello_of_tls_1_1(listener).await, PROTOCOL_VERSION);
        let versions: &[_] = &[&rustls::version::TLS12];
        assert!(shake_hands(listener, &lenient.authority, versions).await.is_ok());
    }
    for listener in [secure.running.decisions(), secure.running.management()] {
        assert!(shake_hands(listener, &secure.authority, &[&rustls::version::TLS12]).await.is_err());
        assert!(shake_hands(listener, &secure.authority, &[&rustls::version::TLS13]).await.is_ok());
    }
    secure.stop().await;
    lenient.stop().await;
}

/// The description of the alert that answers a version that is not spoken (RFC 5246, section 7.2).
const PROTOCOL_VERSION: u8 = 70;

/// Says hello as a client that knows TLS 1.1 and nothing later; returns the description of the alert.
async fn hello_of_tls_1_1(listener: SocketAddr) -> u8 {
    // Version, random, session, suites, compression, and the one extension that a server looks for.
    let extensions = [0, 8, 0, 13, 0, 4, 0, 2, 4, 3];
    let body = [&[3, 2][..], &[7; 32], &[0], &[0, 2, 0xc0, 0x13], &[1, 0], &extensions].concat();
    let length = u8::try_from(body.len()).unwrap();
    let record = [&[22, 3, 1, 0, length + 4, 1, 0, 0, length][..], &body].concat();
    let mut socket = TcpStream::connect(listener).await.unwrap();
    socket.write_all(&record).await.unwrap();
    let mut alert = [0; 7];
    tokio::time::timeout(SOON, socket.read_exact(&mut alert)).await.unwrap().unwrap();
    assert_eq!(alert[0], 21, "an alert");
    alert[6]
}

/// Shakes hands, and returns the listener's certificate.
async fn shake_hands(
    listener: SocketAddr,
    authority: &Authority,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> std::io::Result<CertificateDer<'static>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&authority.file).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let socket = TcpStream::connect(listener).await?;
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, socket).await?;
    let (_, session) = stream.get_ref();
    assert_eq!(session.alpn_protocol(), Some(&b"h2"[..]));
    Ok(session.peer_certificates().unwrap()[0].clone().into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn plaintext_to_tls_and_tls_to_plaintext_are_told() {
    let secure = Secure::start("").await;
    for url in secure.urls() {
        let told = refusal(&url.replace("https:", "http:"), &Trust::default()).await;
        assert!(told.contains("speaks TLS; write https://"), "{told}");
    }
    let dir = tempfile::tempdir().unwrap();
    let plain = build(dir.path(), "").await.unwrap().start();
    for url in [plain.decisions_url(), plain.management_url()] {
        let told = refusal(&url.replace("http:", "https:"), &trust(&secure.authority)).await;
        assert!(told.contains("does not speak TLS; write http://"), "{told}");
    }
    plain.stop().await.unwrap();
    secure.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_that_say_nothing_in_their_handshake_hold_up_nobody() {
    let secure = Secure::start("handshake_timeout = \"1h\"").await;
    let mut silent = Vec::new();
    for listener in [secure.running.decisions(), secure.running.management()] {
        for _ in 0..50 {
            silent.push(TcpStream::connect(listener).await.unwrap());
        }
    }
    let trust = trust(&secure.authority);
    let answer =
        tokio::time::timeout(SOON, async { secure.gateway(&trust).await.check(question(), SOON).await });
    answer.await.expect("the others are held up").unwrap();
    secure.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_beyond_the_bound_get_their_turn_when_those_before_are_out_of_time() {
    let secure = Secure::start("handshake_timeout = \"500ms\"\nmax_handshakes = 1").await;
    for listener in [secure.running.decisions(), secure.running.management()] {
        let mut silent = TcpStream::connect(listener).await.unwrap();
        let read = tokio::time::timeout(SOON, silent.read(&mut [0])).await.expect("it is let go");
        assert!(matches!(read, Ok(0) | Err(_)));
        shake_hands(listener, &secure.authority, &[&rustls::version::TLS13]).await.unwrap();
    }
    secure.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_under_load_fails_no_call() {
    let secure = Secure::start("").await;
    let trust = trust(&secure.authority);
    let old = secure.gateway(&trust).await;
    let management = secure.management(&trust).await;
    let (done, calls) = (CancellationToken::new(), Arc::new(AtomicU64::new(0)));
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (old, done, calls) = (old.clone(), done.clone(), Arc::clone(&calls));
            tokio::spawn(async move {
                while !done.is_cancelled() {
                    old.check(question(), SOON).await.unwrap();
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for _ in 0..3 {
        let renewed = secure.authority.server(secure.dir.path(), "server", &HERE);
        for listener in [secure.running.decisions(), secure.running.management()] {
            secure
                .until("the renewal", async |secure| {
                    // Every new connection comes about, with the old certificate or with the new one.
                    let seen = shake_hands(listener, &secure.authority, &[&rustls::version::TLS13]).await;
                    seen.unwrap().as_ref() == renewed.der
                })
                .await;
        }
    }
    let before = calls.load(Ordering::Relaxed);
    secure.until("calls on the old connection", async |_| calls.load(Ordering::Relaxed) > before + 20).await;
    done.cancel();
    for caller in load {
        caller.await.unwrap();
    }
    management.get_status(manage::GetStatusRequest {}).await.unwrap();
    secure.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_renewal_leaves_the_old_certificate_in_use_and_the_status_says_so() {
    let secure = Secure::start("").await;
    let seen = async |secure: &Secure| {
        let listener = secure.running.decisions();
        shake_hands(listener, &secure.authority, &[&rustls::version::TLS13]).await.unwrap().to_vec()
    };
    write(&secure.server.certificate, "nonsense");
    secure.until("the problem", async |secure| !secure.status().await.problems.is_empty()).await;
    let problems = secure.status().await.problems.join("\n");
    assert!(problems.contains("serving the old certificate"), "{problems}");
    assert!(problems.contains("server.crt"), "{problems}");
    assert_eq!(seen(&secure).await, secure.server.der);

    let expired = secure.authority.expired(secure.dir.path(), "server", ExtendedKeyUsagePurpose::ServerAuth);
    secure
        .until("the other problem", async |secure| {
            secure.status().await.problems.iter().any(|problem| problem.contains("expired at 2021-01-01"))
        })
        .await;
    assert_ne!(seen(&secure).await, expired.der);

    let good = secure.authority.server(secure.dir.path(), "server", &HERE);
    secure.until("the repair", async |secure| secure.status().await.problems.is_empty()).await;
    assert_eq!(seen(&secure).await, good.der);
    secure.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sighup_reads_what_no_watch_can_see() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(dir.path(), "root");
    let folders = ["first", "second"].map(|name| dir.path().join(name));
    let issued = folders.clone().map(|folder| {
        fs::create_dir(&folder).unwrap();
        authority.server(&folder, "server", &HERE)
    });
    // The watch is over the folder that the link leads to now.
    let link = dir.path().join("live");
    std::os::unix::fs::symlink(&folders[0], &link).unwrap();
    let server = Issued {
        certificate: link.join("server.crt"),
        key: link.join("server.key"),
        der: issued[0].der.clone(),
    };
    let secure = Secure::start_in(dir, authority, server, "").await;
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&folders[1], &link).unwrap();
    // A signal may come before the server listens for it; then it must not end this process.
    let _listening = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).unwrap();
    let listener = secure.running.decisions();
    // The next reading by itself is half a minute away; this must be quicker.
    let soon = secure.until("the renewal", async |secure| {
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::HUP).unwrap();
        let seen = shake_hands(listener, &secure.authority, &[&rustls::version::TLS13]).await;
        seen.unwrap().as_ref() == issued[1].der
    });
    tokio::time::timeout(Duration::from_secs(20), soon).await.unwrap();
    secure.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_cannot_be_used_are_told_before_anything_is_bound() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(dir.path(), "root");
    let good = authority.server(dir.path(), "good", &HERE);
    let other = authority.server(dir.path(), "other", &HERE);
    let expired = authority.expired(dir.path(), "expired", ExtendedKeyUsagePurpose::ServerAuth);
    let told = async |issued: &Issued, more: &str| {
        let built = build(dir.path(), &issued.section("management", more)).await;
        format!("{:#}", built.err().expect("it should not come up"))
    };
    let mixed = Issued { key: other.key.clone(), ..good.clone() };
    let said = told(&mixed, "").await;
    assert!(said.contains("management") && said.contains("do not go together"), "{said}");
    let said = told(&expired, "").await;
    assert!(said.contains("expired.crt") && said.contains("expired at 2021-01-01"), "{said}");
    let missing = Issued { certificate: dir.path().join("missing.crt"), ..good.clone() };
    assert!(told(&missing, "").await.contains("missing.crt"));
    fs::set_permissions(&other.key, fs::Permissions::from_mode(0o644)).unwrap();
    let said = told(&other, "").await;
    assert!(said.contains("other.key") && said.contains("chmod 600"), "{said}");
    let empty = dir.path().join("empty.pem");
    fs::write(&empty, "").unwrap();
    let more = format!("client_certificates = \"required\"\nclient_ca = \"{}\"", empty.display());
    assert!(told(&good, &more).await.contains("there is no certificate in"));
}

/// A gateway without a key that is known by this.
async fn known_by(management: &Connection, id: &str, name: &str) {
    let client = manage::Client { certificates: vec![name.into()], ..gateway(id) };
    let request = manage::CreateClientRequest { client: Some(client), without_key: true };
    let created = management.create_client(request).await.unwrap();
    let client = created.client.unwrap();
    assert_eq!(
        (created.key.as_str(), client.has_key, client.certificates),
        ("", false, vec![name.to_owned()])
    );
}

async fn asks(connection: &Connection) -> Result<(), String> {
    connection.check(question(), SOON).await.map(|_| ()).map_err(|error| error.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_known_by_its_certificate_alone_until_it_is_renamed_or_revoked() {
    let secure = Secure::with_clients("wanted").await;
    let (dir, authority) = (secure.dir.path(), &secure.authority);
    let management = secure.management(&trust(authority)).await;
    let url = secure.running.decisions_url();
    let spiffe = authority.client(dir, "spiffe", &["spiffe://example.org/mesh"]);
    let named = authority.client(dir, "named", &["edge.example.com"]);
    let bare = authority.client(dir, "bare", &["bare.example.com"]);
    let digest = format!("sha256:{}", hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&bare.der)));
    let open =
        async |issued: &Issued| Connection::open(&url, None, &issued.trusting(authority)).await.unwrap();
    let connections = [open(&spiffe).await, open(&named).await, open(&bare).await];
    for connection in &connections {
        let refused = asks(connection).await.unwrap_err();
        assert!(refused.contains("no client is known by the certificate"), "{refused}");
    }
    known_by(&management, "mesh", "uri:spiffe://example.org/mesh").await;
    known_by(&management, "edge", "dns:edge.example.com").await;
    known_by(&management, "bare", &digest).await;
    // The connections are those that were refused before.
    for connection in &connections {
        asks(connection).await.unwrap();
        asks(connection).await.unwrap();
    }

    let [mesh, edge, bare] = connections;
    let rename = manage::SetClientCertificatesRequest {
        client_id: "mesh".into(),
        certificates: vec!["uri:spiffe://example.org/other".into()],
    };
    management.set_client_certificates(rename).await.unwrap();
    assert!(asks(&mesh).await.unwrap_err().contains("no client is known"));
    management.revoke_client(manage::RevokeClientRequest { client_id: "edge".into() }).await.unwrap();
    assert!(asks(&edge).await.unwrap_err().contains("no client is known"));
    asks(&bare).await.unwrap();
    let nothing = manage::SetClientCertificatesRequest { client_id: "bare".into(), certificates: Vec::new() };
    let refused = management.set_client_certificates(nothing).await.unwrap_err();
    assert!(refused.message.contains("a client without a key needs a certificate"), "{refused}");
    secure.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_and_a_certificate_of_two_clients_are_refused() {
    let secure = Secure::with_clients("wanted").await;
    let (dir, authority) = (secure.dir.path(), &secure.authority);
    let management = secure.management(&trust(authority)).await;
    let url = secure.running.decisions_url();
    let certificate = authority.client(dir, "edge", &["edge.example.com"]).trusting(authority);
    let stranger = authority.client(dir, "stranger", &["stranger.example.com"]).trusting(authority);
    let edge = manage::Client { certificates: vec!["dns:edge.example.com".into()], ..gateway("edge") };
    let own = create_client(&management, edge).await;
    let other = create_client(&management, gateway("other")).await;
    let with = async |key: &Secret, trust: &Trust| {
        asks(&Connection::open(&url, Some(key), trust).await.unwrap()).await
    };
    with(&own, &certificate).await.unwrap();
    with(&other, &stranger).await.unwrap();
    with(&own, &trust(authority)).await.unwrap();
    let refused = with(&other, &certificate).await.unwrap_err();
    assert!(refused.contains("not those of one client"), "{refused}");
    let nonsense = with(&Secret::new("nonsense"), &certificate).await.unwrap_err();
    assert!(nonsense.contains("a client key is needed"), "{nonsense}");
    secure.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_is_known_by_a_certificate_and_its_roles_hold() {
    let secure = Secure::with_clients("required").await;
    let (dir, authority) = (secure.dir.path(), &secure.authority);
    let [ops, edge] = ["ops", "edge"]
        .map(|name| authority.client(dir, name, &[&format!("{name}.example.com")]).trusting(authority));
    let first = authority.client(dir, "first", &["first.example.com"]).trusting(authority);
    let management = secure.management(&first).await;
    let client = manage::Client {
        client_id: "ops".into(),
        roles: vec![manage::Role::Administrator.into()],
        certificates: vec!["dns:ops.example.com".into()],
        ..manage::Client::default()
    };
    let request = manage::CreateClientRequest { client: Some(client), without_key: true };
    management.create_client(request).await.unwrap();
    known_by(&management, "edge", "dns:edge.example.com").await;
    let url = secure.running.management_url();
    let by = async |trust: &Trust| {
        let connection = Connection::open(&url, None, trust).await.unwrap();
        connection.get_status(manage::GetStatusRequest {}).await.map_err(|error| error.code)
    };
    by(&ops).await.unwrap();
    assert_eq!(by(&edge).await.unwrap_err(), "permission_denied");
    secure.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_when_its_client_is_known_by_another_certificate() {
    let secure = Secure::with_clients("wanted").await;
    let (dir, authority) = (secure.dir.path(), &secure.authority);
    let management = secure.management(&trust(authority)).await;
    known_by(&management, "edge", "dns:edge.example.com").await;
    let edge = authority.client(dir, "edge", &["edge.example.com"]).trusting(authority);
    let connection = Connection::open(&secure.running.decisions_url(), None, &edge).await.unwrap();
    let mut stream = Asking::open(&connection).await;
    stream.ask().await.unwrap();
    let rename = manage::SetClientCertificatesRequest {
        client_id: "edge".into(),
        certificates: vec!["dns:other.example.com".into()],
    };
    management.set_client_certificates(rename).await.unwrap();
    let end = tokio::time::timeout(SOON, stream.answers.message()).await.expect("the stream ends");
    assert_eq!(end.unwrap_err().code(), tonic::Code::Unauthenticated);
    secure.stop().await;
}

/// One that is known by its key meanwhile, or by a certificate that lasts, goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_when_the_certificate_expires_that_its_client_is_known_by() {
    let clock = Arc::new(ManualClock::at(SystemClock::new().now()));
    let secure = Secure::with_clients_at("wanted", clock.clone()).await;
    let (dir, authority) = (secure.dir.path(), &secure.authority);
    let management = secure.management(&trust(authority)).await;
    let url = secure.running.decisions_url();
    let end = clock.now().seconds() + 1;
    let mut streams = Vec::new();
    for (id, end) in [("short", end), ("long", end + 3_600)] {
        let name = format!("{id}.example.com");
        known_by(&management, id, &format!("dns:{name}")).await;
        let issued = authority.client_until(dir, id, &[&name], end);
        let connection = Connection::open(&url, None, &issued.trusting(authority)).await.unwrap();
        streams.push(Asking::open(&connection).await);
    }
    let key = create_client(&management, gateway("key")).await;
    let keyed = authority.client_until(dir, "key", &["key.example.com"], end).trusting(authority);
    streams.push(Asking::open(&Connection::open(&url, Some(&key), &keyed).await.unwrap()).await);
    for stream in &mut streams {
        stream.ask().await.unwrap();
    }
    clock.advance(Duration::from_secs(2));
    let [short, long, keyed] = streams.as_mut_slice() else { panic!("three streams") };
    let ended = tokio::time::timeout(SOON, short.answers.message()).await.expect("the stream ends");
    assert_eq!(ended.unwrap_err().code(), tonic::Code::Unauthenticated);
    long.ask().await.unwrap();
    keyed.ask().await.unwrap();
    drop(streams);
    secure.stop().await;
}

/// A stream of questions that is open.
struct Asking {
    questions: tokio::sync::mpsc::Sender<pb::StreamCheckRequest>,
    answers: tonic::Streaming<pb::StreamCheckResponse>,
}

impl Asking {
    async fn open(connection: &Connection) -> Self {
        let (questions, asked) = tokio::sync::mpsc::channel(1);
        let stream = tokio_stream::wrappers::ReceiverStream::new(asked);
        let answers = connection.decisions().stream_check(stream).await.unwrap().into_inner();
        Self { questions, answers }
    }

    async fn ask(&mut self) -> Result<pb::StreamCheckResponse, tonic::Status> {
        let asking = pb::StreamCheckRequest { id: "1".into(), timeout: None, request: Some(question()) };
        self.questions.send(asking).await.unwrap();
        let answer = tokio::time::timeout(SOON, self.answers.message()).await.expect("an answer");
        answer.map(|answer| answer.expect("the stream is open"))
    }
}

/// Runs the command line with these words and variables; what it said to both outputs.
async fn deodar(secure: &Secure, variables: &[(&str, &Path)], words: &[&str]) -> (bool, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_deodar"));
    command.args(words).env_clear().envs(variables.iter().copied()).env("DEODAR_DATA_DIR", secure.dir.path());
    let [decisions, management] = secure.urls();
    command.env("DEODAR_SERVER", decisions).env("DEODAR_MANAGEMENT", management);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.success(), text)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_speaks_tls_and_needs_no_key_where_its_certificate_is_known() {
    let secure = Secure::with_clients("wanted").await;
    let (dir, authority) = (secure.dir.path(), &secure.authority);
    let ca = ("DEODAR_CA_FILE", authority.file.as_path());
    let (fine, said) = deodar(&secure, &[], &["status"]).await;
    assert!(!fine && said.contains("--ca-file"), "{said}");
    let (fine, said) = deodar(&secure, &[ca], &["status"]).await;
    assert!(fine && said.contains("client certificates: wanted"), "{said}");

    let edge = authority.client(dir, "edge", &["edge.example.com"]);
    let shown = [ca, ("DEODAR_TLS_CERT", edge.certificate.as_path()), ("DEODAR_TLS_KEY", edge.key.as_path())];
    let (fine, said) = deodar(&secure, &shown, &["status"]).await;
    assert!(!fine && said.contains("no client is known by the certificate"), "{said}");
    let create = ["client", "create", "edge", "--role", "gateway", "--all-apis", "--no-key"];
    let named = [&create[..], &["--certificate", "dns:edge.example.com"]].concat();
    let (fine, said) = deodar(&secure, &[ca], &named).await;
    assert!(fine && !said.contains("deodar_edge_"), "{said}");
    let check = ["check", "GET", "https://orders.example.com/health"];
    let (fine, said) = deodar(&secure, &shown, &check).await;
    assert!(fine, "{said}");
    let itself = [&check[..], &["--own-certificate"]].concat();
    let (_, said) = deodar(&secure, &shown, &itself).await;
    assert!(said.contains("credential_wrong_issuer"), "no trust domain is configured: {said}");
    let (_, said) = deodar(&secure, &[ca], &itself).await;
    assert!(said.contains("give --tls-cert"), "{said}");
    let bench = ["bench", "--anonymous", "--connections", "1", "--warmup", "10ms", "--duration", "200ms"];
    let (fine, said) = deodar(&secure, &shown, &bench).await;
    assert!(fine, "{said}");
    let (fine, said) = deodar(&secure, &[ca], &["client", "set-certificates", "edge", "--none"]).await;
    assert!(!fine && said.contains("needs a certificate"), "{said}");
    secure.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_client_asks_over_mutual_tls() {
    let secure = Secure::with_clients("required").await;
    let (dir, authority) = (secure.dir.path().to_owned(), &secure.authority);
    let client = authority.client(&dir, "python", &["python.example.com"]);
    let trust = client.trusting(authority);
    let key = create_client(&secure.management(&trust).await, gateway("python")).await;
    let file = dir.join("cases.json");
    let expect = serde_json::json!({ "effect": "allow", "reason": "allowed" });
    let case =
        serde_json::json!([{ "name": "health", "request": proto_json(&question()), "expect": expect }]);
    fs::write(&file, case.to_string()).unwrap();
    let mut python = std::process::Command::new(option_env_at_run_time("DEODAR_TEST_PYTHON"));
    python
        .arg(repository().join("tests/python/client.py"))
        .env("DEODAR_KEY", key.expose())
        .args([format!("localhost:{}", secure.running.decisions().port()), file.display().to_string()])
        .arg("--ca-file")
        .arg(&authority.file)
        .arg("--tls-cert")
        .arg(&client.certificate)
        .arg("--tls-key")
        .arg(&client.key);
    let output = tokio::task::spawn_blocking(move || python.output()).await.unwrap().unwrap();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{complained}", String::from_utf8_lossy(&output.stdout));
    secure.stop().await;
}
