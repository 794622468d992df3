//! Health and reflection, open to everyone.
//!
//! `""` and each service say whether decisions can be made; the name `readiness` also turns to NOT_SERVING when
//! something is wrong that does not stop decisions, such as old policies being served because the new ones are bad.

use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, health_reporter};
use tonic_reflection::server::{Builder, Error};

use super::pb;

/// The health service of one process, shared by its listeners.
#[derive(Clone)]
pub struct Health {
    reporter: HealthReporter,
    service: Routes,
}

impl Health {
    /// The name under which "well, without reservations" is asked for.
    pub const READINESS: &'static str = "readiness";

    pub fn new() -> Self {
        let (reporter, service) = health_reporter();
        Self { reporter, service: Routes::new(service) }
    }

    /// Says how things stand.
    pub async fn report(&self, can_decide: bool, is_well: bool) {
        let status = |fine| if fine { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in pb::DECISION_SERVICES.into_iter().chain(pb::MANAGEMENT_SERVICES).chain([""]) {
            self.reporter.set_service_status(service, status(can_decide)).await;
        }
        self.reporter.set_service_status(Self::READINESS, status(can_decide && is_well)).await;
    }

    /// Routes that hold the health service, and reflection (v1, and v1alpha for older tools) of these services.
    pub(super) fn routes(&self, services: &[&str]) -> Result<Routes, Error> {
        let builder = || {
            let all = services.iter().copied().chain(["grpc.health.v1.Health"]);
            let builder = Builder::configure()
                .register_encoded_file_descriptor_set(pb::DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
            all.fold(builder, Builder::with_service_name)
        };
        let routes = self.service.clone();
        Ok(routes.add_service(builder().build_v1()?).add_service(builder().build_v1alpha()?))
    }
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}
