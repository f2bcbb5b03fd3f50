//! Expressions made to exhaust the stack, the memory or the time. A stack overflow aborts the process, so each of these
//! tests fails the whole run if a guard rail is missing.

use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::facts::Facts;
use crate::{Action, Caller, Expression, ExpressionError, Identity, MAX_LIST_LENGTH, Request};

/// Far more than anything here takes, also without optimisation on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// The stack of a small thread, a quarter of what threads have by default.
const SMALL_STACK: usize = 512 << 10;

/// Parses, and where that succeeds evaluates, on a small stack and within reasonable time.
fn survive(source: &str) -> Result<(), ExpressionError> {
    let started = Instant::now();
    let result = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(SMALL_STACK);
        thread
            .spawn_scoped(scope, || {
                Expression::parse(source).map(|expression| evaluate(&expression))
            })
            .unwrap()
            .join()
    });
    let shown: String = source.chars().take(60).collect();
    assert!(started.elapsed() < PATIENCE, "{shown} took {:?}", started.elapsed());
    result.unwrap_or_else(|_| panic!("{shown} panicked"))
}

/// Evaluates with lists as long as they may be.
fn evaluate(expression: &Expression) {
    let names: Vec<String> = (0..MAX_LIST_LENGTH)
        .map(|number| format!("some-ordinary-name-{number}"))
        .collect();
    let identity = Identity {
        id: "id",
        username: "user",
        groups: &names,
        home: true,
        ..Identity::default()
    };
    let request = Request {
        repository: Some("a/b"),
        reference: Some("v1"),
        tags: &names,
        n: Some(u64::MAX),
        ..Request::bare(Action::PutManifest, "PUT")
    };
    let caller = Caller {
        identity: Some(identity),
        ..Caller::default()
    };
    // Whether it gives a boolean or an error is not the question here.
    let _ = expression.evaluate(&Facts::new(&caller, &request));
}

/// As many repetitions of `unit` around `core` as the longest text has room for, and 10,000 of them.
fn nests(open: &str, core: &str, close: &str) -> [String; 2] {
    let room = (Expression::MAX_LENGTH - core.len()) / (open.len() + close.len());
    [room, 10_000].map(|times| format!("{}{core}{}", open.repeat(times), close.repeat(times)))
}

#[test]
fn nothing_that_nests_or_chains_without_end_is_accepted() {
    let shapes = [
        ("(", "true", ")"),
        ("(", "", ""),
        ("[", "true", "]"),
        ("[", "", ""),
        ("{'a':", "true", "}"),
        ("{", "", ""),
        ("f(", "true", ")"),
        ("string(", "'a'", ")"),
        ("f(", "", ""),
        ("true ? true : ", "true", ""),
        ("true ? (", "true", ") : false"),
        ("true ? ", "true", " : true"),
        ("-", "1", ""),
        ("- ", "request.n", ""),
        ("!(", "true", ")"),
        ("!!(!!!!!!(!!!!(((((!!(!!(!!!!((", "1", ""),
        ("1+", "1", ""),
        ("1-", "1", ""),
        ("'a'+", "'a'", " == 'a'"),
        ("true==", "true", ""),
        ("1<", "1", ""),
        ("1 in ", "[1]", ""),
        ("", "identity.groups", "[0]"),
        ("", "identity.groups", "[0][0]"),
        ("", "identity.oidc.claims", ".b"),
        ("", "identity", ".b"),
        ("", "request.action", ".f()"),
        ("", "request.action", ".size()"),
        ("", "request.tags", ".map(t, t)"),
        ("request.tags.all(t, ", "true", ")"),
        ("request.tags.all(t, t in [", "t", "])"),
        ("has(", "request.tags", ")"),
        ("a ? b ((?))", "", ""),
        ("x.all(", "", ""),
        ("'", "", ""),
        ("\\", "", ""),
        ("true && ", "true", ""),
        ("true || ", "true", ""),
        ("true && true || ", "true", ""),
        ("request.tags.all(t, true) && ", "true", ""),
    ];
    for (open, core, close) in shapes {
        for source in nests(open, core, close) {
            let shown: String = source.chars().take(40).collect();
            assert!(
                survive(&source).is_err(),
                "{shown} ({} bytes) was accepted",
                source.len()
            );
        }
    }
}

