//! From an OpenAPI document to declared endpoints: servers, templates, security and Deodar's own extensions.
//!
//! A document is taken whole or not at all: the first thing in it that cannot be matched or met safely is an
//! error that names the path, the method and the value. How templates of several APIs fit together is left to
//! `router`.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::openapi::{Document, Notes, Operation, PathItem, SecurityScheme, Server};
use super::template::Template;
use super::unique::UniqueMap;
use crate::model::{
    Api, Endpoint, EndpointId, EndpointState, Prepared, Scheme, SecurityAlternative, Sensitivity,
};

/// One endpoint, where it is mounted and what it matches.
#[derive(Clone, Debug)]
pub(super) struct Declared {
    /// Without a trailing slash; empty for the root.
    pub(super) base: String,
    pub(super) template: Template,
    pub(super) endpoint: Arc<Endpoint>,
}

/// What is wrong with a document, and where in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// `GET /orders/{id}`, `/orders/{id}` or `the document`.
    pub(super) place: String,
    pub(super) why: String,
}

/// Reads every operation of a document; `base_path` overrides its servers.
pub(super) fn declare(
    document: &Document,
    api: &Arc<Api>,
    base_path: Option<&str>,
) -> Result<Vec<Declared>, Fault> {
    let mut reader = Reader { document, api, base_path, shapes: HashMap::new(), operations: HashMap::new() };
    let mut declared = Vec::new();
    for (key, item) in document.paths.iter() {
        if let Some(reference) = &item.reference {
            let why = format!("`$ref: {reference}`: path items by reference are not followed; write it out");
            return Err(fault(key, why));
        }
        for (method, operation) in item.operations() {
            let place = format!("{method} {key}");
            let found = reader.operation(key, item, method, operation);
            declared.extend(found.map_err(|why| fault(&place, why))?);
        }
    }
    Ok(declared)
}

fn fault(place: &str, why: String) -> Fault {
    Fault { place: place.to_owned(), why }
}

struct Reader<'a> {
    document: &'a Document,
    api: &'a Arc<Api>,
    base_path: Option<&'a str>,
    /// Shape -> template: templates that differ only in the names of their parameters match the same calls.
    shapes: HashMap<String, String>,
    /// operationId -> the place that has it.
    operations: HashMap<String, String>,
}

impl Reader<'_> {
    fn operation(
        &mut self,
        key: &str,
        item: &PathItem,
        method: &str,
        operation: &Operation,
    ) -> Result<Vec<Declared>, String> {
        let levels = [&operation.notes, &item.notes, &self.document.notes];
        let sensitivity = nearest(levels, |notes| &notes.sensitivity).map(sensitivity).transpose()?;
        let action = nearest(levels, |notes| &notes.action).map(action).transpose()?;
        let labels = nearest(levels, |notes| &notes.labels).map(labels).transpose()?;
        let bound = nearest(levels, |notes| &notes.sender_constrained).map(sender_constrained).transpose()?;
        let security = self.security(operation)?;
        self.take_operation_id(operation, &format!("{method} {key}"))?;
        let mut declared = Vec::new();
        for base in self.bases(item, operation)? {
            let template = self.template(&base, key)?;
            let endpoint = Endpoint {
                id: EndpointId::new(&self.api.id, method, template.text()),
                api: Arc::clone(self.api),
                method: method.to_owned(),
                action: action.unwrap_or(method).to_owned(),
                template: template.text().to_owned(),
                operation: operation.operation_id.clone(),
                sensitivity: sensitivity.unwrap_or_default(),
                state: EndpointState::Declared,
                labels: labels.clone().unwrap_or_default(),
                security: security.clone(),
                sender_constrained: bound.unwrap_or_default(),
                prepared: Prepared::default(),
            };
            declared.push(Declared { base, template, endpoint: Arc::new(endpoint) });
        }
        Ok(declared)
    }

    fn template(&mut self, base: &str, key: &str) -> Result<Template, String> {
        if !key.starts_with('/') {
            return Err("a path begins with a slash".to_owned());
        }
        let template = Template::parse(&format!("{base}{key}"))?;
        let known = self.shapes.entry(template.shape()).or_insert_with(|| template.text().to_owned());
        if known != template.text() {
            return Err(format!(
                "it matches the same calls as `{known}`, so which one is meant is ambiguous"
            ));
        }
        Ok(template)
    }

    fn take_operation_id(&mut self, operation: &Operation, place: &str) -> Result<(), String> {
        let Some(id) = &operation.operation_id else { return Ok(()) };
        match self.operations.insert(id.clone(), place.to_owned()) {
            Some(other) => Err(format!("the operationId `{id}` belongs to {other} already")),
            None => Ok(()),
        }
    }

    fn bases(&self, item: &PathItem, operation: &Operation) -> Result<BTreeSet<String>, String> {
        if let Some(base) = self.base_path {
            return base_of_path(base).map(|base| BTreeSet::from([base]));
        }
        let servers = operation.servers.as_ref().or(item.servers.as_ref()).or(self.document.servers.as_ref());
        match servers {
            Some(servers) if !servers.is_empty() => servers.iter().map(base_of_server).collect(),
            _ => Ok(BTreeSet::from([String::new()])),
        }
    }

    /// The operation's own security, or the document's; `None` when both are silent.
    fn security(&self, operation: &Operation) -> Result<Option<Vec<SecurityAlternative>>, String> {
        let Some(alternatives) = operation.security.as_ref().or(self.document.security.as_ref()) else {
            return Ok(None);
        };
        alternatives
            .iter()
            .map(|alternative| self.alternative(alternative))
            .collect::<Result<_, _>>()
            .map(Some)
    }

    fn alternative(&self, alternative: &UniqueMap<Vec<String>>) -> Result<SecurityAlternative, String> {
        let schemes = &self.document.components.security_schemes;
        let mut met_by = SecurityAlternative::default();
        for (name, scopes) in alternative.iter() {
            let Some(scheme) = schemes.get(name) else {
                return Err(format!(
                    "security names `{name}`, which components.securitySchemes does not define"
                ));
            };
            met_by.schemes.push(scheme_of(name, scheme, scopes)?);
        }
        Ok(met_by)
    }
}

