//! Status: what this replica serves, and what is wrong with it.

use std::time::Duration;

use super::{ListenerStatus, ManageError, Management};
use crate::audit;
use crate::identity::{CacheStats, IssuerInfo, TrustDomainInfo};
use crate::model::{BundleDigest, DomainId, Revision, Timestamp};
use crate::store::Replica;

/// A replica that was not seen for this long counts as gone.
pub(super) const REPLICA_TIMEOUT: Duration = Duration::from_secs(30);

/// What one replica serves.
#[derive(Clone, Debug)]
pub struct Status {
    pub version: &'static str,
    pub replica: String,
    pub backend: &'static str,
    pub revision: Revision,
    pub ready: bool,
    /// A sentence each; empty when all is well.
    pub problems: Vec<String>,
    pub bundles: Vec<BundleStatus>,
    pub apis: Vec<String>,
    pub issuers: Vec<IssuerStatus>,
    pub trust_domains: Vec<TrustDomainInfo>,
    pub signals: usize,
    pub audit: audit::Stats,
    pub token_cache: CacheStats,
    pub replicas: Vec<Replica>,
    pub listeners: Vec<ListenerStatus>,
}

/// The live bundle of one domain.
#[derive(Clone, Debug)]
pub struct BundleStatus {
    pub domain: DomainId,
    pub digest: BundleDigest,
    pub policies: usize,
    pub activated_at: Timestamp,
    pub warnings: Vec<String>,
}

/// A token issuer, and how its keys are.
#[derive(Clone, Debug)]
pub struct IssuerStatus {
    pub alias: String,
    pub issuer: String,
    pub keys: usize,
    pub key_ids: Vec<String>,
    pub warnings: Vec<String>,
    /// Absent for keys that are given in the configuration.
    pub fetched: Option<FetchedStatus>,
    /// Where it is asked about opaque tokens; empty: nowhere.
    pub introspected_at: String,
    /// Why it could not be asked the last time, and when that was.
    pub introspection_failure: Option<(Timestamp, String)>,
}

/// Keys that are fetched from the issuer.
#[derive(Clone, Debug)]
pub struct FetchedStatus {
    pub from: String,
    pub at: Option<Timestamp>,
    /// Until when they count, unless they are fetched again before.
    pub usable_until: Option<Timestamp>,
    /// Older than the issuer wants them to be used.
    pub stale: bool,
    /// Why they could not be fetched the last time, and when that was.
    pub last_failure: Option<(Timestamp, String)>,
}

impl IssuerStatus {
    fn of(info: IssuerInfo, now: Timestamp) -> Self {
        let fetched = info.fetched.map(|fetched| FetchedStatus {
            at: fetched.fetched_at,
            usable_until: fetched.usable_until,
            stale: fetched.stale(now),
            last_failure: fetched.last_failure.map(|failure| (failure.at, failure.problem)),
            from: fetched.place,
        });
        let asked = info.introspection;
        Self {
            alias: info.alias.to_string(),
            issuer: info.issuer,
            keys: info.keys,
            key_ids: info.key_ids,
            warnings: info.warnings,
            fetched,
            introspection_failure: asked.as_ref().and_then(|asked| {
                asked.last_failure.as_ref().map(|failure| (failure.at, failure.problem.clone()))
            }),
            introspected_at: asked.map(|asked| asked.place).unwrap_or_default(),
        }
    }

    /// What an operator has to see to.
    fn problems(&self, now: Timestamp) -> impl Iterator<Item = String> {
        let unasked = self.introspection_failure.as_ref().map(|(at, problem)| {
            format!("issuer `{}` could not be asked about a token at {at}: {problem}", self.alias)
        });
        self.key_problem(now).into_iter().chain(unasked)
    }

    fn key_problem(&self, now: Timestamp) -> Option<String> {
        let fetched = self.fetched.as_ref().filter(|fetched| fetched.stale)?;
        let usable = fetched.usable_until.is_some_and(|end| now < end);
        let what = match fetched.at {
            None => "has no keys yet; its tokens are denied".to_owned(),
            Some(at) if usable => format!("has stale keys, fetched at {at}"),
            Some(at) => format!("has no usable keys; its tokens are denied; the last were fetched at {at}"),
        };
        let why = fetched.last_failure.as_ref().map(|(_, problem)| format!(": {problem}"));
        Some(format!("issuer `{}` {what}{}", self.alias, why.unwrap_or_default()))
    }
}

impl Management {
    pub async fn status(&self) -> Result<Status, ManageError> {
        let now = self.clock.now();
        let since = now.minus(REPLICA_TIMEOUT);
        let mut problems = self.live.problems();
        problems.extend(self.listeners.problems(now));
        problems.extend(self.listeners.warnings(now));
        let replicas = match self.store.live_replicas(since).await {
            Ok(replicas) => replicas,
            Err(error) => {
                problems.push(format!("the list of replicas cannot be read: {error}"));
                Vec::new()
            }
        };
        let issuers = self.identity.issuers().into_iter().map(|info| IssuerStatus::of(info, now));
        let issuers: Vec<_> = issuers.collect();
        problems.extend(issuers.iter().flat_map(|issuer| issuer.problems(now)));
        Ok(Status {
            version: env!("CARGO_PKG_VERSION"),
            replica: self.replica.clone(),
            backend: self.store.backend(),
            revision: self.live.revision(),
            ready: self.live.is_ready(),
            problems,
            bundles: self.bundle_statuses(),
            apis: self.inventory.apis().iter().map(|api| api.id.to_string()).collect(),
            issuers,
            trust_domains: self.identity.trust_domains(),
            signals: self.live.signals.len(),
            audit: self.recorder.stats(),
            token_cache: self.identity.token_cache(),
            replicas,
            listeners: self.listeners.all(),
        })
    }

    fn bundle_statuses(&self) -> Vec<BundleStatus> {
        let view = self.live.view();
        let status = |(domain, bundle): (&DomainId, &crate::decide::ActiveBundle)| BundleStatus {
            domain: domain.clone(),
            digest: bundle.snapshot.digest().clone(),
            policies: bundle.snapshot.policy_count(),
            activated_at: bundle.activated_at,
            warnings: bundle.warnings.clone(),
        };
        view.bundles().map(status).collect()
    }
}
