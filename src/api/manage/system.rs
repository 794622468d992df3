//! `SystemService`.

use tonic::{Request, Response, Status};

use super::{Door, timestamp};
use crate::api::pb::manage as pb;
use crate::api::pb::manage::system_service_server::SystemService;
use crate::manage::{self, BundleStatus, CacheStats, ReplicaStatus};

#[tonic::async_trait]
impl SystemService for Door {
    async fn get_status(
        &self,
        _request: Request<pb::GetStatusRequest>,
    ) -> Result<Response<pb::GetStatusResponse>, Status> {
        let status = self.management.status().await?;
        Ok(Response::new(answer(status)))
    }
}

fn answer(status: manage::Status) -> pb::GetStatusResponse {
    pb::GetStatusResponse {
        version: status.version.to_owned(),
        replica: status.replica,
        store: status.backend.to_owned(),
        revision: status.revision.to_string(),
        ready: status.ready,
        problems: status.problems,
        bundles: status.bundles.into_iter().map(bundle).collect(),
        apis: status.apis,
        issuers: status.issuers,
        signals: status.signals.try_into().unwrap_or(u64::MAX),
        records_queued: status.audit.queued,
        records_stored: status.audit.written,
        replicas: status.replicas.into_iter().map(replica).collect(),
        token_cache: Some(token_cache(&status.token_cache)),
    }
}

const fn token_cache(stats: &CacheStats) -> pb::TokenCache {
    let CacheStats { tokens, bytes, max_bytes, hits, misses, evictions } = *stats;
    pb::TokenCache { tokens, bytes, max_bytes, hits, misses, evictions }
}

fn bundle(bundle: BundleStatus) -> pb::LiveBundle {
    pb::LiveBundle {
        domain: bundle.domain.to_string(),
        digest: bundle.digest.to_string(),
        policies: bundle.policies.try_into().unwrap_or(u32::MAX),
        activate_time: Some(timestamp(bundle.activated_at)),
        warnings: bundle.warnings,
    }
}

fn replica(replica: ReplicaStatus) -> pb::Replica {
    pb::Replica {
        replica_id: replica.id,
        version: replica.version,
        address: replica.address,
        start_time: Some(timestamp(replica.started_at)),
        seen_time: Some(timestamp(replica.seen_at)),
        revision: replica.applied.to_string(),
        bundle_digest: replica.bundle.unwrap_or_default(),
    }
}
