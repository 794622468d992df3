//! The generated protobuf types and services, and the descriptor set that reflection serves.

#![allow(clippy::all, clippy::pedantic, clippy::needless_pass_by_value, clippy::disallowed_methods)]

/// The packages nested as protobuf nests them, because generated code refers to its neighbours that way.
mod deodar {
    pub mod decision {
        pub mod v1 {
            tonic::include_proto!("deodar.decision.v1");
        }
    }
    pub mod manage {
        pub mod v1 {
            tonic::include_proto!("deodar.manage.v1");
        }
    }
}

pub use deodar::decision::v1 as decision;
pub use deodar::manage::v1 as manage;

/// Everything in `proto/`, with comments, as a serialised `FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/deodar.bin"));

/// The services of the decision listener, by their full names.
pub const DECISION_SERVICES: [&str; 1] = ["deodar.decision.v1.DecisionService"];

/// The services of the management listener, by their full names.
pub const MANAGEMENT_SERVICES: [&str; 7] = [
    "deodar.manage.v1.ClientService",
    "deodar.manage.v1.DecisionRecordService",
    "deodar.manage.v1.PrincipalService",
    "deodar.manage.v1.RevocationService",
    "deodar.manage.v1.RiskService",
    "deodar.manage.v1.SignalService",
    "deodar.manage.v1.SystemService",
];
