//! Asking an issuer about tokens that say nothing themselves (RFC 7662).
//!
//! Whoever decides looks into memory; what is not there is asked for by one task, once for each token however many wait for
//! it ([`Introspector::ask`]). Answers are kept for a bounded time, good and bad ones apart, so that strangers' tokens
//! cannot push out those of users. What an answer makes of a token is `introspected.rs`.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use url::form_urlencoded;

use super::cache::Authenticated;
use super::destination::{Destination, Plaintext};
use super::fetch::{FetchRequest, Fetched, Fetcher, Form};
use super::introspected;
use super::introspection_config::{ClientAuthentication, IntrospectionConfig};
use super::issuer::Issuer;
use super::lifetime::Lifetime;
use super::refusal::IdentityRefusal;
use super::remote_keys::Failure;
use super::wanted::{Places, Wanted};
use crate::model::{Clock, Secret, Timestamp};

const MAX_SECRET_FILE_BYTES: u64 = 4_096;
/// The least time between two warnings about failures in a row.
const WARN_AGAIN: Duration = Duration::from_secs(5 * 60);

/// A token's digest.
type Sha256 = [u8; 32];

/// What became of a token when the issuer was asked about it.
pub(super) type Verdict = Result<(Authenticated, Lifetime), IdentityRefusal>;

/// An issuer that is asked.
#[derive(Debug)]
pub(super) struct Introspector {
    place: Destination,
    pub settings: IntrospectionConfig,
    secret: Secret,
    accepted: Cache<Sha256, Answer>,
    refused: Cache<Sha256, Answer>,
    /// Tokens that the issuer is being asked about. Dropped, a sender tells those who wait that it was.
    asking: Mutex<HashMap<Sha256, watch::Sender<()>>>,
    questions: mpsc::UnboundedSender<Question>,
    /// Taken by the task that asks.
    inbox: Mutex<Option<mpsc::UnboundedReceiver<Question>>>,
    health: Mutex<Health>,
    waiting: AtomicUsize,
}

/// What is known of a token, and for how long.
#[derive(Clone, Debug)]
struct Answer {
    verdict: Verdict,
    asked_at: Timestamp,
    until: Timestamp,
}

#[derive(Debug)]
struct Question {
    sha256: Sha256,
    token: Secret,
}

/// Why there is no answer.
enum Fault {
    /// The issuer is not there, or does not talk to us.
    Issuer(String),
    /// It failed over this token. A stranger may have made the token so, and must not stop the others with it.
    Token(String),
}

/// How the issuer has been answering.
#[derive(Debug, Default)]
struct Health {
    /// In a row.
    failures: u32,
    pause: Duration,
    last_failure: Option<Failure>,
    warned_at: Option<Timestamp>,
    /// After a pause, one token is tried before others are.
    probing: bool,
}

/// What an operator may see of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntrospectionInfo {
    pub place: String,
    /// Why the issuer could not be asked the last time; absent when it could.
    pub last_failure: Option<Failure>,
}

impl Introspector {
    /// Checks the settings and reads the secret; the error says what is wrong.
    pub(super) fn new(settings: &IntrospectionConfig, base_dir: &Path) -> Result<Self, String> {
        if let Some(problem) = settings.problem() {
            return Err(problem);
        }
        let url = &settings.url;
        let place = Destination::parse(url, Plaintext::allowed(settings.allow_http))
            .map_err(|problem| format!("`introspection.url` `{url}` {problem}"))?;
        let (questions, inbox) = mpsc::unbounded_channel();
        let cache = || {
            // The least used go: unlike moka's own choice, that never turns away the newest.
            let cache = Cache::builder().max_capacity(settings.max_answers);
            cache.eviction_policy(EvictionPolicy::lru()).build()
        };
        Ok(Self {
            place,
            secret: read_secret(&base_dir.join(&settings.client_secret_file))?,
            settings: settings.clone(),
            accepted: cache(),
            refused: cache(),
            asking: Mutex::default(),
            questions,
            inbox: Mutex::new(Some(inbox)),
            health: Mutex::default(),
            waiting: AtomicUsize::new(0),
        })
    }

