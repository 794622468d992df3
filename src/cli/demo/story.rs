//! The story: who asks for what, and what happened in between. Every line of it is a call of the API.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;

use super::view::Told;
use crate::api::client::Connection;
use crate::api::dial::Trust;
use crate::api::pb::{decision as pb, manage};
use crate::app::dev_issuer::{DevIssuer, MintRequest};
use crate::app::{ADMINISTRATOR_KEY, GATEWAY_KEY, Running, read_key};
use crate::model::{Clock, Secret, SystemClock, TokenKind};

/// How long the demo waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// What the policies ask for when the risk is raised.
const SECOND_FACTOR: &str = "urn:example:mfa";

/// One line of the story.
struct Step {
    title: &'static str,
    /// What happens before the question: kinds of signals about Alice's session.
    signals: &'static [&'static str],
    token: Option<Bearer>,
    method: &'static str,
    url: (&'static str, &'static str),
}

/// Whose token is presented.
#[derive(Clone, Copy)]
enum Bearer {
    Alice,
    /// Alice, after she has used her second factor.
    AliceSteppedUp,
    /// Alice's token of this morning.
    AliceExpired,
    Maria,
    /// A batch job that acts for itself.
    Reporter,
}

const ORDERS: &str = "orders.example.com";
const ACCOUNTS: &str = "accounts.example.com";

const STEPS: [Step; 13] = [
    step("Anybody asks whether the shop is up", None, "GET", (ORDERS, "/health")),
    step("Alice, a clerk, reads an order", Some(Bearer::Alice), "GET", (ORDERS, "/orders/7")),
    step("Nobody in particular reads an order", None, "GET", (ORDERS, "/orders/7")),
    step("Alice comes back with an expired token", Some(Bearer::AliceExpired), "GET", (ORDERS, "/orders/7")),
    step("Alice places one; her scopes are for reading", Some(Bearer::Alice), "POST", (ORDERS, "/orders")),
    step("Maria, a manager, places it", Some(Bearer::Maria), "POST", (ORDERS, "/orders")),
    step("Alice reads her own account", Some(Bearer::Alice), "GET", (ACCOUNTS, "/accounts/alice")),
    step("Alice reads the account of Bob", Some(Bearer::Alice), "GET", (ACCOUNTS, "/accounts/bob")),
    step("A job calls what nobody declared", Some(Bearer::Reporter), "GET", (ORDERS, "/debug/heap")),
    step(
        "Somebody tries to climb out of the path",
        Some(Bearer::Alice),
        "GET",
        (ORDERS, "/orders/..%2fadmin"),
    ),
    Step {
        signals: &["new_network", "new_device"],
        ..step(
            "Her token turns up: new network, new device",
            Some(Bearer::Alice),
            "GET",
            (ACCOUNTS, "/accounts/alice"),
        )
    },
    step("Alice shows a second factor", Some(Bearer::AliceSteppedUp), "GET", (ACCOUNTS, "/accounts/alice")),
    Step {
        signals: &["session_revoked"],
        ..step(
            "Security revokes the session",
            Some(Bearer::AliceSteppedUp),
            "GET",
            (ACCOUNTS, "/accounts/alice"),
        )
    },
];

const fn step(
    title: &'static str,
    token: Option<Bearer>,
    method: &'static str,
    url: (&'static str, &'static str),
) -> Step {
    Step { title, signals: &[], token, method, url }
}

/// The story on its way.
pub struct Story {
    issuer: DevIssuer,
    gateway: Connection,
    management: Connection,
    /// Alice's session; a new one each time, so that the story can be told again.
    session: String,
    signals: Vec<String>,
    revision: String,
    told: usize,
}

impl Story {
    pub async fn begin(running: &Running, folder: &Path, trust: &Trust) -> anyhow::Result<Self> {
        let key = |file: &str| -> anyhow::Result<Secret> {
            let path = folder.join(file);
            read_key(&path).with_context(|| {
                format!("{} is not there; remove the folder to begin afresh", path.display())
            })
        };
        let (gateway, management) = (running.decisions_url(), running.management_url());
        Ok(Self {
            issuer: DevIssuer::open(folder)?,
            gateway: Connection::open(&gateway, Some(&key(GATEWAY_KEY)?), trust).await?,
            management: Connection::open(&management, Some(&key(ADMINISTRATOR_KEY)?), trust).await?,
            session: format!("demo-{}", uuid::Uuid::new_v4().simple()),
            signals: Vec::new(),
            revision: String::new(),
            told: 0,
        })
    }

