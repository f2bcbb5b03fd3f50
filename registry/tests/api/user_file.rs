//! A user file beside the access document, with the real binary.

use std::fs;
use std::process::Command;

use crate::standalone::{Standalone, write_documents};
use crate::wire::{Connection, basic};

/// A line as `htpasswd -nbB -C 4` prints it.
fn line(user: &str, password: &str) -> Vec<u8> {
    format!("{user}:{}\n", bcrypt::hash(password, 4).unwrap()).into_bytes()
}

/// A comment in another encoding than UTF-8, a user whose name stands in the access document, too, and one with an old hash.
fn users(more: &[Vec<u8>]) -> Vec<u8> {
    let fixed = [
        b"# J\xf6rg's users\n\n".to_vec(),
        line("demo", "another"),
        b"old:$apr1$cy1Pq0iK$CmIbFJsgQDsvUcw0LQxVG1\n".to_vec(),
    ];
    [fixed.as_slice(), more].concat().concat()
}

#[test]
fn users_of_a_file_sign_in_beside_those_of_the_document_and_an_edit_holds() {
    let directory = tempfile::tempdir().unwrap();
    write_documents(directory.path());
    let file = directory.path().join("htpasswd");
    fs::write(&file, users(&[line("alice", "a"), line("bob", "b")])).unwrap();
    let check = Command::new(env!("CARGO_BIN_EXE_wharfinger-registry"))
        .args(["check", "--access"])
        .arg(directory.path().join("access.yaml"))
        .arg("--htpasswd")
        .arg(&file)
        .output()
        .unwrap();
    let found = String::from_utf8(check.stdout).unwrap();
    assert_eq!(check.status.code(), Some(1), "{found}");
    assert!(found.contains("htpasswd: line 4: user `old` cannot sign in"), "{found}");
    assert!(
        found.contains("user `demo` stands in the access document, too"),
        "{found}"
    );

    let registry = Standalone::start_with(directory, &["--htpasswd", file.to_str().unwrap()]);
    let mut connection = Connection::open(registry.address("listen"));
    let mut status = |user: &str, password: &str| connection.ask("GET /v2/", &basic(user, password)).status;
    for (user, password, want) in [
        ("alice", "a", 200),
        ("bob", "b", 200),
        ("alice", "b", 401),
        ("demo", "demo", 200),
        ("demo", "another", 401),
        ("old", "old", 401),
    ] {
        assert_eq!(status(user, password), want, "{user}:{password}");
    }
    registry.wait("the bad line in the log", || {
        registry.log().contains("user `old`").then_some(())
    });
    fs::write(&file, users(&[line("alice", "new")])).unwrap();
    registry.wait("an edit", || (status("alice", "new") == 200).then_some(()));
    assert_eq!(status("alice", "a"), 401);
    assert_eq!(status("bob", "b"), 401);
    // A file that goes missing locks nobody out.
    fs::remove_file(&file).unwrap();
    registry.wait("a removal", || registry.log().contains("cannot read").then_some(()));
    assert_eq!(status("alice", "new"), 200);
}