    /// What is known of the token at `now`; a refusal that wants an answer where nothing is.
    pub(super) fn known(
        self: &Arc<Self>,
        token: &str,
        sha256: &Sha256,
        now: Timestamp,
    ) -> Result<Authenticated, IdentityRefusal> {
        let found = self.accepted.get(sha256).or_else(|| self.refused.get(sha256));
        if let Some(answer) = found.filter(|answer| answer.asked_at <= now && now < answer.until) {
            let (known, lifetime) = answer.verdict?;
            return lifetime.check(now).map(|()| known);
        }
        let health = self.health();
        if let Some(failure) = health.last_failure.as_ref().filter(|_| health.pauses(now)) {
            let detail = format!("the issuer could not be asked about the token: {}", failure.problem);
            return Err(IdentityRefusal::unavailable(detail));
        }
        drop(health);
        let wanted = Wanted::answer(Arc::clone(self), *sha256, Secret::new(token));
        Err(IdentityRefusal::unavailable("the issuer did not say in time what the token is")
            .wanting(Some(wanted)))
    }

    /// Has the issuer asked, unless it is being asked already; waits for the answer, not longer than `patience` and not at
    /// all when there is no room.
    pub(super) async fn ask(&self, sha256: Sha256, token: &Secret, patience: Duration) {
        let Some(_place) = Places(&self.waiting).enter(self.settings.max_waiting) else { return };
        let Some(mut answered) = self.enqueue(sha256, token) else { return };
        // It ends with the time, or with the sender.
        let _ = tokio::time::timeout(patience, answered.changed()).await;
    }

    fn enqueue(&self, sha256: Sha256, token: &Secret) -> Option<watch::Receiver<()>> {
        let mut asking = self.asking();
        if let Some(under_way) = asking.get(&sha256) {
            return Some(under_way.subscribe());
        }
        if asking.len() >= self.settings.max_waiting {
            return None;
        }
        // Without a task that takes it, as after the stop, nobody will answer.
        self.questions.send(Question { sha256, token: token.clone() }).ok()?;
        let (sender, answered) = watch::channel(());
        asking.insert(sha256, sender);
        Some(answered)
    }

