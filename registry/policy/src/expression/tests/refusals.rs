//! What is refused, and where the error points.

use crate::Expression;

/// Each expression must be refused at the column, and at the line when there are several, with the message.
fn check(table: &[(&str, &str)]) {
    for (source, want) in table {
        let got = Expression::parse(source).map_or_else(|error| error.to_string(), |_| "accepted".to_owned());
        let got = got.strip_prefix("line 1, ").unwrap_or(&got);
        assert_eq!(got, format!("column {want}").replace("column line", "line"), "{source}");
    }
}

#[test]
fn names_must_be_of_the_vocabulary() {
    check(&[
        (
            "identity.usrname != null",
            "10: unknown field `usrname` of `identity`; did you mean `username`?",
        ),
        (
            "has(request.tagz)",
            "13: unknown field `tagz` of `request`; did you mean `tags`?",
        ),
        (
            "has(identity.oidc.clams)",
            "19: unknown field `clams` of `identity.oidc`; did you mean `claims`?",
        ),
        (
            "has(request.tags) && has(identity.tags)",
            "35: unknown field `tags` of `identity`: its fields are id, username, groups, attributes, client_ip, \
             certificate, oidc, service_account",
        ),
        (
            "identity.oidc.issuer == 'x'",
            "15: unknown field `issuer` of `identity.oidc`: its fields are provider_name, claims",
        ),
        (
            "action == 'get-blob'",
            "1: unknown variable `action`; did you mean `request.action`?",
        ),
        (
            "identify.username == 'x'",
            "1: unknown variable `identify`; did you mean `identity`?",
        ),
        (
            "request.action == get-blob",
            "19: unknown variable `get`: there are `identity` and `request`; a text needs quotes",
        ),
        (
            ".request.action == 'x'",
            "1: `.request` starts with a dot: write `request`",
        ),
        (
            "true && . identity.username == 'x'",
            "9: `.identity` starts with a dot: write `identity`",
        ),
        (
            "request.action == 'ä' && identity.usrname == 'x'",
            "35: unknown field `usrname` of `identity`; did you mean `username`?",
        ),
        (
            "request.action == 'ä' &&\n  identity\n    . usrname == 'x'",
            "line 3, column 7: unknown field `usrname` of `identity`; did you mean `username`?",
        ),
        (
            "request.action.endsWith",
            "16: `endsWith` is a function: write `endsWith(...)`",
        ),
        (
            "request.action.length == 1",
            "16: `.length` asks for a field, and a string has none",
        ),
        (
            "int == int",
            "1: unknown variable `int`: there are `identity` and `request`; a text needs quotes",
        ),
        ("Foo{a: 1} == null", "4: there is no type `Foo` to construct"),
    ]);
}

#[test]
fn functions_must_exist_in_the_form_and_with_the_arguments_written() {
    check(&[
        (
            "startsWith(request.action, 'a')",
            "1: `startsWith` is called on a value: write it as in `x.startsWith(...)`",
        ),
        (
            "request.n.int() == 1",
            "11: `int` is not called on a value: write it as in `int(x)`",
        ),
        (
            "request.action.startsWith(5)",
            "16: `string.startsWith(int)` does not exist; there is `string.startsWith(string) -> bool`",
        ),
        (
            "request.action.startsWith('a', 'b')",
            "16: `string.startsWith(string, string)` does not exist; there is `string.startsWith(string) -> bool`",
        ),
        (
            "request.action.startsWith()",
            "16: `string.startsWith()` does not exist; there is `string.startsWith(string) -> bool`",
        ),
        (
            "request.action.contains(null)",
            "16: `string.contains(null)` does not exist; there is `string.contains(string) -> bool`, `list(dyn).contains(dyn) -> bool`, `map(string, dyn).contains(dyn) -> bool`",
        ),
        (
            "true || bool(1)",
            "9: `bool(int)` does not exist; there is `bool(bool) -> bool`, `bool(string) -> bool`",
        ),
        (
            "request.tags.all(x)",
            "14: `all` is called on a list, with a name and a condition: write it as in `request.tags.all(t, t != 'latest')`",
        ),
        (
            "request.has(1)",
            "9: `has` takes one field: write it as in `has(request.reference)`",
        ),
        (
            "size(request) > 1",
            "6: `request` is no value: use one of its fields, action, method, repository, namespace, reference, digest, tags, session_id, from, n, last, artifact_type, digest_algorithm",
        ),
    ]);
}

