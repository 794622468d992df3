//! `deodar demo` as a newcomer runs it: the real binary, an empty folder, a story with a reason for each answer.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

#[test]
#[expect(clippy::disallowed_methods, reason = "the test measures how soon the first decision is there")]
fn the_demo_tells_its_story_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    let started = Instant::now();
    let run = || {
        Command::new(env!("CARGO_BIN_EXE_deodar"))
            .args(["demo", "--exit", "--output", "json", "--data-dir"])
            .arg(folder.path())
            .output()
            .unwrap()
    };
    let output = run();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());

    let told: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(told.len() >= 8, "{said}");
    let reasons: BTreeSet<&str> = told.iter().map(|told| told["reason"].as_str().unwrap()).collect();
    assert!(reasons.len() >= 5, "{reasons:?}");
    for (index, told) in told.iter().enumerate() {
        assert_eq!(told["step"], index + 1);
        assert!(matches!(told["effect"].as_str(), Some("allow" | "deny")), "{told}");
        assert_eq!(told["effect"] == "allow", told["reason"] == "allowed", "{told}");
        assert!(told["policies"].is_array() && told["risk"]["score"].is_u64() && told["latency_us"].is_u64());
    }

    // A second telling begins with what the first one left behind, and comes to the same answers.
    let again = run();
    let again = String::from_utf8_lossy(&again.stdout).into_owned();
    let answers = |said: &str| -> Vec<String> {
        let lines = said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.map(|told| told["reason"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(answers(&said), answers(&again));
}
