//! Bounds on how deep policies nest, so that no bundle can overflow the stack.
//!
//! Cedar's parser and validator call themselves for each level of an expression, and running out of stack ends the
//! process, not the call. So text is measured before Cedar sees it, and compiled where there is room for the
//! bound. During evaluation Cedar itself watches the stack: a policy that is too deep fails, as any other error.

use std::thread;

use super::finding::{Finding, Severity};
use crate::model::SourceFile;

/// Open brackets and `if`s at any one place.
const MAX_NESTING: usize = 64;

/// Operators of one policy; a chain of them is as deep as it is long.
const MAX_OPERATORS: usize = 1_000;

/// In bytes. A level takes up to about 110 kB in an unoptimised build, and far less in an optimised one; the pages
/// are only taken when they are used.
const STACK: usize = 128 * 1024 * 1024;

/// A bundle may take a minute to compile, and decisions go on meanwhile: this thread takes what they leave.
fn let_others_go_first() {
    // On Linux a priority is a thread's own (setpriority(2)). Without it decisions are slower meanwhile, and no less right.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), 19) {
        tracing::debug!(%error, "cannot lower the priority of compiling");
    }
}

/// Runs a task where policies within the bounds have room. It fails when there is no thread to be had, or when the
/// task panics.
pub(super) fn on_a_large_stack<T: Send>(task: impl FnOnce() -> T + Send) -> Result<T, String> {
    thread::scope(|scope| {
        let running = thread::Builder::new()
            .name("policy-compile".to_owned())
            .stack_size(STACK)
            .spawn_scoped(scope, || {
                let_others_go_first();
                task()
            });
        let running = running.map_err(|error| format!("cannot start a thread to compile on: {error}"))?;
        running.join().map_err(|_| "compiling panicked: please report this bundle as a bug".to_owned())
    })
}

/// Measures a policy or schema file, and points at the first place that is too deep.
pub(super) fn check(file: &SourceFile) -> Option<Finding> {
    // The JSON reader has a bound of its own.
    if file.path.ends_with(".json") {
        return None;
    }
    // In a schema they hold types; in a policy they compare, and a file may do so as often as it likes.
    let angles = file.path.ends_with(".cedarschema");
    let (offset, message) = first_excess(&file.text, angles)?;
    Some(Finding::at(Severity::Error, file, offset..offset + 1, message))
}

fn first_excess(text: &str, angles: bool) -> Option<(usize, String)> {
    let mut measure = Measure::default();
    let mut tokens = Tokens { text, offset: 0, angles };
    while let Some((offset, token)) = tokens.next() {
        measure.add(token);
        if measure.open + measure.ifs > MAX_NESTING {
            return Some((offset, format!("this nests more than {MAX_NESTING} deep")));
        }
        if measure.operators > MAX_OPERATORS {
            return Some((offset, format!("this policy has more than {MAX_OPERATORS} operators: split it")));
        }
    }
    None
}

/// What matters for depth.
#[derive(Clone, Copy)]
enum Token {
    Open,
    Close,
    If,
    Operator,
    /// The end of a statement: operators and `if`s of the next one are counted afresh.
    End,
}

#[derive(Default)]
struct Measure {
    open: usize,
    ifs: usize,
    operators: usize,
}

impl Measure {
    fn add(&mut self, token: Token) {
        match token {
            // An index or a call is an operator too: `a["b"]["c"]` is as deep as it is long.
            Token::Open => (self.open, self.operators) = (self.open + 1, self.operators + 1),
            Token::Close => self.open = self.open.saturating_sub(1),
            Token::If => self.ifs += 1,
            Token::Operator => self.operators += 1,
            Token::End => (self.ifs, self.operators) = (0, 0),
        }
    }
}

/// The tokens that matter, with their places; strings and comments are passed over.
struct Tokens<'a> {
    text: &'a str,
    offset: usize,
    /// Whether `<` and `>` are brackets.
    angles: bool,
}

impl Tokens<'_> {
    fn next(&mut self) -> Option<(usize, Token)> {
        loop {
            let rest = self.text.get(self.offset..)?;
            let first = rest.chars().next()?;
            let start = self.offset;
            let (length, token) = match first {
                '"' => (string_length(rest), None),
                '/' if rest.starts_with("//") => (rest.find('\n').unwrap_or(rest.len()), None),
                '(' | '[' | '{' => (1, Some(Token::Open)),
                ')' | ']' | '}' => (1, Some(Token::Close)),
                '<' if self.angles => (1, Some(Token::Open)),
                '>' if self.angles => (1, Some(Token::Close)),
                ';' => (1, Some(Token::End)),
                '.' | '+' | '-' | '*' | '&' | '|' | '!' => (operator_length(rest), Some(Token::Operator)),
                _ if first == '_' || first.is_alphanumeric() => {
                    let length = word_length(rest);
                    (length, (rest.get(..length) == Some("if")).then_some(Token::If))
                }
                _ => (first.len_utf8(), None),
            };
            self.offset += length;
            if let Some(token) = token {
                return Some((start, token));
            }
        }
    }
}