#[test]
fn an_unknown_function_is_answered_with_those_that_exist() {
    let existing = "the functions are bool, bytes, cidr, contains, containsCIDR, containsIP, double, duration, endsWith, \
                    family, getDate, getDayOfMonth, getDayOfWeek, getDayOfYear, getFullYear, getHours, getMilliseconds, \
                    getMinutes, getMonth, getSeconds, glob, int, ip, isCIDR, isIP, isLoopback, isUnspecified, matches, \
                    prefixLength, size, startsWith, string, timestamp, uint, and the macros has, all, exists, \
                    exists_one, map, filter";
    for (source, column, name) in [
        ("has_repository_policy()", 1, "`has_repository_policy`"),
        ("type(request.action) == null", 1, "`type`"),
        ("dyn(request.action) == 'x'", 1, "`dyn`"),
        ("optional.of(1).hasValue()", 16, "`hasValue`"),
        ("optional.none() == null", 10, "`none`"),
        (
            "request.action.startWith('a')",
            16,
            "`startWith` (did you mean `startsWith`?)",
        ),
        (
            "request.tags.exist(t, t == 'a')",
            14,
            "`exist` (did you mean `exists`?)",
        ),
    ] {
        check(&[(source, &format!("{column}: unknown function {name}; {existing}"))]);
    }
}

#[test]
fn the_result_must_be_a_boolean() {
    check(&[
        ("request.action", "1: the result must be true or false, not a string"),
        ("1 + 1", "1: the result must be true or false, not an int"),
        ("null", "1: the result must be true or false, not null"),
        (
            "request.tags.map(t, t == 'x')",
            "1: the result must be true or false, not a list(dyn)",
        ),
        ("size(request.tags)", "1: the result must be true or false, not an int"),
        (
            "identity.oidc.claims['admin']",
            "1: the result must be true or false, and what this gives is known only at each request: compare it, as \
             in `... == true`",
        ),
        (
            "true ? true : 'x'",
            "1: the result must be true or false, and what this gives is known only at each request: compare it, as in `... == true`",
        ),
        (
            "identity",
            "1: `identity` is no value: use one of its fields, id, username, groups, attributes, client_ip, certificate, oidc, service_account",
        ),
        (
            "identity.oidc",
            "1: `identity.oidc` is no value: use one of its fields, provider_name, claims",
        ),
    ]);
}

#[test]
fn operands_must_be_of_types_that_the_operator_accepts() {
    check(&[
        (
            "request.action && true",
            "1: the left side of `&&` must be true or false, and this is a string",
        ),
        (
            "true || (request.n)",
            "10: the right side of `||` must be true or false, and this is a uint",
        ),
        ("!null", "2: what follows `!` must be true or false, and this is null"),
        (
            "null ? true : false",
            "1: what stands before `?` must be true or false, and this is null",
        ),
        (
            "request.tags.exists(t, t)",
            "24: the condition of a macro must be true or false, and this is a string",
        ),
        (
            "request.tags.filter(t, t).size() == 0",
            "24: the condition of a macro must be true or false, and this is a string",
        ),
        (
            "request.action == 1",
            "16: `==` compares a string with an int, which are never equal",
        ),
        (
            "request.tags != 'x'",
            "14: `!=` compares a list(string) with a string, which are never equal",
        ),
        (
            "identity == null",
            "10: `identity` is never null: it is who is asking; for an anonymous caller its `id` and `username` are null",
        ),
        (
            "null != identity.certificate",
            "6: `identity.certificate` is never null: it is the client certificate; its lists are empty without one",
        ),
        ("request == null", "9: `request` is never null: it is what is asked for"),
        (
            "identity.oidc == identity.oidc",
            "15: `==` compares the object `identity.oidc` with the object `identity.oidc`, which are never equal",
        ),
        (
            "request.action < 1",
            "16: `<` does not work between a string and an int",
        ),
        (
            "request.tags >= request.tags",
            "14: `>=` does not work between a list(string) and a list(string)",
        ),
        ("null < null", "6: `<` does not work between null and null"),
        (
            "request.n + 1 > 3",
            "11: `+` does not work between a uint and an int: convert one of them, as in `int(request.n)`",
        ),
        (
            "request.action + 1 == 'x'",
            "16: `+` does not work between a string and an int",
        ),
        (
            "1.5 % 2.0 == 1.0",
            "5: `%` does not work between a double and a double: convert one of them, as in `int(request.n)`",
        ),
        ("-request.action == 'x'", "1: `-` needs a number, and this is a string"),
        (
            "'x' in request.action",
            "5: `in` looks into lists and maps: for a text write `text.contains(part)`",
        ),
        ("'x' in 5", "5: `in` looks into lists and maps, and this is an int"),
        (
            "1 in request.tags",
            "3: `in` can never be true: the list holds values of type string, and its left side is an int",
        ),
        ("null in identity.attributes", "6: the key of a map cannot be null"),
        ("{null: 1}.a == 1", "2: the key of a map cannot be null"),
        (
            "request['tag'] == 'x'",
            "8: `request` cannot be indexed: write `request.field`",
        ),
        (
            "identity['username'] == 'x'",
            "9: `identity` cannot be indexed: write `identity.field`",
        ),
        (
            "identity.oidc['claims'] == null",
            "14: `identity.oidc` cannot be indexed: write `identity.oidc.field`",
        ),
        ("request.action[0] == 'x'", "15: a string cannot be indexed"),
        (
            "request.tags['0'] == 'x'",
            "13: a list is indexed with a number, not with a string",
        ),
        (
            "[identity.oidc] == null",
            "2: `identity.oidc` is no value: use one of its fields, provider_name, claims",
        ),
    ]);
}

