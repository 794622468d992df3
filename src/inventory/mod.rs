//! Method + host + path -> endpoint: what is called, and what is declared about it.
//!
//! Endpoints come from OpenAPI documents; one parser reads every path (`path`), one radix tree for each host and
//! base path finds the template (`router`). What nobody declared is located too, as a discovered endpoint of the
//! highest sensitivity, so that policies can speak of it. Whether a call may go through is left to `policy`.

mod config;
mod declare;
mod discovery;
mod host;
mod openapi;
mod path;
mod refusal;
mod router;
mod security;
mod template;
mod trie;
mod unique;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use config::{ApiConfig, Config, Mode};
pub use openapi::DocumentError;
pub use path::{Bounds, RequestTarget};
pub use refusal::InventoryRefusal;
pub use router::Conflict;
pub use security::scopes_met;

use crate::model::id::InvalidId;
use crate::model::{
    Api, ApiCall, ApiId, ApiMode, DomainId, Endpoint, EndpointId, EndpointState, Located, Outside, Prepared,
    Sensitivity,
};
use router::{Found, Mount, Router};

/// Why an inventory cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum InventoryError {
    #[error("the inventory cannot read the document of API `{api}`")]
    Document {
        api: ApiId,
        #[source]
        source: DocumentError,
    },
    #[error("`{}`: {place}: {why}", file.display())]
    Declaration { file: PathBuf, place: String, why: String },
    #[error("the settings of API `{api}`: {why}")]
    Api { api: ApiId, why: String },
    #[error("`forwarded_headers` names `{header}`: {why}")]
    Header { header: String, why: &'static str },
    #[error(transparent)]
    Conflict(#[from] Conflict),
    #[error(transparent)]
    Id(#[from] InvalidId),
}

/// The id of the API that calls belong to which no API covers.
pub const UNDECLARED: &str = "undeclared";

/// The methods that the vocabulary has actions for.
const METHODS: [&str; 8] = ["GET", "HEAD", "OPTIONS", "TRACE", "POST", "PUT", "PATCH", "DELETE"];

/// Every API with its endpoints. Immutable: a changed document makes a new inventory.
#[derive(Debug)]
pub struct Inventory {
    router: Router,
    apis: Vec<Arc<Api>>,
    endpoints: Vec<Arc<Endpoint>>,
    undeclared: Arc<Api>,
    /// Whether a call without a host can mean an API.
    hostless: bool,
    bounds: Bounds,
    forwarded_headers: BTreeSet<String>,
}

impl Inventory {
    /// Reads every document; the first fault of any of them fails the whole. Relative paths start at `base_dir`.
    pub fn load(config: &Config, base_dir: &Path) -> Result<Self, InventoryError> {
        let mut mounts: Vec<Mount> = Vec::new();
        for api in &config.apis {
            if mounts.iter().any(|known| known.api.id == api.id) {
                return Err(InventoryError::Api {
                    api: api.id.clone(),
                    why: "the id is used twice".to_owned(),
                });
            }
            mounts.push(mount(api, base_dir)?);
        }
        let endpoints = mounts.iter().flat_map(|mount| &mount.declared).map(|one| Arc::clone(&one.endpoint));
        Ok(Self {
            endpoints: endpoints.collect(),
            apis: mounts.iter().map(|mount| Arc::clone(&mount.api)).collect(),
            hostless: mounts.iter().any(|mount| mount.hosts.is_empty()),
            router: Router::build(&mounts)?,
            undeclared: undeclared_api()?,
            bounds: Bounds { max_bytes: config.max_path_bytes, max_query_params: config.max_query_params },
            forwarded_headers: forwarded_headers(&config.forwarded_headers)?,
        })
    }

    /// Finds the endpoint of a call: declared, or discovered when nobody declared it.
    ///
    /// Refuses calls that could be read in two ways. `HEAD` and `OPTIONS` are methods like any other: undeclared
    /// unless the document has them.
    pub fn locate(&self, call: &ApiCall) -> Result<Located, InventoryRefusal> {
        let (path, query_params) = RequestTarget::parse(&call.path, self.bounds)?.into_parts();
        let host = self.host(&call.host)?;
        let method = known_method(&call.method)?;
        let (endpoint, path_params) = match self.router.find(&host, &path) {
            Found::Route { route, params } => {
                let declared = route.endpoint(method).map(Arc::clone);
                (declared.unwrap_or_else(|| discovered(&route.api, method, &route.template)), params)
            }
            Found::Inside(api) => (discovered_at(api, method, &path), Vec::new()),
            Found::Nowhere => (discovered_at(&self.undeclared, method, &path), Vec::new()),
        };
        Ok(Located { endpoint, path_params, query_params, host, path })
    }

    /// The configured APIs, in the order of the configuration.
    pub fn apis(&self) -> &[Arc<Api>] {
        &self.apis
    }

    /// The API of calls that no API covers: domain `default`, always enforced.
    pub fn undeclared(&self) -> &Arc<Api> {
        &self.undeclared
    }

    /// The API with this id, [`UNDECLARED`] included.
    pub fn api(&self, id: &ApiId) -> Option<&Arc<Api>> {
        self.apis.iter().chain([&self.undeclared]).find(|api| api.id == *id)
    }

    /// The declared endpoints, in the order of the documents.
    pub fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }

    /// The headers that policies may read, in lower case.
    pub fn forwarded_headers(&self) -> &BTreeSet<String> {
        &self.forwarded_headers
    }

    fn host(&self, raw: &str) -> Result<String, InventoryRefusal> {
        let host =
            host::parse_host(raw).map_err(|why| InventoryRefusal::ambiguous(format!("the host: {why}")))?;
        if host.is_empty() && !self.hostless {
            return Err(InventoryRefusal::ambiguous(
                "the call has no host, and every API is known by its host",
            ));
        }
        Ok(host)
    }
}

fn known_method(method: &str) -> Result<&'static str, InventoryRefusal> {
    let known = METHODS.into_iter().find(|known| *known == method);
    known.ok_or_else(|| InventoryRefusal::ambiguous("the method is none of HTTP's in upper case"))
}

