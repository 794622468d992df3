//! The words everyone uses: query, principal, endpoint, risk, decision, reason, revision.
//!
//! Nothing here does I/O, waits, reads the wall clock or knows a wire format; every other room is built from these
//! types and none of them is re-checked once made (parse at the edge, trust inside).

pub mod bundle;
pub mod caller_certificate;
pub mod certificate;
pub mod challenge;
pub mod change;
pub mod client;
pub mod clock;
pub mod credential;
pub mod decision;
pub mod directory;
pub mod duration;
pub mod endpoint;
pub mod id;
pub mod origin;
pub mod page;
pub mod prepared;
pub mod principal;
pub mod query;
pub mod rate;
pub mod record;
pub mod revision;
pub mod revocation;
pub mod risk;
pub mod signal;
pub mod striped;

pub use bundle::{BundleDigest, BundleSource, SourceFile};
pub use caller_certificate::{CallerCertificate, CertificateName};
pub use certificate::{CertificateChain, ClientCertificate};
pub use challenge::{Challenge, ChallengeScheme, Demand};
pub use change::{Change, ChangeBody};
pub use client::{ApiGrant, Assertion, Client, Grants, KeyDigest, Role};
pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use credential::{Confirmation, Credential, Secret};
pub use decision::{CredentialFault, Decision, Effect, Explanation, Obligation, Reason, RequestFault};
pub use directory::{DirectoryChange, DirectoryEntry, Expected};
pub use endpoint::{
    Api, ApiMode, Endpoint, EndpointState, Located, Outside, Scheme, SecurityAlternative, Sensitivity,
};
pub use id::{
    ApiId, ClientId, DecisionId, DomainId, EndpointId, IssuerAlias, PolicyId, RevocationId, SignalId,
};
pub use origin::{InvalidOrigin, Origin};
pub use page::{Page, PageRequest};
pub use prepared::Prepared;
pub use principal::{Principal, PrincipalId, PrincipalKind, TokenFacts, TokenKind};
pub use query::{ApiCall, CedarQuestion, DeviceFacts, EntityRef, Query, Question};
pub use rate::{Rate, Rates};
pub use record::{Record, RecordFilter, Refusals};
pub use revision::Revision;
pub use revocation::{Revocation, RevocationFilter, RevocationTarget, Undone};
pub use risk::{Risk, RiskFlags, RiskLevel, RiskReason};
pub use signal::{NewSignal, Signal, SignalFilter, SignalLife, Subject};
pub use striped::Striped;
