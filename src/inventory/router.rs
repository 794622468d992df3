//! From host and path to the endpoints mounted there: one tree for each base path of each host.
//!
//! The longest base path that covers a path owns it, literals win over parameters, and what could be matched by two
//! templates is refused when the inventory is built, so that a match never depends on the order of files.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::declare::Declared;
use super::template::Template;
use super::trie::Trie;
use crate::model::{Api, Endpoint};

/// One API and where it is mounted.
#[derive(Clone, Debug)]
pub(super) struct Mount {
    pub(super) api: Arc<Api>,
    /// Lower case, without port; empty: any host.
    pub(super) hosts: BTreeSet<String>,
    pub(super) declared: Vec<Declared>,
}

/// What the router knows of a path.
#[derive(Debug)]
pub(super) enum Found<'r> {
    /// A declared template, with the values of its parameters.
    Route { route: &'r Route, params: Vec<(String, String)> },
    /// No template, but the path lies in this API.
    Inside(&'r Arc<Api>),
    /// No API is mounted there, or several share the base path and none owns it.
    Nowhere,
}

/// A declared template with its operations.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) api: Arc<Api>,
    pub(super) template: String,
    params: Vec<String>,
    endpoints: BTreeMap<String, Arc<Endpoint>>,
}

impl Route {
    pub(super) fn endpoint(&self, method: &str) -> Option<&Arc<Endpoint>> {
        self.endpoints.get(method)
    }
}

/// Two mounts that cannot stand side by side.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    #[error("`{second}` of API `{second_api}` and `{first}` of API `{first_api}` match the same calls")]
    Ambiguous { first_api: String, first: String, second_api: String, second: String },
    #[error(
        "`{template}` of API `{api}` can never be matched: the longer base path `{base}` of API `{by}` covers it"
    )]
    Shadowed { api: String, template: String, base: String, by: String },
}

/// All mounts, by host.
#[derive(Debug, Default)]
pub(super) struct Router {
    named: HashMap<String, Site, RandomState>,
    /// For hosts that no API names.
    any: Site,
}

impl Router {
    pub(super) fn build(mounts: &[Mount]) -> Result<Self, Conflict> {
        let hosts: BTreeSet<&String> = mounts.iter().flat_map(|mount| &mount.hosts).collect();
        let site = |host: Option<&String>| {
            let serves = |mount: &&Mount| {
                mount.hosts.is_empty() || host.is_some_and(|host| mount.hosts.contains(host))
            };
            Site::build(&mounts.iter().filter(serves).collect::<Vec<_>>())
        };
        let named = hosts.into_iter().map(|host| Ok((host.clone(), site(Some(host))?)));
        Ok(Self { named: named.collect::<Result<_, _>>()?, any: site(None)? })
    }

    /// Finds what is mounted at a decoded path.
    pub(super) fn find(&self, host: &str, path: &str) -> Found<'_> {
        self.named.get(host).unwrap_or(&self.any).find(path)
    }
}

/// What one host serves; the longest base path first.
#[derive(Debug, Default)]
struct Site {
    bases: Vec<Base>,
}

/// Every template under one base path.
#[derive(Debug, Default)]
struct Base {
    /// Its literal segments, decoded.
    segments: Vec<String>,
    tree: Trie<Arc<Route>>,
    owners: Owners,
}

/// Which API undeclared paths under a base belong to.
#[derive(Debug, Default)]
struct Owners {
    apis: Vec<Arc<Api>>,
    /// By the first literal segment after the base; `None` where several APIs use it.
    by_segment: HashMap<String, Option<Arc<Api>>>,
}

impl Site {
    fn build(mounts: &[&Mount]) -> Result<Self, Conflict> {
        let mut bases: BTreeMap<&str, Base> = BTreeMap::new();
        for mount in mounts {
            for (base, declared) in by_base(&mount.declared) {
                let entry = bases.entry(base).or_insert_with(|| Base::at(base));
                for operations in by_template(declared) {
                    entry.insert(&mount.api, &operations)?;
                }
            }
        }
        let mut bases: Vec<Base> = bases.into_values().collect();
        bases.sort_by_key(|base| std::cmp::Reverse(base.segments.len()));
        check_shadows(mounts, &bases)?;
        Ok(Self { bases })
    }

    fn find(&self, path: &str) -> Found<'_> {
        let Some(base) = self.bases.iter().find(|base| base.covers(path)) else { return Found::Nowhere };
        let Some((route, values)) = base.tree.find(path) else {
            return base.owner(path).map_or(Found::Nowhere, Found::Inside);
        };
        let values = values.into_iter().map(str::to_owned);
        Found::Route { route, params: route.params.iter().cloned().zip(values).collect() }
    }
}

