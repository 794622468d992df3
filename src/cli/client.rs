//! `client create|get|list|set-certificates|revoke`: who may call this server, and what each is granted.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::exit::Exit;
use super::paging::Paging;
use super::{Global, connect, key, output, words};
use crate::api::pb::manage as pb;
use crate::api::plain;
use crate::model::{ApiId, Assertion, CertificateName, ClientId, DomainId, Role};

/// Create, show, list, rename and revoke clients: the callers of this server's own APIs.
#[derive(Debug, Args)]
pub struct Client {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Create(Create),
    Get(Get),
    List(List),
    SetCertificates(SetCertificates),
    Revoke(Revoke),
}

impl Client {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        match self.command {
            Command::Create(create) => create.run(global).await,
            Command::Get(get) => get.run(global).await,
            Command::List(list) => list.run(global).await,
            Command::SetCertificates(set) => set.run(global).await,
            Command::Revoke(revoke) => revoke.run(global).await,
        }
    }
}

const CREATE_HELP: &str = "\
Examples:
  deodar client create my-gateway --role gateway --all-apis --assert source-address
  deodar client create edge --role gateway --api orders --explain --key-out edge.key
  deodar client create waf --role sensor
  deodar client create mesh --role gateway --all-apis --certificate uri:spiffe://example.org/mesh --no-key

The key is shown once and kept nowhere: the server stores only its hash. A certificate counts on listeners with TLS whose
client_ca vouches for it.";

/// Makes a client and its key.
#[derive(Debug, Args)]
#[command(after_help = CREATE_HELP)]
struct Create {
    /// Its id: lower-case letters, digits and hyphens; never used twice.
    client_id: ClientId,
    /// For people.
    #[arg(long, value_name = "NAME", default_value = "")]
    display_name: String,
    /// What it is for: gateway, sensor, analyst, auditor, author or administrator; may be repeated.
    #[arg(long = "role", value_name = "ROLE", required = true)]
    roles: Vec<Role>,
    /// It may ask about every API.
    #[arg(long, conflicts_with = "apis")]
    all_apis: bool,
    /// It may ask about this API; may be repeated.
    #[arg(long = "api", id = "apis", value_name = "API")]
    apis: Vec<ApiId>,
    /// Its Cedar questions may name this domain; may be repeated.
    #[arg(long = "domain", value_name = "DOMAIN")]
    domains: Vec<DomainId>,
    /// What it may state without proof: principal, source-address or device; may be repeated.
    #[arg(long = "assert", value_name = "WHAT")]
    assertions: Vec<Assertion>,
    /// It may see explanations.
    #[arg(long)]
    explain: bool,
    /// The longest time that it may reuse an answer [default: 0s].
    #[arg(long, value_name = "TIME", value_parser = words::parse_span)]
    max_reuse: Option<Duration>,
    /// It is known by a certificate with this name, whole: uri:.., dns:.. or sha256:..; may be repeated.
    #[arg(long = "certificate", value_name = "NAME")]
    certificates: Vec<CertificateName>,
    /// Make no key: it is known by its certificates alone.
    #[arg(long, requires = "certificates", conflicts_with = "key_out")]
    no_key: bool,
    /// Write the key to this new file, readable by its owner only, instead of showing it.
    #[arg(long, value_name = "FILE")]
    key_out: Option<PathBuf>,
}

impl Create {
    async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let key_out = self.key_out.clone();
        // The key exists in the answer only, so what would keep it from being written must show before.
        if let Some(file) = key_out.as_ref().filter(|file| file.exists()) {
            anyhow::bail!("{} is there already; a key never replaces a file", file.display());
        }
        let without_key = self.no_key;
        let request = pb::CreateClientRequest { client: Some(self.client()), without_key };
        let answer = connect::management(global).await?.create_client(request).await?;
        let client = answer.client.context("the server answered without the client")?;
        let mut created = Created { client: client.into(), key: answer.key, revision: answer.revision };
        if let Some(file) = key_out {
            key::write(&file, &created.key).with_context(|| {
                format!("the client was made; revoke it: deodar client revoke {}", created.client.client_id)
            })?;
            created.key = String::new();
        }
        global.printer().result(&created, Created::human)?;
        if !created.key.is_empty() {
            output::note("Keep the key: it cannot be shown again.");
        }
        Ok(Exit::Success)
    }

    fn client(self) -> pb::Client {
        let grants = pb::Grants {
            all_apis: self.all_apis,
            apis: self.apis.into_iter().map(String::from).collect(),
            domains: self.domains.into_iter().map(String::from).collect(),
            assertions: self.assertions.into_iter().map(plain::from_assertion).collect(),
            explain: self.explain,
            max_reuse: self.max_reuse.map(plain::from_span),
        };
        pb::Client {
            client_id: self.client_id.to_string(),
            display_name: self.display_name,
            roles: self.roles.into_iter().map(plain::from_role).collect(),
            grants: Some(grants),
            certificates: self.certificates.into_iter().map(String::from).collect(),
            ..pb::Client::default()
        }
    }
}

