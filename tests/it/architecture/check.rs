//! Holds one source file against the table, and against the rules on its place and shape.
//!
//! Both functions return sentences that begin with `file:line:`, so that an editor can jump there.

use std::path::{Component, Path};

use super::names::{self, Name, Target};
use super::table::{self, FENCES, Fence, Room};

/// Folders below `src/`, and then the file.
const DEEPEST: usize = 3;
/// Names that say what kind of thing is inside and not which.
const KINDS: [&str; 6] = ["types", "handlers", "utils", "util", "helpers", "common"];
/// Lines that a file should not have more of: the reader is told.
const LONG: usize = 500;
/// Lines that a file must not have more of.
const TOO_LONG: usize = 600;

/// What `source`, the text of `src/<file>`, names against the table.
pub fn arrows(file: &Path, source: &str) -> Vec<String> {
    let module = module_path(file);
    let room_name = room_name(file);
    let Some(room) = table::room(&room_name) else {
        return vec![violation(file, 1, &format!("`{room_name}` is not a room of the table"))];
    };
    let names = match names::collect(&module, room.name == "main", source) {
        Ok(names) => names,
        Err(error) => return vec![violation(file, error.span().start().line, &error.to_string())],
    };
    names
        .iter()
        .filter_map(|name| judge(room, name).map(|problem| violation(file, name.line, &problem)))
        .collect()
}

/// What is wrong with the place, the header and the length of `src/<file>`.
pub fn shape(file: &Path, source: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let parts: Vec<_> = file.components().map(Component::as_os_str).collect();
    if parts.len() > DEEPEST {
        problems.push(violation(file, 1, &format!("deeper than {DEEPEST} levels below src/")));
    }
    for part in parts {
        let stem = Path::new(part).file_stem().unwrap_or(part);
        if KINDS.iter().any(|kind| stem == *kind) {
            problems.push(violation(file, 1, &format!("`{}` names a kind, not a concept", stem.display())));
        }
    }
    if !source.starts_with("//!") {
        problems.push(violation(
            file,
            1,
            "does not begin with `//!`: what this is, why, what it leaves to others",
        ));
    }
    let lines = source.lines().count();
    if lines > TOO_LONG {
        problems.push(violation(
            file,
            lines,
            &format!("{lines} lines, more than {TOO_LONG}: split it by noun"),
        ));
    } else if lines > LONG {
        note(&violation(
            file,
            lines,
            &format!("{lines} lines, more than {LONG}: consider splitting it by noun"),
        ));
    }
    problems
}

/// `None`: the room may name that.
fn judge(room: &Room, name: &Name) -> Option<String> {
    match &name.target {
        Target::Inside(path) if room.name != "main" || name_in_library(path) => {
            judge_inside(room, name, path)
        }
        Target::Inside(_) => None,
        Target::Outside(path) => judge_outside(room, name, path),
        Target::Waiting if room.may_wait => None,
        Target::Waiting => Some(format!("room {} may not use async", room.name)),
        Target::PathAttribute => Some(format!("room {} may not use `#[path]`", room.name)),
    }
}

/// `crate::` in `src/main.rs` is the binary itself; of what it names there, only rooms are ours to judge.
fn name_in_library(path: &[String]) -> bool {
    path.first().is_some_and(|first| table::room(first).is_some())
}

fn judge_inside(room: &Room, name: &Name, path: &[String]) -> Option<String> {
    if room.name == "lib" {
        return name.offered.then(|| "the root may not offer items of rooms under another path".to_owned());
    }
    let used = match path.first().map(String::as_str) {
        // `use crate as x` or `use super::*` at the root would give every room another name.
        None | Some("*") => return Some(format!("room {} may not use the root of the crate", room.name)),
        Some(used) => used,
    };
    if used == room.name {
        return None;
    }
    let Some(target) = table::room(used) else {
        return Some(format!("room {} may not use `crate::{used}`: not a room of the table", room.name));
    };
    if !room.may_use.contains(&target.name) {
        return Some(refusal(room, used, room.may_use));
    }
    if name.offered && path.last().is_some_and(|last| last == "*") {
        return Some(format!("room {} may not offer all of {used} as its own", room.name));
    }
    let full: Vec<&str> = std::iter::once("crate").chain(path.iter().map(String::as_str)).collect();
    judge_fences(room, &full)
}

fn judge_outside(room: &Room, name: &Name, path: &[String]) -> Option<String> {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    judge_fences(room, &path).or_else(|| {
        // A crate that one room alone may name would get out if that room offered its items on.
        let sealed = |fence: &Fence| fence.rooms == [room.name] && is_in(fence, &path);
        let leaks = name.offered && FENCES.iter().any(sealed);
        leaks.then(|| format!("room {} may not offer items of {} as its own", room.name, path[0]))
    })
}

fn judge_fences(room: &Room, path: &[&str]) -> Option<String> {
    let fence = FENCES.iter().find(|fence| is_in(fence, path))?;
    let used = if fence.path.contains("::") { fence.path } else { path[0] };
    (!fence.rooms.contains(&room.name)).then(|| refusal(room, used, fence.rooms))
}

/// A fence around a crate is also one around the crates that belong to it: `tonic_health`, `prost_types`.
fn is_in(fence: &Fence, path: &[&str]) -> bool {
    let fenced: Vec<&str> = fence.path.split("::").collect();
    let family = |first: &str| first.strip_prefix(fence.path).is_some_and(|rest| rest.starts_with('_'));
    path.starts_with(&fenced) || (fenced.len() == 1 && path.first().is_some_and(|first| family(first)))
}

fn refusal(room: &Room, used: &str, allowed: &[&str]) -> String {
    let allowed = if allowed.is_empty() { "nothing".to_owned() } else { allowed.join(", ") };
    format!("room {} may not use {used} (allowed: {allowed})", room.name)
}

fn violation(file: &Path, line: usize, problem: &str) -> String {
    format!("src/{}:{line}: {problem}", file.display())
}

#[expect(clippy::print_stderr, reason = "a hint for the one who looks, not worth failing for")]
fn note(hint: &str) {
    eprintln!("{hint}");
}

/// `policy/compile.rs` and `policy/mod.rs` are in the room `policy`, `main.rs` and `lib.rs` in rooms of their own.
fn room_name(file: &Path) -> String {
    let first = file.components().next().map(|part| Path::new(part.as_os_str()).with_extension(""));
    first.map(|first| first.display().to_string()).unwrap_or_default()
}

fn module_path(file: &Path) -> Vec<String> {
    let path = file.with_extension("");
    let mut module: Vec<String> =
        path.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
    if module.last().is_some_and(|last| last == "mod") || ["lib", "main"].contains(&module.join("/").as_str())
    {
        module.pop();
    }
    module
}
