//! Where a value stands in a YAML document: from a problem's path to line and column.

use std::cell::LazyCell;
use std::fmt;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use crate::{DocumentError, Problem, document};

/// Describes why the document `text`, read from `file`, was refused: a line for each problem, which begins with
/// `file:line:column:` as compilers write it.
///
/// `prefix` is the path of the part of the document that the paths of problems are relative to.
pub fn describe_problems(file: &Path, text: &str, prefix: &str, error: &DocumentError) -> Vec<String> {
    let file = file.display();
    // Not every error needs it, and there may be no problem at all.
    let tree = LazyCell::new(|| tree(text));
    let line = |path: &str| {
        let (line, column) = position_in(tree.as_ref(), path);
        format!("{file}:{line}:{column}: ")
    };
    match error {
        DocumentError::Syntax { line, column, message } => vec![format!("{file}:{line}:{column}: {message}")],
        DocumentError::Kind { .. } => vec![format!("{}{error}", line("kind"))],
        DocumentError::Version { .. } => vec![format!("{}{error}", line("formatVersion"))],
        DocumentError::Digest { .. } => vec![format!("{}{error}", line("digest"))],
        DocumentError::Incomplete(_) => vec![format!("{}{error}", line(""))],
        DocumentError::Invalid(problems) => {
            let full = problems.iter().map(|problem| Problem {
                path: format!("{prefix}{}", problem.path),
                ..problem.clone()
            });
            full.map(|problem| format!("{}{problem}", line(&problem.path)))
                .collect()
        }
    }
}

/// The line and column, from 1, of the value at `path` of a YAML document, or of the nearest value around it.
pub fn position_of(text: &str, path: &str) -> (u64, u64) {
    position_in(tree(text).as_ref(), path)
}

fn tree(text: &str) -> Option<Spanned<Node>> {
    document::from_yaml(text).ok()
}

fn position_in(tree: Option<&Spanned<Node>>, path: &str) -> (u64, u64) {
    tree.and_then(|tree| locate(tree, path)).unwrap_or((1, 1))
}

fn locate(tree: &Spanned<Node>, path: &str) -> Option<(u64, u64)> {
    let mut at = tree;
    for step in path
        .split(['.', '['])
        .map(|step| step.trim_end_matches(']'))
        .filter(|step| !step.is_empty())
    {
        let next = match &at.value {
            Node::Map(entries) => entries.iter().find(|(key, _)| key == step).map(|(_, value)| value),
            Node::List(items) => step.parse::<usize>().ok().and_then(|index| items.get(index)),
            Node::Leaf => None,
        };
        match next {
            Some(next) => at = next,
            None => break,
        }
    }
    let location = at.referenced;
    (location.line() > 0).then(|| (location.line(), location.column()))
}

/// A YAML value as far as its shape matters.
#[derive(Debug)]
enum Node {
    Map(Vec<(String, Spanned<Node>)>),
    List(Vec<Spanned<Node>>),
    Leaf,
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Node::Map(entries))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Node::Leaf)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_str<E>(self, _: &str) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Leaf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_value_or_what_is_around_it() {
        let text = "kind: AccessIndex\ncontent:\n  policies:\n  - name: a\n    rules:\n    - when: >\n        true\n      name: x\n";
        let tree = serde_saphyr::from_str::<Spanned<Node>>(text).unwrap();
        for (path, want) in [
            ("kind", (1, 7)),
            ("content.policies[0].name", (4, 11)),
            ("content.policies[0].rules[0].name", (8, 13)),
            ("content.policies[0].rules[0].role", (6, 7)),
            ("content.policies[7].name", (4, 5)),
            ("", (1, 1)),
        ] {
            assert_eq!(locate(&tree, path), Some(want), "{path}");
        }
    }
}
