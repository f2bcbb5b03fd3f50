//! A value of a document that is not valid, and where it stands.

use std::fmt;

/// One invalid value: the path to it and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Path of the value, such as `policies[2].rules[0].when`.
    pub path: String,
    /// What is wrong and what to do, with line and column where the value is an expression.
    pub message: String,
}

impl Problem {
    /// Describes what is wrong with the value at `path`.
    pub fn new(path: impl Into<String>, message: impl fmt::Display) -> Self {
        Self {
            path: path.into(),
            message: message.to_string(),
        }
    }

    /// Joins several problems into one text, each on a line of its own where there are several.
    pub(crate) fn join(problems: &[Self]) -> String {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        lines.join("\n")
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}
