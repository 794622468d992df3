//! The table: which room may use which, and which crate may be named where.
//!
//! This is the one place that says so; `docs/ARCHITECTURE.md` shows it to readers and a test keeps the two equal.
//! An arrow that is missing here is a question about the design first and a line in this file second.

/// A top-level module of `src/`, or one of its two roots.
pub struct Room {
    pub name: &'static str,
    /// The other rooms whose items it may name.
    pub may_use: &'static [&'static str],
    /// Whether it may contain `async` and `.await`.
    pub may_wait: bool,
    /// What it is without, on purpose; for the page.
    pub without: &'static str,
}

/// Something that only some rooms may name.
pub struct Fence {
    /// A crate (those named `<crate>_..` are in the same fence), or a path into a crate, or `crate::` and a path into a room.
    pub path: &'static str,
    pub rooms: &'static [&'static str],
}

const SIX: &[&str] = &["model", "identity", "inventory", "risk", "policy", "store", "audit"];

pub const ROOMS: [Room; 14] = [
    Room { name: "model", may_use: &[], may_wait: false, without: "I/O, async, wire formats, Cedar, SQL" },
    Room {
        name: "identity",
        may_use: &["model"],
        may_wait: true,
        without: "transport: `api` reads the headers",
    },
    Room { name: "inventory", may_use: &["model"], may_wait: false, without: "async, storage" },
    Room { name: "risk", may_use: &["model"], may_wait: false, without: "I/O, the wall clock" },
    Room { name: "policy", may_use: &["model"], may_wait: false, without: "async, storage" },
    Room { name: "store", may_use: &["model"], may_wait: true, without: "opinions: it keeps and returns" },
    Room { name: "audit", may_use: &["model", "store"], may_wait: true, without: "any say in a decision" },
    Room { name: "decide", may_use: SIX, may_wait: true, without: "protobuf, HTTP, SQL" },
    Room {
        name: "manage",
        may_use: &["model", "decide", "identity", "inventory", "risk", "policy", "store", "audit"],
        may_wait: true,
        without: "protobuf, HTTP, SQL",
    },
    Room { name: "api", may_use: &["model", "decide", "manage"], may_wait: true, without: "SQL, Cedar, JWT" },
    Room {
        name: "app",
        may_use: &[
            "model",
            "identity",
            "inventory",
            "risk",
            "policy",
            "store",
            "audit",
            "decide",
            "manage",
            "api",
        ],
        may_wait: true,
        without: "rules of its own: it only connects",
    },
    Room {
        name: "cli",
        may_use: &["app", "api", "policy", "inventory", "model"],
        may_wait: true,
        without: "a way around the API: it is a client of it",
    },
    Room { name: "main", may_use: &["cli"], may_wait: false, without: "anything but parse, run, exit code" },
    Room {
        name: "lib",
        may_use: &[
            "model",
            "identity",
            "inventory",
            "risk",
            "policy",
            "store",
            "audit",
            "decide",
            "manage",
            "api",
            "app",
            "cli",
        ],
        may_wait: false,
        without: "items: it only lists the rooms",
    },
];

/// The rooms in which something may wait for I/O.
const WAITING: &[&str] = &["identity", "store", "audit", "decide", "manage", "api", "app", "cli", "main"];
/// All but `model` and `risk`, whose results depend on their arguments alone.
const TOUCHING_THE_WORLD: &[&str] = &[
    "identity",
    "inventory",
    "policy",
    "store",
    "audit",
    "decide",
    "manage",
    "api",
    "app",
    "cli",
    "main",
    "lib",
];

pub const FENCES: [Fence; 25] = [
    Fence { path: "cedar_policy", rooms: &["policy"] },
    Fence { path: "sqlx", rooms: &["store"] },
    Fence { path: "jsonwebtoken", rooms: &["identity"] },
    Fence { path: "x509_parser", rooms: &["identity"] },
    Fence { path: "webpki", rooms: &["identity"] },
    Fence { path: "tonic", rooms: &["api", "app"] },
    Fence { path: "prost", rooms: &["api", "app"] },
    Fence { path: "axum", rooms: &["api"] },
    Fence { path: "hyper", rooms: &["api", "app"] },
    Fence { path: "h2", rooms: &["api", "app"] },
    Fence { path: "http", rooms: &["api", "app"] },
    Fence { path: "tower", rooms: &["api", "app"] },
    Fence { path: "reqwest", rooms: &["app"] },
    Fence { path: "clap", rooms: &["cli", "main"] },
    Fence { path: "anyhow", rooms: &["app", "cli", "main"] },
    Fence { path: "miette", rooms: &["policy", "cli"] },
    Fence { path: "async_trait", rooms: WAITING },
    Fence { path: "futures", rooms: WAITING },
    Fence { path: "tokio", rooms: WAITING },
    Fence { path: "std::fs", rooms: TOUCHING_THE_WORLD },
    Fence { path: "std::process", rooms: TOUCHING_THE_WORLD },
    Fence { path: "std::thread", rooms: TOUCHING_THE_WORLD },
    Fence { path: "std::env", rooms: TOUCHING_THE_WORLD },
    Fence { path: "crate::store::postgres", rooms: &["store", "app"] },
    Fence { path: "crate::store::embedded", rooms: &["store", "app"] },
];

pub fn room(name: &str) -> Option<&'static Room> {
    ROOMS.iter().find(|room| room.name == name)
}

/// The table as the architecture page shows it.
pub fn as_markdown() -> String {
    let list = |names: &[&str]| match names {
        [] => "nothing".to_owned(),
        names => names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
    };
    let mut lines = vec!["| room | may use | is without |".to_owned(), "|---|---|---|".to_owned()];
    for room in &ROOMS {
        lines.push(format!("| `{}` | {} | {} |", room.name, list(room.may_use), room.without));
    }
    lines.push(String::new());
    lines.push("| only these rooms | may name |".to_owned());
    lines.push("|---|---|".to_owned());
    let mut fences: Vec<(&[&str], Vec<&str>)> = Vec::new();
    for fence in &FENCES {
        match fences.iter_mut().find(|(rooms, _)| *rooms == fence.rooms) {
            Some((_, paths)) => paths.push(fence.path),
            None => fences.push((fence.rooms, vec![fence.path])),
        }
    }
    for (rooms, paths) in &fences {
        lines.push(format!("| {} | {} |", list(rooms), list(paths)));
    }
    lines.join("\n")
}
