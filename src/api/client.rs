//! The gRPC client of Deodar's own tools: one connection a listener, the key, if there is one, on every call.
//!
//! A call takes a message and returns a message or a [`ClientError`], so that whoever calls needs to know neither
//! tonic nor HTTP. Streams and batches are reached through the generated clients.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tonic::body::Body;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};
use tonic_types::StatusExt;
use tower::Service;

use super::dial::{DialError, Dialer, Trust};
use super::pb::decision::decision_service_client::DecisionServiceClient;
use super::pb::manage::client_service_client::ClientServiceClient;
use super::pb::manage::decision_record_service_client::DecisionRecordServiceClient;
use super::pb::manage::principal_service_client::PrincipalServiceClient;
use super::pb::manage::revocation_service_client::RevocationServiceClient;
use super::pb::manage::risk_service_client::RiskServiceClient;
use super::pb::manage::signal_service_client::SignalServiceClient;
use super::pb::manage::system_service_client::SystemServiceClient;
use super::pb::{decision, manage};
use crate::model::Secret;

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL, or a file for TLS.
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error(
        "nothing answers at {url}; is the server running? Start one with `deodar serve` or `deodar demo`"
    )]
    Unreachable {
        url: String,
        #[source]
        source: tonic::transport::Error,
    },
    /// Somebody answers, and TLS does not come about.
    #[error("no connection to {url}: {why}")]
    Tls { url: String, why: String },
    #[error("the client key holds characters that cannot be sent; copy it again, without line breaks")]
    InvalidKey,
}

/// A call that the server answered with an error, or never answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ClientError {
    /// The gRPC code as a word: `not_found`, `permission_denied`.
    pub code: String,
    pub message: String,
    /// What is wrong with which field of the request.
    pub violations: Vec<FieldViolation>,
}

/// One field of a request that the server did not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldViolation {
    pub field: String,
    pub why: String,
}

/// The message and the code; a line for each violation that the message does not tell already.
impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)?;
        let untold = self.violations.iter().filter(|violation| !self.message.contains(&violation.why));
        for FieldViolation { field, why } in untold {
            write!(f, "\n  {field}: {why}")?;
        }
        Ok(())
    }
}

impl From<Status> for ClientError {
    fn from(status: Status) -> Self {
        let violations = status.get_details_bad_request().map(|bad| bad.field_violations).unwrap_or_default();
        let violations = violations.into_iter();
        let violations = violations.map(|one| FieldViolation { field: one.field, why: one.description });
        let message = match status.message() {
            "" => status.code().description().to_owned(),
            message => message.to_owned(),
        };
        Self { code: code_name(status.code()), message, violations: violations.collect() }
    }
}

/// `NotFound` -> `not_found`.
fn code_name(code: Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

/// A channel that presents a client key on every call, if there is one.
pub type KeyedChannel = InterceptedService<ExplainedChannel, PresentKey>;

/// A channel whose errors say what TLS had to do with them.
#[derive(Clone)]
pub struct ExplainedChannel {
    channel: Channel,
    dialer: Dialer,
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl ExplainedChannel {
    fn explain(dialer: &Dialer, error: tonic::transport::Error) -> BoxError {
        dialer.fault().map_or_else(|| error.into(), BoxError::from)
    }
}

impl Service<http::Request<Body>> for ExplainedChannel {
    type Response = http::Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.channel.poll_ready(context).map_err(|error| Self::explain(&self.dialer, error))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let (called, dialer) = (self.channel.call(request), self.dialer.clone());
        Box::pin(async move { called.await.map_err(|error| Self::explain(&dialer, error)) })
    }
}

/// Adds `authorization: Bearer <key>`; nothing where the connection's certificate says who calls.
#[derive(Clone)]
pub struct PresentKey(Option<MetadataValue<Ascii>>);

impl Interceptor for PresentKey {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(authorization) = &self.0 {
            request.metadata_mut().insert("authorization", authorization.clone());
        }
        Ok(request)
    }
}

/// A connection to one listener.
#[derive(Clone)]
pub struct Connection {
    channel: KeyedChannel,
}

impl Connection {
    /// Connects, waiting a few seconds at most. `url` is `http://host:port` or `https://host:port`.
    /// Without a key the certificate in `trust` has to say who calls.
    pub async fn open(url: &str, key: Option<&Secret>, trust: &Trust) -> Result<Self, ConnectError> {
        let dialer = Dialer::new(url, trust)?;
        let channel = ExplainedChannel { channel: channel(url, dialer.clone()).await?, dialer };
        let authorization = key.map(authorization).transpose()?;
        Ok(Self { channel: InterceptedService::new(channel, PresentKey(authorization)) })
    }

    pub fn decisions(&self) -> DecisionServiceClient<KeyedChannel> {
        DecisionServiceClient::new(self.channel.clone())
    }

