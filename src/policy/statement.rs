//! One policy in the file where it stands: parsed, named by its `@id`, with its place kept for messages.
//!
//! Ids must be unique over all files, because answers and records name policies by them. What a policy means is
//! checked in `validate`, what its annotations promise in `obligations`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;

use cedar_policy::{Policy, PolicyId as CedarId, PolicySet, Template};

use super::finding::{Finding, Severity};
use super::links::{self, Pattern};
use crate::model::{BundleSource, PolicyId, SourceFile};

/// A policy whose Cedar id is the value of its `@id`.
pub(super) struct Statement<'a> {
    pub id: PolicyId,
    pub policy: Policy,
    pub file: &'a SourceFile,
    /// The policy's bytes in its file, annotations included.
    pub range: Range<usize>,
    /// From 1.
    pub line: usize,
}

impl Statement<'_> {
    /// A finding at an annotation of the policy.
    pub fn at_annotation(&self, severity: Severity, name: &str, message: impl Into<String>) -> Finding {
        let word = annotation(&self.file.text, &self.range, name);
        Finding::at(severity, self.file, word, message).about(Some(self.id.clone()))
    }

    /// A finding about the policy as a whole.
    pub fn at_policy(&self, severity: Severity, message: impl Into<String>) -> Finding {
        Finding::at(severity, self.file, self.range.clone(), message).about(Some(self.id.clone()))
    }
}

/// Where an annotation of the statement at `range` stands. Annotations come first, so the first mention is the annotation
/// itself.
fn annotation(text: &str, range: &Range<usize>, name: &str) -> Range<usize> {
    let found = text.get(range.clone()).and_then(|statement| statement.find(&format!("@{name}")));
    found.map_or(range.clone(), |found| range.start + found..range.start + found + name.len() + 1)
}

/// Reads every policy of the bundle, links of templates included. What cannot be read, or has no id of its own, becomes
/// an error.
pub(super) fn read_all<'a>(source: &'a BundleSource, errors: &mut Vec<Finding>) -> Vec<Statement<'a>> {
    let mut first_places: BTreeMap<PolicyId, String> = BTreeMap::new();
    let mut patterns = BTreeMap::new();
    let mut statements = Vec::new();
    for file in source.with_extension("cedar") {
        let mut places = Places { text: &file.text, offset: 0, line: 1 };
        for (parsed, range) in parse(file, errors) {
            let Some(id) = id_of(&parsed, file, &range, errors) else { continue };
            let (line, column) = places.at(range.start);
            let place = format!("{}:{line}:{column}", file.path);
            if let Some(first) = first_places.get(&id) {
                let message = format!("the policy id `{id}` is used twice: at {first} and at {place}");
                let word = annotation(&file.text, &range, "id");
                errors.push(Finding::at(Severity::Error, file, word, message).about(Some(id)));
                continue;
            }
            first_places.insert(id.clone(), place);
            match parsed {
                Parsed::Policy(policy) => {
                    let policy = policy.new_id(CedarId::new(id.as_str()));
                    statements.push(Statement { policy, id, file, range, line });
                }
                Parsed::Template(template) => {
                    patterns.insert(id, Pattern { template, file, range, line });
                }
            }
        }
    }
    for (statement, file) in links::read_all(source, &patterns, errors) {
        let place = first_places.entry(statement.id.clone());
        if let Entry::Occupied(first) = &place {
            let message =
                format!("the policy id `{}` is used twice: at {} and here", statement.id, first.get());
            errors.push(links::at(file, statement.id.as_str(), message));
            continue;
        }
        place.insert_entry(file.path.clone());
        statements.push(statement);
    }
    statements
}

/// Lines and columns of a text, asked for from its beginning to its end: counting them anew for each of many
/// policies would take the square of their number.
struct Places<'a> {
    text: &'a str,
    offset: usize,
    line: usize,
}

impl Places<'_> {
    fn at(&mut self, offset: usize) -> (usize, usize) {
        let passed = self.text.get(self.offset..offset).unwrap_or_default();
        self.line += passed.matches('\n').count();
        self.offset = offset;
        let before = self.text.get(..offset).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before.get(line_start..).map_or(0, |line| line.chars().count());
        (self.line, column + 1)
    }
}

/// One statement of a file.
enum Parsed {
    Policy(Policy),
    Template(Template),
}

impl Parsed {
    fn annotation(&self, name: &str) -> Option<&str> {
        match self {
            Self::Policy(policy) => policy.annotation(name),
            Self::Template(template) => template.annotation(name),
        }
    }
}

