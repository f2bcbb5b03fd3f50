//! The CEL environment that expressions are parsed for and evaluated in.

pub(super) mod network;

use std::sync::{Arc, LazyLock};

use cel::common::types::{CelBool, CelString, DYN_TYPE, LIST_TYPE, MAP_TYPE, STRING_TYPE};
use cel::common::value::CowVal;
use cel::{Env, ExecutionError};

use crate::pattern::Pattern;

/// The longest description of an evaluation error, in characters: it quotes values, which end up in logs.
const MAX_DESCRIPTION: usize = 300;

/// The environment, built once: building it costs as much as hundreds of evaluations.
pub(super) fn shared() -> Arc<Env> {
    static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
        let mut environment = Env::stdlib().with_optional_support(false);
        for (id, receiver) in [("list_contains", LIST_TYPE), ("map_contains", MAP_TYPE)] {
            environment
                .add_member_overload("contains", id, receiver, vec![DYN_TYPE], contains)
                .expect("the standard library has `contains` only for strings");
        }
        for (name, id) in [("matches", "text_matches"), ("glob", "text_glob")] {
            environment
                .add_member_overload(name, id, STRING_TYPE, vec![Pattern::TYPE], matches)
                .expect("the standard library has no such function without its regular expressions");
        }
        network::add(&mut environment).expect("the standard library knows no networks");
        Arc::new(environment)
    });
    Arc::clone(&ENVIRONMENT)
}

/// `list.contains(value)` and `map.contains(key)`: the same as `value in list` and `key in map`.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the environment takes functions of this type"
)]
fn contains<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [collection, value] = arguments.as_slice() else {
        return Err(ExecutionError::invalid_argument_count(
            1,
            arguments.len().saturating_sub(1),
        ));
    };
    let Some(container) = collection.as_container() else {
        return Err(ExecutionError::missing_argument_or_target());
    };
    container
        .contains(value.as_ref())
        .map(|found| CowVal::owned(CelBool::from(found)))
}

/// `text.matches(pattern)` and `text.glob(pattern)`, with the pattern compiled.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the environment takes functions of this type"
)]
fn matches<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [text, pattern] = arguments.as_slice() else {
        return Err(ExecutionError::missing_argument_or_target());
    };
    let text = text.as_ref().downcast_ref::<CelString<'_>>();
    let pattern = pattern.as_ref().downcast_ref::<Pattern>();
    match (text, pattern) {
        (Some(text), Some(pattern)) => Ok(CowVal::owned(CelBool::from(pattern.is_match(text.inner())))),
        _ => Err(ExecutionError::missing_argument_or_target()),
    }
}

/// What an evaluation error is called in logs.
pub(super) fn describe(error: &ExecutionError) -> String {
    let text = match error {
        ExecutionError::NoSuchKey(key) => format!("`{key}` is missing: ask `has()` or `in` before reading it"),
        ExecutionError::NoSuchOverload(overload) => format!(
            "`{}` cannot be applied to ({}){}",
            overload.function(),
            overload.argument_types().join(", "),
            if overload.argument_types().iter().any(|name| name == "null_type") {
                ": compare with null before using a value that may be null"
            } else {
                ""
            }
        ),
        other => lower_first(&other.to_string()),
    };
    match text.char_indices().nth(MAX_DESCRIPTION) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// The text with its first letter in lower case.
pub(super) fn lower_first(text: &str) -> String {
    let mut characters = text.chars();
    characters
        .next()
        .map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}