    /// Asks what is to be asked, until the stop. `issuer` are the rules that answers are held to.
    pub(super) async fn keep(
        &self,
        issuer: &Issuer,
        fetcher: &dyn Fetcher,
        clock: &dyn Clock,
        stop: &CancellationToken,
    ) {
        let Some(mut inbox) = self.inbox.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return;
        };
        let mut asking = FuturesUnordered::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(question) = inbox.recv() => asking.push(self.settle(question, issuer, fetcher, clock)),
                Some(()) = asking.next(), if !asking.is_empty() => {}
            }
        }
    }

    /// Asks about one token, and lets those know who wait.
    async fn settle(&self, question: Question, issuer: &Issuer, fetcher: &dyn Fetcher, clock: &dyn Clock) {
        let Question { sha256, token } = question;
        if self.health().may_ask(clock.now()) {
            let asked_at = clock.now();
            let answer = self.fetch(&token, fetcher).await;
            self.take(sha256, answer, issuer, asked_at, clock.now());
        }
        self.asking().remove(&sha256);
    }

    fn take(
        &self,
        sha256: Sha256,
        answer: Result<Fetched, Fault>,
        issuer: &Issuer,
        asked_at: Timestamp,
        now: Timestamp,
    ) {
        let judged = answer.and_then(|answer| {
            introspected::judge(&answer.body, issuer, &self.settings, sha256, now).map_err(Fault::Token)
        });
        match judged {
            Ok(verdict) => {
                self.health().recover(issuer);
                self.keep_answer(sha256, verdict, asked_at);
            }
            Err(Fault::Issuer(problem)) => self.health().fail(issuer, &self.settings, &problem, now),
            Err(Fault::Token(problem)) => {
                let mut health = self.health();
                // It is there and answers, or this would be its own fault.
                health.recover(issuer);
                health.note(issuer, &problem, now);
                drop(health);
                let detail = format!("the issuer could not say what the token is: {problem}");
                self.keep_answer(sha256, Err(IdentityRefusal::unavailable(detail)), asked_at);
            }
        }
    }

    /// Good and bad answers apart; of one token only the newest.
    fn keep_answer(&self, sha256: Sha256, verdict: Verdict, asked_at: Timestamp) {
        let (cache, other, age) = if verdict.is_ok() {
            (&self.accepted, &self.refused, self.settings.max_age)
        } else {
            (&self.refused, &self.accepted, self.settings.refused_max_age)
        };
        other.invalidate(&sha256);
        cache.insert(sha256, Answer { verdict, asked_at, until: asked_at.plus(age) });
    }

    async fn fetch(&self, token: &Secret, fetcher: &dyn Fetcher) -> Result<Fetched, Fault> {
        let request = FetchRequest { destination: &self.place, form: Some(self.form(token)) };
        let named = |problem: String| format!("{}: {problem}", self.place);
        let answer = fetcher.fetch(request).await.map_err(|error| Fault::Issuer(named(error.to_string())))?;
        match (answer.status, answer.json().map(drop)) {
            (_, Ok(())) => Ok(answer),
            // These are about us, or about everybody (RFC 7662 section 2.3): the token has no part in it.
            (300..=399 | 401 | 403 | 404 | 429 | 503, Err(problem)) => Err(Fault::Issuer(named(problem))),
            (_, Err(problem)) => Err(Fault::Token(named(problem))),
        }
    }

    fn form(&self, token: &Secret) -> Form {
        let IntrospectionConfig { client_id, client_authentication, .. } = &self.settings;
        let mut fields = form_urlencoded::Serializer::new(String::new());
        fields.append_pair("token", token.expose()).append_pair("token_type_hint", "access_token");
        let authorization = match client_authentication {
            ClientAuthentication::ClientSecretBasic => {
                // RFC 6749 section 2.3.1: each half is form-encoded before the two are joined.
                let encoded =
                    |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
                let pair = format!("{}:{}", encoded(client_id), encoded(self.secret.expose()));
                Some(Secret::new(format!("Basic {}", STANDARD.encode(pair))))
            }
            ClientAuthentication::ClientSecretPost => {
                fields.append_pair("client_id", client_id).append_pair("client_secret", self.secret.expose());
                None
            }
        };
        Form { body: Secret::new(fields.finish()), authorization }
    }

    pub(super) fn info(&self) -> IntrospectionInfo {
        IntrospectionInfo { place: self.place.to_string(), last_failure: self.health().last_failure.clone() }
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asking(&self) -> MutexGuard<'_, HashMap<Sha256, watch::Sender<()>>> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Health {
    fn pauses(&self, now: Timestamp) -> bool {
        let since = self.last_failure.as_ref().filter(|_| self.failures > 0).map(|failure| failure.at);
        since.is_some_and(|since| since <= now && now < since.plus(self.pause))
    }

    fn may_ask(&mut self, now: Timestamp) -> bool {
        if self.failures == 0 {
            return true;
        }
        if self.probing || self.pauses(now) {
            return false;
        }
        self.probing = true;
        true
    }

    fn recover(&mut self, issuer: &Issuer) {
        if self.failures > 0 {
            tracing::info!(issuer = %issuer.alias, "an issuer can be asked about tokens again");
        }
        *self = Self { warned_at: self.warned_at, ..Self::default() };
    }

    /// Those that were under way when the first one failed make the pause no longer.
    fn fail(&mut self, issuer: &Issuer, settings: &IntrospectionConfig, problem: &str, now: Timestamp) {
        if !self.pauses(now) {
            let doubled = settings.min_retry.saturating_mul(1 << self.failures.min(16));
            self.pause = doubled.min(settings.max_retry);
            self.failures = self.failures.saturating_add(1);
        }
        self.probing = false;
        self.note(issuer, problem, now);
    }

    fn note(&mut self, issuer: &Issuer, problem: &str, now: Timestamp) {
        if self.warned_at.is_none_or(|at| now < at || now.since(at) >= WARN_AGAIN) {
            self.warned_at = Some(now);
            tracing::warn!(issuer = %issuer.alias, %problem, "an issuer cannot say what a token is");
        }
        self.last_failure = Some(Failure { at: now, problem: problem.to_owned() });
    }
}

/// The problem says nothing of what is in the file.
fn read_secret(path: &Path) -> Result<Secret, String> {
    let problem = |why: &str| format!("`introspection.client_secret_file`, `{}`, {why}", path.display());
    let size = fs::metadata(path).map_err(|error| problem(&format!("cannot be read: {error}")))?.len();
    if size > MAX_SECRET_FILE_BYTES {
        return Err(problem(&format!("is longer than {MAX_SECRET_FILE_BYTES} bytes")));
    }
    let text = fs::read_to_string(path).map_err(|error| problem(&format!("cannot be read: {error}")))?;
    let text = text.trim();
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(problem("holds no secret: one line of text"));
    }
    Ok(Secret::new(text))
}
