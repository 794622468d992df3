//! Collects from one source file what it names outside itself.
//!
//! A name can stand in a `use`, in an expression, a type, a pattern, a visibility, an attribute (also as a string, as
//! serde wants it) or in the tokens of a macro call. Paths that begin with `crate`, `self` or `super` are made
//! absolute, so that a chain of `super` cannot leave a room unseen.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{UseTree, Visibility};

/// What was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A path from the root of this crate; empty: the root itself.
    Inside(Vec<String>),
    /// A path that begins with the name of a crate, or with a name of the file itself.
    Outside(Vec<String>),
    /// `async` or `.await`.
    Waiting,
    /// `#[path = ".."]`, with which a file could stand in two rooms.
    PathAttribute,
}

/// One name at its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    pub target: Target,
    pub line: usize,
    /// Offered on to others: `pub use`, `pub(crate) use`.
    pub offered: bool,
}

/// The library, as the binary sees it.
const LIBRARY: &str = "deodar";

/// Everything that a file names. `module` is the file's module path, `["policy", "compile"]`. A file of the binary
/// is in a crate of its own, which names the rooms as `deodar::policy`.
pub fn collect(module: &[String], in_binary: bool, source: &str) -> syn::Result<Vec<Name>> {
    let file = syn::parse_file(source)?;
    let mut collector = Collector { module: module.to_vec(), in_binary, names: Vec::new() };
    collector.visit_file(&file);
    Ok(collector.names)
}

struct Collector {
    module: Vec<String>,
    in_binary: bool,
    names: Vec<Name>,
}

impl Collector {
    fn add(&mut self, target: Target, line: usize) {
        self.names.push(Name { target, line, offered: false });
    }

    fn add_path(&mut self, segments: &[String], line: usize, offered: bool) {
        let target = self.resolve(segments);
        self.names.push(Name { target, line, offered });
    }

    fn resolve(&self, segments: &[String]) -> Target {
        let (mut base, mut rest) = match segments.split_first() {
            Some((first, rest)) if first == "crate" => (Vec::new(), rest),
            Some((first, rest)) if self.in_binary && first == LIBRARY => (Vec::new(), rest),
            Some((first, rest)) if first == "self" => (self.module.clone(), rest),
            Some((first, _)) if first == "super" => (self.module.clone(), segments),
            _ => return Target::Outside(segments.to_vec()),
        };
        while let Some(("super", deeper)) = rest.split_first().map(|(first, deeper)| (first.as_str(), deeper))
        {
            base.pop();
            rest = deeper;
        }
        base.extend_from_slice(rest);
        Target::Inside(base)
    }

    fn add_use(&mut self, prefix: &[String], tree: &UseTree, offered: bool) {
        let (ident, deeper) = match tree {
            UseTree::Path(path) => (&path.ident, Some(&path.tree)),
            UseTree::Name(name) => (&name.ident, None),
            UseTree::Rename(rename) => (&rename.ident, None),
            UseTree::Glob(glob) => {
                let line = glob.star_token.spans[0].start().line;
                return self.add_path(&[prefix, &["*".to_owned()]].concat(), line, offered);
            }
            UseTree::Group(group) => {
                return group.items.iter().for_each(|item| self.add_use(prefix, item, offered));
            }
        };
        let name = ident.to_string();
        let path = match name.as_str() {
            // `use crate::store::{self}` names what stands before the braces.
            "self" if !prefix.is_empty() => prefix.to_vec(),
            _ => [prefix, &[name]].concat(),
        };
        match deeper {
            Some(tree) => self.add_use(&path, tree, offered),
            None => self.add_path(&path, ident.span().start().line, offered),
        }
    }