#[test]
fn macros_go_over_lists_of_the_vocabulary_one_at_a_time() {
    check(&[
        (
            "request.tags.all(t, request.tags.all(u, u == t))",
            "34: a macro within a macro is not allowed: it could take too long",
        ),
        (
            "['a'].all(t, true)",
            "7: a macro is called on a list of the request or the identity, as in `request.tags`, not on a list that the expression makes",
        ),
        (
            "identity.groups.map(g, g + 'x').all(t, true)",
            "33: a macro is called on a list of the request or the identity, as in `request.tags`, not on a list that the expression makes",
        ),
        (
            "(request.tags + request.tags).all(t, true)",
            "31: a macro is called on a list of the request or the identity, as in `request.tags`, not on a list that the expression makes",
        ),
        (
            "{'a': ['b']}.a.all(t, true)",
            "16: a macro is called on a list of the request or the identity, as in `request.tags`, and this is a value whose type is known only at each request",
        ),
        (
            "identity.oidc.claims.all(c, true)",
            "22: a macro is called on a list of the request or the identity, as in `request.tags`, and this is a map(string, dyn)",
        ),
        (
            "identity.oidc.claims.roles.exists(r, r == 'x')",
            "28: a macro is called on a list of the request or the identity, as in `request.tags`, and this is a value whose type is known only at each request",
        ),
        (
            "request.tags.all(request, request != 'x')",
            "14: `request` would hide the variable of that name: choose another name",
        ),
        (
            "request.tags.exists(identity, true)",
            "14: `identity` would hide the variable of that name: choose another name",
        ),
        (
            "request.tags.all(t, t.x == 'x')",
            "23: `.x` asks for a field, and a string has none",
        ),
        (
            "request.tags.all(t, u == 'x')",
            "21: unknown variable `u`: there are `identity` and `request`; a text needs quotes",
        ),
        (
            "request.tags.all(t, true) && t == 'x'",
            "30: unknown variable `t`: there are `identity` and `request`; a text needs quotes",
        ),
        (
            "request.tags.all(1, true)",
            "18: the first argument of a macro is a plain name: write it as in `all(t, t != 'latest')`",
        ),
    ]);
}

#[test]
fn syntax_errors_say_what_to_write() {
    check(&[
        ("", "1: the expression is empty: leave the field out if there is none"),
        (
            " \n\t",
            "1: the expression is empty: leave the field out if there is none",
        ),
        ("// nothing", "11: the expression ends too early"),
        ("request.action ==", "18: the expression ends too early"),
        (
            "(request.action == 'x'",
            "23: `)` is missing at the end of the expression",
        ),
        ("request.action = 'x'", "16: `=` compares nothing: write `==`"),
        ("true & false", "6: `&` is no operator: write `&&`"),
        ("true | false", "6: `|` is no operator: write `||`"),
        ("request.action == 'x' and true", "23: unexpected `and`: write `&&`"),
        ("request.action == 'x' or true", "23: unexpected `or`: write `||`"),
        (
            "request.action == 'x",
            "19: the text that starts here does not end, or holds an escape that does not exist",
        ),
        ("request.action == 'ü' 'x'", "23: unexpected `'x'`"),
        ("true\n&& &&", "line 2, column 4: unexpected `&&`"),
        ("@x", "1: unexpected `@`"),
        ("true && \u{0}", "9: unexpected `\u{0}`"),
        ("package == 1", "1: `package` is a reserved word"),
        (
            "has(request)",
            "5: `has()` asks for a field: write it as in `has(request.reference)`",
        ),
        (
            "request.?action == 'x'",
            "8: optional fields and elements are not supported: ask `has()` first",
        ),
        (
            "request.tags[?0] == 'x'",
            "13: optional fields and elements are not supported: ask `has()` first",
        ),
        (
            "[?true][0]",
            "2: optional fields and elements are not supported: ask `has()` first",
        ),
        ("request.`action` == 'x'", "8: unsupported syntax: '`'"),
        ("request.n == 99999999999999999999", "14: invalid int literal"),
    ]);
}
