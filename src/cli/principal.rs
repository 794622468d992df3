//! `principal set|get|list|delete|disable|enable`: the directory, what the deployment itself knows of principals.

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde::Serialize;

use super::exit::Exit;
use super::paging::Paging;
use super::{Global, connect, output, words};
use crate::api::client::{ClientError, Connection};
use crate::api::pb::manage as pb;
use crate::api::plain;
use crate::model::PrincipalId;

/// Keep the directory of principals: who is active, and which roles and groups are added to those of their tokens.
#[derive(Debug, Args)]
pub struct Principal {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Set(Set),
    Get(Get),
    List(List),
    Delete(Delete),
    Disable(Disable),
    Enable(Enable),
}

impl Principal {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        match self.command {
            Command::Set(set) => set.run(global).await,
            Command::Get(get) => get.run(global).await,
            Command::List(list) => list.run(global).await,
            Command::Delete(delete) => delete.run(global).await,
            Command::Disable(Disable { id, note }) => switch(global, &id, false, note).await,
            Command::Enable(Enable { id, note }) => switch(global, &id, true, note).await,
        }
    }
}

const SET_HELP: &str = "\
Examples:
  deodar principal set User::dev/alice --role manager --group sales
  deodar principal set Workload::dev/reporter --tag team=blue --tag team=green --etag 019a9f3c-0000-7000-8000-000000000000

The entry is written whole: what is not given is empty. Without --etag it replaces whatever is there.";

/// Writes an entry of the directory whole.
#[derive(Debug, Args)]
#[command(after_help = SET_HELP)]
struct Set {
    /// User::<issuer>/<subject> or Workload::<issuer>/<subject>.
    #[arg(value_name = "PRINCIPAL")]
    id: PrincipalId,
    /// A role that is added to those of the token; may be repeated.
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// A group that is added to those of the token; may be repeated.
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// name=value: what policies read as tag dir:name; may be repeated, a name also.
    #[arg(long = "tag", value_name = "NAME=VALUE", value_parser = |text: &str| words::parse_pair(text, '='))]
    tags: Vec<(String, String)>,
    /// Deny it at once, whatever its credential.
    #[arg(long)]
    inactive: bool,
    /// For people.
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
    /// Only if the entry is still the one with this etag.
    #[arg(long, value_name = "ETAG", default_value = "*")]
    etag: String,
}

impl Set {
    async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let mut principal = pb::Principal {
            principal_id: self.id.to_string(),
            active: Some(!self.inactive),
            roles: self.roles,
            groups: self.groups,
            note: self.note,
            ..pb::Principal::default()
        };
        for (name, value) in self.tags {
            principal.tags.entry(name).or_default().values.push(value);
        }
        let server = connect::management(global).await?;
        written(global, put(&server, principal, self.etag).await?)
    }
}

const GET_HELP: &str = "\
Example:
  deodar principal get User::dev/alice";

/// Shows one entry.
#[derive(Debug, Args)]
#[command(after_help = GET_HELP)]
struct Get {
    /// The principal.
    #[arg(value_name = "PRINCIPAL")]
    id: PrincipalId,
}

impl Get {
    async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let request = pb::GetPrincipalRequest { principal_id: self.id.to_string() };
        let answer = connect::management(global).await?.get_principal(request).await?;
        let found = answer.principal.context("the server answered without the entry")?;
        global.printer().result(&PrincipalView::from(found), PrincipalView::human)?;
        Ok(Exit::Success)
    }
}

const LIST_HELP: &str = "\
Example:
  deodar principal list --all --output json";

/// Lists the entries of the directory by id.
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
            let answer = server.list_principals(pb::ListPrincipalsRequest { page_size, page_token }).await?;
            Ok((answer.principals, answer.next_page_token))
        });
        let listed = listed.await?.map(PrincipalView::from);
        global.printer().result(&listed, |listed| {
            listed.table(["principal", "active", "roles", "groups", "updated", "by"], |principal| {
                [
                    principal.principal_id.clone(),
                    principal.active_in_words().to_owned(),
                    words::commas(&principal.roles),
                    words::commas(&principal.groups),
                    words::short_moment(&principal.update_time),
                    principal.updated_by.clone(),
                ]
            })
        })?;
        Ok(Exit::Success)
    }
}

const DELETE_HELP: &str = "\
Example:
  deodar principal delete User::dev/alice";

/// Deletes an entry: of the principal counts what its credential says. One that was inactive is let in again.
#[derive(Debug, Args)]
#[command(after_help = DELETE_HELP)]
struct Delete {
    /// The principal.
    #[arg(value_name = "PRINCIPAL")]
    id: PrincipalId,
    /// Only if the entry is still the one with this etag.
    #[arg(long, value_name = "ETAG", default_value = "*")]
    etag: String,
}

impl Delete {
    async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let request = pb::DeletePrincipalRequest { principal_id: self.id.to_string(), etag: self.etag };
        let answer = connect::management(global).await?.delete_principal(request).await?;
        let deleted = Deleted { principal_id: self.id.to_string(), revision: answer.revision };
        global.printer().result(&deleted, |deleted| {
            output::fields([
                ("deleted", deleted.principal_id.clone()),
                ("revision", deleted.revision.clone()),
            ])
        })?;
        Ok(Exit::Success)
    }
}

