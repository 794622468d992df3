//! Cedar: bundles become snapshots, snapshots answer questions. The only room that names `cedar_policy`.
//!
//! [`directory`] reads files, [`Snapshot::compile`] checks them and keeps what evaluation needs, and
//! [`Snapshot::evaluate_call`] and [`Snapshot::evaluate_question`] turn facts into an [`Evaluation`].
//! Who is calling, what is called and how risky it is are found elsewhere and passed in.

mod call;
mod candidates;
pub mod cases;
mod compile;
mod condition;
mod config;
mod context;
mod depth;
pub mod directory;
mod entities;
mod evaluate;
mod facts;
mod finding;
mod index;
mod links;
mod obligations;
mod prepared;
mod program;
mod question;
mod rates;
mod reads;
mod schema;
mod scope;
mod snapshot;
mod statement;
mod validate;
pub mod view;
mod vocabulary;

#[cfg(test)]
mod support;

pub use call::CallInput;
pub use config::{Config, DomainConfig, Limits};
pub use directory::ReadError;
pub use evaluate::Evaluation;
pub use facts::DeviceView;
pub use finding::{Finding, PolicyErrors, PolicyWarning, Severity};
pub use obligations::{ANNOTATIONS, AnnotationRule};
pub use question::{QuestionError, QuestionInput, QuestionPrincipal};
pub use snapshot::{PolicyEffect, PolicyFacts, Snapshot};
pub use vocabulary::{VOCABULARY, VOCABULARY_VERSION, VocabularyError, vocabulary_json};