const GET_HELP: &str = "\
Example:
  deodar client get my-gateway";

/// Shows one client.
#[derive(Debug, Args)]
#[command(after_help = GET_HELP)]
struct Get {
    /// Its id.
    client_id: ClientId,
}

impl Get {
    async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let request = pb::GetClientRequest { client_id: self.client_id.to_string() };
        let answer = connect::management(global).await?.get_client(request).await?;
        let client = answer.client.context("the server answered without the client")?;
        global.printer().result(&ClientView::from(client), ClientView::human)?;
        Ok(Exit::Success)
    }
}

const LIST_HELP: &str = "\
Examples:
  deodar client list
  deodar client list --all --output json";

/// Lists clients by id, revoked ones included.
#[derive(Debug, Args)]
#[command(after_help = LIST_HELP)]
struct List {
    #[command(flatten)]
    paging: Paging,
}

impl List {
    async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let server = connect::management(global).await?;
        let listed = self.paging.fetch(async |page_size, page_token| {
            let answer = server.list_clients(pb::ListClientsRequest { page_size, page_token }).await?;
            Ok((answer.clients, answer.next_page_token))
        });
        let listed = listed.await?.map(ClientView::from);
        global.printer().result(&listed, |listed| {
            listed.table(["client", "roles", "apis", "asserts", "known by", "created", "revoked"], |client| {
                [
                    client.client_id.clone(),
                    words::commas(&client.roles),
                    client.grants.apis_in_words(),
                    words::commas(&client.grants.assertions),
                    client.known_by(),
                    words::short_moment(&client.create_time),
                    words::short_moment(&client.revoke_time),
                ]
            })
        })?;
        Ok(Exit::Success)
    }
}

const SET_CERTIFICATES_HELP: &str = "\
Examples:
  deodar client set-certificates mesh --certificate uri:spiffe://example.org/mesh --certificate dns:mesh.example.com
  deodar client set-certificates mesh --none";

/// Says anew which certificates a client is known by; those before count no more, within moments, on every replica.
#[derive(Debug, Args)]
#[command(after_help = SET_CERTIFICATES_HELP)]
struct SetCertificates {
    /// Its id.
    client_id: ClientId,
    /// A name that its certificate has, whole: uri:.., dns:.. or sha256:..; may be repeated.
    #[arg(long = "certificate", id = "names", value_name = "NAME", required_unless_present = "none")]
    certificates: Vec<CertificateName>,
    /// By none: its key is all that it has.
    #[arg(long, conflicts_with = "names")]
    none: bool,
}

impl SetCertificates {
    async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let request = pb::SetClientCertificatesRequest {
            client_id: self.client_id.to_string(),
            certificates: self.certificates.into_iter().map(String::from).collect(),
        };
        let answer = connect::management(global).await?.set_client_certificates(request).await?;
        let client = answer.client.context("the server answered without the client")?;
        let changed = Changed { client: client.into(), revision: answer.revision };
        global.printer().result(&changed, Changed::human)?;
        Ok(Exit::Success)
    }
}

const REVOKE_HELP: &str = "\
Example:
  deodar client revoke my-gateway";

/// Revokes a client: its key and its certificates stop working on every replica within moments.
#[derive(Debug, Args)]
#[command(after_help = REVOKE_HELP)]
struct Revoke {
    /// Its id.
    client_id: ClientId,
}

impl Revoke {
    async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let request = pb::RevokeClientRequest { client_id: self.client_id.to_string() };
        let answer = connect::management(global).await?.revoke_client(request).await?;
        let client = answer.client.context("the server answered without the client")?;
        let revoked = Changed { client: client.into(), revision: answer.revision };
        global.printer().result(&revoked, Changed::human)?;
        Ok(Exit::Success)
    }
}

