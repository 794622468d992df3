//! What the integration tests share: a server, tokens, decision cases, a database of their own.

pub mod app;
pub mod case;
pub mod certificate;
pub mod issuer;
pub mod oidc;
pub mod pki;
pub mod postgres;
pub mod process;
pub mod proof;
pub mod raw;
pub mod store;
pub mod token;
