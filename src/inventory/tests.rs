//! The inventory as its callers use it, over the demo's documents.

use super::*;
use crate::model::{Principal, Reason, RequestFault, Timestamp};

fn api(id: &str, file: &str) -> ApiConfig {
    ApiConfig {
        id: id.parse().unwrap(),
        domain: DomainId::default(),
        openapi: file.into(),
        hosts: Vec::new(),
        base_path: None,
        mode: Mode::Enforce,
        observe_until: None,
        reuse: Duration::ZERO,
        external_origin: None,
        resource_metadata: None,
    }
}

fn demo() -> Vec<ApiConfig> {
    vec![api("orders", "orders.openapi.yaml"), api("accounts", "accounts.openapi.yaml")]
}

fn load(apis: Vec<ApiConfig>) -> Result<Inventory, InventoryError> {
    let documents = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/demo");
    Inventory::load(&Config { apis, ..Config::default() }, &documents)
}

fn call(method: &str, path: &str) -> ApiCall {
    let (method, host, path) = (method.into(), "API.example.com:443".into(), path.into());
    ApiCall { method, host, path, ..ApiCall::default() }
}

fn locate(method: &str, path: &str) -> Located {
    load(demo()).unwrap().locate(&call(method, path)).unwrap()
}

fn refused(call: &ApiCall) -> Reason {
    load(demo()).unwrap().locate(call).unwrap_err().reason
}

#[test]
fn a_declared_call_finds_its_endpoint_and_parameters() {
    let located = locate("GET", "/orders/42%20a?expand=lines");
    assert_eq!(located.endpoint.id.as_str(), "orders/GET /orders/{id}");
    assert_eq!(located.endpoint.state, EndpointState::Declared);
    assert_eq!(located.path_params, [("id".to_owned(), "42 a".to_owned())]);
    assert_eq!(located.query_params, [("expand".to_owned(), "lines".to_owned())]);
    assert_eq!((located.host.as_str(), located.path.as_str()), ("api.example.com", "/orders/42 a"));
}

#[test]
fn an_undeclared_path_is_discovered_in_its_api() {
    let endpoint = locate("GET", "/orders/42/debug").endpoint;
    assert_eq!(endpoint.id.as_str(), "orders/GET /orders/{id}/debug");
    assert_eq!((endpoint.state, endpoint.sensitivity), (EndpointState::Discovered, Sensitivity::RESTRICTED));
    assert!(!scopes_met(&endpoint, &Principal::anonymous()));
}

#[test]
fn an_undeclared_method_is_discovered_at_its_template() {
    let endpoint = locate("DELETE", "/orders/42").endpoint;
    assert_eq!(endpoint.id.as_str(), "orders/DELETE /orders/{id}");
    assert_eq!(endpoint.state, EndpointState::Discovered);
    assert_eq!(locate("HEAD", "/orders").endpoint.state, EndpointState::Discovered);
}

#[test]
fn what_no_api_covers_belongs_to_the_undeclared_one() {
    let endpoint = locate("GET", "/wp-admin/setup.php").endpoint;
    assert_eq!(endpoint.api.id.as_str(), UNDECLARED);
    assert!(endpoint.api.mode.enforces(Timestamp::from_seconds(0)));
    assert!(load(demo()).unwrap().api(&UNDECLARED.parse().unwrap()).is_some());
}

#[test]
fn the_demo_declares_what_its_story_needs() {
    let inventory = load(demo()).unwrap();
    let ids: Vec<&str> = inventory.endpoints().iter().map(|endpoint| endpoint.id.as_str()).collect();
    assert_eq!(
        ids,
        [
            "orders/GET /health",
            "orders/GET /orders",
            "orders/POST /orders",
            "orders/GET /orders/{id}",
            "orders/POST /orders/{id}/refund",
            "accounts/GET /accounts/{id}",
            "accounts/PUT /accounts/{id}",
        ]
    );
    assert!(scopes_met(&locate("GET", "/health").endpoint, &Principal::anonymous()));
    assert_eq!(locate("POST", "/orders/1/refund").endpoint.sensitivity, Sensitivity::RESTRICTED);
}

