//! Holds the sources against the table of rooms and arrows.
//!
//! Rust checks that a path exists, not that its author should have used it. So every file of `src/` is parsed, every
//! name of another room or of a fenced crate is collected, and what [`table`] does not allow fails the build. What
//! counts as a name is in [`names`]; the proof that the checker catches things is in [`caught`].

mod caught;
mod check;
mod names;
mod table;

use std::fs;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

/// Every Rust file of `src/`: its path below `src/`, and its text.
fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    for entry in WalkDir::new(&root).sort_by_file_name() {
        let entry = entry.unwrap();
        if entry.path().extension().is_some_and(|extension| extension == "rs") {
            let below = entry.path().strip_prefix(&root).unwrap().to_owned();
            sources.push((below, fs::read_to_string(entry.path()).unwrap()));
        }
    }
    assert!(sources.len() > 20, "found only {} files below {}", sources.len(), root.display());
    sources
}

fn repository_file(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

#[track_caller]
fn assert_none(violations: &[String]) {
    assert!(violations.is_empty(), "{} found:\n{}", violations.len(), violations.join("\n"));
}

#[test]
fn every_name_in_the_sources_follows_an_arrow() {
    let violations: Vec<_> =
        sources().iter().flat_map(|(file, source)| check::arrows(file, source)).collect();
    assert_none(&violations);
}

#[test]
fn every_source_file_has_its_place_its_header_and_a_readable_length() {
    let violations: Vec<_> = sources().iter().flat_map(|(file, source)| check::shape(file, source)).collect();
    assert_none(&violations);
}

#[test]
fn every_room_of_the_table_that_others_may_use_is_in_the_table() {
    for room in &table::ROOMS {
        for used in room.may_use {
            assert!(table::room(used).is_some(), "{} may use `{used}`, which is no room", room.name);
        }
    }
    for fence in &table::FENCES {
        for room in fence.rooms {
            assert!(table::room(room).is_some(), "`{}` is fenced in `{room}`, which is no room", fence.path);
        }
    }
}

#[test]
fn the_arrows_have_no_cycle() {
    // A room is done when all that it uses is done; with a cycle there comes a round in which none can be done.
    let mut done: Vec<&str> = Vec::new();
    while done.len() < table::ROOMS.len() {
        let next = table::ROOMS
            .iter()
            .find(|room| !done.contains(&room.name) && room.may_use.iter().all(|used| done.contains(used)));
        done.push(next.unwrap_or_else(|| panic!("a cycle among the rooms besides {done:?}")).name);
    }
}

#[test]
fn no_dependency_hides_behind_another_name() {
    // `cp = { package = "cedar-policy" }` would let a room name a fenced crate without the checker knowing it.
    let manifest: toml::Table = repository_file("Cargo.toml").parse().unwrap();
    for (name, dependency) in manifest["dependencies"].as_table().unwrap() {
        assert!(dependency.get("package").is_none(), "dependency `{name}` is renamed");
    }
}

#[test]
fn the_architecture_page_shows_the_table_as_it_is() {
    let table = table::as_markdown();
    let page = repository_file("docs/ARCHITECTURE.md");
    assert!(page.contains(&table), "docs/ARCHITECTURE.md must contain these lines:\n\n{table}");
}