#[test]
fn lists_that_grow_with_each_step_are_refused() {
    let ten = "[1,2,3,4,5,6,7,8,9,0]";
    let nested = |depth: usize| format!("{}true{}", format!("{ten}.all(x, ").repeat(depth), ")".repeat(depth));
    let doubling = format!("['aaaaaaaa']{} == []", ".map(a,a+a)".repeat(24));
    let growing = format!("request.tags{}.size() > 0", ".map(t, t + t)".repeat(24));
    for source in [nested(1), nested(2), nested(7), doubling, growing] {
        assert!(survive(&source).is_err(), "{source}");
    }
}

#[test]
fn the_limits_are_where_they_are_said_to_be() {
    let sum = |terms: usize| format!("{}1 == 0", "1+".repeat(terms - 1));
    // The tree of a sum of n terms is n deep, and the comparison is one more level.
    assert_eq!(survive(&sum(63)), Ok(()));
    let message = survive(&sum(64)).unwrap_err().to_string();
    assert_eq!(
        message,
        "line 1, column 1: the expression is nested 65 deep: at most 64 is allowed; split it into several rules"
    );

    let any = |terms: usize| format!("{}true", "true||".repeat(terms - 1));
    assert_eq!(survive(&any(250)), Ok(()));
    let message = survive(&any(251)).unwrap_err().to_string();
    assert_eq!(
        message,
        "line 1, column 1: the expression has 501 parts: at most 500 are allowed; split it into several rules"
    );

    let padded = |length: usize| format!("true{}", " ".repeat(length - 4));
    assert_eq!(survive(&padded(2048)), Ok(()));
    let message = survive(&padded(2049)).unwrap_err().to_string();
    assert_eq!(
        message,
        "line 1, column 1: the expression is 2049 bytes long: at most 2048 are allowed; split it into several rules"
    );

    let message = survive(&format!("{}true{}", "(".repeat(200), ")".repeat(200)))
        .unwrap_err()
        .to_string();
    assert_eq!(
        message,
        "line 1, column 97: the expression is nested too deeply; split it into several rules"
    );
}

#[test]
fn the_deepest_accepted_expressions_evaluate_on_a_small_stack() {
    let nest = |open: &str, core: &str, close: &str, times: usize| {
        format!("{}{core}{}", open.repeat(times), close.repeat(times))
    };
    for source in [
        // Pairs of `!` cancel out when parsed.
        nest("!", "true", "", Expression::MAX_LENGTH - 4),
        nest("!(", "true", " == true)", 30),
        nest("1+(", "1", ")", 62) + " == 0",
        nest("true ? (", "true", ") : false", 60),
        nest("string(", "'a'", ")", 60) + " == 'a'",
        nest("[", "true", "]", 60) + " == []",
        nest("{'a': ", "true", "}", 60) + " == {}",
        nest("request.tags.all(t, ", "true", ")", 1),
        format!("identity.oidc.claims{} == 1", ".b".repeat(55)),
        format!("request.tags.all(t, {} == 'x')", nest("(t + ", "t", ")", 50)),
    ] {
        assert_eq!(survive(&source), Ok(()), "{source}");
    }
}

#[test]
fn the_dearest_accepted_expressions_end_soon() {
    let searches = vec!["t in identity.groups"; 80].join("||");
    let builds = vec!["(request.tags + identity.groups).size() == 1"; 40].join("||");
    for source in [
        format!("request.tags.all(t, !({searches}))"),
        format!("request.tags.all(t, !({searches}||true))"),
        builds,
    ] {
        assert_eq!(survive(&source), Ok(()), "{source}");
    }
}

