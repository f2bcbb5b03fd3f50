//! [`Htpasswd`]: a user file as `htpasswd -B` writes it, the user database of the CNCF Distribution registry.

use std::collections::BTreeMap;

use crate::{InvalidPasswordHash, PasswordHash};

/// The users of an htpasswd file, and what is wrong with its other lines.
///
/// As in Apache's tools a line is `user:hash`; empty lines and those that begin with `#` are skipped. One bad line takes
/// its user away and nobody else.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Htpasswd {
    /// The hash of each user. Where a name stands twice, the last line counts.
    pub users: BTreeMap<String, PasswordHash>,
    /// What is wrong, by line.
    pub problems: Vec<HtpasswdProblem>,
}

/// Something wrong with one line. It never repeats a hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct HtpasswdProblem {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it, and what to do.
    #[source]
    pub what: BadLine,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadLine {
    /// There is no colon.
    #[error("there is no `:`; a line is `user:hash`, as `htpasswd -nB USER` prints it")]
    NoColon,
    /// Nobody can sign in under this name.
    #[error("`{0}` cannot be a username: it is empty or `token`, too long, or has a control character")]
    Username(String),
    /// The hash cannot be used.
    #[error("user `{user}` cannot sign in: {why}; hash the password again with: htpasswd -nB {user}")]
    Hash {
        /// The user.
        user: String,
        /// Why.
        #[source]
        why: InvalidPasswordHash,
    },
    /// The user stands in an earlier line as well.
    #[error("user `{user}` stands in line {earlier} already; the password of this line counts")]
    Again {
        /// The user.
        user: String,
        /// The earlier line.
        earlier: usize,
    },
}

/// The longest username in bytes, that of a RegistryIdentity.
const MAX_USERNAME: usize = 128;

impl Htpasswd {
    /// Reads a file.
    pub fn parse(text: &str) -> Self {
        let mut found = Self::default();
        let mut lines_of: BTreeMap<&str, usize> = BTreeMap::new();
        for (line, content) in (1..).zip(text.lines()) {
            let content = content.trim_end_matches('\r');
            if content.trim().is_empty() || content.starts_with('#') {
                continue;
            }
            let mut problem = |what| found.problems.push(HtpasswdProblem { line, what });
            let Some((user, hash)) = content.split_once(':') else {
                problem(BadLine::NoColon);
                continue;
            };
            if !is_username(user) {
                problem(BadLine::Username(
                    user.chars().take(40).filter(|c| !c.is_control()).collect(),
                ));
                continue;
            }
            if let Some(earlier) = lines_of.insert(user, line) {
                let user = user.to_owned();
                problem(BadLine::Again { user, earlier });
            }
            // What comes behind another colon is a comment in the file's older relatives.
            let hash = hash.split(':').next().unwrap_or_default().trim();
            match PasswordHash::parse(hash) {
                Ok(hash) => {
                    found.users.insert(user.to_owned(), hash);
                }
                Err(why) => {
                    let user = user.to_owned();
                    // An older line of the same user must not come back to life.
                    found.users.remove(&user);
                    problem(BadLine::Hash { user, why });
                }
            }
        }
        found
    }
}

fn is_username(name: &str) -> bool {
    !name.is_empty() && name != "token" && name.len() <= MAX_USERNAME && !name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: &str = "$2y$05$Kq2ADEwl.sLO6gyHXQ2kce1aC5cHPtnDlsGhkTvvQrzCmuPJ8ZMl6";

    #[test]
    fn each_good_line_is_a_user_whatever_the_others_are() {
        let apr1 = "$apr1$cy1Pq0iK$CmIbFJsgQDsvUcw0LQxVG1";
        let text = format!(
            "# users\n\nalice:{ALICE}\nbob\r\ncarol:{apr1}\ndave:{{SHA}}5en6G6MezRroT3XKqkdPOmY/BfQ=\nerin:plain\nfrank:aB3xYz01./KLM\n:x\ngrace:{ALICE}\r\n"
        );
        let found = Htpasswd::parse(&text);
        assert_eq!(found.users.keys().collect::<Vec<_>>(), ["alice", "grace"]);
        let problems: Vec<String> = found.problems.iter().map(ToString::to_string).collect();
        for (problem, parts) in problems.iter().zip([
            ["line 4", "no `:`"],
            ["line 5", "`carol` cannot sign in: algorithm `apr1 (MD5)`"],
            ["line 6", "`dave` cannot sign in: algorithm `SHA-1`"],
            ["line 7", "`erin` cannot sign in: not a password hash"],
            ["line 8", "`frank` cannot sign in: algorithm `crypt (DES)`"],
            ["line 9", "cannot be a username"],
        ]) {
            assert!(parts.iter().all(|part| problem.contains(part)), "{problem}");
            assert!(
                !problem.contains("cy1Pq0iK") && !problem.contains("plain;"),
                "{problem}"
            );
        }
        assert_eq!(problems.len(), 6);
        assert!(problems[1].ends_with("htpasswd -nB carol"), "{}", problems[1]);
    }

    #[test]
    fn the_last_line_of_a_user_counts_even_where_it_is_bad() {
        let other = ALICE.replace("l6", "l.");
        let found = Htpasswd::parse(&format!("a:{ALICE}\na:{other}\nb:{ALICE}\nb:$1$x$y\n"));
        assert_eq!(found.users.len(), 1);
        assert_eq!(found.users["a"].as_str(), other);
        let problems: Vec<String> = found.problems.iter().map(ToString::to_string).collect();
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(problems[0].contains("line 2: user `a` stands in line 1 already"));
        assert!(problems[1].contains("line 4") && problems[2].contains("MD5-crypt"));
    }
}