impl Base {
    fn at(base: &str) -> Self {
        // A base path was checked as a template without parameters.
        let template = Template::parse(base).ok();
        let segments =
            template.map(|t| t.leading_literals().map(str::to_owned).collect()).unwrap_or_default();
        Self { segments, ..Self::default() }
    }

    fn covers(&self, path: &str) -> bool {
        let mut segments = path.split('/').skip(1);
        self.segments.iter().all(|wanted| segments.next() == Some(wanted.as_str()))
    }

    fn insert(&mut self, api: &Arc<Api>, operations: &[&Declared]) -> Result<(), Conflict> {
        let Some(first) = operations.first() else { return Ok(()) };
        let route = Arc::new(Route {
            api: Arc::clone(api),
            template: first.template.text().to_owned(),
            params: first.template.params().to_vec(),
            endpoints: operations
                .iter()
                .map(|one| (one.endpoint.method.clone(), Arc::clone(&one.endpoint)))
                .collect(),
        });
        let added = self.tree.insert(first.template.segments(), Arc::clone(&route));
        added.map_err(|known| Conflict::Ambiguous {
            first_api: known.api.id.to_string(),
            first: known.template.clone(),
            second_api: route.api.id.to_string(),
            second: route.template.clone(),
        })?;
        self.owners.add(api, first.template.leading_literals().nth(self.segments.len()));
        Ok(())
    }

    /// The API that an undeclared path lies in: the only one here, or the only one that uses its first segment.
    fn owner(&self, path: &str) -> Option<&Arc<Api>> {
        if let [only] = self.owners.apis.as_slice() {
            return Some(only);
        }
        let first = path.split('/').nth(self.segments.len() + 1)?;
        self.owners.by_segment.get(first)?.as_ref()
    }
}

impl Owners {
    fn add(&mut self, api: &Arc<Api>, first_segment: Option<&str>) {
        if !self.apis.iter().any(|known| known.id == api.id) {
            self.apis.push(Arc::clone(api));
        }
        let Some(segment) = first_segment else { return };
        let owner = self.by_segment.entry(segment.to_owned()).or_insert_with(|| Some(Arc::clone(api)));
        if owner.as_ref().is_some_and(|known| known.id != api.id) {
            *owner = None;
        }
    }
}

fn by_base(declared: &[Declared]) -> BTreeMap<&str, Vec<&Declared>> {
    let mut groups: BTreeMap<&str, Vec<&Declared>> = BTreeMap::new();
    for one in declared {
        groups.entry(&one.base).or_default().push(one);
    }
    groups
}

fn by_template(declared: Vec<&Declared>) -> Vec<Vec<&Declared>> {
    let mut groups: BTreeMap<&str, Vec<&Declared>> = BTreeMap::new();
    for one in declared {
        groups.entry(one.template.text()).or_default().push(one);
    }
    groups.into_values().collect()
}