fn operator_length(rest: &str) -> usize {
    if rest.starts_with("&&") || rest.starts_with("||") { 2 } else { 1 }
}

fn word_length(rest: &str) -> usize {
    rest.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(rest.len())
}

/// With both quotes; to the end of the text when the second is missing.
fn string_length(rest: &str) -> usize {
    let mut escaped = false;
    for (index, byte) in rest.bytes().enumerate().skip(1) {
        match byte {
            b'"' if !escaped => return index + 1,
            b'\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::super::support::{Call, bundle, snapshot_of};
    use super::super::{Limits, Snapshot};
    use super::*;
    use crate::model::Reason;

    fn policy(effect: &str, condition: &str) -> String {
        format!("@id(\"p\") {effect}(principal, action, resource is api::Endpoint) when {{ {condition} }};")
    }

    fn error_of(condition: &str) -> Option<String> {
        let source = bundle(&[("deep.cedar", &policy("permit", condition))]);
        Snapshot::compile(&source, &Limits::default(), None).err().map(|errors| errors.to_string())
    }

    #[test]
    fn what_would_overflow_the_stack_is_an_error_with_a_place() {
        for condition in [
            "(".repeat(100_000),
            format!("{}true{}", "(".repeat(5_000), ")".repeat(5_000)),
            format!("{}true{}", "true && (".repeat(5_000), ")".repeat(5_000)),
            vec!["context.scopes_met"; 5_000].join(" && "),
            vec!["context.scopes_met"; 5_000].join(" || "),
            format!("{}true", "if true then true else ".repeat(5_000)),
            format!("1{} > 1", " + 1".repeat(5_000)),
            format!("context{}", ".a".repeat(5_000)),
            format!("context{}", "[\"a\"]".repeat(5_000)),
            format!("{}true", "!".repeat(5_000)),
        ] {
            let error = error_of(&condition).unwrap();
            assert!(error.starts_with("deep.cedar:1:"), "{error}");
        }
        let schema =
            format!("namespace A {{ entity E {{ a: {}Long{} }}; }}", "Set<".repeat(5_000), ">".repeat(5_000));
        let errors =
            Snapshot::compile(&bundle(&[("s.cedarschema", &schema)]), &Limits::default(), None).unwrap_err();
        assert!(errors.to_string().contains("nests more than"), "{errors}");
    }

    #[test]
    fn what_is_within_the_bounds_compiles() {
        for condition in [
            format!("{}true{}", "(".repeat(60), ")".repeat(60)),
            format!("{}true{}", "true && (".repeat(60), ")".repeat(60)),
            vec!["context.scopes_met"; 490].join(" && "),
            vec!["context.scopes_met"; 490].join(" || "),
            format!("{}true", "if true then true else ".repeat(60)),
            format!("1{} > 1", " + 1".repeat(990)),
            format!("{}.contains(\"x\")", format_args!("[{}]", vec!["\"a.b&&c\""; 5_000].join(", "))),
        ] {
            assert_eq!(error_of(&condition), None, "{}", &condition[..40]);
        }
    }

    #[test]
    fn the_longest_policies_are_evaluated_or_deny() {
        let chain = vec!["context.scopes_met"; 490].join(" && ");
        for (effect, fine) in [("permit", Reason::Allowed), ("forbid", Reason::ForbiddenByPolicy)] {
            let snapshot = snapshot_of(&bundle(&[("a.cedar", &policy(effect, &chain))]));
            let evaluation = Call::default().evaluate(&snapshot);
            let reason = evaluation.reason;
            let denied = matches!(reason, Reason::PolicyError | Reason::NoMatchingPermit);
            assert!(reason == fine || (denied && !evaluation.policy_errors.is_empty()), "{evaluation:?}");
        }
    }

    #[test]
    fn strings_and_comments_do_not_nest() {
        let text =
            format!("// {}\n@id(\"{}\\\"{}\") permit();", "(".repeat(99), "(".repeat(99), "(".repeat(99));
        assert_eq!(first_excess(&text, false), None);
        assert_eq!(first_excess(&format!("\"{}", "(".repeat(99)), false), None);
    }

    #[test]
    fn comparing_is_not_nesting() {
        let one = policy("permit", "context.risk.level < 3 && context.risk.score < 50");
        assert_eq!(first_excess(&one.repeat(200), false), None);
        assert!(first_excess(&"Set<".repeat(200), true).is_some());
    }

    #[test]
    fn each_statement_is_counted_for_itself() {
        let one = format!("permit() when {{ 1{} > 0 }};", " + 1".repeat(900));
        assert_eq!(first_excess(&one.repeat(3), false), None);
        assert!(first_excess(&one.replace(';', "").repeat(3), false).is_some());
    }

    #[test]
    fn a_panic_while_compiling_is_an_error() {
        let error = on_a_large_stack(|| -> u8 { panic!("on purpose") }).unwrap_err();
        assert!(error.contains("panicked"), "{error}");
    }
}