    /// Plays the next step; `None` at the end.
    pub async fn next(&mut self) -> anyhow::Result<Option<Told>> {
        let Some(step) = STEPS.get(self.told) else { return Ok(None) };
        self.told += 1;
        self.record(step.signals).await?;
        let request = self.request(step)?;
        let clock = SystemClock::new();
        let asked = clock.monotonic();
        let answer = self.gateway.check(request, PATIENCE).await?;
        let latency = clock.monotonic().saturating_sub(asked);
        let decision = answer.decision.context("the server answered without a decision")?;
        Ok(Some(Told::new(self.told, step.title, step.method, step.url, &decision, latency)))
    }

    fn request(&self, step: &Step) -> anyhow::Result<pb::CheckRequest> {
        let credential = |bearer| -> anyhow::Result<pb::Credential> {
            let token = self.mint(bearer)?.expose().to_owned();
            Ok(pb::Credential {
                kind: Some(pb::credential::Kind::BearerToken(token)),
                ..pb::Credential::default()
            })
        };
        let (host, path) = step.url;
        let call = pb::ApiCall {
            method: step.method.to_owned(),
            host: host.to_owned(),
            path: path.to_owned(),
            secure: true,
            ..pb::ApiCall::default()
        };
        Ok(pb::CheckRequest {
            credentials: step.token.map(credential).transpose()?.into_iter().collect(),
            question: Some(pb::Question { kind: Some(pb::question::Kind::Call(call)) }),
            at_least: self.revision.clone(),
            ..pb::CheckRequest::default()
        })
    }

    fn mint(&self, bearer: Bearer) -> anyhow::Result<Secret> {
        let now = SystemClock::new().now();
        let (subject, kind, role, scopes) = match bearer {
            Bearer::Alice | Bearer::AliceSteppedUp | Bearer::AliceExpired => {
                ("alice", TokenKind::User, "clerk", ["orders:read", "accounts:read"].as_slice())
            }
            Bearer::Maria => {
                ("maria", TokenKind::User, "manager", ["orders:read", "orders:write"].as_slice())
            }
            Bearer::Reporter => ("reporter", TokenKind::Client, "reporter", ["orders:read"].as_slice()),
        };
        let mut request = MintRequest::new(kind, subject, now);
        request.roles = vec![role.to_owned()];
        request.scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        request.session = matches!(kind, TokenKind::User).then(|| self.session.clone());
        match bearer {
            Bearer::AliceSteppedUp => {
                request.acr = Some(SECOND_FACTOR.to_owned());
                request.auth_time = Some(now);
            }
            Bearer::AliceExpired => request.issued_at = now.minus(Duration::from_secs(8 * 3_600)),
            Bearer::Alice | Bearer::Maria | Bearer::Reporter => {}
        }
        Ok(self.issuer.mint(&request)?)
    }

    /// A sensor reports on Alice's session.
    async fn record(&mut self, kinds: &[&str]) -> anyhow::Result<()> {
        if kinds.is_empty() {
            return Ok(());
        }
        let signal = |kind: &&str| manage::Signal {
            subject: format!("session:{}/{}", DevIssuer::ALIAS, self.session),
            kind: (*kind).to_owned(),
            source: "demo".to_owned(),
            evidence: "part of the demo's story".to_owned(),
            ..manage::Signal::default()
        };
        let request = manage::RecordSignalsRequest { signals: kinds.iter().map(signal).collect() };
        let recorded = self.management.record_signals(request).await?;
        self.signals.extend(recorded.signals.into_iter().map(|signal| signal.signal_id));
        self.revision = recorded.revision;
        Ok(())
    }

    /// Clears the signals, so that they do not pile up in the folder.
    pub async fn end(self) -> anyhow::Result<()> {
        for signal_id in self.signals {
            let request = manage::ClearSignalRequest { signal_id, reason: "the demo is over".to_owned() };
            self.management.clear_signal(request).await?;
        }
        Ok(())
    }
}