/// A client as it is printed.
#[derive(Debug, Serialize)]
struct ClientView {
    client_id: String,
    display_name: String,
    roles: Vec<String>,
    grants: GrantsView,
    has_key: bool,
    certificates: Vec<String>,
    created_by: String,
    create_time: String,
    revoke_time: String,
}

#[derive(Debug, Default, Serialize)]
struct GrantsView {
    all_apis: bool,
    apis: Vec<String>,
    domains: Vec<String>,
    assertions: Vec<String>,
    explain: bool,
    max_reuse: String,
}

impl GrantsView {
    fn apis_in_words(&self) -> String {
        if self.all_apis { "all".to_owned() } else { words::commas(&self.apis) }
    }
}

impl From<pb::Client> for ClientView {
    fn from(client: pb::Client) -> Self {
        Self {
            client_id: client.client_id,
            display_name: client.display_name,
            roles: client.roles.into_iter().map(plain::role).collect(),
            grants: client.grants.map(grants).unwrap_or_default(),
            has_key: client.has_key,
            certificates: client.certificates,
            created_by: client.created_by,
            create_time: words::moment_or_empty(plain::moment(client.create_time)),
            revoke_time: words::moment_or_empty(plain::moment(client.revoke_time)),
        }
    }
}

fn grants(grants: pb::Grants) -> GrantsView {
    GrantsView {
        all_apis: grants.all_apis,
        apis: grants.apis,
        domains: grants.domains,
        assertions: grants.assertions.into_iter().map(plain::assertion).collect(),
        explain: grants.explain,
        max_reuse: words::seconds(plain::span(grants.max_reuse).unwrap_or_default()),
    }
}

impl ClientView {
    fn known_by(&self) -> String {
        let key = self.has_key.then(|| "key".to_owned());
        words::commas(&key.into_iter().chain(self.certificates.iter().cloned()).collect::<Vec<_>>())
    }

    fn human(&self) -> String {
        output::fields([
            ("client", self.client_id.clone()),
            ("name", self.display_name.clone()),
            ("roles", words::commas(&self.roles)),
            ("apis", self.grants.apis_in_words()),
            ("domains", words::commas(&self.grants.domains)),
            ("asserts", words::commas(&self.grants.assertions)),
            ("explain", if self.grants.explain { "yes".to_owned() } else { String::new() }),
            ("reuse", self.grants.max_reuse.clone()),
            ("known by", self.known_by()),
            ("created", format!("{} by {}", self.create_time, self.created_by)),
            ("revoked", self.revoke_time.clone()),
        ])
    }
}

/// A client that was made, with its key unless that went to a file.
#[derive(Debug, Serialize)]
struct Created {
    client: ClientView,
    #[serde(skip_serializing_if = "String::is_empty")]
    key: String,
    revision: String,
}

impl Created {
    fn human(&self) -> String {
        let more = output::fields([("key", self.key.clone()), ("revision", self.revision.clone())]);
        format!("{}\n\n{more}", self.client.human())
    }
}

/// A client that is there and was changed.
#[derive(Debug, Serialize)]
struct Changed {
    client: ClientView,
    revision: String,
}

impl Changed {
    fn human(&self) -> String {
        format!("{}\n\nrevision  {}", self.client.human(), self.revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_made_as_the_flags_say() {
        let create = Create {
            client_id: "edge".parse().unwrap(),
            display_name: String::new(),
            roles: vec![Role::Gateway],
            all_apis: true,
            apis: Vec::new(),
            domains: vec!["shop".parse().unwrap()],
            assertions: vec![Assertion::SourceAddress],
            explain: true,
            max_reuse: Some(Duration::from_secs(30)),
            certificates: vec!["dns:edge.example.com".parse().unwrap()],
            no_key: true,
            key_out: None,
        };
        let view = ClientView::from(create.client());
        assert_eq!(view.roles, ["gateway"]);
        assert_eq!(view.grants.assertions, ["source-address"]);
        assert_eq!(view.known_by(), "dns:edge.example.com");
        assert_eq!((view.grants.apis_in_words().as_str(), view.grants.max_reuse.as_str()), ("all", "30s"));
    }

    #[test]
    fn a_key_that_went_to_a_file_is_not_printed() {
        let client = ClientView::from(pb::Client::default());
        let created = Created { client, key: String::new(), revision: "1.2".to_owned() };
        assert!(!created.human().contains("key"));
        assert!(serde_json::to_value(&created).unwrap().get("key").is_none());
    }
}