const DISABLE_HELP: &str = "\
Example:
  deodar principal disable User::dev/alice --note 'left on Monday'

The rest of the entry stays as it is; who has none gets one.";

/// Denies a principal at once, whatever its credential says.
#[derive(Debug, Args)]
#[command(after_help = DISABLE_HELP)]
struct Disable {
    /// The principal.
    #[arg(value_name = "PRINCIPAL")]
    id: PrincipalId,
    /// For people [default: the note that is there].
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

const ENABLE_HELP: &str = "\
Example:
  deodar principal enable User::dev/alice --note 'back again'";

/// Ends what disable did. Tokens that were issued before count again: revoke them if they should not.
#[derive(Debug, Args)]
#[command(after_help = ENABLE_HELP)]
struct Enable {
    /// The principal.
    #[arg(value_name = "PRINCIPAL")]
    id: PrincipalId,
    /// For people [default: the note that is there].
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

/// Changes whether a principal is active, and nothing else of its entry. Whoever edits it in between is not overwritten.
async fn switch(
    global: &Global,
    id: &PrincipalId,
    active: bool,
    note: Option<String>,
) -> anyhow::Result<Exit> {
    const TRIES: usize = 5;
    let server = connect::management(global).await?;
    for _ in 0..TRIES {
        let (mut principal, etag) = entry(&server, id).await?;
        principal.active = Some(active);
        if let Some(note) = &note {
            principal.note.clone_from(note);
        }
        match put(&server, principal, etag).await {
            Err(error) if error.code == "aborted" => {}
            Err(error) => return Err(error.into()),
            Ok(answer) => return written(global, answer),
        }
    }
    bail!("`{id}` was changed by somebody else each time; try again")
}

/// The entry as it can be put again, and the etag that names it; an empty one and no etag when there is none.
async fn entry(server: &Connection, id: &PrincipalId) -> Result<(pb::Principal, String), ClientError> {
    let empty = pb::Principal { principal_id: id.to_string(), ..pb::Principal::default() };
    match server.get_principal(pb::GetPrincipalRequest { principal_id: id.to_string() }).await {
        Err(error) if error.code == "not_found" => Ok((empty, String::new())),
        Err(error) => Err(error),
        Ok(answer) => {
            let mut found = answer.principal.unwrap_or(empty);
            let etag = std::mem::take(&mut found.etag);
            found.updated_by.clear();
            found.update_time = None;
            Ok((found, etag))
        }
    }
}

async fn put(
    server: &Connection,
    principal: pb::Principal,
    etag: String,
) -> Result<pb::PutPrincipalResponse, ClientError> {
    server.put_principal(pb::PutPrincipalRequest { principal: Some(principal), etag }).await
}

/// An entry as it is printed.
#[derive(Debug, Serialize)]
struct PrincipalView {
    principal_id: String,
    active: bool,
    roles: Vec<String>,
    groups: Vec<String>,
    tags: std::collections::BTreeMap<String, Vec<String>>,
    note: String,
    etag: String,
    updated_by: String,
    update_time: String,
}

impl From<pb::Principal> for PrincipalView {
    fn from(principal: pb::Principal) -> Self {
        Self {
            principal_id: principal.principal_id,
            active: principal.active.unwrap_or(true),
            roles: principal.roles,
            groups: principal.groups,
            tags: principal.tags.into_iter().map(|(name, values)| (name, values.values)).collect(),
            note: principal.note,
            etag: principal.etag,
            updated_by: principal.updated_by,
            update_time: words::moment_or_empty(plain::moment(principal.update_time)),
        }
    }
}

impl PrincipalView {
    const fn active_in_words(&self) -> &'static str {
        if self.active { "yes" } else { "no: it is denied" }
    }

    fn human(&self) -> String {
        let tag = |(name, values): (&String, &Vec<String>)| format!("{name}={}", values.join("|"));
        output::fields([
            ("principal", self.principal_id.clone()),
            ("active", self.active_in_words().to_owned()),
            ("roles", words::commas(&self.roles)),
            ("groups", words::commas(&self.groups)),
            ("tags", words::commas(&self.tags.iter().map(tag).collect::<Vec<_>>())),
            ("note", self.note.clone()),
            ("etag", self.etag.clone()),
            ("updated", format!("{} by {}", self.update_time, self.updated_by)),
        ])
    }
}

/// An entry after a change, with the revision to wait for.
#[derive(Debug, Serialize)]
struct Written {
    principal: PrincipalView,
    revision: String,
}

#[derive(Debug, Serialize)]
struct Deleted {
    principal_id: String,
    revision: String,
}

fn written(global: &Global, answer: pb::PutPrincipalResponse) -> anyhow::Result<Exit> {
    let principal = answer.principal.context("the server answered without the entry")?;
    let written = Written { principal: principal.into(), revision: answer.revision };
    global.printer().result(&written, |written| {
        format!("{}\n\nrevision  {}", written.principal.human(), written.revision)
    })?;
    Ok(Exit::Success)
}
