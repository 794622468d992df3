//! Services that ask for themselves: the certificate of their connection to Deodar is their credential, without a grant.

use deodar::api::client::Connection;
use deodar::api::dial::Trust;
use deodar::api::pb::{decision as pb, manage};
use futures::{StreamExt, stream};
use pb::client_certificate::Form;
use rcgen::KeyPair;
use serde_json::json;
use tempfile::TempDir;

use super::{PATH, ask, call, detail, reason};
use crate::support::app::{Backend, TestApp, create_client, things};
use crate::support::certificate::{Authority, alone, client, confirmation, pem, with};
use crate::support::pki::{Authority as Public, HERE, write};
use crate::support::proof::{bearer, token_with};

const ID: &str = "spiffe://prod.example.com/ns/shop/sa/web";
const WORKLOAD: &str = "Workload::prod/ns/shop/sa/web";

/// A server with TLS that believes the certificates of one trust domain, of clients and of workloads.
struct Mesh {
    app: TestApp,
    prod: Authority,
    public: Public,
    folder: TempDir,
}

/// A service with its certificate.
struct Service {
    der: Vec<u8>,
    connection: Connection,
}

impl Mesh {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (prod, public) = (Authority::root("prod"), Public::new(folder.path(), "public"));
        let bundle = folder.path().join("prod.pem");
        std::fs::write(&bundle, pem(&prod.der)).unwrap();
        let bundle = bundle.display();
        let wanted = format!("client_certificates = \"wanted\"\nclient_ca = \"{bundle}\"");
        let listener = public.server(folder.path(), "server", &HERE).section("decisions", &wanted);
        let domain = format!(
            "[[identity.trust_domains]]\nalias = \"prod\"\nname = \"prod.example.com\"\nbundle_file = \"{bundle}\"\ndomains = \"*\""
        );
        let app = TestApp::start_with(Backend::Sqlite, &things("", &format!("{listener}\n{domain}"))).await;
        Self { app, prod, public, folder }
    }

    fn trust(&self) -> Trust {
        Trust { ca_file: Some(self.public.file.clone()), ..Trust::default() }
    }

    /// The service `web`, known by its certificate, and granted nothing but to ask.
    async fn service(&self) -> Service {
        let web = manage::Client {
            client_id: "web".into(),
            roles: vec![manage::Role::Gateway.into()],
            grants: Some(manage::Grants { all_apis: true, explain: true, ..manage::Grants::default() }),
            certificates: vec![format!("uri:{ID}")],
            ..manage::Client::default()
        };
        let request = manage::CreateClientRequest { client: Some(web), without_key: true };
        self.app.management().await.create_client(request).await.unwrap();
        let (der, key) = self.prod.issue(&client(&[ID]));
        let connection = Connection::open(&self.url(), None, &self.shown(&der, &key)).await.unwrap();
        Service { der, connection }
    }

    fn shown(&self, der: &[u8], key: &KeyPair) -> Trust {
        let [certificate, private] = ["web.crt", "web.key"].map(|name| self.folder.path().join(name));
        write(&certificate, &pem(der));
        write(&private, &key.serialize_pem());
        Trust { certificate: Some(certificate), key: Some(private), ..self.trust() }
    }

    fn url(&self) -> String {
        self.app.running.decisions_url()
    }

    fn token(&self, der: &[u8]) -> String {
        token_with(self.app.dir.path(), json!({ "cnf": confirmation(der) }))
    }
}

fn own(credential: pb::Credential) -> pb::Credential {
    with(credential, Form::Own(pb::OwnCertificate {}))
}

fn about_itself() -> pb::CheckRequest {
    pb::CheckRequest {
        credentials: vec![own(pb::Credential::default())],
        question: Some(call(PATH)),
        explain: true,
        ..pb::CheckRequest::default()
    }
}

async fn by_batch(connection: &Connection) -> pb::Decision {
    let pb::CheckRequest { credentials, question, explain, .. } = about_itself();
    let questions = question.into_iter().collect();
    let request = pb::BatchCheckRequest { credentials, questions, explain, ..Default::default() };
    let answer = connection.decisions().batch_check(request).await.unwrap().into_inner();
    answer.decisions.into_iter().next().unwrap()
}

async fn by_stream(connection: &Connection) -> pb::Decision {
    let message = pb::StreamCheckRequest { request: Some(about_itself()), ..Default::default() };
    let sent = stream::once(async { message }).chain(stream::pending());
    let mut answers = connection.decisions().stream_check(sent).await.unwrap().into_inner();
    answers.next().await.unwrap().unwrap().decision.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_proves_itself_by_its_connection_through_every_rpc() {
    let mesh = Mesh::open().await;
    let web = mesh.service().await;
    for decision in [
        ask(&web.connection, own(pb::Credential::default()), call(PATH)).await,
        by_batch(&web.connection).await,
        by_stream(&web.connection).await,
    ] {
        assert_eq!(reason(&decision), "allowed", "{}", detail(&decision));
        assert_eq!(decision.principal, WORKLOAD);
        assert!(decision.reuse_for.is_none(), "an answer that rests on a certificate");
    }
    // Without saying so it is the client that asks, and nobody is asked about.
    let anonymous = pb::CheckRequest { credentials: Vec::new(), ..about_itself() };
    let answer = web.connection.decisions().check(anonymous).await.unwrap().into_inner();
    assert_eq!(answer.decision.unwrap().principal, "Anonymous::anonymous");
    mesh.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_bound_to_the_connections_certificate() {
    let mesh = Mesh::open().await;
    let web = mesh.service().await;
    let good = own(bearer(&mesh.token(&web.der), ""));
    let decision = ask(&web.connection, good, call("/bound")).await;
    assert_eq!(reason(&decision), "allowed", "{}", detail(&decision));
    let of_another = own(bearer(&mesh.token(&mesh.prod.sign(&client(&[ID]))), ""));
    let decision = ask(&web.connection, of_another, call("/bound")).await;
    assert_eq!(reason(&decision), "credential_binding_failed");
    let unsaid = bearer(&mesh.token(&web.der), "");
    let decision = ask(&web.connection, unsaid, call("/bound")).await;
    assert_eq!(reason(&decision), "credential_binding_failed", "a gateway's own binds nobody's token");
    mesh.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_passes_one_on_still_needs_the_grant_and_whoever_shows_none_has_none() {
    let mesh = Mesh::open().await;
    let web = mesh.service().await;
    let decision = ask(&web.connection, alone(&web.der, &[]), call(PATH)).await;
    assert_eq!(reason(&decision), "caller_not_permitted");

    let management = mesh.app.management().await;
    let keyed = manage::Client {
        client_id: "keyed".into(),
        roles: vec![manage::Role::Gateway.into()],
        grants: Some(manage::Grants { all_apis: true, explain: true, ..manage::Grants::default() }),
        ..manage::Client::default()
    };
    let key = create_client(&management, keyed).await;
    let bare = Connection::open(&mesh.url(), Some(&key), &mesh.trust()).await.unwrap();
    let decision = ask(&bare, own(pb::Credential::default()), call(PATH)).await;
    assert_eq!(reason(&decision), "credential_malformed");
    assert!(detail(&decision).contains("showed no certificate"), "{}", detail(&decision));
    mesh.app.stop().await;
}
