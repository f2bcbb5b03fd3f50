//! The parts of `docs/reference/expressions.md` that are made from what the policy engine knows.

use std::fmt::Write;
use std::fs;

use registry_policy::Role;
use registry_policy::vocabulary::{MACROS, Presence, ROOTS, functions, variables};

use crate::repository;

const FILE: &str = "docs/reference/expressions.md";

#[test]
fn reference_of_expressions_is_what_the_engine_knows() {
    let path = repository::path(FILE);
    let committed = fs::read_to_string(&path).unwrap();
    let mut want = committed.clone();
    for (name, text) in [
        ("variables", variable_table()),
        ("functions", function_list()),
        ("roles", role_table()),
    ] {
        want = replace(&want, name, &text);
    }
    if std::env::var_os("WHARFINGER_GENERATE").is_some() {
        fs::write(&path, &want).unwrap();
        return;
    }
    assert!(committed == want, "{FILE} is out of date: run `cargo xtask generate`");
}

/// Replaces what stands between the comments `begin NAME` and `end NAME`.
fn replace(text: &str, name: &str, new: &str) -> String {
    let (begin, end) = (format!("<!-- begin {name} -->\n"), format!("<!-- end {name} -->"));
    let (before, rest) = text
        .split_once(&begin)
        .unwrap_or_else(|| panic!("{FILE} has no `{begin}`"));
    let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("{FILE} has no `{end}`"));
    format!("{before}{begin}{new}{end}{after}")
}

fn variable_table() -> String {
    let mut table = String::from("| Variable | Type | Value | What it is |\n|---|---|---|---|\n");
    for (path, variable) in variables(ROOTS) {
        let presence = match variable.presence {
            Presence::Always => "always",
            Presence::Nullable => "may be null",
            Presence::Maybe => "may be missing",
        };
        let (value_type, description) = (variable.value_type, variable.description);
        writeln!(table, "| `{path}` | {value_type} | {presence} | {description} |").unwrap();
    }
    table
}

fn function_list() -> String {
    let mut list = String::new();
    for function in functions() {
        writeln!(list, "* `{function}`").unwrap();
    }
    let macros = MACROS.map(|name| format!("`{name}`")).join(", ");
    writeln!(list, "\nMacros: {macros}.").unwrap();
    list
}

fn role_table() -> String {
    let mut table = String::from("| Role | Actions |\n|---|---|\n");
    for role in Role::ALL {
        let name = serde_json::to_value(role).unwrap();
        let actions: Vec<String> = role.actions().iter().map(|action| format!("`{action}`")).collect();
        writeln!(table, "| `{}` | {} |", name.as_str().unwrap(), actions.join(" ")).unwrap();
    }
    table
}