/// The statements of one file with their places.
fn parse(file: &SourceFile, errors: &mut Vec<Finding>) -> Vec<(Parsed, Range<usize>)> {
    let set: PolicySet = match file.text.parse() {
        Ok(set) => set,
        Err(found) => {
            let found: &cedar_policy::ParseErrors = &found;
            errors.extend(found.iter().map(|error| Finding::from_cedar(Severity::Error, file, error)));
            return Vec::new();
        }
    };
    let mut statements = Vec::new();
    let mut cursor = 0;
    // Cedar numbers the statements of a text in order, and remembers the text of each: searching from the end of
    // the one before finds the place, even where two statements are the same.
    for number in 0..set.num_of_policies() + set.num_of_templates() {
        let id = CedarId::new(format!("policy{number}"));
        let (parsed, text) = match (set.template(&id), set.policy(&id)) {
            (Some(template), _) => (Parsed::Template(template.clone()), Some(template.to_cedar())),
            (None, Some(policy)) => (Parsed::Policy(policy.clone()), policy.to_cedar()),
            (None, None) => continue,
        };
        let Some(text) = text else { continue };
        let range = locate(&file.text, cursor, &text);
        cursor = range.end;
        statements.push((parsed, range));
    }
    statements
}

fn locate(text: &str, from: usize, wanted: &str) -> Range<usize> {
    let found = text.get(from..).and_then(|rest| rest.find(wanted));
    found.map_or(from..from, |found| from + found..from + found + wanted.len())
}

fn id_of(
    policy: &Parsed,
    file: &SourceFile,
    range: &Range<usize>,
    errors: &mut Vec<Finding>,
) -> Option<PolicyId> {
    let Some(text) = policy.annotation("id") else {
        let message = "this policy has no `@id(\"...\")`: decisions and records name policies by it";
        errors.push(Finding::at(Severity::Error, file, range.clone(), message));
        return None;
    };
    match text.parse::<PolicyId>() {
        Ok(id) => Some(id),
        Err(error) => {
            errors.push(Finding::at(Severity::Error, file, range.clone(), error.to_string()));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(files: &[(&str, &str)]) -> BundleSource {
        let file = |(path, text): &(&str, &str)| SourceFile { path: (*path).into(), text: (*text).into() };
        BundleSource::new(files.iter().map(file).collect())
    }

    fn errors_of(files: &[(&str, &str)]) -> Vec<String> {
        let mut errors = Vec::new();
        read_all(&source(files), &mut errors);
        errors.iter().map(Finding::to_string).collect()
    }

    #[test]
    fn every_policy_keeps_its_place() {
        let text = "@id(\"a\") permit(principal, action, resource);\n  @id(\"b\")\nforbid(principal, action, resource);";
        let source = source(&[("p.cedar", text)]);
        let mut errors = Vec::new();
        let statements = read_all(&source, &mut errors);
        assert!(errors.is_empty());
        let mut places = Places { text, offset: 0, line: 1 };
        let mut at = |index: usize| places.at(statements[index].range.start);
        assert_eq!((at(0), at(1)), ((1, 1), (2, 3)));
        assert_eq!((statements[0].line, statements[1].line), (1, 2));
        assert_eq!(statements[1].id.as_str(), "b");
    }

    #[test]
    fn a_policy_without_id_is_an_error_at_its_line() {
        let found = errors_of(&[("p.cedar", "\n\npermit(principal, action, resource);")]);
        assert!(
            found.len() == 1 && found[0].starts_with("p.cedar:3:1: this policy has no `@id"),
            "{found:?}"
        );
    }

    #[test]
    fn a_shared_id_names_both_places() {
        let text = "@id(\"x\")\npermit(principal, action, resource);";
        let found = errors_of(&[("one.cedar", text), ("two.cedar", text)]);
        assert_eq!(
            found,
            ["two.cedar:1:1: the policy id `x` is used twice: at one.cedar:1:1 and at two.cedar:1:1"]
        );
    }

    #[test]
    fn all_syntax_errors_are_told_with_their_files() {
        let found =
            errors_of(&[("one.cedar", "permit(principal action, resource);"), ("two.cedar", "allow();")]);
        assert!(found.iter().any(|text| text.starts_with("one.cedar:1:18")), "{found:?}");
        assert!(found.iter().any(|text| text.starts_with("two.cedar:1:1")), "{found:?}");
    }
}
