//! The real binary as a process of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// A server process. Killed when dropped.
pub struct ServerProcess {
    child: Child,
    pub decisions: SocketAddr,
    pub management: SocketAddr,
    /// What it logged before it listened.
    pub first_events: Vec<Value>,
}

impl ServerProcess {
    /// Starts `deodar serve` with the configuration file in this folder and waits until it listens.
    pub async fn start(dir: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_deodar"))
            .args(["serve", "--config"])
            .arg(dir.join("deodar.toml"))
            .env("DEODAR__LOG__FORMAT", "json")
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut seen = Vec::new();
        let listening = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                let event = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if event["message"] == "deodar is listening" {
                    return (event, seen);
                }
                seen.push(event);
            }
            panic!("the server ended before it listened: {seen:#?}");
        };
        let (event, first_events) = tokio::time::timeout(Duration::from_secs(60), listening).await.unwrap();
        // The pipe must be read to the end, or the server would wait for us when it is full.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let address = |name: &str| event[name].as_str().unwrap().parse().unwrap();
        Self { child, decisions: address("decisions"), management: address("management"), first_events }
    }

    /// The threads of the process: their names, and how nice each is to the others.
    pub fn threads(&self) -> Vec<(String, i32)> {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id().unwrap())).unwrap();
        let thread = |thread: std::fs::DirEntry| {
            let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap();
            // proc_pid_stat(5): the name may hold anything, and behind it the niceness is the 17th field.
            let (name, rest) = stat.rsplit_once(')').unwrap();
            let niceness = rest.split_whitespace().nth(16).unwrap().parse().unwrap();
            (name.split_once('(').unwrap().1.to_owned(), niceness)
        };
        threads.map(|entry| thread(entry.unwrap())).collect()
    }

    /// Asks the process to stop, and waits until it has.
    pub async fn terminate(mut self) {
        let pid = self.child.id().unwrap().to_string();
        let killed = Command::new("kill").args(["-TERM", &pid]).status().await.unwrap();
        assert!(killed.success());
        let ended = tokio::time::timeout(Duration::from_secs(30), self.child.wait()).await.unwrap();
        assert!(ended.unwrap().success(), "the server did not stop in order");
    }
}
