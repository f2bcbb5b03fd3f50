//! Patterns that select repositories by name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A pattern over repository names: `*` stands for any characters within a segment, a last segment `**` for everything
/// below what precedes it (`a/**` matches `a/b` and `a/b/c`, not `a`), and `**` alone for every repository. There are
/// no other metacharacters.
///
/// A pattern that could match no repository is refused, because a Deny written with it would deny nothing.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepositoryPattern(String);

impl RepositoryPattern {
    /// The longest pattern, in characters: that of the longest repository name (255) with room for wildcards.
    pub const MAX_LENGTH: usize = 512;

    /// Whether the pattern selects `repository`.
    pub fn matches(&self, repository: &str) -> bool {
        let mut names = repository.split('/');
        for segment in self.segments() {
            if segment == "**" {
                return names.next().is_some();
            }
            if !names.next().is_some_and(|name| segment_matches(segment, name)) {
                return false;
            }
        }
        names.next().is_none()
    }

    /// The pattern that selects what this one selects below `path`; `None` where that is nothing.
    ///
    /// `path` is one as in `team-a/apps`, without wildcards; a repository of that very name is not below it.
    pub fn below(&self, path: &str) -> Option<Self> {
        let mut segments = self.segments().peekable();
        for name in path.split('/') {
            if segments.peek() == Some(&"**") {
                // Everything from here on is selected, the rest of the path included.
                break;
            }
            if !segments.next().is_some_and(|segment| segment_matches(segment, name)) {
                return None;
            }
        }
        let rest: Vec<&str> = segments.collect();
        let pattern = format!("{path}/{}", rest.join("/"));
        // A pattern that ends where the path does selects nothing below it.
        pattern.parse().ok()
    }

    /// Whether the pattern is `**`.
    pub fn is_everything(&self) -> bool {
        self.0 == "**"
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The segments of the pattern, the last of which may be `**`.
    pub(crate) fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }
}

/// Whether a segment of a pattern matches a segment of a name, in time proportional to their length.
pub(crate) fn segment_matches(pattern: &str, name: &str) -> bool {
    let Some((prefix, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let (middle, suffix) = rest.rsplit_once('*').unwrap_or(("", rest));
    let Some(mut name) = name.strip_prefix(prefix).and_then(|name| name.strip_suffix(suffix)) else {
        return false;
    };
    // Taking each piece where it first occurs leaves the most for the pieces after it, so no other choice can succeed
    // where this one fails.
    for piece in middle.split('*') {
        let Some(at) = name.find(piece) else { return false };
        name = &name[at + piece.len()..];
    }
    true
}

impl FromStr for RepositoryPattern {
    type Err = RepositoryPatternError;

    fn from_str(pattern: &str) -> Result<Self, Self::Err> {
        use RepositoryPatternError as Error;
        let length = pattern.chars().count();
        if length > Self::MAX_LENGTH {
            return Err(Error::TooLong { length });
        }
        if pattern.is_empty() {
            return Err(Error::Empty);
        }
        let refused = |c: char| !matches!(c, 'a'..='z' | '0'..='9' | '.' | '_' | '-' | '/' | '*');
        if let Some(character) = pattern.chars().find(|c| refused(*c)) {
            let pattern = pattern.to_owned();
            return Err(if character.is_ascii_uppercase() {
                Error::UpperCase { pattern }
            } else {
                Error::Character { pattern, character }
            });
        }
        let segments: Vec<&str> = pattern.split('/').collect();
        for (position, segment) in segments.iter().enumerate() {
            let last = position + 1 == segments.len();
            if *segment == "**" && last {
                continue;
            }
            let pattern = pattern.to_owned();
            if segment.is_empty() {
                return Err(Error::EmptySegment { pattern });
            }
            if segment.contains("**") {
                return Err(Error::DoubleStar { pattern });
            }
            if !is_satisfiable(segment) {
                return Err(Error::Segment {
                    pattern,
                    segment: (*segment).to_owned(),
                });
            }
        }
        Ok(Self(pattern.to_owned()))
    }
}

/// Whether some path component of a repository name matches a segment. The grammar of distribution-spec 1.1 is
/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`; a star can always stand for a letter, and nothing else is more permissive.
fn is_satisfiable(segment: &str) -> bool {
    let alphanumeric = |c: char| !matches!(c, '.' | '_' | '-');
    segment.starts_with(alphanumeric)
        && segment.ends_with(alphanumeric)
        && segment
            .split(alphanumeric)
            .all(|separator| matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-'))
}

impl fmt::Display for RepositoryPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for RepositoryPattern {
    type Error = RepositoryPatternError;

    fn try_from(pattern: String) -> Result<Self, Self::Error> {
        pattern.parse()
    }
}

impl From<RepositoryPattern> for String {
    fn from(pattern: RepositoryPattern) -> Self {
        pattern.0
    }
}

/// Why a text is no pattern.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RepositoryPatternError {
    /// Nothing is written.
    #[error("the repository pattern is empty: write `**` for every repository")]
    Empty,
    /// It is longer than [`RepositoryPattern::MAX_LENGTH`].
    #[error(
        "the repository pattern has {length} characters: at most {} are allowed",
        RepositoryPattern::MAX_LENGTH
    )]
    TooLong {
        /// Its length in characters.
        length: usize,
    },
    /// It holds an upper-case letter.
    #[error("repository pattern `{pattern}` matches nothing: repository names are lower case, write `{}`", pattern.to_lowercase())]
    UpperCase {
        /// The pattern as it was written.
        pattern: String,
    },
    /// It holds a character that no repository name has and that is no wildcard.
    #[error(
        "repository pattern `{pattern}` holds `{character}`: allowed are a-z, 0-9, `.`, `_`, `-`, `/` and the wildcards \
         `*` (within a segment) and `**` (as last segment)"
    )]
    Character {
        /// The pattern as it was written.
        pattern: String,
        /// The first character that is not allowed.
        character: char,
    },
    /// It starts or ends with a slash, or has two in a row.
    #[error(
        "repository pattern `{pattern}` has an empty segment: write `a/b`, without slashes around it, or `a/**` for everything below `a`"
    )]
    EmptySegment {
        /// The pattern as it was written.
        pattern: String,
    },
    /// It has `**` somewhere else than as its whole last segment.
    #[error(
        "repository pattern `{pattern}` has a misplaced `**`: it must be the whole last segment, as in `a/**`; `*` matches within one segment"
    )]
    DoubleStar {
        /// The pattern as it was written.
        pattern: String,
    },
    /// It has a segment that no repository name can have.
    #[error(
        "repository pattern `{pattern}` matches nothing: no segment of a repository name matches `{segment}`, because \
         separators (`.`, `_`, `__`, dashes) stand alone between letters and digits"
    )]
    Segment {
        /// The pattern as it was written.
        pattern: String,
        /// The segment that cannot match.
        segment: String,
    },
}

#[cfg(test)]
mod tests;
