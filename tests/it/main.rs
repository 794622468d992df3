//! The integration tests: one binary, one module a concern.
//!
//! Tests of a single function live beside it in `src/`. What is here needs the whole: the tree of sources, a server,
//! a database, another program. The `cfg` is for clippy, which then knows that helpers here are test code as well.

#[cfg(test)]
mod actors;
#[cfg(test)]
mod architecture;
#[cfg(test)]
mod attacks;
#[cfg(test)]
mod cases;
#[cfg(test)]
mod certificates;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod cli_online;
#[cfg(test)]
mod config_docs;
#[cfg(test)]
mod demo;
#[cfg(test)]
mod docs;
#[cfg(test)]
mod dpop;
#[cfg(test)]
mod fuzzing;
#[cfg(test)]
mod introspection;
#[cfg(test)]
mod invariants;
#[cfg(test)]
mod issuers;
#[cfg(test)]
mod jose;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod oidc;
#[cfg(test)]
mod overload;
#[cfg(test)]
mod principals;
#[cfg(test)]
mod python;
#[cfg(test)]
mod rates;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod replicas;
#[cfg(test)]
mod revocation;
#[cfg(test)]
mod store;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod wycheproof;
