//! [`Pattern`]: the pattern of `matches()` or `glob()` in a condition, compiled once.
//!
//! The CEL library would compile a regular expression at each evaluation, which takes longer than all the rest of a decision.
//! So the pattern is written out in the condition, and the parsed condition refers to the compiled one by a variable.

use std::any::Any;

use cel::common::types::Type;
use cel::common::value::{StaticVal, Val};
use regex::{Regex, RegexBuilder};

/// How large a compiled pattern may be, in bytes: `\pL{500}` would be many megabytes.
const MAX_SIZE: usize = 64 * 1024;

/// A compiled pattern.
#[derive(Debug, Clone)]
pub(crate) struct Pattern(Regex);

/// The functions that take a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `matches`: a regular expression, found anywhere in the text.
    Regex,
    /// `glob`: the whole text, with `*` for any characters but `/`, `**` for any characters, and `?` for one but `/`.
    Glob,
}

impl Kind {
    /// The kind of pattern that a function takes, if it takes one.
    pub(crate) fn of_function(name: &str) -> Option<Self> {
        match name {
            "matches" => Some(Self::Regex),
            "glob" => Some(Self::Glob),
            _ => None,
        }
    }
}

impl Pattern {
    /// What the variables of patterns are called, before their number. No expression can name them.
    pub(crate) const VARIABLE: &str = "@pattern";
    /// The type of its values.
    pub(crate) const TYPE: Type = Type::new_unspecified_type("pattern");

    /// Compiles a pattern.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn compile(kind: Kind, text: &str) -> Result<Self, String> {
        let expression = match kind {
            Kind::Regex => text.to_owned(),
            Kind::Glob => of_glob(text),
        };
        let built = RegexBuilder::new(&expression)
            .size_limit(MAX_SIZE)
            .dfa_size_limit(MAX_SIZE)
            .build();
        built.map(Self).map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => {
                "the pattern is too large once compiled: ask for fewer repetitions".to_owned()
            }
            other => {
                let text = other.to_string();
                let last = text.lines().next_back().unwrap_or_default();
                format!("this is no regular expression: {}", last.trim_start_matches("error: "))
            }
        })
    }

    /// Whether `text` matches.
    pub(crate) fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

fn of_glob(glob: &str) -> String {
    let mut expression = String::from("(?s)^");
    let mut rest = glob;
    while let Some(character) = rest.chars().next() {
        let (part, length) = match character {
            '*' if rest.starts_with("**") => (".*".to_owned(), 2),
            '*' => ("[^/]*".to_owned(), 1),
            '?' => ("[^/]".to_owned(), 1),
            other => (regex::escape(other.encode_utf8(&mut [0; 4])), other.len_utf8()),
        };
        expression.push_str(&part);
        rest = &rest[length..];
    }
    expression.push('$');
    expression
}

static PATTERN: Type = Pattern::TYPE;

impl Val for Pattern {
    fn get_type(&self) -> &Type {
        &PATTERN
    }

    fn cel_type() -> &'static Type {
        &PATTERN
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Pattern {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_whole_texts_and_one_star_stays_within_a_segment() {
        for (glob, text, want) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("a", "ba", false),
            ("team-*", "team-a", true),
            ("team-*", "team-a/b", false),
            ("team-*/**", "team-a/b/c", true),
            ("team-*/**", "team-a", false),
            ("**", "a/b", true),
            ("*", "", true),
            ("v?", "v1", true),
            ("v?", "v/", false),
            ("v?", "v12", false),
            // Nothing else has a meaning.
            ("a.b", "aXb", false),
            ("a.b", "a.b", true),
            ("[ab]", "a", false),
            ("[ab]", "[ab]", true),
            ("a+", "aa", false),
            ("\u{e4}*", "\u{e4}x\ny", true),
        ] {
            let pattern = Pattern::compile(Kind::Glob, glob).unwrap();
            assert_eq!(pattern.is_match(text), want, "{glob} {text:?}");
        }
    }

    #[test]
    fn regular_expressions_are_found_anywhere_and_bounded_in_size() {
        let matches = |pattern: &str, text: &str| Pattern::compile(Kind::Regex, pattern).unwrap().is_match(text);
        assert!(matches("b+", "abbc") && !matches("^b+$", "abbc"));
        let wrong = |pattern| Pattern::compile(Kind::Regex, pattern).unwrap_err();
        assert!(
            wrong("a(").starts_with("this is no regular expression: unclosed group"),
            "{}",
            wrong("a(")
        );
        assert!(wrong(r"\pL{500}").contains("too large"), "{}", wrong(r"\pL{500}"));
    }
}
