//! What a server with this configuration would make of a token: each check, and what policies would see.
//!
//! It holds nothing of the token that would let anybody use it: no segment of it, and of a refused token no claims.

use serde::Serialize;
use serde_json::{Value, json};

use super::build;
use super::config::Config;
use super::dev_issuer::DevIssuer;
use crate::identity::{Authenticated, Identity, IdentityRefusal, Inspection, Outcome};
use crate::model::{Clock, Secret, Timestamp};
use crate::policy::view;

/// The report.
#[derive(Debug, Serialize)]
pub struct TokenReport {
    pub accepted: bool,
    /// Why it is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
    pub checks: Vec<CheckReport>,
    pub header: Header,
    /// The alias of the issuer whose rules were applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<LifetimeReport>,
    /// What the issuer asserted beyond its grant.
    pub dropped: Vec<String>,
    /// The principal as policies would see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<Value>,
    /// The context that comes from the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<Value>,
}

/// One check.
#[derive(Debug, Serialize)]
pub struct CheckReport {
    pub check: &'static str,
    pub result: CheckResult,
    /// What it asks.
    pub question: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckResult {
    Passed,
    Failed,
    NotReached,
}

#[derive(Clone, Debug, Serialize)]
pub struct Refusal {
    pub reason: &'static str,
    pub detail: String,
}

/// What the header says, cut short; nothing to believe before the signature.
#[derive(Debug, Serialize)]
pub struct Header {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#type: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct LifetimeReport {
    pub issue_time: String,
    pub expire_time: String,
    /// Until when it is accepted: leeway and the longest age included.
    pub accept_until: String,
    /// 0 when it is over.
    pub remaining_s: u64,
}

/// The longest text of a header that is shown, in characters.
const EXCERPT: usize = 100;

/// Inspects a token as it would be judged at `now`. In development mode, or without any issuer and trust domain, the development
/// issuer of the data directory counts too, if there is one. Keys that an issuer publishes are fetched first.
pub async fn inspect_token(
    mut config: Config,
    token: &Secret,
    now: Timestamp,
    clock: &dyn Clock,
) -> anyhow::Result<TokenReport> {
    let nobody = config.identity.issuers.is_empty() && config.identity.trust_domains.is_empty();
    let wanted = config.development || nobody;
    let issuer = if wanted { DevIssuer::find(&config.data_dir)? } else { None };
    if let Some(issuer) = issuer {
        config.identity.issuers.push(issuer.issuer_config()?);
    }
    let identity = Identity::new(&config.identity, &config.base_dir)?;
    if let Some(fetcher) = build::fetcher(&identity, &config)? {
        identity.fetch_keys(&fetcher, clock).await;
    }
    Ok(report(identity.inspect(token, now), now))
}

fn report(inspection: Inspection, now: Timestamp) -> TokenReport {
    let lifetime = inspection.lifetime.map(|lifetime| LifetimeReport {
        issue_time: lifetime.issued_at.to_string(),
        expire_time: lifetime.expires_at.to_string(),
        accept_until: lifetime.end().to_string(),
        remaining_s: inspection.remaining(now).unwrap_or_default().as_secs(),
    });
    let cut = |text: Option<String>| text.map(|text| text.chars().take(EXCERPT).collect());
    let known = inspection.answer.as_ref().ok();
    TokenReport {
        accepted: known.is_some(),
        refusal: inspection.answer.as_ref().err().map(Refusal::from),
        checks: inspection
            .checks
            .iter()
            .map(|(check, outcome)| CheckReport {
                check: check.as_str(),
                result: CheckResult::from(outcome),
                question: check.question(),
                refusal: match outcome {
                    Outcome::Failed(refusal) => Some(refusal.into()),
                    _ => None,
                },
            })
            .collect(),
        dropped: known.map(|known| known.dropped.to_vec()).unwrap_or_default(),
        principal: known.map(|known| view::principal(&known.principal)),
        context: known.and_then(|known| context(known, now)),
        header: Header {
            algorithm: cut(inspection.algorithm),
            key_id: cut(inspection.key_id),
            r#type: cut(inspection.kind),
        },
        issuer: inspection.issuer.map(|alias| alias.to_string()),
        lifetime,
    }
}

fn context(known: &Authenticated, now: Timestamp) -> Option<Value> {
    let token = known.principal.token.as_ref()?;
    let mut context = json!({ "token": view::token(token, now) });
    if let (Some(actor), Some(members)) = (&token.actor, context.as_object_mut()) {
        members.insert("actor".to_owned(), json!({ "type": "api::Workload", "id": actor.id.id() }));
    }
    Some(context)
}

impl From<&IdentityRefusal> for Refusal {
    fn from(refusal: &IdentityRefusal) -> Self {
        Self { reason: refusal.reason.as_str(), detail: refusal.detail.clone() }
    }
}

impl From<&Outcome> for CheckResult {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Passed => Self::Passed,
            Outcome::Failed(_) => Self::Failed,
            Outcome::NotReached => Self::NotReached,
        }
    }
}
