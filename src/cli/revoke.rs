//! `revoke token|session|subject|client|issuer`: makes tokens count no longer.

use anyhow::Context;
use clap::{Args, Subcommand};

use super::exit::Exit;
use super::revocation::written;
use super::{Global, connect, output, words};
use crate::api::pb::manage as pb;
use crate::api::plain;
use crate::model::{RevocationTarget, Timestamp};

/// Revoke tokens: every replica refuses them within moments.
#[derive(Debug, Args)]
pub struct Revoke {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Token(Token),
    Session(Session),
    Subject(Subject),
    Client(Client),
    Issuer(Issuer),
}

impl Revoke {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let (target, how) = match self.command {
            Command::Token(Token { target, how })
            | Command::Session(Session { target, how })
            | Command::Subject(Subject { target, how })
            | Command::Client(Client { target, how })
            | Command::Issuer(Issuer { target, how }) => (target, how),
        };
        how.run(global, &target).await
    }
}

/// What every revocation says beside its target.
#[derive(Debug, Args)]
struct How {
    /// Why; kept with the revocation.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Only tokens issued before this (RFC 3339) [default: all of a token or session; of others, those until now].
    #[arg(long, value_name = "MOMENT", value_parser = words::parse_moment)]
    issued_before: Option<Timestamp>,
}

impl How {
    async fn run(self, global: &Global, target: &RevocationTarget) -> anyhow::Result<Exit> {
        let revocation = pb::Revocation {
            target: target.to_string(),
            issued_before: self.issued_before.map(plain::from_moment),
            reason: self.reason,
            ..pb::Revocation::default()
        };
        let request = pb::CreateRevocationRequest { revocation: Some(revocation) };
        let answer = connect::management(global).await?.create_revocation(request).await?;
        let made = answer.revocation.context("the server answered without the revocation")?;
        answer.warnings.iter().for_each(|warning| output::note(&format!("warning: {warning}")));
        written(global, made, answer.revision, answer.spread)
    }
}

const TOKEN_HELP: &str = "\
Examples:
  deodar revoke token dev/4f0c6f1e --reason 'found in a log'
  deodar revoke token sha256/9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 --reason 'no jti'

The digest is that of the whole token, as printf %s \"$TOKEN\" | sha256sum tells it. Of a token signed with ES256, ES384
or ES512 anyone can make a second spelling, with another digest: name such a token by its jti, or revoke its session.";

/// Revokes one token.
#[derive(Debug, Args)]
#[command(after_help = TOKEN_HELP)]
struct Token {
    /// <issuer>/<jti>, or sha256/<hex> of the whole token.
    #[arg(value_name = "TOKEN", value_parser = |text: &str| target("token", text))]
    target: RevocationTarget,
    #[command(flatten)]
    how: How,
}

const SESSION_HELP: &str = "\
Example:
  deodar revoke session dev/s-1 --reason 'the laptop was stolen'";

/// Revokes every token of a session.
#[derive(Debug, Args)]
#[command(after_help = SESSION_HELP)]
struct Session {
    /// <issuer>/<sid>.
    #[arg(value_name = "SESSION", value_parser = |text: &str| target("session", text))]
    target: RevocationTarget,
    #[command(flatten)]
    how: How,
}

const SUBJECT_HELP: &str = "\
Examples:
  deodar revoke subject User::dev/alice --reason 'password was leaked'
  deodar revoke subject Workload::dev/reporter --issued-before 2026-11-25T00:00:00Z --reason 'old image'

Whoever logs in again is served. To lock somebody out: deodar principal disable.";

/// Revokes the tokens that a principal has now.
#[derive(Debug, Args)]
#[command(after_help = SUBJECT_HELP)]
struct Subject {
    /// User::<issuer>/<subject> or Workload::<issuer>/<subject>.
    #[arg(value_name = "PRINCIPAL", value_parser = |text: &str| target("principal", text))]
    target: RevocationTarget,
    #[command(flatten)]
    how: How,
}

const CLIENT_HELP: &str = "\
Example:
  deodar revoke client dev/mobile-app --reason 'version 3 leaks tokens'";

/// Revokes the tokens that were issued to an OAuth client until now, whoever their principal is.
#[derive(Debug, Args)]
#[command(after_help = CLIENT_HELP)]
struct Client {
    /// <issuer>/<client id>.
    #[arg(value_name = "CLIENT", value_parser = |text: &str| target("client", text))]
    target: RevocationTarget,
    #[command(flatten)]
    how: How,
}

const ISSUER_HELP: &str = "\
Example:
  deodar revoke issuer dev --reason 'its signing key was stolen'

A stolen key signs what it likes, with any time of issue: take it out of the issuer's key set as well.";

/// Revokes every token that an issuer has issued until now.
#[derive(Debug, Args)]
#[command(after_help = ISSUER_HELP)]
struct Issuer {
    /// The issuer's alias.
    #[arg(value_name = "ISSUER", value_parser = |text: &str| target("issuer", text))]
    target: RevocationTarget,
    #[command(flatten)]
    how: How,
}

fn target(kind: &str, text: &str) -> Result<RevocationTarget, String> {
    format!("{kind}:{text}").parse().map_err(|error: crate::model::id::InvalidId| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_target_is_said_by_the_command() {
        assert_eq!(target("session", "dev/s-1").unwrap().to_string(), "session:dev/s-1");
        assert!(target("issuer", "dev/s-1").unwrap_err().contains("write token:"));
    }
}
