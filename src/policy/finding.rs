//! What is wrong, or doubtful, in a bundle, with the place in its files.
//!
//! Authors fix what they can see: every finding names file, line and column and shows the lines around. This file
//! knows how to point and to render, not what is an error.

use std::fmt;
use std::ops::Range;

use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents,
    SourceCode, SourceSpan, SpanContents,
};

use crate::model::{PolicyId, SourceFile};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Error,
    Warning,
}

/// One error or warning about a bundle. Its `Display` is one line: `file:line:column: message`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    pub file: String,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    pub message: String,
    pub policy: Option<PolicyId>,
    /// The message with the lines it is about, for a terminal without colours.
    pub rendered: String,
}

/// A finding that does not keep a bundle from going live.
pub type PolicyWarning = Finding;

/// Everything that keeps a bundle from becoming a snapshot; never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.0))]
pub struct PolicyErrors(Vec<Finding>);

impl PolicyErrors {
    pub(super) fn new(findings: Vec<Finding>) -> Self {
        Self(findings)
    }

    pub fn findings(&self) -> &[Finding] {
        &self.0
    }

    /// All findings with the lines they are about.
    pub fn rendered(&self) -> String {
        self.0.iter().map(|finding| finding.rendered.as_str()).collect()
    }
}

fn lines(findings: &[Finding]) -> String {
    findings.iter().map(Finding::to_string).collect::<Vec<_>>().join("\n")
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)
    }
}

impl Finding {
    /// Points at a range of bytes in a file.
    pub(super) fn at(
        severity: Severity,
        file: &SourceFile,
        range: Range<usize>,
        message: impl Into<String>,
    ) -> Self {
        let message = message.into();
        let report = Report { severity, message, help: None, label: None, range, source: Named(file) };
        report.into_finding()
    }

    /// Says that a whole file is at fault.
    pub(super) fn of_file(severity: Severity, file: &SourceFile, message: impl Into<String>) -> Self {
        Self::at(severity, file, 0..0, message)
    }

    /// Takes over what Cedar says about a file, its place included.
    pub(super) fn from_cedar(severity: Severity, file: &SourceFile, said: &dyn Diagnostic) -> Self {
        let label = said.labels().and_then(|mut labels| labels.next());
        let range = label.as_ref().map_or(0..0, |label| label.offset()..label.offset() + label.len());
        let report = Report {
            severity,
            message: said.to_string(),
            help: said.help().map(|help| help.to_string()),
            label: label.and_then(|label| label.label().map(str::to_owned)),
            range,
            source: Named(file),
        };
        report.into_finding()
    }

    pub(super) fn place(&self) -> (&str, usize, usize) {
        (&self.file, self.line, self.column)
    }

    pub(super) fn about(mut self, policy: Option<PolicyId>) -> Self {
        self.policy = policy;
        self
    }
}

/// The order in which people read: by file and place.
pub(super) fn sort(findings: &mut [Finding]) {
    findings.sort_by(|a, b| a.place().cmp(&b.place()).then_with(|| a.message.cmp(&b.message)));
}

/// Line and column, from 1, of a byte offset. An offset past the end is at the end.
pub(super) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before.get(line_start..).map_or(0, |line| line.chars().count());
    (before.matches('\n').count() + 1, column + 1)
}

/// In bytes. Longer lines are the work of a program, and a drawing of them helps nobody.
const LONGEST_DRAWN_LINE: usize = 500;

fn line_length(text: &str, offset: usize) -> usize {
    let (before, after) = text.split_at_checked(offset).unwrap_or((text, ""));
    before.rfind('\n').map_or(before.len(), |newline| before.len() - newline - 1)
        + after.find('\n').unwrap_or(after.len())
}

/// A file as `miette` reads it, borrowed: a bundle may have thousands of findings in one file.
#[derive(Debug)]
struct Named<'a>(&'a SourceFile);

impl SourceCode for Named<'_> {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        lines_before: usize,
        lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let found = self.0.text.read_span(span, lines_before, lines_after)?;
        let (data, span, count) = (found.data(), *found.span(), found.line_count());
        let name = self.0.path.clone();
        Ok(Box::new(MietteSpanContents::new_named(name, data, span, found.line(), found.column(), count)))
    }
}

/// What `miette` needs to draw the lines.
#[derive(Debug)]
struct Report<'a> {
    severity: Severity,
    message: String,
    help: Option<String>,
    label: Option<String>,
    range: Range<usize>,
    source: Named<'a>,
}

impl Report<'_> {
    fn into_finding(self) -> Finding {
        let file = self.source.0;
        let (line, column) = position(&file.text, self.range.start);
        let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor()).with_width(100);
        let mut rendered = String::new();
        let drawable = line_length(&file.text, self.range.start) <= LONGEST_DRAWN_LINE;
        if !drawable || handler.render_report(&mut rendered, &self).is_err() {
            rendered = format!("{}:{line}:{column}: {}\n", file.path, self.message);
        }
        Finding {
            severity: self.severity,
            file: file.path.clone(),
            line,
            column,
            message: self.message,
            policy: None,
            rendered,
        }
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Report<'_> {}

impl Diagnostic for Report<'_> {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as _)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let label = self.label.clone().unwrap_or_else(|| "here".to_owned());
        let span = (self.range.start, self.range.len());
        Some(Box::new(std::iter::once(LabeledSpan::new(Some(label), span.0, span.1))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_points_at_its_line() {
        let file = SourceFile { path: "a.cedar".into(), text: "one\ntwo ü three\n".into() };
        let offset = file.text.find("three").unwrap();
        let finding = Finding::at(Severity::Error, &file, offset..offset + 5, "three is wrong");
        assert_eq!(finding.to_string(), "a.cedar:2:7: three is wrong");
        assert!(finding.rendered.contains("two ü three"), "{}", finding.rendered);
    }

    #[test]
    fn very_long_lines_are_not_drawn() {
        let file = SourceFile { path: "a.cedar".into(), text: format!("short\n{}", "x".repeat(5_000)) };
        let finding = |offset| Finding::at(Severity::Warning, &file, offset..offset + 1, "look");
        assert_eq!(finding(4_000).rendered, "a.cedar:2:3995: look\n");
        assert!(finding(1).rendered.contains("short"));
    }

    #[test]
    fn a_place_outside_the_text_is_its_end() {
        assert_eq!(position("ab\nc", 99), (2, 2));
        assert_eq!(position("", 0), (1, 1));
    }
}