    pub fn signals(&self) -> SignalServiceClient<KeyedChannel> {
        SignalServiceClient::new(self.channel.clone())
    }

    pub fn revocations(&self) -> RevocationServiceClient<KeyedChannel> {
        RevocationServiceClient::new(self.channel.clone())
    }

    pub fn principals(&self) -> PrincipalServiceClient<KeyedChannel> {
        PrincipalServiceClient::new(self.channel.clone())
    }

    pub fn risk(&self) -> RiskServiceClient<KeyedChannel> {
        RiskServiceClient::new(self.channel.clone())
    }

    pub fn clients(&self) -> ClientServiceClient<KeyedChannel> {
        ClientServiceClient::new(self.channel.clone())
    }

    pub fn records(&self) -> DecisionRecordServiceClient<KeyedChannel> {
        DecisionRecordServiceClient::new(self.channel.clone())
    }

    pub fn system(&self) -> SystemServiceClient<KeyedChannel> {
        SystemServiceClient::new(self.channel.clone())
    }

    /// Asks for one decision. `timeout` is passed on to the server, which answers a denial before it has passed.
    pub async fn check(
        &self,
        request: decision::CheckRequest,
        timeout: Duration,
    ) -> Result<decision::CheckResponse, ClientError> {
        answer(self.decisions().check(within(timeout, request)).await)
    }

    pub async fn record_signals(
        &self,
        request: manage::RecordSignalsRequest,
    ) -> Result<manage::RecordSignalsResponse, ClientError> {
        answer(self.signals().record_signals(within(PATIENCE, request)).await)
    }

    pub async fn list_signals(
        &self,
        request: manage::ListSignalsRequest,
    ) -> Result<manage::ListSignalsResponse, ClientError> {
        answer(self.signals().list_signals(within(PATIENCE, request)).await)
    }

    pub async fn clear_signal(
        &self,
        request: manage::ClearSignalRequest,
    ) -> Result<manage::ClearSignalResponse, ClientError> {
        answer(self.signals().clear_signal(within(PATIENCE, request)).await)
    }

    pub async fn create_revocation(
        &self,
        request: manage::CreateRevocationRequest,
    ) -> Result<manage::CreateRevocationResponse, ClientError> {
        answer(self.revocations().create_revocation(within(PATIENCE, request)).await)
    }

    pub async fn get_revocation(
        &self,
        request: manage::GetRevocationRequest,
    ) -> Result<manage::GetRevocationResponse, ClientError> {
        answer(self.revocations().get_revocation(within(PATIENCE, request)).await)
    }

    pub async fn list_revocations(
        &self,
        request: manage::ListRevocationsRequest,
    ) -> Result<manage::ListRevocationsResponse, ClientError> {
        answer(self.revocations().list_revocations(within(PATIENCE, request)).await)
    }

    pub async fn delete_revocation(
        &self,
        request: manage::DeleteRevocationRequest,
    ) -> Result<manage::DeleteRevocationResponse, ClientError> {
        answer(self.revocations().delete_revocation(within(PATIENCE, request)).await)
    }

    pub async fn get_principal(
        &self,
        request: manage::GetPrincipalRequest,
    ) -> Result<manage::GetPrincipalResponse, ClientError> {
        answer(self.principals().get_principal(within(PATIENCE, request)).await)
    }

    pub async fn list_principals(
        &self,
        request: manage::ListPrincipalsRequest,
    ) -> Result<manage::ListPrincipalsResponse, ClientError> {
        answer(self.principals().list_principals(within(PATIENCE, request)).await)
    }

    pub async fn put_principal(
        &self,
        request: manage::PutPrincipalRequest,
    ) -> Result<manage::PutPrincipalResponse, ClientError> {
        answer(self.principals().put_principal(within(PATIENCE, request)).await)
    }

    pub async fn delete_principal(
        &self,
        request: manage::DeletePrincipalRequest,
    ) -> Result<manage::DeletePrincipalResponse, ClientError> {
        answer(self.principals().delete_principal(within(PATIENCE, request)).await)
    }

    pub async fn get_risk(
        &self,
        request: manage::GetRiskRequest,
    ) -> Result<manage::GetRiskResponse, ClientError> {
        answer(self.risk().get_risk(within(PATIENCE, request)).await)
    }

    pub async fn create_client(
        &self,
        request: manage::CreateClientRequest,
    ) -> Result<manage::CreateClientResponse, ClientError> {
        answer(self.clients().create_client(within(PATIENCE, request)).await)
    }

    pub async fn get_client(
        &self,
        request: manage::GetClientRequest,
    ) -> Result<manage::GetClientResponse, ClientError> {
        answer(self.clients().get_client(within(PATIENCE, request)).await)
    }

    pub async fn list_clients(
        &self,
        request: manage::ListClientsRequest,
    ) -> Result<manage::ListClientsResponse, ClientError> {
        answer(self.clients().list_clients(within(PATIENCE, request)).await)
    }

