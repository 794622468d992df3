//! What is asked: questions with the effect that they should have.
//!
//! They come from a file or from here. The built-in ones are about the sample APIs of the demo, half of them to be
//! allowed and half denied, so that every kind of policy has something to do.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::api::client::Connection;
use crate::api::load::Verdict;
use crate::api::pb::decision as pb;
use crate::app::dev_issuer::{DevIssuer, MintRequest};
use crate::cli::check::call;
use crate::model::{Effect, Timestamp, TokenKind};

/// Everything that one caller asks.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The request without its question.
    pub common: pb::CheckRequest,
    pub questions: Vec<Question>,
}

/// A question, and what its answer should be.
#[derive(Clone, Debug)]
pub struct Question {
    pub question: pb::Question,
    /// Questions of one kind get one answer, whoever asks.
    pub kind: usize,
    pub effect: Option<Effect>,
    /// What the answer must be; known once it is established.
    pub verdict: Verdict,
}

impl Question {
    fn new(call: pb::ApiCall, kind: usize, effect: Option<Effect>) -> Self {
        let question = pb::Question { kind: Some(pb::question::Kind::Call(call)) };
        Self { question, kind, effect, verdict: Verdict::default() }
    }
}

const ORDERS: &str = "https://orders.example.com";
const ACCOUNTS: &str = "https://accounts.example.com";

/// Of a clerk who may read orders and accounts; `{me}` is the subject of the token.
const BUILT_IN: [(Effect, &str, &str, &str); 16] = [
    (Effect::Allow, "GET", ORDERS, "/orders/7"),
    (Effect::Deny, "POST", ORDERS, "/orders"),
    (Effect::Allow, "GET", ACCOUNTS, "/accounts/{me}"),
    (Effect::Deny, "GET", ACCOUNTS, "/accounts/somebody-else"),
    (Effect::Allow, "GET", ORDERS, "/orders"),
    (Effect::Deny, "PUT", ACCOUNTS, "/accounts/{me}"),
    (Effect::Allow, "GET", ORDERS, "/orders?page=2&sort=date"),
    (Effect::Deny, "POST", ORDERS, "/orders/7/refund"),
    (Effect::Allow, "GET", ORDERS, "/orders/2026-11-4711"),
    (Effect::Deny, "GET", ORDERS, "/debug/heap"),
    (Effect::Allow, "GET", ORDERS, "/health"),
    (Effect::Deny, "POST", ORDERS, "/orders?dry_run=true"),
    (Effect::Allow, "GET", ACCOUNTS, "/accounts/{me}?fields=address"),
    (Effect::Deny, "GET", ACCOUNTS, "/accounts/root"),
    (Effect::Allow, "GET", ORDERS, "/orders/8?expand=lines"),
    (Effect::Deny, "POST", ORDERS, "/orders/8/refund"),
];

/// The longest that a token of the development issuer may live.
const TOKEN_LIFETIME: Duration = Duration::from_secs(15 * 60);

/// The built-in questions, each asked by so many principals.
pub fn built_in(data_dir: &Path, principals: u32, now: Timestamp) -> anyhow::Result<Vec<Caller>> {
    let Some(issuer) = DevIssuer::find(data_dir).context("cannot open the development issuer")? else {
        bail!(
            "there is no development issuer in {}; name the data directory of a server in development mode with \
             --data-dir, or bring questions with --requests",
            data_dir.display()
        );
    };
    (0..principals).map(|number| clerk(&issuer, number, now)).collect()
}

fn clerk(issuer: &DevIssuer, number: u32, now: Timestamp) -> anyhow::Result<Caller> {
    let subject = format!("bench-{number}");
    let mut token = MintRequest::new(TokenKind::User, subject.clone(), now);
    token.roles = vec!["clerk".to_owned()];
    token.scopes = vec!["orders:read".to_owned(), "accounts:read".to_owned()];
    token.session = Some(format!("session-{number}"));
    token.lifetime = TOKEN_LIFETIME;
    let token = issuer.mint(&token)?;
    let question = |(kind, (effect, method, api, path)): (usize, &(Effect, &str, &str, &str))| {
        let call = call::parse(method, &format!("{api}{}", path.replace("{me}", &subject)))?;
        Ok(Question::new(call, kind, Some(*effect)))
    };
    Ok(Caller {
        common: with_credential(pb::credential::Kind::BearerToken(token.expose().to_owned())),
        questions: BUILT_IN.iter().enumerate().map(question).collect::<anyhow::Result<_>>()?,
    })
}

/// What anybody may ask and nobody in particular does: no token to verify, few policies that apply.
pub fn anonymous() -> Vec<Caller> {
    let call = pb::ApiCall {
        method: "GET".to_owned(),
        host: "orders.example.com".to_owned(),
        path: "/health".to_owned(),
        secure: true,
        ..pb::ApiCall::default()
    };
    let questions = vec![Question::new(call, 0, Some(Effect::Allow))];
    vec![Caller { common: pb::CheckRequest::default(), questions }]
}

fn with_credential(kind: pb::credential::Kind) -> pb::CheckRequest {
    pb::CheckRequest {
        credentials: vec![pb::Credential { kind: Some(kind), ..pb::Credential::default() }],
        ..pb::CheckRequest::default()
    }
}

/// One entry of a file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    method: String,
    url: String,
    token: Option<String>,
    /// A principal that the gateway vouches for.
    r#as: Option<String>,
    ip: Option<IpAddr>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    expect: Option<Expected>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Expected {
    Allow,
    Deny,
}

