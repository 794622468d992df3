//! `status`: what a replica serves, and what is wrong with it.

use clap::Args;
use serde::Serialize;

use super::exit::Exit;
use super::output::Colour;
use super::{Global, connect, output, words};
use crate::api::pb::manage as pb;
use crate::api::plain;

const AFTER_HELP: &str = "\
Examples:
  deodar status
  deodar status --management http://127.0.0.1:7351 --output json

Exit code 1: the replica cannot decide.";

/// Tells what a replica serves, and whether anything is wrong.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct Status {}

impl Status {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let answer = connect::management(global).await?.get_status(pb::GetStatusRequest {}).await?;
        let status = StatusView::from(answer);
        global.printer().result(&status, human)?;
        Ok(Exit::success_if(status.ready))
    }
}

/// Status as it is printed.
#[derive(Debug, Serialize)]
struct StatusView {
    version: String,
    replica: String,
    store: String,
    revision: String,
    ready: bool,
    problems: Vec<String>,
    bundles: Vec<BundleView>,
    apis: Vec<String>,
    issuers: Vec<String>,
    token_issuers: Vec<IssuerView>,
    trust_domains: Vec<TrustDomainView>,
    signals: u64,
    records_queued: u64,
    records_stored: u64,
    replicas: Vec<ReplicaView>,
    token_cache: TokenCacheView,
    listeners: Vec<ListenerView>,
}

#[derive(Debug, Serialize)]
struct TokenCacheView {
    tokens: u64,
    bytes: u64,
    max_bytes: u64,
    hits: u64,
    misses: u64,
    evictions: u64,
}

#[derive(Debug, Serialize)]
struct ListenerView {
    name: String,
    address: String,
    tls: Option<TlsView>,
}

#[derive(Debug, Serialize)]
struct TlsView {
    client_certificates: String,
    certificate_sha256: String,
    names: Vec<String>,
    expire_time: String,
    load_time: String,
}