fn scheme_of(name: &str, scheme: &SecurityScheme, scopes: &[String]) -> Result<Scheme, String> {
    if let Some(reference) = &scheme.reference {
        return Err(format!("the security scheme `{name}` is a reference (`{reference}`); write it out"));
    }
    let scopes = scopes.iter().cloned().collect();
    let bearer = scheme.scheme.as_ref().is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer"));
    match scheme.kind.as_str() {
        "oauth2" | "openIdConnect" => Ok(Scheme::Token { scopes }),
        "http" if bearer => Ok(Scheme::Bearer { scopes }),
        "mutualTLS" => Ok(Scheme::MutualTls),
        "http" | "apiKey" => Ok(Scheme::Unverifiable { name: name.to_owned() }),
        other => {
            Err(format!("the security scheme `{name}` has the type `{other}`, which OpenAPI does not know"))
        }
    }
}

fn nearest<'a>(
    levels: [&'a Notes; 3],
    pick: impl Fn(&'a Notes) -> &'a Option<serde_json::Value>,
) -> Option<&'a serde_json::Value> {
    levels.into_iter().find_map(|notes| pick(notes).as_ref())
}

fn sensitivity(value: &serde_json::Value) -> Result<Sensitivity, String> {
    let named = match value.as_str() {
        Some("public") => Some(Sensitivity::PUBLIC),
        Some("internal") => Some(Sensitivity::INTERNAL),
        Some("confidential") => Some(Sensitivity::CONFIDENTIAL),
        Some("restricted") => Some(Sensitivity::RESTRICTED),
        _ => None,
    };
    let numbered = || Sensitivity::try_from(u8::try_from(value.as_u64()?).ok()?).ok();
    named.or_else(numbered).ok_or_else(|| {
        format!(
            "x-deodar-sensitivity is {value}; write 0 to 3, or public, internal, confidential, restricted"
        )
    })
}

fn action(value: &serde_json::Value) -> Result<&'static str, String> {
    match value.as_str() {
        Some("query") => Ok("query"),
        Some("call") => Ok("call"),
        _ => Err(format!("x-deodar-action is {value}; write `query` (no side effects) or `call`")),
    }
}

fn sender_constrained(value: &serde_json::Value) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| format!("x-deodar-sender-constrained is {value}; write true or false"))
}

fn labels(value: &serde_json::Value) -> Result<BTreeSet<String>, String> {
    let fine = |label: &&str| !label.is_empty() && label.len() <= 64 && !label.chars().any(char::is_control);
    let label = |value: &serde_json::Value| value.as_str().filter(fine).map(str::to_owned);
    let labels = value.as_array().and_then(|values| values.iter().map(label).collect());
    labels
        .ok_or_else(|| format!("x-deodar-labels is {value}; write a list of words of at most 64 characters"))
}

