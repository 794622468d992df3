//! The composition root.

pub mod dev_issuer;
