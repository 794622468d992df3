//! What the pages say is so: their examples compile, their error messages are the real ones, their tables are the code's.
//!
//! In `docs/policies.md` and `README.md`: a `cedar` block compiles without a warning, beside the `cedarschema` blocks of
//! its section. A block marked `ignore` is wrong, and the `text` block after it is what the compiler says. The cases of
//! a `yaml,cases` block pass with all policies of their section.

use std::fs;
use std::path::Path;

use deodar::decide::access;
use deodar::model::{BundleSource, SignalLife, SourceFile};
use deodar::policy::{ANNOTATIONS, Limits, Snapshot, cases};
use deodar::risk::{Effect, Fade, Flag, SignalKind, kinds};

const POLICIES: &str = "docs/policies.md";
const OPERATIONS: &str = "docs/operations.md";

fn page(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// A fenced block of a page.
struct Block {
    /// `docs/policies.md:120`, for messages.
    place: String,
    /// The section, by number: the text from one `## ` to the next.
    section: usize,
    info: String,
    text: String,
}

fn blocks(path: &str) -> Vec<Block> {
    let (page, mut section, mut blocks, mut open) = (page(path), 0, Vec::new(), None);
    for (number, line) in page.lines().enumerate() {
        match (line.strip_prefix("```"), open.take()) {
            (Some(info), None) => {
                let place = format!("{path}:{}", number + 1);
                open = Some(Block { place, section, info: info.to_owned(), text: String::new() });
            }
            (Some(_), Some(block)) => blocks.push(block),
            (None, Some(mut block)) => {
                block.text.push_str(line);
                block.text.push('\n');
                open = Some(block);
            }
            (None, None) => section += usize::from(line.starts_with("## ")),
        }
    }
    assert!(open.is_none(), "{path} ends within a block");
    blocks
}

fn bundle<'a>(blocks: impl Iterator<Item = &'a Block>) -> BundleSource {
    let file = |block: &Block| {
        let language = block.info.split(',').next().unwrap_or_default();
        SourceFile { path: format!("{}.{language}", block.place), text: block.text.clone() }
    };
    BundleSource::new(blocks.map(file).collect())
}

/// Those blocks of a section that say something with one of these info strings.
fn beside<'a>(blocks: &'a [Block], one: &Block, infos: &'a [&str]) -> impl Iterator<Item = &'a Block> {
    let section = one.section;
    blocks.iter().filter(move |block| block.section == section && infos.contains(&&*block.info))
}

#[test]
fn cedar_examples_compile_without_a_warning() {
    let mut compiled = 0;
    for path in [POLICIES, "README.md"] {
        let blocks = blocks(path);
        for block in blocks.iter().filter(|block| block.info == "cedar") {
            let source = bundle(beside(&blocks, block, &["cedarschema"]).chain([block]));
            match Snapshot::compile(&source, &Limits::default(), None) {
                Ok((_, warnings)) => assert!(warnings.is_empty(), "{}: {warnings:?}", block.place),
                Err(errors) => panic!("{}:\n{}", block.place, errors.rendered()),
            }
            compiled += 1;
        }
    }
    assert!(compiled > 5, "only {compiled} examples were found");
}

#[test]
fn wrong_examples_get_the_messages_that_stand_below_them() {
    let blocks = blocks(POLICIES);
    let mut compared = 0;
    for pair in blocks.windows(2).filter(|pair| pair[0].info.ends_with(",ignore")) {
        let [wrong, said] = pair else { unreachable!("windows of two") };
        assert_eq!(said.info, "text", "{} needs its message", wrong.place);
        let errors = Snapshot::compile(&bundle([wrong].into_iter()), &Limits::default(), None);
        let errors = errors.expect_err(&wrong.place).to_string();
        assert!(errors.contains(said.text.trim_end()), "{}: really said is\n{errors}", wrong.place);
        compared += 1;
    }
    assert!(compared > 5, "only {compared} examples were found");
}

#[test]
fn example_cases_pass() {
    let blocks = blocks(POLICIES);
    let mut files = 0;
    for block in blocks.iter().filter(|block| block.info == "yaml,cases") {
        let source = bundle(beside(&blocks, block, &["cedar", "cedarschema"]));
        let file = SourceFile { path: format!("{}.yaml", block.place), text: block.text.clone() };
        for result in cases::run(&source, &[file], &Limits::default()).unwrap() {
            assert!(result.passed(), "{}: {}: {:?}", block.place, result.name, result.failures);
        }
        files += 1;
    }
    assert!(files > 1, "only {files} examples were found");
}

#[track_caller]
fn assert_shows(path: &str, table: &str) {
    assert!(page(path).contains(table), "{path} must contain these lines:\n\n{table}");
}

#[test]
fn the_annotations_are_those_of_the_code() {
    let rows = ANNOTATIONS.iter().map(|rule| {
        let travels = if rule.obligation { "yes" } else { "no" };
        format!("| `@{}` | {} | {travels} |\n", rule.name, rule.meaning)
    });
    assert_shows(
        POLICIES,
        &format!("| annotation | is | obligation |\n|---|---|---|\n{}", rows.collect::<String>()),
    );
}

#[test]
fn the_signal_kinds_are_those_of_the_code() {
    let head = "| family | kind | cap | life | about | says |\n|---|---|---|---|---|---|\n";
    assert_shows(POLICIES, &format!("{head}{}", kinds().map(kind_row).collect::<String>()));
}

fn kind_row(kind: &SignalKind) -> String {
    let effect = match kind.effect {
        Effect::Points { cap } => format!("{cap:.1}"),
        Effect::Raises(Flag::SessionRevoked) => "flag: session revoked".to_owned(),
        Effect::Raises(Flag::TokenRevoked) => "flag: token revoked".to_owned(),
        Effect::Raises(Flag::AccountDisabled) => "flag: account disabled".to_owned(),
        Effect::Raises(Flag::DeviceLost) => "flag: device lost".to_owned(),
    };
    let life = match (kind.life, kind.fade) {
        (SignalLife::UntilCleared, _) => "until cleared".to_owned(),
        (SignalLife::HalfLife(time), Fade::Halving) => format!("half-life {}", minutes(time.as_secs() / 60)),
        (SignalLife::HalfLife(time), Fade::Window) => format!("{} in full", minutes(time.as_secs() / 60)),
    };
    let (family, code, subjects, text) =
        (kind.family.as_str(), kind.code, kind.subjects.join(", "), kind.text);
    format!("| {family} | `{code}` | {effect} | {life} | {subjects} | {text} |\n")
}

fn minutes(count: u64) -> String {
    if count.is_multiple_of(60) { format!("{}h", count / 60) } else { format!("{count}m") }
}

#[test]
fn the_roles_are_those_of_the_code() {
    let rows = access::TABLE.iter().map(|(rpc, roles)| {
        let short = rpc.rsplit_once('.').map_or(*rpc, |(_, short)| short);
        let roles: Vec<_> = roles.iter().map(|role| role.as_str()).collect();
        format!("| `{short}` | {} |\n", roles.join(", "))
    });
    assert_shows(OPERATIONS, &format!("| RPC | roles |\n|---|---|\n{}", rows.collect::<String>()));
}

/// The page about tokens has a row for each check, in the order in which they are made.
#[test]
fn the_checks_of_a_token_are_those_of_the_page() {
    let page = page("docs/identity/tokens.md");
    let rows =
        page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | ").map(|(name, _)| name));
    let wanted: Vec<_> = deodar::identity::Check::ALL.map(deodar::identity::Check::as_str).into();
    assert_eq!(rows.collect::<Vec<_>>(), wanted);
}
