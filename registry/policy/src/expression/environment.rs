//! The CEL environment that expressions are parsed for and evaluated in.

use std::sync::{Arc, LazyLock};

use cel::common::types::{CelBool, DYN_TYPE, LIST_TYPE, MAP_TYPE};
use cel::common::value::CowVal;
use cel::{Env, ExecutionError};

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