fn discovered_at(api: &Arc<Api>, method: &str, path: &str) -> Arc<Endpoint> {
    discovered(api, method, &discovery::discovered_template(path))
}

fn discovered(api: &Arc<Api>, method: &str, template: &str) -> Arc<Endpoint> {
    Arc::new(Endpoint {
        id: EndpointId::new(&api.id, method, template),
        api: Arc::clone(api),
        method: method.to_owned(),
        action: method.to_owned(),
        template: template.to_owned(),
        operation: None,
        sensitivity: Sensitivity::RESTRICTED,
        state: EndpointState::Discovered,
        labels: BTreeSet::new(),
        security: None,
        sender_constrained: false,
        prepared: Prepared::default(),
    })
}

fn mount(config: &ApiConfig, base_dir: &Path) -> Result<Mount, InventoryError> {
    let refuse = |why: String| InventoryError::Api { api: config.id.clone(), why };
    if config.id.as_str() == UNDECLARED {
        return Err(refuse("the id is kept for calls that no API covers".to_owned()));
    }
    let api = Arc::new(Api {
        id: config.id.clone(),
        domain: config.domain.clone(),
        mode: mode(config).map_err(refuse)?,
        reuse: config.reuse,
        outside: outside(config).map_err(refuse)?,
    });
    let hosts = config.hosts.iter().map(|raw| {
        let named = host::parse_host(raw).ok().filter(|host| !host.is_empty());
        named.ok_or_else(|| refuse(format!("`{raw}` is not a host; write it like `api.example.com`")))
    });
    let hosts = hosts.collect::<Result<_, _>>()?;
    let file = base_dir.join(&config.openapi);
    let document = openapi::Document::read(&file)
        .map_err(|source| InventoryError::Document { api: config.id.clone(), source })?;
    let declared = declare::declare(&document, &api, config.base_path.as_deref())
        .map_err(|fault| InventoryError::Declaration { file, place: fault.place, why: fault.why })?;
    Ok(Mount { api, hosts, declared })
}

fn outside(config: &ApiConfig) -> Result<Outside, String> {
    let metadata = config.resource_metadata.as_deref();
    let fine = |url: &&str| url.starts_with("https://") && url.bytes().all(|byte| byte.is_ascii_graphic());
    if metadata.is_some_and(|url| !fine(&url) || url.contains(['"', '\\'])) {
        return Err("`resource_metadata` is not an https URL that can stand in a header".to_owned());
    }
    Ok(Outside { origin: config.external_origin.clone(), resource_metadata: metadata.map(Into::into) })
}

fn mode(config: &ApiConfig) -> Result<ApiMode, String> {
    match (config.mode, config.observe_until) {
        (Mode::Enforce, None) => Ok(ApiMode::Enforce),
        (Mode::Observe, Some(until)) => Ok(ApiMode::Observe { until }),
        (Mode::Enforce, Some(_)) => Err("`observe_until` needs mode `observe`".to_owned()),
        (Mode::Observe, None) => Err("mode `observe` needs `observe_until`, so that it ends".to_owned()),
    }
}

fn undeclared_api() -> Result<Arc<Api>, InventoryError> {
    let id = UNDECLARED.parse()?;
    Ok(Arc::new(Api {
        id,
        domain: DomainId::default(),
        mode: ApiMode::Enforce,
        reuse: Duration::ZERO,
        outside: Default::default(),
    }))
}

/// Headers that carry credentials stay out of policies, and so out of explanations and logs.
fn forwarded_headers(names: &[String]) -> Result<BTreeSet<String>, InventoryError> {
    const CREDENTIALS: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "dpop"];
    let refuse = |header: &String, why| InventoryError::Header { header: header.clone(), why };
    for header in names {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
        if header.is_empty() || !header.bytes().all(plain) {
            return Err(refuse(header, "write header names in lower case"));
        }
        if CREDENTIALS.contains(&header.as_str()) {
            return Err(refuse(header, "it carries credentials, which policies never see"));
        }
    }
    Ok(names.iter().cloned().collect())
}

#[cfg(test)]
mod tests;
