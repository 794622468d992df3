//! A radix tree over path segments: template in, template out.
//!
//! At each segment a literal is tried first, then parameters with literal text around them (most text first), then a
//! plain parameter; a branch that leads nowhere is left again. So the tree finds a template whenever reading
//! all of them one by one would, which is what the property test below holds it to. Every node is visited at most
//! once, so a search costs no more than the tree is large, whatever the path.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;

use super::template::Segment;

#[derive(Debug)]
pub(super) struct Trie<T> {
    root: Node<T>,
}

#[derive(Debug)]
struct Node<T> {
    literals: HashMap<String, Node<T>, RandomState>,
    affixed: BTreeMap<Affix, Node<T>>,
    param: Option<Box<Node<T>>>,
    value: Option<T>,
}

/// The literal text around a parameter; in order, the one with the most text comes first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Affix {
    length: Reverse<usize>,
    before: String,
    after: String,
}

impl<T> Default for Trie<T> {
    fn default() -> Self {
        Self { root: Node::default() }
    }
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self { literals: HashMap::default(), affixed: BTreeMap::new(), param: None, value: None }
    }
}

impl<T: Clone> Trie<T> {
    /// Adds a template. The error is the value of one that matches the same calls, and for which no order of
    /// preference could be told.
    pub(super) fn insert(&mut self, segments: &[Segment], value: T) -> Result<(), T> {
        let mut node = &mut self.root;
        for segment in segments {
            node = match segment {
                Segment::Literal(text) => node.literals.entry(text.clone()).or_default(),
                Segment::Param { before, after } if before.is_empty() && after.is_empty() => {
                    node.param.get_or_insert_default()
                }
                Segment::Param { before, after } => node.affixed(before, after)?,
            };
        }
        match &node.value {
            Some(known) => Err(known.clone()),
            None => {
                node.value = Some(value);
                Ok(())
            }
        }
    }

    /// Finds the template of a decoded path that begins with a slash, and the values of its parameters.
    pub(super) fn find<'p>(&self, path: &'p str) -> Option<(&T, Vec<&'p str>)> {
        let mut values = Vec::new();
        let found = self.root.find(path.strip_prefix('/'), &mut values)?;
        values.reverse();
        Some((found, values))
    }
}

impl<T: Clone> Node<T> {
    fn affixed(&mut self, before: &str, after: &str) -> Result<&mut Self, T> {
        let affix = Affix::new(before, after);
        let rival = self.affixed.iter().find(|(known, _)| **known != affix && known.rivals(&affix));
        match rival.and_then(|(_, node)| node.any_value()) {
            Some(value) => Err(value.clone()),
            None => Ok(self.affixed.entry(affix).or_default()),
        }
    }

    fn any_value(&self) -> Option<&T> {
        let below = self.literals.values().chain(self.affixed.values());
        self.value.as_ref().or_else(|| below.chain(self.param.as_deref()).find_map(Self::any_value))
    }

    /// `rest` is what follows the last slash that was passed; absent at the end of the path. Values are pushed on the
    /// way back, so they come out in reverse.
    fn find<'p>(&self, rest: Option<&'p str>, values: &mut Vec<&'p str>) -> Option<&T> {
        let Some(rest) = rest else { return self.value.as_ref() };
        let (head, tail) = rest.split_once('/').map_or((rest, None), |(head, tail)| (head, Some(tail)));
        if let Some(found) = self.literals.get(head).and_then(|node| node.find(tail, values)) {
            return Some(found);
        }
        for (affix, node) in &self.affixed {
            let Some(value) = affix.value_in(head) else { continue };
            if let Some(found) = node.find(tail, values) {
                values.push(value);
                return Some(found);
            }
        }
        let found = self.param.as_ref().filter(|_| !head.is_empty())?.find(tail, values)?;
        values.push(head);
        Some(found)
    }
}

impl Affix {
    fn new(before: &str, after: &str) -> Self {
        let length = Reverse(before.len() + after.len());
        Self { length, before: before.to_owned(), after: after.to_owned() }
    }