impl From<Expected> for Effect {
    fn from(expected: Expected) -> Self {
        match expected {
            Expected::Allow => Self::Allow,
            Expected::Deny => Self::Deny,
        }
    }
}

/// The questions of a file.
pub fn from_file(file: &Path) -> anyhow::Result<Vec<Caller>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    // YAML, and so JSON too.
    let entries: Vec<Entry> = serde_yaml_ng::from_str(&text)
        .with_context(|| format!("{} is not a list of questions", file.display()))?;
    if entries.is_empty() {
        bail!("{} holds no question", file.display());
    }
    group(entries)
}

/// Entries with the same credential and source come from one caller, so that batches can be made of them.
fn group(entries: Vec<Entry>) -> anyhow::Result<Vec<Caller>> {
    let mut callers: Vec<Caller> = Vec::new();
    for (kind, entry) in entries.into_iter().enumerate() {
        let call = call::parse(&entry.method, &entry.url)?;
        let call = call::with_details(call, entry.headers.into_iter().collect(), Vec::new());
        let question = Question::new(call, kind, entry.expect.map(Effect::from));
        let mut common = match (entry.token, entry.r#as) {
            (Some(_), Some(_)) => bail!("`{}` has both `token` and `as`", entry.url),
            (Some(token), None) => with_credential(pb::credential::Kind::BearerToken(token)),
            (None, Some(name)) => with_credential(pb::credential::Kind::AssertedPrincipal(name)),
            (None, None) => pb::CheckRequest::default(),
        };
        common.source = entry.ip.map(|ip| pb::Source { ip: ip.to_string() });
        match callers.iter_mut().find(|caller| caller.common == common) {
            Some(caller) => caller.questions.push(question),
            None => callers.push(Caller { common, questions: vec![question] }),
        }
    }
    Ok(callers)
}

/// How long one question may take before anything is measured.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks one question of each kind and keeps the answer as the right one, if its effect is the one written with it.
pub async fn establish(callers: &mut [Caller], connection: &Connection, trust: bool) -> anyhow::Result<()> {
    let mut verdicts: HashMap<usize, Verdict> = HashMap::new();
    for Caller { common, questions } in callers {
        for question in questions {
            if let Some(verdict) = verdicts.get(&question.kind) {
                question.verdict = *verdict;
                continue;
            }
            let mut request = common.clone();
            request.question = Some(question.question.clone());
            let answer = connection.check(request, PATIENCE).await?;
            let decision = answer.decision.context("the server answered without a decision")?;
            question.verdict = Verdict::of(&decision);
            let expected = question.effect.filter(|_| !trust).map(Effect::as_str);
            if expected.is_some_and(|expected| expected != question.verdict.effect()) {
                bail!("{}: {}", told(&question.question), mistaken(expected, question.verdict));
            }
            verdicts.insert(question.kind, question.verdict);
        }
    }
    Ok(())
}

fn told(question: &pb::Question) -> String {
    match &question.kind {
        Some(pb::question::Kind::Call(call)) => format!("{} https://{}{}", call.method, call.host, call.path),
        _ => "a Cedar question".to_owned(),
    }
}

fn mistaken(expected: Option<&str>, verdict: Verdict) -> String {
    format!(
        "the answer is {} ({}), not {}; does the server serve the APIs of `deodar demo`?",
        verdict.effect(),
        verdict.reason(),
        expected.unwrap_or("that")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(text: &str) -> anyhow::Result<Vec<Caller>> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("questions.yaml");
        std::fs::write(&file, text).unwrap();
        from_file(&file)
    }

    #[test]
    fn questions_of_one_credential_come_from_one_caller() {
        let callers = entries(
            "- {method: GET, url: 'https://h/a', token: eyJ, expect: allow}
- {method: GET, url: 'https://h/b', as: 'User::dev/a', ip: 192.0.2.1}
- {method: PUT, url: 'https://h/c', token: eyJ, headers: {x-a: b}, expect: deny}",
        );
        let callers = callers.unwrap();
        assert_eq!(callers.iter().map(|caller| caller.questions.len()).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(callers[0].questions[1].effect, Some(Effect::Deny));
        assert_eq!(callers[1].common.source.as_ref().unwrap().ip, "192.0.2.1");
    }

    #[test]
    fn json_is_read_and_nonsense_refused() {
        assert!(entries("[{\"method\": \"GET\", \"url\": \"https://h/\"}]").is_ok());
        for wrong in [
            "[]",
            "{}",
            "- {method: GET}",
            "- {method: GET, url: 'ftp://h/'}",
            "- {method: GET, url: 'https://h/', token: a, as: 'User::dev/a'}",
            "- {method: GET, url: 'https://h/', expect: perhaps}",
            "- {method: GET, url: 'https://h/', unknown: 1}",
        ] {
            assert!(entries(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn half_of_the_built_in_questions_are_to_be_allowed() {
        let folder = tempfile::tempdir().unwrap();
        assert!(built_in(folder.path(), 1, Timestamp::from_seconds(1)).is_err(), "there is no issuer yet");
        DevIssuer::open(folder.path()).unwrap();
        let callers = built_in(folder.path(), 3, Timestamp::from_seconds(1)).unwrap();
        assert_eq!(callers.len(), 3);
        assert_ne!(callers[0].common, callers[1].common);
        let allowed = callers[2].questions.iter().filter(|one| one.effect == Some(Effect::Allow)).count();
        assert_eq!((allowed, callers[2].questions.len()), (8, 16));
    }
}
