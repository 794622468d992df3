//! The checker's own tests: each way to break a rule is caught, and what is allowed is left alone.

use std::path::Path;

use super::check;

#[track_caller]
fn assert_caught(file: &str, source: &str, expected: &str) {
    let found = check::arrows(Path::new(file), source);
    assert_eq!(found, [expected], "in src/{file}:\n{source}");
}

#[track_caller]
fn assert_clean(file: &str, source: &str) {
    assert_eq!(check::arrows(Path::new(file), source), Vec::<String>::new(), "in src/{file}:\n{source}");
}

#[track_caller]
fn assert_misshapen(file: &str, source: &str, expected: &str) {
    let found = check::shape(Path::new(file), source);
    assert!(found.len() == 1 && found[0].contains(expected), "{found:?} should be `{expected}`");
}

#[test]
fn a_room_that_uses_another_without_an_arrow_is_caught_with_file_line_and_what_is_allowed() {
    assert_caught(
        "audit/recorder.rs",
        "//! x\n\nuse crate::policy::Snapshot;",
        "src/audit/recorder.rs:3: room audit may not use policy (allowed: model, store)",
    );
    assert_caught(
        "model/id.rs",
        "use crate::store::Store;",
        "src/model/id.rs:1: room model may not use store (allowed: nothing)",
    );
}

#[test]
fn names_inside_groups_are_caught_each_on_its_line() {
    let found = check::arrows(
        Path::new("risk/engine.rs"),
        "use crate::{\n    model::Risk,\n    identity::{Keys, claims::Map},\n    store::Store as Keeper,\n};",
    );
    assert_eq!(
        found,
        [
            "src/risk/engine.rs:3: room risk may not use identity (allowed: model)",
            "src/risk/engine.rs:3: room risk may not use identity (allowed: model)",
            "src/risk/engine.rs:4: room risk may not use store (allowed: model)",
        ]
    );
}

#[test]
fn a_path_in_an_expression_a_type_a_pattern_or_a_bound_is_caught() {
    let expected = "src/inventory/router.rs:1: room inventory may not use risk (allowed: model)";
    for source in [
        "fn f() { crate::risk::score(); }",
        "struct S { f: Vec<Option<crate::risk::Score>> }",
        "fn f(x: u8) { if let crate::risk::MAX = x {} }",
        "fn f<T: crate::risk::Engine>(_: T) {}",
        "impl crate::risk::Engine for u8 {}",
        "pub(in crate::risk) fn f() {}",
    ] {
        assert_caught("inventory/router.rs", source, expected);
    }
}

#[test]
fn a_chain_of_super_that_leaves_the_room_is_caught() {
    let expected = "src/policy/compile.rs:1: room policy may not use store (allowed: model)";
    assert_caught("policy/compile.rs", "use super::super::store::Store;", expected);
    assert_caught("policy/compile.rs", "mod tests { use super::super::super::store::Store; }", expected);
    assert_caught("policy/compile.rs", "fn f() { self::super::super::store::open(); }", expected);
    assert_clean(
        "policy/compile.rs",
        "use super::store::Something; mod tests { use super::*; use super::super::store::X; }",
    );
}

#[test]
fn a_path_in_the_tokens_of_a_macro_or_an_attribute_is_caught() {
    let expected = "src/identity/jwt.rs:1: room identity may not use store (allowed: model)";
    for source in [
        "fn f() { tracing::info!(at = ?crate::store::now(), \"x\"); }",
        "fn f() { tokio::select! { x = async { vec![crate::store::open()] } => {} } }",
        "macro_rules! open { () => { $crate::store::open() } }",
        "macro_rules! open { () => { use crate::{model::Risk, store::{self}}; } }",
        "#[derive(crate::store::Row)] struct S;",
        "struct S { #[serde(with = \"crate::store::bytes\")] f: u8 }",
    ] {
        assert_caught("identity/jwt.rs", source, expected);
    }
}

#[test]
fn the_root_of_the_crate_cannot_be_renamed_or_taken_whole() {
    let expected = "src/risk/mod.rs:1: room risk may not use the root of the crate";
    for source in [
        "use crate as c;",
        "use crate::*;",
        "use crate::{self as c};",
        "use super::*;",
        "extern crate self as c;",
    ] {
        assert_caught("risk/mod.rs", source, expected);
    }
}

#[test]
fn items_cannot_be_handed_on_under_another_path() {
    assert_caught(
        "decide/mod.rs",
        "pub use crate::policy::*;",
        "src/decide/mod.rs:1: room decide may not offer all of policy as its own",
    );
    assert_caught(
        "policy/mod.rs",
        "pub(crate) use cedar_policy::PolicySet;",
        "src/policy/mod.rs:1: room policy may not offer items of cedar_policy as its own",
    );
    assert_caught(
        "lib.rs",
        "pub use policy::Snapshot; pub use crate::store::Store;",
        "src/lib.rs:1: the root may not offer items of rooms under another path",
    );
    assert_caught(
        "decide/mod.rs",
        "use crate::Snapshot;",
        "src/decide/mod.rs:1: room decide may not use `crate::Snapshot`: not a room of the table",
    );
    assert_clean(
        "api/pb.rs",
        "mod deodar { pub mod v1 {} } pub use deodar::v1 as decision; pub use tonic::Code;",
    );
    assert_clean(
        "store/mod.rs",
        "pub use crate::model::Revision; pub use signals::Signals; pub use self::feed::Feed;",
    );
}