    /// What the parameter holds in this segment, if the segment fits; never empty.
    fn value_in<'p>(&self, segment: &'p str) -> Option<&'p str> {
        let value = segment.strip_prefix(self.before.as_str())?.strip_suffix(self.after.as_str())?;
        (!value.is_empty()).then_some(value)
    }

    /// Whether some segment fits both, and neither says more about it than the other.
    fn rivals(&self, other: &Self) -> bool {
        self.length == other.length
            && (self.before.starts_with(&other.before) || other.before.starts_with(&self.before))
            && (self.after.ends_with(&other.after) || other.after.ends_with(&self.after))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::template::Template;
    use super::*;

    /// The template in which a path is found, with the values.
    fn find(templates: &[&str], path: &str) -> Option<(String, Vec<String>)> {
        let mut trie = Trie::default();
        for text in templates {
            trie.insert(Template::parse(text).unwrap().segments(), (*text).to_owned()).unwrap();
        }
        let (found, values) = trie.find(path)?;
        Some((found.clone(), values.into_iter().map(str::to_owned).collect()))
    }

    fn found(template: &str, values: &[&str]) -> Option<(String, Vec<String>)> {
        Some((template.to_owned(), values.iter().map(|value| (*value).to_owned()).collect()))
    }

    #[test]
    fn a_literal_beats_a_parameter_and_more_text_beats_less() {
        let templates = ["/x/{id}", "/x/me", "/x/{id}:close", "/x/v{id}:close", "/{p}/me/log"];
        assert_eq!(find(&templates, "/x/7"), found("/x/{id}", &["7"]));
        assert_eq!(find(&templates, "/x/me"), found("/x/me", &[]));
        assert_eq!(find(&templates, "/x/7:close"), found("/x/{id}:close", &["7"]));
        assert_eq!(find(&templates, "/x/v7:close"), found("/x/v{id}:close", &["7"]));
        assert_eq!(find(&templates, "/x/:close"), found("/x/{id}", &[":close"]));
        assert_eq!(find(&templates, "/x/me/log"), found("/{p}/me/log", &["x"]));
        assert_eq!(find(&templates, "/x/"), None);
        assert_eq!(find(&["/"], "/"), found("/", &[]));
    }

    #[test]
    fn a_branch_that_leads_nowhere_is_left_again() {
        let templates = ["/{a}/{b}", "/{a}b/a{b}", "/ab/x"];
        assert_eq!(find(&templates, "/ab/c"), found("/{a}/{b}", &["ab", "c"]));
    }

    #[test]
    fn templates_without_an_order_of_preference_are_refused() {
        for [first, second] in [["/x/{a}", "/x/{b}"], ["/a{x}", "/{x}b"], ["/x", "/x"]] {
            let mut trie = Trie::default();
            trie.insert(Template::parse(first).unwrap().segments(), first).unwrap();
            assert_eq!(trie.insert(Template::parse(second).unwrap().segments(), second), Err(first));
        }
    }

    /// Whether a template matches a path, segment by segment, without any tree.
    fn matches(template: &str, path: &str) -> bool {
        let (left, right): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
        left.len() == right.len()
            && left.iter().zip(right).all(|(wanted, found)| match wanted.split_once('{') {
                None => *wanted == found,
                Some((before, rest)) => {
                    let after = rest.split_once('}').unwrap().1;
                    let inner = found.strip_prefix(before).and_then(|found| found.strip_suffix(after));
                    inner.is_some_and(|value| !value.is_empty())
                }
            })
    }

    /// The template with the values in the place of its parameters.
    fn filled(template: &str, values: &[&str]) -> String {
        let mut values = values.iter();
        let segment = |segment: &str| match segment.split_once('{') {
            None => segment.to_owned(),
            Some((before, rest)) => {
                format!("{before}{}{}", values.next().unwrap(), rest.split_once('}').unwrap().1)
            }
        };
        template.split('/').map(segment).collect::<Vec<_>>().join("/")
    }

    /// Gives each `{p}` a name of its own.
    fn numbered(text: &str) -> String {
        let mut pieces = text.split("{p}");
        let first = pieces.next().unwrap_or_default().to_owned();
        pieces.enumerate().fold(first, |text, (number, piece)| format!("{text}{{p{number}}}{piece}"))
    }

    proptest! {
        #[test]
        fn the_tree_finds_what_reading_every_template_finds(
            templates in prop::collection::btree_set("(/(a|b|ab|\\{p\\}|a\\{p\\}|\\{p\\}b|ab\\{p\\})){1,3}", 1..10),
            paths in prop::collection::vec("(/(a|b|ab|aab|abb|c)?){1,3}", 1..12),
        ) {
            let templates: Vec<String> = templates.iter().map(|text| numbered(text)).collect();
            let mut trie = Trie::default();
            let mut kept = Vec::new();
            for text in &templates {
                if trie.insert(Template::parse(text).unwrap().segments(), text).is_ok() {
                    kept.push(text);
                }
            }
            for path in paths {
                match trie.find(&path) {
                    Some((template, values)) => {
                        prop_assert!(matches(template, &path));
                        prop_assert_eq!(filled(template, &values), path);
                    }
                    None => prop_assert!(!kept.iter().any(|text| matches(text, &path)), "{path} of {kept:?}"),
                }
            }
        }
    }
}