/// Finds templates whose literals lead into a longer base path, which is asked first and never looks back.
///
/// Besides being dead, such a template could share its endpoint id with an undeclared path of the longer base.
fn check_shadows(mounts: &[&Mount], bases: &[Base]) -> Result<(), Conflict> {
    for (mount, one) in mounts.iter().flat_map(|mount| mount.declared.iter().map(move |one| (mount, one))) {
        let literals: Vec<&str> = one.template.leading_literals().collect();
        let own = Base::at(&one.base).segments.len();
        let shadow = bases.iter().filter(|base| base.segments.len() > own).find(|base| {
            base.segments.len() <= literals.len() && base.segments.iter().zip(&literals).all(|(a, b)| a == b)
        });
        if let Some(base) = shadow {
            return Err(Conflict::Shadowed {
                api: mount.api.id.to_string(),
                template: one.template.text().to_owned(),
                base: format!("/{}", base.segments.join("/")),
                by: base.owners.apis.first().map_or_else(String::new, |api| api.id.to_string()),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::{ApiMode, EndpointId, EndpointState, Sensitivity};

    fn mount(api: &str, hosts: &[&str], base: &str, operations: &[&str]) -> Mount {
        let id = api.parse().unwrap();
        let api = Arc::new(Api {
            id,
            domain: Default::default(),
            mode: ApiMode::Enforce,
            reuse: Duration::ZERO,
            outside: Default::default(),
        });
        let declare = |operation: &&str| {
            let (method, key) = operation.split_once(' ').unwrap();
            let template = Template::parse(&format!("{base}{key}")).unwrap();
            let endpoint = Endpoint {
                id: EndpointId::new(&api.id, method, template.text()),
                api: Arc::clone(&api),
                method: method.into(),
                action: method.into(),
                template: template.text().into(),
                operation: None,
                sensitivity: Sensitivity::INTERNAL,
                state: EndpointState::Declared,
                labels: BTreeSet::new(),
                security: None,
                sender_constrained: false,
                prepared: Default::default(),
            };
            Declared { base: base.into(), template, endpoint: Arc::new(endpoint) }
        };
        let declared = operations.iter().map(declare).collect();
        Mount { api, hosts: hosts.iter().map(|host| (*host).to_owned()).collect(), declared }
    }

    /// `api template name=value ...`, `api` alone for an undeclared path inside it, or nothing.
    fn find(mounts: &[Mount], host: &str, path: &str) -> String {
        match Router::build(mounts).unwrap().find(host, path) {
            Found::Route { route, params } => {
                let params: String = params.iter().map(|(name, value)| format!(" {name}={value}")).collect();
                format!("{} {}{params}", route.api.id, route.template)
            }
            Found::Inside(api) => api.id.to_string(),
            Found::Nowhere => String::new(),
        }
    }

    #[test]
    fn a_template_is_found_with_its_parameters_by_name() {
        let apis = [mount("a", &[], "", &["GET /x/{id}/lines/{line}", "POST /x/{id}:close"])];
        assert_eq!(find(&apis, "h", "/x/7/lines/8"), "a /x/{id}/lines/{line} id=7 line=8");
        assert_eq!(find(&apis, "h", "/x/7:close"), "a /x/{id}:close id=7");
        assert_eq!(find(&apis, "h", "/x/7/lines/8/"), "a");
    }

    #[test]
    fn the_longest_base_path_owns_a_path() {
        let apis = [mount("a", &[], "", &["GET /{x}/{y}"]), mount("b", &[], "/v1", &["GET /orders"])];
        assert_eq!(find(&apis, "h", "/v1/orders"), "b /v1/orders");
        assert_eq!(find(&apis, "h", "/v1/other"), "b");
        assert_eq!(find(&apis, "h", "/v10/other"), "a /{x}/{y} x=v10 y=other");
    }

    #[test]
    fn apis_of_one_base_path_share_it_by_first_segment() {
        let apis =
            [mount("orders", &[], "", &["GET /orders/{id}"]), mount("accounts", &[], "", &["GET /accounts"])];
        assert_eq!(find(&apis, "h", "/orders/1"), "orders /orders/{id} id=1");
        assert_eq!(find(&apis, "h", "/orders/1/debug"), "orders");
        assert_eq!(find(&apis, "h", "/accounts/x"), "accounts");
        assert_eq!(find(&apis, "h", "/wp-admin"), "");
    }

    #[test]
    fn hosts_part_apis_and_an_api_without_hosts_is_everywhere() {
        let apis = [
            mount("a", &["a.example"], "", &["GET /x"]),
            mount("b", &["b.example"], "", &["GET /x"]),
            mount("c", &[], "/shared", &["GET /x"]),
        ];
        assert_eq!(find(&apis, "a.example", "/x"), "a /x");
        assert_eq!(find(&apis, "b.example", "/x"), "b /x");
        assert_eq!(find(&apis, "b.example", "/shared/x"), "c /shared/x");
        assert_eq!(find(&apis, "other.example", "/shared/x"), "c /shared/x");
        assert_eq!(find(&apis, "other.example", "/x"), "");
    }

    #[test]
    fn templates_that_match_the_same_calls_are_refused() {
        let apis = [mount("a", &[], "", &["GET /x/{id}"]), mount("b", &["h"], "", &["PUT /x/{name}"])];
        let error = Router::build(&apis).unwrap_err().to_string();
        assert!(
            error.contains("`/x/{id}` of API `a`") && error.contains("`/x/{name}` of API `b`"),
            "{error}"
        );
    }

    #[test]
    fn a_template_under_a_longer_base_path_is_refused() {
        let apis = [mount("a", &[], "", &["GET /v1/{id}"]), mount("b", &[], "/v1", &["GET /orders"])];
        assert!(matches!(Router::build(&apis), Err(Conflict::Shadowed { .. })));
    }

    #[test]
    fn grpc_methods_are_ordinary_paths() {
        let apis = [mount("a", &[], "", &["POST /pkg.Orders/Get"])];
        assert_eq!(find(&apis, "h", "/pkg.Orders/Get"), "a /pkg.Orders/Get");
    }
}
