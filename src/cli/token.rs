//! `token mint`: a token of the development issuer, for trying things out. `token inspect` is `inspect.rs`.

use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::Value;

use super::exit::Exit;
use super::inspect::Inspect;
use super::{Global, words};
use crate::app::dev_issuer::{DevIssuer, MintRequest};
use crate::model::{Clock, SystemClock, Timestamp, TokenKind};

/// Mint tokens of the development issuer, and see what a server would make of a token.
#[derive(Debug, Args)]
pub struct Token {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Mint(Box<Mint>),
    Inspect(Inspect),
}

impl Token {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        match self.command {
            Command::Mint(mint) => mint.run(global),
            Command::Inspect(inspect) => inspect.run(global).await,
        }
    }
}

const MINT_HELP: &str = "\
Examples:
  deodar token mint alice --role clerk --scope orders:read > token.jwt
  deodar token mint report-job --workload --scope orders:read --lifetime 5m
  deodar token mint alice --session s-1 --claim department=sales

Only a server in development mode with the same data directory believes these tokens.";

/// Mints a token of the development issuer, whose key lies in the data directory.
#[derive(Debug, Args)]
#[command(after_help = MINT_HELP)]
struct Mint {
    /// Who it is for: the second half of the principal's id, `dev/<subject>`.
    subject: String,
    /// For a client acting for itself instead of a user.
    #[arg(long)]
    workload: bool,
    /// A role; may be repeated.
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// A group; may be repeated.
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// The tenant.
    #[arg(long)]
    tenant: Option<String>,
    /// A scope; may be repeated.
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// An audience instead of the development issuer's own; may be repeated.
    #[arg(long = "audience", value_name = "AUDIENCE")]
    audience: Vec<String>,
    /// How long it is valid.
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = words::parse_span)]
    lifetime: Duration,
    /// When it was issued (RFC 3339) [default: now].
    #[arg(long, value_name = "MOMENT", value_parser = words::parse_moment)]
    issued_at: Option<Timestamp>,
    /// The session (`sid`), which signals can name.
    #[arg(long, value_name = "SID")]
    session: Option<String>,
    /// How the user authenticated (`acr`).
    #[arg(long)]
    acr: Option<String>,
    /// When the user authenticated (RFC 3339).
    #[arg(long, value_name = "MOMENT", value_parser = words::parse_moment)]
    auth_time: Option<Timestamp>,
    /// Another claim, its value as JSON or else as text; may be repeated, and replaces what is there.
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = parse_claim)]
    claims: Vec<(String, Value)>,
}

fn parse_claim(text: &str) -> Result<(String, Value), String> {
    let (name, value) = words::parse_pair(text, '=')?;
    let value = serde_json::from_str(&value).unwrap_or(Value::String(value));
    Ok((name, value))
}

/// A token as it is printed.
#[derive(Debug, Serialize)]
struct Minted {
    token: String,
    principal: String,
    expire_time: String,
}

impl Mint {
    fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let folder = global.data_dir();
        let Some(issuer) = DevIssuer::find(&folder).context("cannot open the development issuer")? else {
            bail!(
                "there is no development issuer in {}; a server in development mode makes one \
                 (`development = true`, or `deodar demo`); name its data directory with --data-dir",
                folder.display()
            );
        };
        let request = self.request(SystemClock::new().now());
        let kind = if request.kind == TokenKind::Client { "Workload" } else { "User" };
        let minted = Minted {
            principal: format!("{kind}::{}/{}", DevIssuer::ALIAS, request.subject),
            expire_time: request.issued_at.plus(request.lifetime).to_string(),
            token: issuer.mint(&request)?.expose().to_owned(),
        };
        // Nothing but the token, so that `$(deodar token mint alice)` is one.
        global.printer().result(&minted, |minted| minted.token.clone())?;
        Ok(Exit::Success)
    }

    fn request(self, now: Timestamp) -> MintRequest {
        let kind = if self.workload { TokenKind::Client } else { TokenKind::User };
        let fresh = MintRequest::new(kind, self.subject, self.issued_at.unwrap_or(now));
        MintRequest {
            roles: self.roles,
            groups: self.groups,
            tenant: self.tenant,
            scopes: self.scopes,
            audience: if self.audience.is_empty() { fresh.audience.clone() } else { self.audience },
            lifetime: self.lifetime,
            session: self.session,
            acr: self.acr,
            auth_time: self.auth_time,
            extra: self.claims.into_iter().collect(),
            ..fresh
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_json_or_text() {
        let claim = |text| parse_claim(text).map(|(_, value)| value);
        assert_eq!(claim("a=1"), Ok(Value::from(1)));
        assert_eq!(claim("a=sales"), Ok(Value::from("sales")));
        assert_eq!(claim("a=[\"x\"]"), Ok(serde_json::json!(["x"])));
        assert!(claim("a").is_err());
    }
}
