//! Status: what this replica serves, and what is wrong with it.

use std::time::Duration;

use super::{ManageError, Management};
use crate::audit;
use crate::identity::CacheStats;
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
    pub issuers: Vec<String>,
    pub signals: usize,
    pub audit: audit::Stats,
    pub token_cache: CacheStats,
    pub replicas: Vec<Replica>,
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

impl Management {
    pub async fn status(&self) -> Result<Status, ManageError> {
        let since = self.clock.now().minus(REPLICA_TIMEOUT);
        let mut problems = self.live.problems();
        let replicas = match self.store.live_replicas(since).await {
            Ok(replicas) => replicas,
            Err(error) => {
                problems.push(format!("the list of replicas cannot be read: {error}"));
                Vec::new()
            }
        };
        Ok(Status {
            version: env!("CARGO_PKG_VERSION"),
            replica: self.replica.clone(),
            backend: self.store.backend(),
            revision: self.live.revision(),
            ready: self.live.is_ready(),
            problems,
            bundles: self.bundle_statuses(),
            apis: self.inventory.apis().iter().map(|api| api.id.to_string()).collect(),
            issuers: self.identity.issuers().into_iter().map(|issuer| issuer.alias.to_string()).collect(),
            signals: self.live.signals.len(),
            audit: self.recorder.stats(),
            token_cache: self.identity.token_cache(),
            replicas,
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
