//! [`RepositoryName`]: the `<name>` of the distribution specification.

use std::fmt;
use std::str::FromStr;

/// The longest repository name, in bytes. The specification's grammar has no limit, but clients have this one.
const MAX_LENGTH: usize = 255;

/// A repository name: path components of lower-case letters and digits, joined inside by `.`, `_`, `__` or hyphens and
/// separated by `/`, at most 255 bytes long.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepositoryName(String);

/// The text is not a repository name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a repository name: write lower-case letters and digits, separated by single `.`, `_`, `__`, `-` or \
     `/`, at most {MAX_LENGTH} characters in all"
)]
pub struct InvalidRepositoryName(pub String);

impl RepositoryName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RepositoryName {
    type Err = InvalidRepositoryName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() <= MAX_LENGTH && text.split('/').all(is_component) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidRepositoryName(text.chars().take(MAX_LENGTH).collect()))
        }
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(component: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = component.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return false;
    };
    if !is_word(*first) || !is_word(*last) {
        return false;
    }
    let separators = bytes
        .split(|byte| is_word(*byte))
        .filter(|separator| !separator.is_empty());
    separators
        .into_iter()
        .all(|separator| matches!(separator, b"." | b"_" | b"__") || separator.iter().all(|byte| *byte == b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_the_grammar_allows() {
        let longest = "a".repeat(MAX_LENGTH);
        for name in [
            "a",
            "0",
            "team-a/app",
            "a/b/c/d/e/f",
            "a.b",
            "a_b",
            "a__b",
            "a---b",
            "a-b.c_d",
            "uploads",
            longest.as_str(),
        ] {
            assert_eq!(
                name.parse::<RepositoryName>().map(|name| name.to_string()),
                Ok(name.to_owned())
            );
        }
    }

    #[test]
    fn refuses_everything_else() {
        let too_long = "a".repeat(MAX_LENGTH + 1);
        for name in [
            "",
            "/",
            "a/",
            "/a",
            "a//b",
            ".",
            "..",
            "a/..",
            "../a",
            "a/../b",
            "A",
            "a/B",
            "a..b",
            "a___b",
            "a._b",
            "-a",
            "a-",
            ".a",
            "a.",
            "_a",
            "a_",
            "a\0b",
            "a\\b",
            "a b",
            "a%b",
            "a:b",
            "a@b",
            "ä",
            "_catalog",
            "a\n",
            too_long.as_str(),
        ] {
            assert!(name.parse::<RepositoryName>().is_err(), "{name:?}");
        }
    }
}
