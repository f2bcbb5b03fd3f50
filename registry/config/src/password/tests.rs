use super::*;

const GOOD: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$iWh06vD8Fy27wf9npn6FXWiCX4K6pW6Ue1Bnzz07Z8A";

#[test]
fn accepts_a_complete_argon2id_hash_and_hides_it_in_debug() {
    let hash = PasswordHash::parse(GOOD).unwrap();
    assert_eq!(hash.as_str(), GOOD);
    assert!(!format!("{hash:?}").contains("c29tZXNhbHR"));
}

#[test]
fn refuses_what_could_never_match_or_costs_too_much() {
    use InvalidPasswordHash as E;
    let table = [
        ("hunter2", E::Syntax),
        ("$2y$05$abcdefghijklmnopqrstuv", E::Length(29)),
        (
            "$2y$15$Kq2ADEwl.sLO6gyHXQ2kce1aC5cHPtnDlsGhkTvvQrzCmuPJ8ZMl6",
            E::TooCostly {
                name: "cost",
                value: 15,
                most: 14,
            },
        ),
        (
            "$2y$03$Kq2ADEwl.sLO6gyHXQ2kce1aC5cHPtnDlsGhkTvvQrzCmuPJ8ZMl6",
            E::Impossible { name: "cost", value: 3 },
        ),
        (
            "$2y$05$Kq2ADEwl.sLO6gyHXQ2kce1aC5cHPtnDlsGhkTvvQrzCmuPJ8ZM!6",
            E::Syntax,
        ),
        (
            "$2x$05$Kq2ADEwl.sLO6gyHXQ2kce1aC5cHPtnDlsGhkTvvQrzCmuPJ8ZMl6",
            E::Algorithm("bcrypt 2x".into()),
        ),
        (
            "$apr1$cy1Pq0iK$CmIbFJsgQDsvUcw0LQxVG1",
            E::Algorithm("apr1 (MD5)".into()),
        ),
        ("{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", E::Algorithm("SHA-1".into())),
        ("aB3xYz01./KLM", E::Algorithm("crypt (DES)".into())),
        (
            "$argon2id$v=19$m=19456,t=0,p=1$c29tZXNhbHRzb21lc2FsdA$iWh06vD8Fy27wf9npn6FXWiCX4K6pW6Ue1Bnzz07Z8A",
            E::Impossible { name: "t", value: 0 },
        ),
        (
            "$argon2i$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$iWh06vD8Fy27wf9npn6FXWiCX4K6pW6Ue1Bnzz07Z8A",
            E::Algorithm("argon2i".into()),
        ),
        (
            "$argon2id$v=16$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$iWh06vD8Fy27wf9npn6FXWiCX4K6pW6Ue1Bnzz07Z8A",
            E::Version,
        ),
        (
            "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA",
            E::Truncated("hash"),
        ),
        (&GOOD[..GOOD.len() - 3], E::Short(30)),
        (&GOOD[..GOOD.len() - 11], E::Short(24)),
        ("$argon2id$v=19$m=19456,t=2,p=1", E::Truncated("salt")),
        (
            "$argon2id$v=19$m=19456,t=2$c29tZXNhbHRzb21lc2FsdA$iWh06vD8Fy27wf9npn6FXWiCX4K6pW6Ue1Bnzz07Z8A",
            E::Parameter("p"),
        ),
        (
            "$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$iWh06vD8Fy27wf9npn6FXWiCX4K6pW6Ue1Bnzz07Z8A",
            E::TooCostly {
                name: "m",
                value: 4_194_304,
                most: 65536,
            },
        ),
    ];
    for (text, want) in table {
        let got = PasswordHash::parse(text);
        let matches = match (&got, &want) {
            // How far a foreign scheme resembles PHC is the parser's affair: either refusal names the way out.
            (Err(E::Syntax | E::Algorithm(_)), E::Algorithm(_)) => true,
            (Err(got), want) => got == want,
            (Ok(_), _) => false,
        };
        assert!(matches, "{text}: {got:?}");
    }
}

#[test]
fn hashes_of_other_tools_verify_and_nothing_else_does() {
    let mut memory = HashMemory::default();
    // Made by `argon2 somesalt -id -t 2 -m 16 -p 1` of the reference implementation, and by the crate's own, at several costs.
    let bcrypt = bcrypt::hash("secret", 4).unwrap();
    let argon2 = |memory_kib, passes, lanes| {
        use password_hash::PasswordHasher;
        let params = argon2::Params::new(memory_kib, passes, lanes, None).unwrap();
        let hasher = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
        hasher.hash_password(b"secret").unwrap().to_string()
    };
    let reference = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
    for (hash, password) in [
        (bcrypt, "secret"),
        (argon2(64, 1, 1), "secret"),
        (argon2(19 * 1024, 2, 1), "secret"),
        (argon2(256, 1, 4), "secret"),
        (reference.to_owned(), "password"),
        (argon2(64, 1, 1), "secret"),
    ] {
        let hash = PasswordHash::parse(&hash).unwrap();
        assert!(hash.verify(password.as_bytes(), &mut memory), "{}", hash.as_str());
        for wrong in ["", "Secret", "secret ", "secret\0"] {
            assert!(
                !hash.verify(wrong.as_bytes(), &mut memory),
                "{} {wrong:?}",
                hash.as_str()
            );
        }
    }
    // The memory that only a rare hash needs was given back.
    assert_eq!(format!("{memory:?}"), "HashMemory(64 KiB)");
}

#[test]
fn what_another_namespace_brings_along_may_cost_less() {
    let costly = GOOD.replace("m=19456,t=2", "m=65536,t=10");
    assert!(PasswordHash::parse(&costly).is_ok());
    assert!(matches!(
        PasswordHash::parse_within(&costly, HashCost::GUEST_CAP),
        Err(InvalidPasswordHash::TooCostly { name: "m", .. })
    ));
    assert!(PasswordHash::parse_within(GOOD, HashCost::GUEST_CAP).is_ok());
}