    pub async fn set_client_certificates(
        &self,
        request: manage::SetClientCertificatesRequest,
    ) -> Result<manage::SetClientCertificatesResponse, ClientError> {
        answer(self.clients().set_client_certificates(within(PATIENCE, request)).await)
    }

    pub async fn revoke_client(
        &self,
        request: manage::RevokeClientRequest,
    ) -> Result<manage::RevokeClientResponse, ClientError> {
        answer(self.clients().revoke_client(within(PATIENCE, request)).await)
    }

    pub async fn get_decision_record(
        &self,
        request: manage::GetDecisionRecordRequest,
    ) -> Result<manage::GetDecisionRecordResponse, ClientError> {
        answer(self.records().get_decision_record(within(PATIENCE, request)).await)
    }

    pub async fn list_decision_records(
        &self,
        request: manage::ListDecisionRecordsRequest,
    ) -> Result<manage::ListDecisionRecordsResponse, ClientError> {
        answer(self.records().list_decision_records(within(PATIENCE, request)).await)
    }

    pub async fn list_refusals(
        &self,
        request: manage::ListRefusalsRequest,
    ) -> Result<manage::ListRefusalsResponse, ClientError> {
        answer(self.records().list_refusals(within(PATIENCE, request)).await)
    }

    pub async fn get_status(
        &self,
        request: manage::GetStatusRequest,
    ) -> Result<manage::GetStatusResponse, ClientError> {
        answer(self.system().get_status(within(PATIENCE, request)).await)
    }
}

fn authorization(key: &Secret) -> Result<MetadataValue<Ascii>, ConnectError> {
    let text = format!("Bearer {}", key.expose().trim());
    let mut value = MetadataValue::try_from(text).map_err(|_| ConnectError::InvalidKey)?;
    value.set_sensitive(true);
    Ok(value)
}

/// A channel whose connections are made by the dialer, also those that take the place of one that broke.
async fn channel(url: &str, dialer: Dialer) -> Result<Channel, ConnectError> {
    let invalid = |_| DialError::InvalidUrl { url: url.to_owned() };
    let uri = |scheme| format!("{scheme}://{}", dialer.authority());
    // tonic leaves TLS alone where it sees `http`; calls are to say `https` all the same.
    let origin = uri(dialer.scheme()).parse().map_err(|_| DialError::InvalidUrl { url: url.to_owned() })?;
    let endpoint = Endpoint::from_shared(uri("http")).map_err(invalid)?.origin(origin);
    let connect = tower::service_fn(move |_| {
        let dialer = dialer.clone();
        async move { dialer.connect().await.map(TokioIo::new) }
    });
    endpoint.connect_with_connector(connect).await.map_err(|source| match refused(&source) {
        Some(why) => ConnectError::Tls { url: url.to_owned(), why },
        None => ConnectError::Unreachable { url: url.to_owned(), source },
    })
}

/// Why TLS was refused, if that is why.
fn refused(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(DialError::Refused(why)) = error.downcast_ref() {
            return Some(why.clone());
        }
        cause = error.source();
    }
    None
}

/// How long a call of the management API may take; its callers are people.
const PATIENCE: Duration = Duration::from_secs(30);

fn within<T>(timeout: Duration, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(timeout);
    request
}

fn answer<T>(result: Result<Response<T>, Status>) -> Result<T, ClientError> {
    Ok(result?.into_inner())
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    #[tokio::test]
    async fn what_is_no_url_is_told_apart_from_a_server_that_is_away() {
        let key = Secret::new("deodar_x_y");
        let open = async |url| Connection::open(url, Some(&key), &Trust::default()).await.err().unwrap();
        for wrong in ["", "nonsense", "127.0.0.1:7350", "ftp://127.0.0.1:7350", "http://a b"] {
            let error = open(wrong).await;
            assert!(matches!(error, ConnectError::Dial(DialError::InvalidUrl { .. })), "{wrong}: {error}");
        }
        // Port 1 is nobody's.
        assert!(matches!(open("http://127.0.0.1:1").await, ConnectError::Unreachable { .. }));
    }

    #[test]
    fn a_status_becomes_its_code_its_message_and_its_violations() {
        let details = ErrorDetails::with_bad_request_violation("client.roles", "give at least one");
        let told = Status::with_error_details(
            Code::InvalidArgument,
            "client.roles: give at least one",
            details.clone(),
        );
        let untold = Status::with_error_details(Code::InvalidArgument, "the request is wrong", details);
        let shown = |status| ClientError::from(status).to_string();
        assert_eq!(shown(told), "client.roles: give at least one (invalid_argument)");
        assert_eq!(
            shown(untold),
            "the request is wrong (invalid_argument)\n  client.roles: give at least one"
        );
        assert_eq!(ClientError::from(Status::not_found("x")).code, "not_found");
    }
}
