//! Every hash of an access document that is none: the types stop at the first, and whoever brings a hundred users along wants
//! to know of all.

use serde::Deserialize;

use crate::document;
use crate::position::position_of;
use crate::{DocumentError, PasswordHash, Problem};

/// As much of an access document as has hashes in it, whatever the rest is like.
#[derive(Deserialize)]
struct Document {
    content: Content,
}

#[derive(Deserialize)]
struct Content {
    identities: Vec<Identity>,
}

#[derive(Deserialize)]
struct Identity {
    #[serde(default)]
    passwords: Vec<Password>,
}

#[derive(Deserialize)]
struct Password {
    /// Whatever stands there: one without is told by whoever reads the document.
    #[serde(default)]
    hash: serde_json::Value,
}

/// The reason why a document was refused; where that is one of its hashes, all of them that are wrong.
pub(crate) fn all_of(text: &str, error: DocumentError) -> DocumentError {
    let DocumentError::Syntax { line, column, .. } = &error else {
        return error;
    };
    let problems = problems(text);
    // Whoever reads a document stops at the first.
    let first = problems.first();
    let place = first.map(|first| position_of(text, &format!("content.{}", first.path)));
    if place == Some((*line, *column)) {
        DocumentError::Invalid(problems)
    } else {
        error
    }
}

/// What is wrong with hashes, at their paths in the content.
fn problems(text: &str) -> Vec<Problem> {
    let Ok(document) = document::from_yaml::<Document>(text) else {
        return Vec::new();
    };
    let identities = document.content.identities.iter().enumerate();
    let passwords = identities.flat_map(|(number, identity)| {
        let passwords = identity.passwords.iter().enumerate();
        passwords.map(move |(index, password)| (format!("identities[{number}].passwords[{index}].hash"), password))
    });
    let wrong = passwords.filter_map(|(path, password)| {
        let error = PasswordHash::parse(password.hash.as_str()?).err()?;
        Some(Problem::new(path, error))
    });
    wrong.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AccessIndex;

    #[test]
    fn every_hash_that_is_none_is_told_and_what_comes_before_them_alone() {
        let text = "kind: AccessIndex\nformatVersion: 1\ncontent:\n  identities:\n  - username: a\n    passwords: [{hash: hunter2}]\n  - username: b\n    passwords:\n    - hash: $2y$10$8eBsQfhzHbpsdK1wSIHa7.VIQTEXyF8R1RfVWPIWzVvkLzhvQ5bpS\n    - hash: $1$x$y\n    - hash:\n    - {}\n  - username: c\n";
        let Err(DocumentError::Invalid(problems)) = AccessIndex::parse(text) else {
            panic!("the hashes are not told");
        };
        let paths: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
        assert_eq!(
            paths,
            ["identities[0].passwords[0].hash", "identities[1].passwords[1].hash"]
        );
        assert!(problems[1].message.contains("MD5-crypt"), "{}", problems[1]);
        let is_repeated = problems.iter().any(|problem| problem.message.contains("hunter2"));
        assert!(!is_repeated, "a refused hash is never repeated: {problems:?}");
        let error =
            AccessIndex::parse(&text.replacen("  - username: a", "  - groop: a\n    username: a", 1)).unwrap_err();
        assert!(error.to_string().contains("groop"), "{error}");
    }
}
