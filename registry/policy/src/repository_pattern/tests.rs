use proptest::prelude::*;

use super::*;

fn pattern(text: &str) -> RepositoryPattern {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn patterns_match_whole_segments() {
    let table = [
        // (pattern, what it matches, what it does not)
        ("web", "web", "we webs web/a a/web"),
        ("team-a/web", "team-a/web", "team-a team-a/web/x team-a/webs team-b/web"),
        (
            "mynamespace/**",
            "mynamespace/x mynamespace/x/y",
            "mynamespace mynamespace2/x mynamespace2 my/x",
        ),
        ("**", "a a/b a/b/c", ""),
        ("*", "a abc", "a/b"),
        ("*/*", "a/b", "a a/b/c"),
        ("*/**", "a/b a/b/c", "a"),
        ("team-*/**", "team-a/x team-a/x/y", "team/x team-a xteam-a/x"),
        ("team-*", "team-a team-a-b", "team team-a/b"),
        ("*-prod", "a-prod a-b-prod", "prod a-prods a/b-prod"),
        ("a*b", "ab axb aab abb", "a b aba a/b"),
        ("a*a", "aa aba", "a ab"),
        ("*b*", "b abc", "ac a/b"),
        ("a*b*c", "abc axbxc abbc abcbc", "ac acb abcx"),
        ("*ab*ab", "abab xabab ababab", "ab aab"),
        ("library/*", "library/nginx", "library library/a/b"),
        ("a/*/c", "a/b/c", "a/c a/b/b/c"),
        ("a/*/**", "a/b/c a/b/c/d", "a a/b"),
        ("a.b/**", "a.b/x", "axb/x"),
    ];
    for (text, matching, others) in table {
        let pattern = pattern(text);
        for repository in matching.split_whitespace() {
            assert!(pattern.matches(repository), "`{text}` matches `{repository}`");
        }
        for repository in others.split_whitespace() {
            assert!(!pattern.matches(repository), "`{text}` does not match `{repository}`");
        }
    }
}

#[test]
fn a_pattern_that_matches_nothing_is_refused_with_what_to_write() {
    let table = [
        ("", "the repository pattern is empty: write `**` for every repository"),
        (
            "Team-A/**",
            "repository pattern `Team-A/**` matches nothing: repository names are lower case, write `team-a/**`",
        ),
        (
            "a/[bc]",
            "repository pattern `a/[bc]` holds `[`: allowed are a-z, 0-9, `.`, `_`, `-`, `/` and the wildcards `*` (within a segment) and `**` (as last segment)",
        ),
        (
            "${username}/**",
            "repository pattern `${username}/**` holds `$`: allowed are a-z, 0-9, `.`, `_`, `-`, `/` and the wildcards `*` (within a segment) and `**` (as last segment)",
        ),
        (
            "a?",
            "repository pattern `a?` holds `?`: allowed are a-z, 0-9, `.`, `_`, `-`, `/` and the wildcards `*` (within a segment) and `**` (as last segment)",
        ),
        (
            "a/",
            "repository pattern `a/` has an empty segment: write `a/b`, without slashes around it, or `a/**` for everything below `a`",
        ),
        (
            "/a",
            "repository pattern `/a` has an empty segment: write `a/b`, without slashes around it, or `a/**` for everything below `a`",
        ),
        (
            "a//b",
            "repository pattern `a//b` has an empty segment: write `a/b`, without slashes around it, or `a/**` for everything below `a`",
        ),
        (
            "**/a",
            "repository pattern `**/a` has a misplaced `**`: it must be the whole last segment, as in `a/**`; `*` matches within one segment",
        ),
        (
            "a**",
            "repository pattern `a**` has a misplaced `**`: it must be the whole last segment, as in `a/**`; `*` matches within one segment",
        ),
        (
            "a/**b",
            "repository pattern `a/**b` has a misplaced `**`: it must be the whole last segment, as in `a/**`; `*` matches within one segment",
        ),
        (
            "***",
            "repository pattern `***` has a misplaced `**`: it must be the whole last segment, as in `a/**`; `*` matches within one segment",
        ),
        (
            "a/../b",
            "repository pattern `a/../b` matches nothing: no segment of a repository name matches `..`, because separators (`.`, `_`, `__`, dashes) stand alone between letters and digits",
        ),
    ];
    for (text, want) in table {
        let got = text
            .parse::<RepositoryPattern>()
            .map_or_else(|error| error.to_string(), |_| "accepted".to_owned());
        assert_eq!(got, want);
    }
    for text in ["-a", "a-", "*-", "-*", "a..b", "a._b", "a___b", ".*", "*./a", "a/_b"] {
        assert!(
            matches!(
                text.parse::<RepositoryPattern>(),
                Err(RepositoryPatternError::Segment { .. })
            ),
            "{text}"
        );
    }
    for text in ["a--b", "a__b", "*_*", "a-*", "*.*", "a.*-b/**", "0"] {
        assert_eq!(pattern(text).to_string(), text);
    }
}

#[test]
fn the_longest_repository_name_fits_into_a_pattern() {
    let name = "a".repeat(255);
    assert!(pattern(&name).matches(&name));
    assert!(pattern(&format!("{name}/**")).matches(&format!("{name}/b")));
    assert_eq!(
        "a".repeat(512)
            .parse::<RepositoryPattern>()
            .map(|pattern| pattern.as_str().len()),
        Ok(512)
    );
    assert_eq!(
        "a".repeat(513).parse::<RepositoryPattern>().unwrap_err().to_string(),
        "the repository pattern has 513 characters: at most 512 are allowed"
    );
}

#[test]
fn a_pattern_is_written_as_a_text() {
    let pattern: RepositoryPattern = serde_json::from_str("\"team-a/**\"").unwrap();
    assert_eq!(serde_json::to_string(&pattern).unwrap(), "\"team-a/**\"");
    let error = serde_json::from_str::<RepositoryPattern>("\"a**\"")
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("repository pattern `a**` has a misplaced `**`"),
        "{error}"
    );
}