#[test]
fn a_fenced_crate_is_caught_outside_its_fence_however_it_is_named() {
    for (file, source, expected) in [
        (
            "decide/mod.rs",
            "use cedar_policy::Decision;",
            "room decide may not use cedar_policy (allowed: policy)",
        ),
        (
            "decide/mod.rs",
            "use cedar_policy as cedar;",
            "room decide may not use cedar_policy (allowed: policy)",
        ),
        (
            "decide/mod.rs",
            "use cedar_policy_core::ast;",
            "room decide may not use cedar_policy_core (allowed: policy)",
        ),
        (
            "decide/mod.rs",
            "extern crate cedar_policy;",
            "room decide may not use cedar_policy (allowed: policy)",
        ),
        ("app/build.rs", "#[derive(sqlx::FromRow)] struct S;", "room app may not use sqlx (allowed: store)"),
        ("app/build.rs", "fn f() { ::sqlx::query!(\"x\"); }", "room app may not use sqlx (allowed: store)"),
        (
            "api/native.rs",
            "type T = jsonwebtoken::Header;",
            "room api may not use jsonwebtoken (allowed: identity)",
        ),
        ("cli/check.rs", "use {std::io, tonic::Status};", "room cli may not use tonic (allowed: api, app)"),
        (
            "manage/signals.rs",
            "use prost_types::Any;",
            "room manage may not use prost_types (allowed: api, app)",
        ),
        ("app/run.rs", "use clap::Parser;", "room app may not use clap (allowed: cli, main)"),
        (
            "store/mod.rs",
            "fn f() -> anyhow::Result<()> {}",
            "room store may not use anyhow (allowed: app, cli, main)",
        ),
        ("app/run.rs", "fn f(_: &axum::Router) {}", "room app may not use axum (allowed: api)"),
        ("api/status.rs", "use miette::Report;", "room api may not use miette (allowed: policy, cli)"),
    ] {
        assert_caught(file, source, &format!("src/{file}:1: {expected}"));
    }
}

#[test]
fn stores_are_used_by_their_trait_except_where_they_are_built() {
    assert_caught(
        "decide/live.rs",
        "use crate::store::postgres::PostgresStore;",
        "src/decide/live.rs:1: room decide may not use crate::store::postgres (allowed: store, app)",
    );
    assert_clean("decide/live.rs", "use crate::store::{Store, StoreError};");
    assert_clean("app/build.rs", "use crate::store::postgres::PostgresStore;");
}

#[test]
fn rooms_that_compute_neither_wait_nor_touch_the_world() {
    let expected = "src/policy/evaluate.rs:1: room policy may not use async";
    for source in [
        "async fn f() {}",
        "trait T { async fn f(); }",
        "fn f() { drop(async {}); }",
        "fn f() { drop(async || 1); }",
        "fn f() { call!(async {}); }",
    ] {
        assert_caught("policy/evaluate.rs", source, expected);
    }
    let found =
        check::arrows(Path::new("model/clock.rs"), "use std::{fs::File, io};\n#[tokio::test]\nfn f() {}");
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("src/model/clock.rs:1: room model may not use std::fs (allowed: identity,"));
    assert!(found[1].starts_with("src/model/clock.rs:2: room model may not use tokio (allowed: identity,"));
}

#[test]
fn tests_beside_the_code_follow_the_same_arrows() {
    assert_caught(
        "risk/score.rs",
        "#[cfg(test)] mod tests { use super::*; use proptest::prelude::*; use tempfile::TempDir; use crate::store::X; }",
        "src/risk/score.rs:1: room risk may not use store (allowed: model)",
    );
}

#[test]
fn the_binary_uses_the_command_line_and_nothing_else() {
    assert_clean("main.rs", "use clap::Parser; fn main() -> std::process::ExitCode { deodar::cli::run() }");
    assert_caught(
        "main.rs",
        "fn main() { deodar::decide::run(); }",
        "src/main.rs:1: room main may not use decide (allowed: cli)",
    );
}

#[test]
fn a_file_that_belongs_to_no_room_or_to_two_is_caught() {
    assert_caught("metrics/mod.rs", "", "src/metrics/mod.rs:1: `metrics` is not a room of the table");
    assert_caught("shared.rs", "", "src/shared.rs:1: `shared` is not a room of the table");
    assert_caught(
        "policy/mod.rs",
        "#[path = \"../store/mod.rs\"] mod store;",
        "src/policy/mod.rs:1: room policy may not use `#[path]`",
    );
}

#[test]
fn a_file_that_does_not_parse_is_caught() {
    assert_eq!(check::arrows(Path::new("policy/mod.rs"), "fn {").len(), 1);
}

#[test]
fn words_that_only_look_like_names_are_left_alone() {
    assert_clean(
        "policy/compile.rs",
        "//! See [`crate::store::Store`].\n/// `sqlx::Error` is not ours.\nfn f() { let sqlx = \"crate::store::x\"; g(sqlx, \
         tonic.call()); format!(\"tonic::Status {}\", sqlx) }",
    );
    assert_clean(
        "policy/compile.rs",
        "use crate::model::{PolicyId, bundle}; use cedar_policy::{PolicySet, Schema as S};",
    );
}

#[test]
fn misplaced_headless_and_endless_files_are_caught() {
    let header = "//! What this is.\n";
    assert_misshapen("store/postgres/signals/row.rs", header, "deeper than 3 levels");
    assert_misshapen("api/utils.rs", header, "`utils` names a kind");
    assert_misshapen("api/handlers/native.rs", header, "`handlers` names a kind");
    assert_misshapen("api/native.rs", "use crate::model::Risk;\n", "does not begin with `//!`");
    assert_misshapen("api/native.rs", &(header.to_owned() + &"\n".repeat(600)), "more than 600");
    assert_eq!(check::shape(Path::new("api/manage/signals.rs"), header), Vec::<String>::new());
}
