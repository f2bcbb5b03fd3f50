//! `hash-password`.

use std::io::{self, IsTerminal, Read, Write};

use anyhow::{Context, bail, ensure};
use clap::Args;
use registry_config::{PasswordHashing, SizeText};
use zeroize::Zeroizing;

#[derive(Debug, Args)]
pub(super) struct HashPasswordArguments {
    /// Memory that a verification takes, `7Mi` to `64Mi`; default `19Mi`.
    #[arg(long, value_name = "SIZE")]
    memory: Option<SizeText>,
    /// Passes over that memory, 1 to 10; default 2.
    #[arg(long, value_name = "NUMBER")]
    iterations: Option<u32>,
    /// Lanes that could be computed at once, 1 to 4; default 1.
    #[arg(long, value_name = "NUMBER")]
    parallelism: Option<u32>,
}

/// Asks for a password and prints its hash.
pub(super) fn run(arguments: &HashPasswordArguments) -> anyhow::Result<()> {
    let HashPasswordArguments {
        memory,
        iterations,
        parallelism,
    } = *arguments;
    let hashing = PasswordHashing::new(memory, iterations, parallelism)?;
    let password = if io::stdin().is_terminal() {
        ask()?
    } else {
        read(io::stdin().lock())?
    };
    ensure!(!password.is_empty(), "the password is empty");
    let mut output = io::stdout().lock();
    let hash = hashing.hash(password.as_bytes());
    let hash = hash.context("the password cannot be hashed")?;
    writeln!(output, "{}", hash.as_str()).context("cannot print the hash")
}

fn ask() -> anyhow::Result<Zeroizing<String>> {
    let ask = |prompt| {
        rpassword::prompt_password(prompt)
            .map(Zeroizing::new)
            .context("cannot read from the terminal")
    };
    let (first, second) = (ask("Password: ")?, ask("Again: ")?);
    if *first != *second {
        bail!("the two passwords differ");
    }
    Ok(first)
}

/// The line that is the password, without the end of the line, which editors and `echo` add.
///
/// # Errors
/// Where there are several lines: no client sends a password of several, and which one is meant nobody can tell.
fn read(mut input: impl Read) -> anyhow::Result<Zeroizing<String>> {
    let mut password = Zeroizing::new(String::new());
    input
        .read_to_string(&mut password)
        .context("cannot read the password as UTF-8 text")?;
    if password.ends_with('\n') {
        password.pop();
        if password.ends_with('\r') {
            password.pop();
        }
    }
    ensure!(
        !password.contains('\0'),
        "no client sends a password with a NUL in it: use another"
    );
    ensure!(
        !password.contains('\n'),
        "the input has {} lines, but a password is one line: give one password at a time",
        password.split('\n').count()
    );
    Ok(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_end_of_a_line_is_dropped() {
        for (input, want) in [("a", "a"), ("a\n", "a"), ("a\r\n", "a"), ("a\r", "a\r"), (" a ", " a ")] {
            assert_eq!(*read(input.as_bytes()).unwrap(), want, "{input:?}");
        }
        assert!(read(b"\xff" as &[u8]).is_err() && read(b"a\0b" as &[u8]).is_err());
    }

    #[test]
    fn several_lines_are_no_password() {
        for (input, lines) in [("one\ntwo\n", 2), ("one\ntwo\nthree", 3), ("a\n\n", 2), ("\na\n", 2)] {
            let error = read(input.as_bytes()).unwrap_err().to_string();
            let want = format!("the input has {lines} lines, but a password is one line: give one password at a time");
            assert_eq!(error, want, "{input:?}");
        }
    }
}