#[derive(Debug, Serialize)]
struct BundleView {
    domain: String,
    digest: String,
    policies: u32,
    activate_time: String,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct IssuerView {
    alias: String,
    issuer: String,
    keys: u32,
    key_ids: Vec<String>,
    warnings: Vec<String>,
    fetched_from: String,
    fetch_time: String,
    usable_until_time: String,
    stale: bool,
    last_error: String,
    last_error_time: String,
    introspected_at: String,
    introspection_error: String,
    introspection_error_time: String,
}

#[derive(Debug, Serialize)]
struct TrustDomainView {
    alias: String,
    name: String,
    authorities: u32,
    token_keys: u32,
}

#[derive(Debug, Serialize)]
struct ReplicaView {
    replica_id: String,
    version: String,
    address: String,
    start_time: String,
    seen_time: String,
    revision: String,
    bundle_digest: String,
}

impl From<pb::GetStatusResponse> for StatusView {
    fn from(status: pb::GetStatusResponse) -> Self {
        Self {
            version: status.version,
            replica: status.replica,
            store: status.store,
            revision: status.revision,
            ready: status.ready,
            problems: status.problems,
            bundles: status.bundles.into_iter().map(bundle).collect(),
            apis: status.apis,
            issuers: status.issuers,
            token_issuers: status.token_issuers.into_iter().map(issuer).collect(),
            trust_domains: status.trust_domains.into_iter().map(trust_domain).collect(),
            signals: status.signals,
            records_queued: status.records_queued,
            records_stored: status.records_stored,
            replicas: status.replicas.into_iter().map(replica).collect(),
            token_cache: token_cache(status.token_cache.unwrap_or_default()),
            listeners: status.listeners.into_iter().map(listener).collect(),
        }
    }
}

const fn token_cache(cache: pb::TokenCache) -> TokenCacheView {
    let pb::TokenCache { tokens, bytes, max_bytes, hits, misses, evictions } = cache;
    TokenCacheView { tokens, bytes, max_bytes, hits, misses, evictions }
}

fn bundle(bundle: pb::LiveBundle) -> BundleView {
    BundleView {
        domain: bundle.domain,
        digest: bundle.digest,
        policies: bundle.policies,
        activate_time: words::moment_or_empty(plain::moment(bundle.activate_time)),
        warnings: bundle.warnings,
    }
}

fn issuer(issuer: pb::TokenIssuer) -> IssuerView {
    IssuerView {
        alias: issuer.alias,
        issuer: issuer.issuer,
        keys: issuer.keys,
        key_ids: issuer.key_ids,
        warnings: issuer.warnings,
        fetched_from: issuer.fetched_from,
        fetch_time: words::moment_or_empty(plain::moment(issuer.fetch_time)),
        usable_until_time: words::moment_or_empty(plain::moment(issuer.usable_until_time)),
        stale: issuer.stale,
        last_error: issuer.last_error,
        last_error_time: words::moment_or_empty(plain::moment(issuer.last_error_time)),
        introspected_at: issuer.introspected_at,
        introspection_error: issuer.introspection_error,
        introspection_error_time: words::moment_or_empty(plain::moment(issuer.introspection_error_time)),
    }
}

fn trust_domain(domain: pb::TrustDomain) -> TrustDomainView {
    let pb::TrustDomain { alias, name, authorities, token_keys } = domain;
    TrustDomainView { alias, name, authorities, token_keys }
}

fn listener(listener: pb::Listener) -> ListenerView {
    let tls = |tls: pb::ListenerTls| TlsView {
        client_certificates: tls.client_certificates,
        certificate_sha256: tls.certificate_sha256,
        names: tls.names,
        expire_time: words::moment_or_empty(plain::moment(tls.expire_time)),
        load_time: words::moment_or_empty(plain::moment(tls.load_time)),
    };
    ListenerView { name: listener.name, address: listener.address, tls: listener.tls.map(tls) }
}

fn replica(replica: pb::Replica) -> ReplicaView {
    ReplicaView {
        replica_id: replica.replica_id,
        version: replica.version,
        address: replica.address,
        start_time: words::moment_or_empty(plain::moment(replica.start_time)),
        seen_time: words::moment_or_empty(plain::moment(replica.seen_time)),
        revision: replica.revision,
        bundle_digest: replica.bundle_digest,
    }
}

fn human(status: &StatusView) -> String {
    let facts = output::fields([
        ("version", status.version.clone()),
        ("replica", status.replica.clone()),
        ("store", status.store.clone()),
        ("revision", status.revision.clone()),
        ("apis", words::commas(&status.apis)),
        ("signals", status.signals.to_string()),
        ("records", format!("{} stored, {} queued", status.records_stored, status.records_queued)),
        ("token cache", tokens(&status.token_cache)),
    ]);
    let mut parts = vec![verdict(status), facts];
    if !status.bundles.is_empty() {
        parts.push(bundles(&status.bundles));
    }
    if !status.token_issuers.is_empty() {
        parts.push(issuers(&status.token_issuers));
    }
    if !status.trust_domains.is_empty() {
        parts.push(trust_domains(&status.trust_domains));
    }
    if !status.listeners.is_empty() {
        parts.push(listeners(&status.listeners));
    }
    if !status.replicas.is_empty() {
        parts.push(replicas(&status.replicas));
    }
    parts.join("\n\n")
}

fn tokens(cache: &TokenCacheView) -> String {
    let TokenCacheView { tokens, bytes, max_bytes, hits, misses, evictions } = cache;
    let looks = hits.saturating_add(*misses);
    let share = if looks == 0 { 0.0 } else { *hits as f64 / looks as f64 * 100.0 };
    format!(
        "{tokens} kept, {bytes} of {max_bytes} bytes; {hits} hits, {misses} misses ({share:.1} % hits), {evictions} evicted"
    )
}

fn verdict(status: &StatusView) -> String {
    let (word, colour) = match (status.ready, status.problems.is_empty()) {
        (true, true) => ("READY", Colour::Green),
        (true, false) => ("READY, with problems", Colour::Yellow),
        (false, _) => ("NOT READY", Colour::Red),
    };
    let problems = status.problems.iter().map(|problem| format!("\n  {}", output::printable(problem)));
    format!("{}{}", colour.paint(word), problems.collect::<String>())
}

fn bundles(bundles: &[BundleView]) -> String {
    let rows = bundles.iter().map(|bundle| {
        [
            bundle.domain.clone(),
            bundle.policies.to_string(),
            words::short_moment(&bundle.activate_time),
            bundle.digest.clone(),
        ]
    });
    let table = output::table(["domain", "policies", "live since", "bundle"], rows);
    let warnings = bundles.iter().flat_map(|bundle| &bundle.warnings);
    let warnings = warnings.map(|warning| format!("\n  warning: {}", output::printable(warning)));
    format!("{table}{}", warnings.collect::<String>())
}

fn issuers(issuers: &[IssuerView]) -> String {
    let rows = issuers.iter().map(|issuer| {
        let state = match (issuer.fetched_from.is_empty(), issuer.stale) {
            (true, _) if issuer.keys == 0 && !issuer.introspected_at.is_empty() => "asked",
            (true, _) => "given",
            (false, false) => "fresh",
            (false, true) => "stale",
        };
        let fetched = words::short_moment(&issuer.fetch_time);
        let problems = [issuer.last_error.clone(), issuer.introspection_error.clone()];
        let problems: Vec<_> = problems.into_iter().filter(|problem| !problem.is_empty()).collect();
        [issuer.alias.clone(), issuer.keys.to_string(), state.to_owned(), fetched, problems.join("; ")]
    });
    let table = output::table(["issuer", "keys", "state", "fetched", "last error"], rows);
    let warning = |issuer: &IssuerView, warning: &String| {
        format!("\n  warning: {}: {}", issuer.alias, output::printable(warning))
    };
    let warnings =
        issuers.iter().flat_map(|issuer| issuer.warnings.iter().map(move |text| warning(issuer, text)));
    format!("{table}{}", warnings.collect::<String>())
}

fn trust_domains(domains: &[TrustDomainView]) -> String {
    let row = |domain: &TrustDomainView| {
        let TrustDomainView { alias, name, authorities, token_keys } = domain;
        [alias.clone(), name.clone(), authorities.to_string(), token_keys.to_string()]
    };
    output::table(["trust domain", "name", "authorities", "token keys"], domains.iter().map(row))
}

fn listeners(listeners: &[ListenerView]) -> String {
    let rows = listeners.iter().map(|listener| match &listener.tls {
        None => {
            [listener.name.clone(), listener.address.clone(), "no".to_owned(), String::new(), String::new()]
        }
        Some(tls) => [
            listener.name.clone(),
            listener.address.clone(),
            format!("yes, client certificates: {}", tls.client_certificates),
            words::commas(&tls.names),
            words::short_moment(&tls.expire_time),
        ],
    });
    output::table(["listener", "address", "TLS", "certificate", "expires"], rows)
}

fn replicas(replicas: &[ReplicaView]) -> String {
    let rows = replicas.iter().map(|replica| {
        [
            replica.replica_id.clone(),
            replica.version.clone(),
            replica.address.clone(),
            words::short_moment(&replica.seen_time),
            replica.revision.clone(),
        ]
    });
    output::table(["replica", "version", "address", "last seen", "revision"], rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_stand_first() {
        let answer = pb::GetStatusResponse {
            ready: true,
            problems: vec!["serving old policies: a.cedar:1:1: no".to_owned()],
            ..pb::GetStatusResponse::default()
        };
        let text = human(&StatusView::from(answer));
        assert!(text.contains("READY, with problems"), "{text}");
        assert!(text.lines().nth(1).unwrap().contains("serving old policies"), "{text}");
    }
}
