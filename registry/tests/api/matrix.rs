//! Every route, every way to sign in: who is let through, and what the others are told.

use http::Method;
use wharfinger_registry::route::Route;

use crate::fixture::{Answer, Call, MANIFEST};
use crate::routes::{Need, Row, methods, routes, rows};
use crate::ways::{ALL_SCOPES, Document, Way, World};

/// Who has nothing, or nothing good, to show.
const NOBODY: [&str; 4] = ["none", "bad password", "bad token", "anonymous token"];

/// Whoever may pull, push, maintain, and everything.
const SOMEBODY: [&str; 4] = ["puller", "pusher", "maintainer", "admin"];

/// What each of [`NOBODY`], then each of [`SOMEBODY`], is answered.
fn answers(row: &Row) -> [u16; 8] {
    let good = row.good;
    match row.need {
        Need::Nothing => [good; 8],
        // No token of the registry's own is exchanged for another.
        Need::Exchange => [good, 401, 401, 401, good, good, good, good],
        Need::Credential => [401, 401, 401, good, good, good, good, good],
        Need::Catalog | Need::Pull => [401, 401, 401, 401, good, good, good, good],
        Need::Push => [401, 401, 401, 401, 403, good, good, good],
        Need::Delete => [401, 401, 401, 401, 403, 403, good, good],
    }
}

fn call(method: &Method, row: &Row) -> Call {
    let call = Call::new(method.clone(), &row.uri).header("content-type", MANIFEST);
    call.body(row.body.clone())
}

/// The methods by which a row is asked for here: forms are another matter.
fn asked(row: &Row) -> Vec<Method> {
    let methods = methods(row).into_iter();
    methods
        .filter(|method| row.need != Need::Exchange || method == Method::GET)
        .collect()
}

/// Each row of a route, by its number, with each of `ways`.
fn each<W: Copy>(route: &Route, world: &World, ways: &[W]) -> Vec<(usize, W)> {
    let numbers = 0..rows(route, world).len();
    numbers
        .flat_map(|number| ways.iter().map(move |way| (number, *way)))
        .collect()
}

/// Sends a request as one of [`NOBODY`], and tells what a challenge must say of the token that came.
async fn ask_as_nobody(world: &World, caller: &str, call: Call) -> (Answer, Option<&'static str>) {
    let (call, error) = match caller {
        "none" => (call, None),
        "bad password" => (call.basic("admin", "wrong"), None),
        "bad token" => (call.bearer("a.b.c"), Some("invalid_token")),
        _ => (call.bearer(&world.registry.token("", ALL_SCOPES).await), None),
    };
    (world.registry.send(call).await, error)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_route_lets_through_exactly_who_may() {
    let mut asked_for = 0;
    for (index, caller) in SOMEBODY.into_iter().enumerate() {
        let mut world = World::of(caller, Document::Bearer).await;
        for route in routes(&world) {
            for (number, way) in each(&route, &world, &Way::ALL) {
                // The token endpoint takes no such token; that is among the others.
                if matches!((&route, way), (Route::Token, Way::Exchanged(_))) {
                    continue;
                }
                let row = rows(&route, &world).remove(number);
                for method in asked(&row) {
                    let before = world.registry.files();
                    let answer = world.ask(caller, way, ALL_SCOPES, call(&method, &row)).await;
                    let shown = format!("{method} {} as {caller} by {way:?}: {answer:?}", row.uri);
                    assert_eq!(answer.status, answers(&row)[NOBODY.len() + index], "{shown}");
                    check_answer(&answer, &row, None, &shown);
                    if answer.status.is_client_error() {
                        assert_eq!(world.registry.files(), before, "it changed something: {shown}");
                    } else {
                        world.restore(&route).await;
                    }
                    asked_for += 1;
                }
            }
        }
    }
    assert!(asked_for > 800, "{asked_for}");
}

// Wrong passwords are answered more and more slowly.
#[tokio::test(start_paused = true)]
async fn each_route_tells_whoever_may_not_where_to_sign_in_and_what_for() {
    for document in Document::ALL {
        let world = World::of("nobody", document).await;
        let before = world.registry.files();
        for row in routes(&world).iter().flat_map(|route| rows(route, &world)) {
            for (caller, want) in NOBODY.into_iter().zip(answers(&row)) {
                for method in asked(&row) {
                    let (answer, error) = ask_as_nobody(&world, caller, call(&method, &row)).await;
                    let shown = format!("{method} {} as {caller} under {document:?}: {answer:?}", row.uri);
                    assert_eq!(answer.status, want, "{shown}");
                    let challenge = document.challenge(row.scope, error);
                    check_answer(&answer, &row, Some(&challenge), &shown);
                }
            }
        }
        assert_eq!(world.registry.files(), before, "a refused request changed something");
    }
}

/// Scopes, and what each of them opens.
const SCOPES: [(&str, Option<Need>); 8] = [
    ("", None),
    ("repository:team/none:*", None),
    ("repository:team:*", None),
    ("repository:team/app/below:*", None),
    ("repository:team/app:pull", Some(Need::Pull)),
    ("repository:team/app:push", Some(Need::Push)),
    ("repository:team/app:delete", Some(Need::Delete)),
    ("registry:catalog:*", Some(Need::Catalog)),
];

#[tokio::test]
async fn a_token_opens_of_each_route_no_more_than_its_scope() {
    for way in Way::BOUNDED {
        let document = match way {
            Way::TokenServer => Document::TokenServer,
            _ => Document::Bearer,
        };
        let mut world = World::of("admin", document).await;
        for route in routes(&world) {
            for (number, (scope, opened)) in each(&route, &world, &SCOPES) {
                let row = rows(&route, &world).remove(number);
                let is_open = match row.need {
                    // No token counts there.
                    Need::Nothing | Need::Exchange => continue,
                    Need::Credential => true,
                    need => opened == Some(need),
                };
                let before = world.registry.files();
                let answer = world.ask("admin", way, scope, call(&row.method, &row)).await;
                let shown = format!("{} {} by {way:?} for `{scope}`: {answer:?}", row.method, row.uri);
                if is_open {
                    assert_eq!(answer.status, row.good, "{shown}");
                    world.restore(&route).await;
                } else {
                    assert_eq!(answer.status, 401, "{shown}");
                    assert_eq!(world.registry.files(), before, "it changed something: {shown}");
                }
                let challenge = document.challenge(row.scope, Some("insufficient_scope"));
                check_answer(&answer, &row, Some(&challenge), &shown);
            }
        }
    }
}

/// What holds for every answer of its kind; `challenge` is that of a 401.
fn check_answer(answer: &Answer, row: &Row, challenge: Option<&str>, shown: &str) {
    assert_eq!(
        answer.header("docker-distribution-api-version"),
        Some("registry/2.0"),
        "{shown}"
    );
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{shown}");
    let found = answer.header("www-authenticate");
    match (answer.status.as_u16(), row.need) {
        (401, Need::Exchange) => {
            assert_eq!(found, Some("Basic realm=\"registry.test\""), "{shown}");
            assert_eq!(answer.code(), "DENIED", "{shown}");
        }
        (401, _) => {
            assert_eq!(found, challenge, "{shown}");
            assert_eq!(answer.code(), "UNAUTHORIZED", "{shown}");
        }
        (403, _) => {
            assert_eq!(found, None, "{shown}");
            // Over a wire, the answer to HEAD has no body.
            assert!(answer.body.is_empty() || answer.code() == "DENIED", "{shown}");
        }
        _ => assert_eq!(found, None, "{shown}"),
    }
}
