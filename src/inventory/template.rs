//! A path template of an OpenAPI document: literals and parameters, in a form that the router can match.
//!
//! Literals go through the same decoding as request paths, so that both sides speak of the same text. A segment
//! may hold one parameter with a literal before and after it (`/{id}:cancel`); two (`/{a}.{b}`) are refused, because
//! where one ends and the next begins is a guess that an upstream may make differently.

use std::borrow::Cow;

use percent_encoding::{CONTROLS, utf8_percent_encode};

use super::path::{decode_literal, decode_segment};

/// A template that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    /// As the document wrote it, with the base path in front.
    text: String,
    segments: Vec<Segment>,
    params: Vec<String>,
}

/// Decoded. A trailing slash is an empty literal at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    Literal(String),
    Param { before: String, after: String },
}

impl Template {
    /// Parses `/orders/{id}`; the error says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix('/') else {
            return Err("a path begins with a slash".to_owned());
        };
        if let Some(found) = text.chars().find(|c| matches!(c, '?' | '#')) {
            return Err(format!("a path has no query and no fragment, but this one has `{found}`"));
        }
        let mut template = Self { text: text.to_owned(), segments: Vec::new(), params: Vec::new() };
        let mut raw_segments = rest.split('/').peekable();
        while let Some(raw) = raw_segments.next() {
            let trailing_slash = raw.is_empty() && raw_segments.peek().is_none();
            let segment =
                if trailing_slash { Segment::Literal(String::new()) } else { template.segment(raw)? };
            template.segments.push(segment);
        }
        Ok(template)
    }

    fn segment(&mut self, raw: &str) -> Result<Segment, String> {
        let refuse = |why: &str| format!("segment `{raw}`: {why}");
        let Some((before, rest)) = raw.split_once('{') else {
            if raw.contains('}') {
                return Err(refuse("it closes a brace that it did not open"));
            }
            return decode_segment(&plain(raw))
                .map(|text| Segment::Literal(text.into_owned()))
                .map_err(refuse);
        };
        let Some((name, after)) = rest.split_once('}') else {
            return Err(refuse("it opens a brace and does not close it"));
        };
        if after.contains(['{', '}']) || before.contains('}') {
            return Err(refuse(
                "a segment may hold one parameter; where one of several ends would be a guess",
            ));
        }
        self.add_param(name).map_err(|why| refuse(&why))?;
        let decode = |part| decode_literal(&plain(part)).map(Cow::into_owned).map_err(refuse);
        Ok(Segment::Param { before: decode(before)?, after: decode(after)? })
    }

    fn add_param(&mut self, name: &str) -> Result<(), String> {
        if name.is_empty() {
            return Err("a parameter needs a name".to_owned());
        }
        // Catch-all and RFC 6570 operators mean more than one segment to those who write them.
        if let Some(found) = name.chars().find(|c| "*+;,&{".contains(*c)) {
            return Err(format!(
                "the parameter `{name}` has `{found}` in its name, which is no OpenAPI template"
            ));
        }
        if self.params.iter().any(|known| known == name) {
            return Err(format!("the parameter `{name}` appears twice in the path"));
        }
        self.params.push(name.to_owned());
        Ok(())
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The names of the parameters, in the order of the path.
    pub(super) fn params(&self) -> &[String] {
        &self.params
    }

    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The same text for two templates that differ only in the names of their parameters.
    pub(super) fn shape(&self) -> String {
        let mut shape = String::new();
        for segment in &self.segments {
            shape.push('/');
            match segment {
                Segment::Literal(text) => shape.push_str(&escape(text)),
                Segment::Param { before, after } => {
                    shape.push_str(&format!("{}{{}}{}", escape(before), escape(after)));
                }
            }
        }
        shape
    }

    /// The literal segments before the first parameter; the empty one of a trailing slash is none.
    pub(super) fn leading_literals(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().map_while(|segment| match segment {
            Segment::Literal(text) if !text.is_empty() => Some(text.as_str()),
            _ => None,
        })
    }
}

/// Documents may write letters beyond ASCII plainly; requests must encode them.
fn plain(literal: &str) -> String {
    utf8_percent_encode(literal, CONTROLS).to_string()
}

fn escape(literal: &str) -> String {
    literal.replace('{', "{{").replace('}', "}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(text: &str) -> String {
        Template::parse(text).unwrap().shape()
    }

    #[test]
    fn templates_have_a_shape() {
        assert_eq!(shape("/"), "/");
        assert_eq!(shape("/orders/{id}"), "/orders/{}");
        assert_eq!(shape("/orders/"), "/orders/");
        assert_eq!(shape("/orders/{id}:cancel"), "/orders/{}:cancel");
        assert_eq!(shape("/files/v{n}/{name}.json"), "/files/v{}/{}.json");
        assert_eq!(shape("/caf%C3%A9/a%7Bb"), "/café/a{{b");
        assert_eq!(shape("/café"), "/café");
    }

    #[test]
    fn templates_that_differ_only_in_names_have_one_shape() {
        assert_eq!(shape("/a/{x}/b/{y}"), shape("/a/{y}/b/{z}"));
    }

    #[test]
    fn templates_that_nobody_can_match_safely_are_refused() {
        for (text, why) in [
            ("orders", "slash"),
            ("/orders?id={id}", "query"),
            ("/orders#x", "fragment"),
            ("/{a}.{b}", "one parameter"),
            ("/{a}{b}", "one parameter"),
            ("/{a", "does not close"),
            ("/a}", "did not open"),
            ("/{}", "name"),
            ("/{path*}", "`*`"),
            ("/{+path}", "`+`"),
            ("/{id}/x/{id}", "twice"),
            ("/a//b", "empty"),
            ("/a/../b", "dot segment"),
            ("/a%2Fb", "encoded slash"),
            ("/a;v=1", "semicolon"),
        ] {
            let error = Template::parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