/// The path of a server's URL, with variables replaced by their defaults.
fn base_of_server(server: &Server) -> Result<String, String> {
    let mut url = server.url.clone();
    for (name, variable) in server.variables.iter() {
        url = url.replace(&format!("{{{name}}}"), &variable.default);
    }
    if url.contains(['{', '}']) {
        return Err(format!("the server URL `{}` has a variable without a default", server.url));
    }
    let path = match url.split_once("//") {
        Some((scheme, rest)) if scheme.is_empty() || scheme.ends_with(':') => {
            rest.find('/').map_or("", |start| rest.split_at(start).1)
        }
        _ if url.is_empty() || url.starts_with('/') => &url,
        _ => {
            let why = "is relative to where the document lies; set `base_path` for the API instead";
            return Err(format!("the server URL `{}` {why}", server.url));
        }
    };
    base_of_path(path)
}

/// A base path without its trailing slash, checked like any template.
fn base_of_path(path: &str) -> Result<String, String> {
    let base = path.strip_suffix('/').unwrap_or(path);
    if base.is_empty() {
        return Ok(String::new());
    }
    let template = Template::parse(base).map_err(|why| format!("the base path `{path}`: {why}"))?;
    if template.params().is_empty() {
        Ok(base.to_owned())
    } else {
        Err(format!("the base path `{path}` has a parameter"))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::model::ApiMode;

    const SCHEMES: &str = "
components:
  securitySchemes:
    oauth: {type: oauth2, flows: {}}
    bearer: {type: http, scheme: Bearer}
    key: {type: apiKey, in: header, name: X-Key}
";

    fn read(body: &str) -> Result<Vec<Declared>, Fault> {
        let text = format!("openapi: 3.1.0\n{body}{SCHEMES}");
        let document = Document::parse(Path::new("orders.yaml"), &text).unwrap();
        let id = "orders".parse().unwrap();
        let api = Api {
            id,
            domain: Default::default(),
            mode: ApiMode::Enforce,
            reuse: Duration::ZERO,
            outside: Default::default(),
        };
        declare(&document, &Arc::new(api), None)
    }

    fn one(body: &str) -> Endpoint {
        let [declared] = &read(body).unwrap()[..] else { panic!("expected one endpoint") };
        declared.endpoint.as_ref().clone()
    }

    fn refused(body: &str) -> String {
        let Fault { place, why } = read(body).unwrap_err();
        format!("{place}: {why}")
    }

    #[test]
    fn an_operation_becomes_an_endpoint() {
        let endpoint = one("
servers: [{url: 'https://api.example.com/v1/'}]
security: [{oauth: ['orders:read']}]
paths:
  /orders/{id}:
    x-deodar-labels: [pii]
    get: {operationId: getOrder, x-deodar-sensitivity: internal}
");
        assert_eq!(endpoint.id.as_str(), "orders/GET /v1/orders/{id}");
        assert_eq!((endpoint.action.as_str(), endpoint.sensitivity), ("GET", Sensitivity::INTERNAL));
        assert_eq!(endpoint.operation.as_deref(), Some("getOrder"));
        assert!(endpoint.labels.contains("pii"));
        let scopes = BTreeSet::from(["orders:read".to_owned()]);
        let alternative = SecurityAlternative { schemes: vec![Scheme::Token { scopes }] };
        assert_eq!(endpoint.security, Some(vec![alternative]));
    }

    #[test]
    fn what_nobody_wrote_opens_nothing() {
        let endpoint = one("paths: {/orders: {get: {}}}");
        assert_eq!(endpoint.sensitivity, Sensitivity::CONFIDENTIAL);
        assert_eq!(endpoint.security, None);
    }

    #[test]
    fn an_operation_overrides_the_documents_security() {
        let security = |own: &str| {
            one(&format!("security: [{{oauth: [a]}}]\npaths: {{/x: {{get: {{{own}}}}}}}")).security.unwrap()
        };
        assert_eq!(security("").len(), 1);
        assert_eq!(security("security: []"), []);
        let schemes = |own: &str| security(own).into_iter().map(|one| one.schemes).collect::<Vec<_>>();
        assert_eq!(schemes("security: [{}]"), [vec![]]);
        assert_eq!(schemes("security: [{key: []}]"), [vec![Scheme::Unverifiable { name: "key".into() }]]);
        assert_eq!(schemes("security: [{bearer: []}]"), [vec![Scheme::Bearer { scopes: BTreeSet::new() }]]);
    }

    #[test]
    fn the_nearest_extension_wins() {
        let level = |own: &str| {
            one(&format!(
                "x-deodar-sensitivity: 1\npaths: {{/x: {{x-deodar-sensitivity: 2, post: {{{own}}}}}}}"
            ))
        };
        assert_eq!(level("").sensitivity, Sensitivity::CONFIDENTIAL);
        assert_eq!(level("x-deodar-sensitivity: restricted").sensitivity, Sensitivity::RESTRICTED);
        assert_eq!(level("x-deodar-action: query").action, "query");
    }

    #[test]
    fn a_bound_token_is_wanted_where_the_document_says_so() {
        let wanted = |own: &str| {
            one(&format!("x-deodar-sender-constrained: true\npaths: {{/x: {{get: {{{own}}}}}}}"))
                .sender_constrained
        };
        assert!(wanted("") && !wanted("x-deodar-sender-constrained: false"));
        assert!(!one("paths: {/x: {get: {}}}").sender_constrained);
        let doubt = refused("paths: {/x: {get: {x-deodar-sender-constrained: 'yes'}}}");
        assert!(doubt.contains("x-deodar-sender-constrained"), "{doubt}");
    }

    #[test]
    fn servers_give_the_base_paths() {
        let templates = |servers: &str| {
            let found = read(&format!("servers: {servers}\npaths: {{/x: {{get: {{}}}}}}")).unwrap();
            found.into_iter().map(|one| one.endpoint.template.clone()).collect::<Vec<_>>()
        };
        assert_eq!(templates("[]"), ["/x"]);
        assert_eq!(templates("[{url: 'https://api.example.com'}]"), ["/x"]);
        assert_eq!(templates("[{url: /v1}, {url: 'https://b.example.com/v2'}]"), ["/v1/x", "/v2/x"]);
        let variable = "[{url: 'https://{h}/{v}', variables: {h: {default: a.b}, v: {default: v3}}}]";
        assert_eq!(templates(variable), ["/v3/x"]);
        for bad in ["[{url: '/{v}'}]", "[{url: v1}]", "[{url: '/a/../b'}]", "[{url: '/a?b'}]"] {
            assert!(read(&format!("servers: {bad}\npaths: {{/x: {{get: {{}}}}}}")).is_err(), "{bad}");
        }
    }

    #[test]
    fn documents_that_leave_a_doubt_are_refused_with_the_place() {
        for (body, place, why) in [
            ("paths: {'/{a}': {get: {}}, '/{b}': {put: {}}}", "PUT /{b}", "`/{a}`"),
            ("paths: {'/{a}.{b}': {get: {}}}", "GET /{a}.{b}", "one parameter"),
            ("paths: {'/x#y': {get: {}}}", "GET /x#y", "fragment"),
            ("paths: {'/x?y=1': {get: {}}}", "GET /x?y=1", "query"),
            ("paths: {x: {get: {}}}", "GET x", "slash"),
            ("paths: {/x: {$ref: './x.yaml'}}", "/x", "./x.yaml"),
            ("paths: {/x: {get: {operationId: a}, put: {operationId: a}}}", "PUT /x", "GET /x"),
            ("paths: {/x: {get: {security: [{ouath: []}]}}}", "GET /x", "`ouath`"),
            ("paths: {/x: {get: {x-deodar-sensitivity: 4}}}", "GET /x", "4"),
            ("paths: {/x: {get: {x-deodar-sensitivity: secret}}}", "GET /x", "secret"),
            ("paths: {/x: {get: {x-deodar-action: read}}}", "GET /x", "read"),
            ("paths: {/x: {get: {x-deodar-labels: pii}}}", "GET /x", "pii"),
        ] {
            let error = refused(body);
            assert!(error.starts_with(&format!("{place}: ")) && error.contains(why), "{body}: {error}");
        }
    }

    #[test]
    fn extensions_beside_paths_are_ignored() {
        assert_eq!(
            read("paths: {x-note: hello, /x: {summary: s, parameters: [], get: {}}}").unwrap().len(),
            1
        );
    }
}
