use super::*;

mod angos;
mod evaluation;
mod hostile;
mod refusals;

/// The expression, which must be right.
fn parse(source: &str) -> Expression {
    Expression::parse(source).unwrap_or_else(|error| panic!("{source}: {error}"))
}

#[test]
fn an_expression_keeps_its_text() {
    let expression = parse(" identity.username == 'ci' ");
    assert_eq!(expression.source(), " identity.username == 'ci' ");
    assert_eq!(format!("{expression:?}"), "Expression(\" identity.username == 'ci' \")");
    assert_eq!(expression, expression.clone());
    assert_ne!(expression, parse("identity.username == 'ci'"));
}

#[test]
fn an_error_reads_as_a_sentence_with_its_place() {
    let error = Expression::parse("identity.usrname != null").unwrap_err();
    assert_eq!((error.line, error.column), (1, 10));
    assert_eq!(
        error.to_string(),
        "line 1, column 10: unknown field `usrname` of `identity`; did you mean `username`?"
    );
}

#[test]
fn expressions_are_parsed_from_many_threads_at_once() {
    std::thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                for number in 0..25 {
                    let source = format!("request.reference == 'v{thread}.{number}'");
                    assert_eq!(parse(&source).source(), source);
                    assert!(Expression::parse(&format!("{source} &&")).is_err());
                }
            });
        }
    });
}

#[test]
fn the_parsing_thread_is_started_again_after_it_went_idle() {
    parse("true");
    std::thread::sleep(std::time::Duration::from_millis(1300));
    parse("true");
}
