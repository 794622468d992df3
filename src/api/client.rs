//! The gRPC client of Deodar's own tools: one connection a listener, the key on every call.
//!
//! A call takes a message and returns a message or a [`ClientError`], so that whoever calls needs to know neither
//! tonic nor HTTP. Streams and batches are reached through the generated clients.

use std::fmt;
use std::time::Duration;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};
use tonic_types::StatusExt;

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
    #[error("`{url}` is not the URL of a Deodar listener; write http://host:port")]
    InvalidUrl { url: String },
    #[error(
        "nothing answers at {url}; is the server running? Start one with `deodar serve` or `deodar demo`"
    )]
    Unreachable {
        url: String,
        #[source]
        source: tonic::transport::Error,
    },
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

/// A channel that presents a client key on every call.
pub type KeyedChannel = InterceptedService<Channel, PresentKey>;

/// Adds `authorization: Bearer <key>`.
#[derive(Clone)]
pub struct PresentKey(MetadataValue<Ascii>);

impl Interceptor for PresentKey {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// A connection to one listener.
#[derive(Clone)]
pub struct Connection {
    channel: KeyedChannel,
}

impl Connection {
    /// Connects, waiting a few seconds at most. `url` is `http://host:port`.
    pub async fn open(url: &str, key: &Secret) -> Result<Self, ConnectError> {
        let invalid = || ConnectError::InvalidUrl { url: url.to_owned() };
        let plain = Some(url).filter(|url| url.starts_with("http://")).ok_or_else(invalid)?;
        let endpoint = Endpoint::from_shared(plain.to_owned())
            .map_err(|_| invalid())?
            .connect_timeout(Duration::from_secs(5))
            .tcp_nodelay(true);
        let channel = endpoint
            .connect()
            .await
            .map_err(|source| ConnectError::Unreachable { url: url.to_owned(), source })?;
        let key = format!("Bearer {}", key.expose().trim());
        let mut key = MetadataValue::try_from(key).map_err(|_| ConnectError::InvalidKey)?;
        key.set_sensitive(true);
        Ok(Self { channel: InterceptedService::new(channel, PresentKey(key)) })
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
        for wrong in ["", "nonsense", "127.0.0.1:7350", "https://127.0.0.1:7350", "http://a b"] {
            let error = Connection::open(wrong, &key).await.err().unwrap();
            assert!(matches!(error, ConnectError::InvalidUrl { .. }), "{wrong}: {error}");
        }
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
