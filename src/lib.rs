//! Deodar: a policy decision point for zero-trust APIs.
//!
//! A gateway or service asks, for every request, "may this caller do this, now?". Deodar verifies who is calling,
//! finds the endpoint that is being called, reads the risk signals about everyone involved, evaluates Cedar policies
//! over all of it, and answers allow or deny with reasons, leaving a record.
//!
//! Read the rooms in this order; each may only use the ones above it (`tests/it/architecture.rs` checks):
//!
//! - [`model`]: the words everyone uses.
//! - [`identity`]: credential -> principal. [`inventory`]: method + host + path -> endpoint. [`risk`]: signals ->
//!   score. [`policy`]: Cedar, and nobody else names it. [`store`]: durable state. [`audit`]: every decision leaves a
//!   record. These six do not know each other, but for `audit -> store`.
//! - [`decide`]: the hot path; read [`decide::Decider::decide`] top to bottom. [`manage`]: what administrators do.
//! - [`api`]: the front doors, wire <-> model. [`app`]: puts everything together. [`cli`]: the commands.
pub mod api;
pub mod app;
pub mod audit;
pub mod cli;
pub mod decide;
pub mod identity;
pub mod inventory;
pub mod manage;
pub mod model;
pub mod policy;
pub mod risk;
pub mod store;