    /// Finds paths in tokens that have no grammar of their own. `strings`: whether a string may be a path as well.
    fn scan(&mut self, tokens: TokenStream, strings: bool) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            at += 1;
            match token {
                TokenTree::Group(group) => self.scan(group.stream(), strings),
                TokenTree::Literal(literal) if strings => self.scan_string(literal),
                TokenTree::Ident(ident) if ident == "async" || ident == "await" => {
                    self.add(Target::Waiting, ident.span().start().line);
                }
                TokenTree::Ident(ident) if ident == "use" => at = self.scan_path(&tokens, at, &[], 1),
                TokenTree::Ident(_) => at = self.scan_path(&tokens, at - 1, &[], 2),
                _ => {}
            }
        }
    }

    /// Reads `a::b::c` or `a::{b, c::d}` at `start`, keeps it if it has at least `shortest` segments, and returns
    /// where it ends.
    fn scan_path(&mut self, tokens: &[TokenTree], start: usize, prefix: &[String], shortest: usize) -> usize {
        let mut path = prefix.to_vec();
        let mut at = start;
        let line = tokens.get(start).map_or(0, |token| token.span().start().line);
        loop {
            match tokens.get(at) {
                Some(TokenTree::Ident(ident)) => path.push(ident.to_string()),
                Some(TokenTree::Punct(star)) if star.as_char() == '*' && at > start => {
                    path.push("*".to_owned())
                }
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace && at > start => {
                    self.scan_use_group(group.stream(), &path);
                    return at + 1;
                }
                _ => break,
            }
            at += 1;
            if !is_colons(tokens.get(at)) || !is_colons(tokens.get(at + 1)) {
                break;
            }
            at += 2;
        }
        if path.len() >= shortest {
            self.add_path(&path, line, false);
        }
        at.max(start + 1)
    }

    fn scan_use_group(&mut self, tokens: TokenStream, prefix: &[String]) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            match token {
                TokenTree::Ident(_) => at = self.scan_path(&tokens, at, prefix, 1),
                _ => at += 1,
            }
        }
    }

    /// `#[serde(with = "crate::store::bytes")]`: a path in disguise.
    fn scan_string(&mut self, literal: &proc_macro2::Literal) {
        let Ok(string) = syn::parse_str::<syn::LitStr>(&literal.to_string()) else { return };
        let Ok(path) = syn::parse_str::<syn::Path>(&string.value()) else { return };
        if path.segments.len() > 1 {
            self.add_path(&segments(&path), literal.span().start().line, false);
        }
    }
}

impl<'ast> Visit<'ast> for Collector {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let offered = match &item.vis {
            Visibility::Public(_) => true,
            Visibility::Restricted(restricted) => restricted.path.is_ident("crate"),
            Visibility::Inherited => false,
        };
        item.attrs.iter().for_each(|attribute| self.visit_attribute(attribute));
        self.visit_visibility(&item.vis);
        self.add_use(&[], &item.tree, offered);
    }

    fn visit_item_extern_crate(&mut self, item: &'ast syn::ItemExternCrate) {
        let name = item.ident.to_string();
        let name = if name == "self" { "crate".to_owned() } else { name };
        self.add_path(&[name], item.ident.span().start().line, false);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        item.attrs.iter().for_each(|attribute| self.visit_attribute(attribute));
        self.visit_visibility(&item.vis);
        self.module.push(item.ident.to_string());
        if let Some((_, items)) = &item.content {
            items.iter().for_each(|item| self.visit_item(item));
        }
        self.module.pop();
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            let line = path.segments[0].ident.span().start().line;
            self.add_path(&segments(path), line, false);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.visit_path(&call.path);
        self.scan(call.tokens.clone(), false);
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if attribute.path().is_ident("path") {
            self.add(Target::PathAttribute, attribute.pound_token.span.start().line);
        }
        visit::visit_attribute(self, attribute);
    }

    fn visit_meta_list(&mut self, list: &'ast syn::MetaList) {
        self.visit_path(&list.path);
        self.scan(list.tokens.clone(), true);
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        if let Some(word) = signature.asyncness {
            self.add(Target::Waiting, word.span.start().line);
        }
        visit::visit_signature(self, signature);
    }

    fn visit_expr_closure(&mut self, closure: &'ast syn::ExprClosure) {
        if let Some(word) = closure.asyncness {
            self.add(Target::Waiting, word.span.start().line);
        }
        visit::visit_expr_closure(self, closure);
    }

    fn visit_expr_async(&mut self, block: &'ast syn::ExprAsync) {
        self.add(Target::Waiting, block.async_token.span.start().line);
        visit::visit_expr_async(self, block);
    }

    fn visit_expr_await(&mut self, expression: &'ast syn::ExprAwait) {
        self.add(Target::Waiting, expression.await_token.span.start().line);
        visit::visit_expr_await(self, expression);
    }
}

fn segments(path: &syn::Path) -> Vec<String> {
    path.segments.iter().map(|segment| segment.ident.to_string()).collect()
}

fn is_colons(token: Option<&TokenTree>) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == ':')
}
