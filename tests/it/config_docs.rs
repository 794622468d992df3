//! The configuration page says what the types say.

use deodar::app::reference;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");

#[test]
fn the_configuration_page_is_what_the_types_say() {
    let written = std::fs::read_to_string(PAGE).unwrap_or_default();
    let made = reference::markdown().unwrap();
    assert!(
        written.trim_end() == made.trim_end(),
        "docs/configuration.md is out of date; make it again:\n    cargo run -- config docs > docs/configuration.md"
    );
}
