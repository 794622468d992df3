//! `SystemService`.

use tonic::{Request, Response, Status};

use super::{Door, timestamp};
use crate::api::pb::manage as pb;
use crate::api::pb::manage::system_service_server::SystemService;
use crate::manage::{
    self, BundleStatus, CacheStats, IssuerStatus, ListenerStatus, ReplicaStatus, TlsStatus, TrustDomainInfo,
};

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
        issuers: status.issuers.iter().map(|issuer| issuer.alias.clone()).collect(),
        token_issuers: status.issuers.into_iter().map(issuer).collect(),
        trust_domains: status.trust_domains.into_iter().map(trust_domain).collect(),
        signals: status.signals.try_into().unwrap_or(u64::MAX),
        records_queued: status.audit.queued,
        records_stored: status.audit.written,
        replicas: status.replicas.into_iter().map(replica).collect(),
        token_cache: Some(token_cache(&status.token_cache)),
        listeners: status.listeners.into_iter().map(listener).collect(),
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

fn issuer(issuer: IssuerStatus) -> pb::TokenIssuer {
    let fetched = issuer.fetched;
    let failure = fetched.as_ref().and_then(|fetched| fetched.last_failure.clone());
    pb::TokenIssuer {
        alias: issuer.alias,
        issuer: issuer.issuer,
        keys: issuer.keys.try_into().unwrap_or(u32::MAX),
        key_ids: issuer.key_ids,
        warnings: issuer.warnings,
        fetch_time: fetched.as_ref().and_then(|fetched| fetched.at).map(timestamp),
        usable_until_time: fetched.as_ref().and_then(|fetched| fetched.usable_until).map(timestamp),
        stale: fetched.as_ref().is_some_and(|fetched| fetched.stale),
        last_error_time: failure.as_ref().map(|(at, _)| timestamp(*at)),
        last_error: failure.map(|(_, problem)| problem).unwrap_or_default(),
        introspected_at: issuer.introspected_at,
        introspection_error_time: issuer.introspection_failure.as_ref().map(|(at, _)| timestamp(*at)),
        introspection_error: issuer.introspection_failure.map(|(_, problem)| problem).unwrap_or_default(),
        fetched_from: fetched.map(|fetched| fetched.from).unwrap_or_default(),
    }
}

fn trust_domain(domain: TrustDomainInfo) -> pb::TrustDomain {
    pb::TrustDomain {
        alias: domain.alias.to_string(),
        name: domain.name,
        authorities: domain.authorities.try_into().unwrap_or(u32::MAX),
        token_keys: domain.token_keys.try_into().unwrap_or(u32::MAX),
    }
}

fn listener(listener: ListenerStatus) -> pb::Listener {
    pb::Listener {
        name: listener.name.to_owned(),
        address: listener.address.to_string(),
        tls: listener.tls.map(tls),
    }
}

fn tls(tls: TlsStatus) -> pb::ListenerTls {
    pb::ListenerTls {
        client_certificates: tls.client_certificates.to_owned(),
        certificate_sha256: tls.certificate_sha256,
        names: tls.names,
        expire_time: Some(timestamp(tls.expires_at)),
        load_time: Some(timestamp(tls.loaded_at)),
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