#[test]
fn only_two_stars_alone_are_everything() {
    for (text, want) in [("**", true), ("*/**", false), ("*", false), ("a/**", false)] {
        assert_eq!(pattern(text).is_everything(), want, "{text}");
    }
}

/// The meaning of a star, tried out.
fn matches_by_trying(pattern: &[u8], name: &[u8]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some((b'*', rest)) => (0..=name.len()).any(|taken| matches_by_trying(rest, &name[taken..])),
        Some((first, rest)) => name.first() == Some(first) && matches_by_trying(rest, &name[1..]),
    }
}

proptest! {
    #[test]
    fn a_segment_matches_as_if_every_choice_were_tried(pattern in "[ab*]{0,8}", name in "[ab]{0,10}") {
        prop_assert_eq!(segment_matches(&pattern, &name), matches_by_trying(pattern.as_bytes(), name.as_bytes()));
    }

    #[test]
    fn no_repository_name_is_out_of_reach(name in "[a-z0-9]+((\\.|_|__|-{1,3})[a-z0-9]+){0,3}(/[a-z0-9]+(\\.|_|__|-)[a-z0-9]+){0,3}") {
        prop_assert!(pattern(&name).matches(&name));
    }
}

#[test]
fn a_pattern_is_clipped_to_what_is_below_a_path() {
    for (pattern, path, want) in [
        ("**", "a", Some("a/**")),
        ("**", "a/b", Some("a/b/**")),
        ("a/**", "a", Some("a/**")),
        ("a/**", "a/b", Some("a/b/**")),
        ("a/b/**", "a", Some("a/b/**")),
        ("a/b/c", "a", Some("a/b/c")),
        ("*/b", "a", Some("a/b")),
        ("*/*/**", "a", Some("a/*/**")),
        ("a*/b", "ab", Some("ab/b")),
        ("a", "a", None),
        ("*", "a", None),
        ("b/**", "a", None),
        ("a", "a/b", None),
        ("*/*", "a/b", None),
        ("ab/**", "a", None),
        ("a/**", "ab", None),
    ] {
        let found = pattern.parse::<RepositoryPattern>().unwrap().below(path);
        assert_eq!(
            found.as_ref().map(RepositoryPattern::as_str),
            want,
            "{pattern} below {path}"
        );
    }
}

proptest! {
    #[test]
    fn what_is_clipped_selects_what_both_do(
        segments in proptest::collection::vec(proptest::sample::select(vec!["a", "b", "*", "a*", "*b"]), 0..4),
        everything: bool,
        path in "[ab]{1,2}(/[ab]{1,2}){0,2}",
        repository in "[ab]{1,2}(/[ab]{1,2}){0,4}",
    ) {
        let mut segments = segments;
        segments.extend((everything || segments.is_empty()).then_some("**"));
        let pattern: RepositoryPattern = segments.join("/").parse().unwrap();
        let is_below = repository.strip_prefix(&path).is_some_and(|rest| rest.starts_with('/'));
        let clipped = pattern.below(&path);
        prop_assert_eq!(
            clipped.is_some_and(|clipped| clipped.matches(&repository)),
            is_below && pattern.matches(&repository)
        );
    }
}
