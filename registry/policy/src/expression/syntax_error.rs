//! The parser's errors in words that help.

use cel::ParseErrors;

use super::ExpressionError;
use super::environment::lower_first;
use super::limits::SPLIT;

/// The first of the parser's errors. The ones after it are usually its consequences.
pub(super) fn translate(errors: &ParseErrors) -> ExpressionError {
    let error = errors.errors.first();
    let (line, column) = error.map_or((1, 1), |error| error.pos);
    ExpressionError {
        line: u32::try_from(line).unwrap_or(1).max(1),
        column: u32::try_from(column).unwrap_or(1).max(1),
        message: error.map_or_else(
            || "the expression cannot be parsed".to_owned(),
            |error| describe(&error.msg),
        ),
    }
}

fn describe(message: &str) -> String {
    let message = message.strip_prefix("Syntax error: ").unwrap_or(message);
    if message.contains("Recursion limit") {
        return format!("the expression is nested too deeply; {SPLIT}");
    }
    if message.starts_with("invalid argument to has()") {
        return "`has()` asks for a field: write it as in `has(request.reference)`".to_owned();
    }
    if message.starts_with("argument must be a simple name") {
        return "the first argument of a macro is a plain name: write it as in `all(t, t != 'latest')`".to_owned();
    }
    if let Some(name) = message.strip_prefix("reserved identifier: ") {
        return format!("`{name}` is a reserved word");
    }
    if message.starts_with("unsupported syntax") && message.contains('?') {
        return "optional fields and elements are not supported: ask `has()` first".to_owned();
    }
    if let Some(text) = message.strip_prefix("token recognition error at: ") {
        return describe_unknown(unquote(text));
    }
    if let Some(rest) = message.strip_prefix("missing ") {
        return match rest.split_once(" at ") {
            Some((missing, "'<EOF>'")) => format!("`{}` is missing at the end of the expression", unquote(missing)),
            Some((missing, before)) => format!("`{}` is missing before `{}`", unquote(missing), unquote(before)),
            None => lower_first(message),
        };
    }
    let unexpected = [
        "mismatched input ",
        "extraneous input ",
        "no viable alternative at input ",
    ]
    .iter()
    .find_map(|prefix| message.strip_prefix(prefix))
    .map(|rest| rest.split_once(" expecting ").map_or(rest, |(input, _)| input));
    match unexpected.map(unquote) {
        Some("<EOF>") => "the expression ends too early".to_owned(),
        Some("and") => "unexpected `and`: write `&&`".to_owned(),
        Some("or") => "unexpected `or`: write `||`".to_owned(),
        Some(input) => format!("unexpected `{input}`"),
        None => lower_first(message),
    }
}

/// Text that starts no token.
fn describe_unknown(text: &str) -> String {
    match text.chars().next() {
        Some('\'' | '"') => "the text that starts here does not end, or holds an escape that does not exist".to_owned(),
        Some('=') => "`=` compares nothing: write `==`".to_owned(),
        Some('&') => "`&` is no operator: write `&&`".to_owned(),
        Some('|') => "`|` is no operator: write `||`".to_owned(),
        _ => format!("unexpected `{}`", text.trim_end()),
    }
}

fn unquote(text: &str) -> &str {
    text.strip_prefix('\'')
        .and_then(|text| text.strip_suffix('\''))
        .unwrap_or(text)
}
