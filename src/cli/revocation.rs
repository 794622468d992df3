//! `revocation list|get|undo`: which tokens count no longer. `revoke` makes revocations.

use anyhow::Context;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::exit::Exit;
use super::paging::Paging;
use super::{Global, connect, output, words};
use crate::api::pb::manage as pb;
use crate::api::plain;
use crate::model::{RevocationId, RevocationTarget};

/// List and show revocations, and take them back.
#[derive(Debug, Args)]
pub struct Revocation {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(List),
    Get(Get),
    Undo(Undo),
}

impl Revocation {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        match self.command {
            Command::List(list) => list.run(global).await,
            Command::Get(get) => get.run(global).await,
            Command::Undo(undo) => undo.run(global).await,
        }
    }
}

const LIST_HELP: &str = "\
Examples:
  deodar revocation list
  deodar revocation list --target principal:User::dev/alice --include-undone --output json";

/// Lists revocations, newest first.
#[derive(Debug, Args)]
#[command(after_help = LIST_HELP)]
struct List {
    /// Only of this target.
    #[arg(long)]
    target: Option<RevocationTarget>,
    /// Also those that were taken back.
    #[arg(long)]
    include_undone: bool,
    #[command(flatten)]
    paging: Paging,
}

impl List {
    async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let server = connect::management(global).await?;
        let listed = self.paging.fetch(async |page_size, page_token| {
            let target = self.target.as_ref().map(ToString::to_string).unwrap_or_default();
            let include_undone = self.include_undone;
            let request = pb::ListRevocationsRequest { page_size, page_token, target, include_undone };
            let answer = server.list_revocations(request).await?;
            Ok((answer.revocations, answer.next_page_token))
        });
        let listed = listed.await?.map(RevocationView::from);
        global.printer().result(&listed, |listed| {
            listed.table(["revocation", "target", "issued before", "by", "reason", "undone"], |revocation| {
                [
                    revocation.revocation_id.clone(),
                    revocation.target.clone(),
                    words::short_moment(&revocation.issued_before),
                    revocation.created_by.clone(),
                    revocation.reason.clone(),
                    words::short_moment(&revocation.undo_time),
                ]
            })
        })?;
        Ok(Exit::Success)
    }
}

const GET_HELP: &str = "\
Example:
  deodar revocation get 019a9f3c-0000-7000-8000-000000000000";

/// Shows one revocation.
#[derive(Debug, Args)]
#[command(after_help = GET_HELP)]
struct Get {
    /// Its id, as the record of a refused decision names it.
    revocation_id: RevocationId,
}

impl Get {
    async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let request = pb::GetRevocationRequest { revocation_id: self.revocation_id.to_string() };
        let answer = connect::management(global).await?.get_revocation(request).await?;
        let found = answer.revocation.context("the server answered without the revocation")?;
        global.printer().result(&RevocationView::from(found), RevocationView::human)?;
        Ok(Exit::Success)
    }
}

const UNDO_HELP: &str = "\
Example:
  deodar revocation undo 019a9f3c-0000-7000-8000-000000000000 --reason 'it was another laptop'";

/// Takes a revocation back: its tokens count again, unless another one covers them or they have expired.
#[derive(Debug, Args)]
#[command(after_help = UNDO_HELP)]
struct Undo {
    /// Its id.
    revocation_id: RevocationId,
    /// Why; kept with the revocation.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

impl Undo {
    async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let revocation_id = self.revocation_id.to_string();
        let request = pb::DeleteRevocationRequest { revocation_id, reason: self.reason };
        let answer = connect::management(global).await?.delete_revocation(request).await?;
        let undone = answer.revocation.context("the server answered without the revocation")?;
        written(global, undone, answer.revision, answer.spread)
    }
}

/// A revocation as it is printed.
#[derive(Debug, Serialize)]
struct RevocationView {
    revocation_id: String,
    target: String,
    issued_before: String,
    reason: String,
    created_by: String,
    create_time: String,
    expire_time: String,
    undone_by: String,
    undo_time: String,
    undo_reason: String,
}

impl From<pb::Revocation> for RevocationView {
    fn from(revocation: pb::Revocation) -> Self {
        let moment = |at| words::moment_or_empty(plain::moment(at));
        Self {
            revocation_id: revocation.revocation_id,
            target: revocation.target,
            issued_before: moment(revocation.issued_before),
            reason: revocation.reason,
            created_by: revocation.created_by,
            create_time: moment(revocation.create_time),
            expire_time: moment(revocation.expire_time),
            undone_by: revocation.undone_by,
            undo_time: moment(revocation.undo_time),
            undo_reason: revocation.undo_reason,
        }
    }
}

impl RevocationView {
    fn human(&self) -> String {
        let undone = match self.undone_by.as_str() {
            "" => String::new(),
            by => format!("{} by {by}: {}", self.undo_time, self.undo_reason),
        };
        output::fields([
            ("revocation", self.revocation_id.clone()),
            ("target", self.target.clone()),
            ("issued before", self.issued_before.clone()),
            ("reason", self.reason.clone()),
            ("made", format!("{} by {}", self.create_time, self.created_by)),
            ("needed until", self.expire_time.clone()),
            ("undone", undone),
        ])
    }
}

/// A revocation after a change, with the revision to wait for and how far it has come.
#[derive(Debug, Serialize)]
struct Written {
    revocation: RevocationView,
    revision: String,
    /// Live replicas that have it.
    acknowledged: i32,
    /// Live replicas that have not, by their address.
    pending: Vec<String>,
    /// The list of replicas could not be read.
    unknown: bool,
}

/// Prints a revocation after a change.
pub(super) fn written(
    global: &Global,
    revocation: pb::Revocation,
    revision: String,
    spread: Option<pb::Spread>,
) -> anyhow::Result<Exit> {
    let spread = spread.unwrap_or_else(|| pb::Spread { unknown: true, ..pb::Spread::default() });
    let written = Written {
        revocation: RevocationView::from(revocation),
        revision,
        acknowledged: spread.acknowledged,
        pending: spread.pending.into_iter().map(|replica| replica.address).collect(),
        unknown: spread.unknown,
    };
    global.printer().result(&written, Written::human)?;
    Ok(Exit::Success)
}

impl Written {
    fn human(&self) -> String {
        let more = output::fields([("in effect", self.in_effect()), ("revision", self.revision.clone())]);
        format!("{}\n\n{more}", self.revocation.human())
    }

    fn in_effect(&self) -> String {
        let count = self.acknowledged;
        match (self.unknown, self.pending.is_empty()) {
            (true, _) => "nobody can tell where: the replicas could not be listed".to_owned(),
            (false, true) => format!("on every live replica ({count})"),
            (false, false) => {
                format!("on {count}; not yet, or not known, on {}", words::commas(&self.pending))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(acknowledged: i32, pending: &[&str], unknown: bool) -> String {
        let pending = pending.iter().map(|address| (*address).to_owned()).collect();
        let revocation = RevocationView::from(pb::Revocation::default());
        Written { revocation, revision: String::new(), acknowledged, pending, unknown }.in_effect()
    }

    #[test]
    fn who_revokes_is_told_where_it_is_in_effect() {
        assert_eq!(shown(2, &[], false), "on every live replica (2)");
        assert_eq!(shown(1, &["10.0.0.2:7350"], false), "on 1; not yet, or not known, on 10.0.0.2:7350");
        assert!(shown(0, &[], true).contains("nobody can tell"));
    }
}