/// Pieces that hold together often enough for whole expressions to come out.
fn soup() -> impl Strategy<Value = String> {
    let pieces = [
        "identity",
        "request",
        ".",
        "username",
        "groups",
        "tags",
        "reference",
        "n",
        "oidc",
        "claims",
        "has(",
        "size(",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        "?",
        "'a'",
        "\"b\"",
        "1",
        "1u",
        "1.5",
        "-",
        "!",
        "&&",
        "||",
        "==",
        "!=",
        "<",
        "in",
        "+",
        "*",
        "/",
        "%",
        "true",
        "null",
        "identity.username",
        "request.tags",
        ".all(t, ",
        ".exists(t, ",
        ".map(t, ",
        "t",
        ".startsWith(",
        ".contains(",
        " ",
        "\n",
        "//",
        "b'\\xff'",
        "ä",
        "\\",
        "`",
        "9223372036854775807",
        "string(",
        "int(",
        "timestamp(",
        "duration(",
        ".getHours(",
        "0",
        "request.n",
    ];
    vec(select(pieces.to_vec()), 0..40).prop_map(|pieces| pieces.concat())
}

/// Expressions that are mostly accepted.
fn conditions() -> impl Strategy<Value = String> {
    let text = select(vec![
        "'a'",
        "identity.username",
        "request.reference",
        "request.last",
        "request.action",
        "identity.groups[0]",
        "string(request.n)",
        "''",
        "'ä'",
        "identity.oidc.claims.x",
        "identity.oidc.provider_name",
    ]);
    let number = select(vec![
        "0",
        "-9223372036854775808",
        "9223372036854775807",
        "int(request.n)",
        "size(request.tags)",
        "int('x')",
        "int(1e300)",
        "timestamp(253402300799).getSeconds()",
        "duration('9000000000s').getMilliseconds()",
    ]);
    let leaf = prop_oneof![
        (text.clone(), select(vec!["==", "!=", "<", ">="]), text.clone())
            .prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        (text.clone(), select(vec!["startsWith", "endsWith", "contains"]), text)
            .prop_map(|(a, f, b)| format!("{a}.{f}({b})")),
        (
            number.clone(),
            select(vec!["+", "-", "*", "/", "%"]),
            number.clone(),
            number
        )
            .prop_map(|(a, op, b, c)| format!("{a} {op} {b} > {c}")),
        Just("has(request.digest)".to_owned()),
        Just("'a' in request.tags".to_owned()),
    ];
    leaf.prop_recursive(4, 40, 3, |inner| {
        prop_oneof![
            (inner.clone(), select(vec!["&&", "||", "=="]), inner.clone())
                .prop_map(|(a, op, b)| format!("({a}) {op} ({b})")),
            inner.clone().prop_map(|a| format!("!({a})")),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("({a}) ? ({b}) : ({c})")),
            (select(vec!["all", "exists", "exists_one"]), inner).prop_map(|(m, a)| format!("request.tags.{m}(t, {a})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_text_makes_the_parser_or_the_evaluation_panic(source in "\\PC{0,60}") {
        let _ = survive(&source);
    }

    #[test]
    fn no_mix_of_tokens_makes_the_parser_or_the_evaluation_panic(source in soup()) {
        let _ = survive(&source);
    }

    #[test]
    fn no_condition_makes_the_evaluation_panic(source in conditions()) {
        let _ = survive(&source);
    }

    #[test]
    fn errors_point_into_the_text(source in soup()) {
        if let Err(error) = survive(&source) {
            let line = source.split('\n').nth(error.line as usize - 1);
            prop_assert!(line.is_some(), "{error}");
            let length = line.unwrap_or_default().chars().count();
            prop_assert!((1..=length + 1).contains(&(error.column as usize)), "{error}");
        }
    }
}
