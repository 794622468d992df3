//! One policy in the file where it stands: parsed, named by its `@id`, with its place kept for messages.
//!
//! Ids must be unique over all files, because answers and records name policies by them. What a policy means is
//! checked in `validate`, what its annotations promise in `obligations`.

use std::collections::BTreeMap;
use std::ops::Range;

use cedar_policy::{Policy, PolicyId as CedarId, PolicySet, Template};

use super::finding::{Finding, Severity};
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
        let text = self.file.text.get(self.range.clone()).unwrap_or_default();
        // Annotations come first in a policy, so the first mention is the annotation itself.
        let range = text.find(&format!("@{name}")).map_or_else(
            || self.range.clone(),
            |found| self.range.start + found..self.range.start + found + name.len() + 1,
        );
        Finding::at(severity, self.file, range, message).about(Some(self.id.clone()))
    }

    /// A finding about the policy as a whole.
    pub fn at_policy(&self, severity: Severity, message: impl Into<String>) -> Finding {
        Finding::at(severity, self.file, self.range.clone(), message).about(Some(self.id.clone()))
    }
}

/// Reads every policy of the bundle. What cannot be read, or has no id of its own, becomes an error.
pub(super) fn read_all<'a>(source: &'a BundleSource, errors: &mut Vec<Finding>) -> Vec<Statement<'a>> {
    let mut first_places: BTreeMap<PolicyId, String> = BTreeMap::new();
    let mut statements = Vec::new();
    for file in source.with_extension("cedar") {
        let mut places = Places { text: &file.text, offset: 0, line: 1 };
        for (policy, range) in parse(file, errors) {
            let Some(id) = id_of(&policy, file, &range, errors) else { continue };
            let (line, column) = places.at(range.start);
            let place = format!("{}:{line}:{column}", file.path);
            let policy = policy.new_id(CedarId::new(id.as_str()));
            let statement = Statement { policy, id: id.clone(), file, range, line };
            if let Some(first) = first_places.get(&id) {
                let message = format!("the policy id `{id}` is used twice: at {first} and at {place}");
                errors.push(statement.at_annotation(Severity::Error, "id", message));
                continue;
            }
            first_places.insert(id, place);
            statements.push(statement);
        }
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

/// The static policies of one file with their places.
fn parse(file: &SourceFile, errors: &mut Vec<Finding>) -> Vec<(Policy, Range<usize>)> {
    let set: PolicySet = match file.text.parse() {
        Ok(set) => set,
        Err(found) => {
            let found: &cedar_policy::ParseErrors = &found;
            errors.extend(found.iter().map(|error| Finding::from_cedar(Severity::Error, file, error)));
            return Vec::new();
        }
    };
    let mut policies = Vec::new();
    let mut cursor = 0;
    // Cedar numbers the statements of a text in order, and remembers the text of each: searching from the end of
    // the one before finds the place, even where two statements are the same.
    for number in 0..set.num_of_policies() + set.num_of_templates() {
        let id = CedarId::new(format!("policy{number}"));
        let template = set.template(&id).map(Template::to_cedar);
        let Some(text) = template.clone().or_else(|| set.policy(&id).and_then(Policy::to_cedar)) else {
            continue;
        };
        let range = locate(&file.text, cursor, &text);
        cursor = range.end;
        if template.is_some() {
            let message =
                "templates are not supported: write one policy for each principal or resource, or use groups";
            errors.push(Finding::at(Severity::Error, file, range, message));
        } else if let Some(policy) = set.policy(&id) {
            policies.push((policy.clone(), range));
        }
    }
    policies
}

fn locate(text: &str, from: usize, wanted: &str) -> Range<usize> {
    let found = text.get(from..).and_then(|rest| rest.find(wanted));
    found.map_or(from..from, |found| from + found..from + found + wanted.len())
}

fn id_of(
    policy: &Policy,
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

    #[test]
    fn templates_are_refused() {
        let found =
            errors_of(&[("t.cedar", "@id(\"t\") permit(principal == ?principal, action, resource);")]);
        assert!(found.len() == 1 && found[0].contains("templates are not supported"), "{found:?}");
    }
}
