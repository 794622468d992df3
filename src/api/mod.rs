//! The front doors: wire <-> model, and nothing else.
//!
//! A door turns bytes into a [`Query`](crate::model::Query) and a [`Decision`](crate::model::Decision) into bytes.
//! [`status`] is the one table from reasons and errors to wire codes; [`layers`] stands in front of every RPC.

mod answer;
mod arriving;
mod certificate;
pub mod client;
mod deadline;
pub mod dial;
mod frame;
mod front;
mod health;
pub mod layers;
pub mod load;
mod manage;
mod native;
pub mod pb;
pub mod peer;
pub mod pem;
pub mod plain;
pub mod status;
mod wire;

use std::sync::Arc;

use tonic::service::Routes;

pub use front::{Calls, Front};
pub use health::Health;
pub use tonic_reflection::server::Error as ReflectionError;

use crate::decide::Decider;
use crate::manage::Management;
use crate::model::ClientCertificate;
use arriving::Arriving;
use pb::decision::decision_service_server::DecisionServiceServer;
use pb::manage::client_service_server::ClientServiceServer;
use pb::manage::decision_record_service_server::DecisionRecordServiceServer;
use pb::manage::principal_service_server::PrincipalServiceServer;
use pb::manage::revocation_service_server::RevocationServiceServer;
use pb::manage::risk_service_server::RiskServiceServer;
use pb::manage::signal_service_server::SignalServiceServer;
use pb::manage::system_service_server::SystemServiceServer;

/// For the fuzz targets: what is read of a certificate as it was passed on.
#[doc(hidden)]
pub fn client_certificate(passed_on: Option<pb::decision::ClientCertificate>) -> ClientCertificate {
    certificate::read(passed_on, None)
}

/// The largest message taken, in bytes; tonic's own default, stated.
const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// The doors of the decision listener.
fn decision_routes(decider: &Arc<Decider>, health: &Health) -> Result<Routes, ReflectionError> {
    let native = native::Native::new(Arc::clone(decider));
    let service = DecisionServiceServer::new(native).max_decoding_message_size(MAX_MESSAGE_BYTES);
    Ok(health.routes(&pb::DECISION_SERVICES)?.add_service(Arriving::new(service, Arc::clone(decider))))
}

/// The doors of the management listener.
pub fn management_routes(management: &Arc<Management>, health: &Health) -> Result<Routes, ReflectionError> {
    let door = manage::Door::new(Arc::clone(management));
    let signals = SignalServiceServer::new(door.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES);
    let routes = health.routes(&pb::MANAGEMENT_SERVICES)?;
    Ok(routes
        .add_service(signals)
        .add_service(RevocationServiceServer::new(door.clone()))
        .add_service(PrincipalServiceServer::new(door.clone()))
        .add_service(RiskServiceServer::new(door.clone()))
        .add_service(ClientServiceServer::new(door.clone()))
        .add_service(DecisionRecordServiceServer::new(door.clone()))
        .add_service(SystemServiceServer::new(door)))
}
