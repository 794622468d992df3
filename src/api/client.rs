//! The gRPC client of Deodar's own tools: one connection a listener, the key on every call.

use std::time::Duration;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use super::pb::decision::decision_service_client::DecisionServiceClient;
use super::pb::manage::client_service_client::ClientServiceClient;
use super::pb::manage::decision_record_service_client::DecisionRecordServiceClient;
use super::pb::manage::risk_service_client::RiskServiceClient;
use super::pb::manage::signal_service_client::SignalServiceClient;
use super::pb::manage::system_service_client::SystemServiceClient;
use crate::model::Secret;

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("`{url}` is not the URL of a Deodar listener; write http://host:port")]
    InvalidUrl {
        url: String,
        #[source]
        source: tonic::transport::Error,
    },
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
        let endpoint = Endpoint::from_shared(url.to_owned())
            .map_err(|source| ConnectError::InvalidUrl { url: url.to_owned(), source })?
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
}
