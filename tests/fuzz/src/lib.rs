//! What must hold for any input of the registry's parsers, whatever a client sends.
//!
//! Each check takes bytes, hands them to one parser, and holds what comes out against the grammar of its specification,
//! written a second time in another way: a regular expression, arithmetic without overflow, a general parser. It panics
//! where they disagree. `libfuzzer/` looks for such inputs; `corpus/` keeps those that reached something new, which are
//! checked again in every run of the tests.

mod headers;
mod manifest;
mod names;
mod route;
mod scope;

use std::sync::LazyLock;

use regex::Regex;

/// A check by its name, which is also the name of its corpus.
pub type Check = (&'static str, fn(&[u8]));

/// All checks.
pub const ALL: [Check; 7] = [
    ("route", route::check),
    ("reference", names::check),
    ("range", headers::range),
    ("content_range", headers::content_range),
    ("manifest", manifest::check),
    ("scope", scope::check),
    ("basic", headers::basic),
];

/// Runs one check by its name.
///
/// # Panics
/// Where the registry breaks the rule, or there is no such check.
pub fn check(name: &str, input: &[u8]) {
    let found = ALL.iter().find(|(known, _)| *known == name);
    let (_, check) = found.expect("one of the checks");
    check(input);
}

fn pattern(text: &'static str) -> Regex {
    Regex::new(text).expect("a regular expression of ours is valid")
}

/// `<name>` of the distribution specification, "Pulling manifests".
static NAME: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"\A[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*\z"));
/// `<reference>` as a tag.
static TAG: LazyLock<Regex> = LazyLock::new(|| pattern(r"\A[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}\z"));
/// The digests that the registry knows (image specification, "Registered algorithms").
static DIGEST: LazyLock<Regex> = LazyLock::new(|| pattern(r"\A(sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})\z"));

/// Whether a name is one, and short enough for clients (`host/name` within 255 characters).
fn is_name(text: &str) -> bool {
    text.len() <= 255 && NAME.is_match(text)
}