#[test]
fn calls_that_can_be_read_in_two_ways_are_refused() {
    let invalid = Reason::RequestInvalid;
    assert_eq!(refused(&call("GET", "/orders/..%2fadmin")), invalid(RequestFault::PathUnsafe));
    assert_eq!(refused(&call("GET", &format!("/{}", "a".repeat(9_000)))), invalid(RequestFault::TooLarge));
    for method in ["get", "", "CONNECT", "GET ", "BREW"] {
        assert_eq!(refused(&call(method, "/orders")), invalid(RequestFault::Ambiguous), "{method:?}");
    }
    let misdirected = ApiCall { host: "a@b".into(), ..call("GET", "/orders") };
    assert_eq!(refused(&misdirected), invalid(RequestFault::Ambiguous));
}

#[test]
fn a_call_without_a_host_is_refused_when_every_api_has_hosts() {
    let hostless = ApiCall { host: String::new(), ..call("GET", "/orders") };
    assert!(load(demo()).unwrap().locate(&hostless).is_ok());
    let named = ApiConfig { hosts: vec!["api.example.com".into()], ..api("orders", "orders.openapi.yaml") };
    assert!(load(vec![named]).unwrap().locate(&hostless).is_err());
}

#[test]
fn a_base_path_of_the_configuration_moves_the_api() {
    let moved = ApiConfig { base_path: Some("/shop/v1/".into()), ..api("orders", "orders.openapi.yaml") };
    let inventory = load(vec![moved]).unwrap();
    let located = inventory.locate(&call("GET", "/shop/v1/orders/7")).unwrap();
    assert_eq!(located.endpoint.template, "/shop/v1/orders/{id}");
    assert_eq!(inventory.locate(&call("GET", "/orders/7")).unwrap().endpoint.api.id.as_str(), UNDECLARED);
}

#[test]
fn observing_needs_an_end() {
    let until = Timestamp::from_seconds(100);
    let observe = |observe_until| ApiConfig { mode: Mode::Observe, observe_until, ..demo().remove(0) };
    let inventory = load(vec![observe(Some(until))]).unwrap();
    assert_eq!(inventory.apis()[0].mode, ApiMode::Observe { until });
    assert!(load(vec![observe(None)]).unwrap_err().to_string().contains("observe_until"));
    assert!(load(vec![ApiConfig { observe_until: Some(until), ..demo().remove(0) }]).is_err());
}

#[test]
fn faulty_settings_are_refused_by_name() {
    let error = |apis| load(apis).unwrap_err().to_string();
    assert!(error(vec![demo().remove(0), demo().remove(0)]).contains("`orders`"));
    assert!(error(vec![api("undeclared", "orders.openapi.yaml")]).contains("undeclared"));
    assert!(error(vec![api("orders", "nowhere.yaml")]).contains("`orders`"));
    let twins = vec![api("orders", "orders.openapi.yaml"), api("copies", "orders.openapi.yaml")];
    assert!(error(twins).contains("`copies`"));
    let host = ApiConfig { hosts: vec!["https://a".into()], ..demo().remove(0) };
    assert!(error(vec![host]).contains("https://a"));
}

#[test]
fn faults_of_a_document_name_file_and_place() {
    let folder = tempfile::tempdir().unwrap();
    let text = "openapi: 3.1.0\npaths: {/x: {get: {security: [{oauth: []}]}}}\n";
    std::fs::write(folder.path().join("x.yaml"), text).unwrap();
    let config = Config { apis: vec![api("x", "x.yaml")], ..Config::default() };
    let error = Inventory::load(&config, folder.path()).unwrap_err().to_string();
    assert!(error.contains("x.yaml`: GET /x: ") && error.contains("`oauth`"), "{error}");
}

#[test]
fn headers_with_credentials_are_not_forwarded() {
    let forward = |name: &str| {
        let config = Config { forwarded_headers: vec![name.into()], ..Config::default() };
        Inventory::load(&config, Path::new("."))
    };
    assert!(forward("x-tenant").unwrap().forwarded_headers().contains("x-tenant"));
    for name in ["authorization", "cookie", "X-Tenant", ""] {
        assert!(forward(name).is_err(), "{name:?}");
    }
}
