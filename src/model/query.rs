//! What is asked: a credential, a question, and what the PEP knows about the call.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::{Map, Value};

use super::certificate::ClientCertificate;
use super::credential::Credential;
use super::id::DomainId;
use super::revision::Revision;

/// One request for a decision, as a door hands it in.
#[derive(Clone, Debug)]
pub struct Query {
    pub credential: Credential,
    /// The certificate that the client showed; believed only from a PEP granted `client-certificate`.
    pub certificate: ClientCertificate,
    pub question: Question,
    /// The client's address as the PEP saw it; believed only from a PEP granted `source-address`.
    pub source_ip: Option<IpAddr>,
    /// Facts about the device; believed only from a PEP granted `device`.
    pub device: Option<DeviceFacts>,
    /// Whether the caller wants to see how the decision came about; needs a grant.
    pub explain: bool,
    /// Do not answer from a state older than this.
    pub at_least: Option<Revision>,
    /// W3C trace id of the call being decided, 32 lower-case hex digits.
    pub trace_id: Option<String>,
}

/// The two kinds of question.
#[derive(Clone, Debug)]
pub enum Question {
    /// An HTTP or gRPC call, asked in Deodar's own vocabulary.
    Call(ApiCall),
    /// A Cedar question in the words of a domain's own schema. Apart, so that calls stay small.
    Cedar(Box<CedarQuestion>),
    /// What a door was sent but could not read as one question; the text says why. It is denied and recorded like any
    /// other, so that one bad item of a batch neither spoils the rest nor goes unseen.
    Unreadable(String),
}

/// An HTTP or gRPC call as the gateway received it. Nothing in it has been normalised.
#[derive(Clone, Debug, Default)]
pub struct ApiCall {
    pub method: String,
    pub host: String,
    /// The request target: path and query, undecoded.
    pub path: String,
    /// Whether the client's connection to the gateway is encrypted.
    pub secure: bool,
    /// Header names in lower case; a repeated header appears once for each value.
    pub headers: Vec<(String, String)>,
    /// What the gateway attached.
    pub metadata: BTreeMap<String, Vec<String>>,
}

/// A reference to a Cedar entity: `Orders::Invoice` and `i-42`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityRef {
    pub entity_type: String,
    pub id: String,
}

/// A question with its own principal, action, resource, entities and context.
#[derive(Clone, Debug)]
pub struct CedarQuestion {
    pub domain: DomainId,
    /// Absent: the principal that the credential proves. Present: needs the grant `principal`.
    pub principal: Option<EntityRef>,
    pub action: EntityRef,
    pub resource: EntityRef,
    /// Entities in Cedar's JSON form (`uid`, `attrs`, `parents`, `tags`).
    pub entities: Vec<Value>,
    /// The context, without the attributes that Deodar fills in.
    pub context: Map<String, Value>,
}

/// What the PEP says of the device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceFacts {
    /// The PEP's own name for the device; becomes `device:<PEP namespace>/<id>` as a subject of signals.
    pub id: Option<String>,
    pub compliant: Option<bool>,
    pub posture_age_s: Option<u32>,
}
