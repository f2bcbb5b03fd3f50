//! `hash-password`.

use std::io::{self, IsTerminal, Read, Write};

use anyhow::{Context, bail, ensure};
use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
use zeroize::Zeroizing;

/// Asks for a password and prints its hash.
pub(super) fn run() -> anyhow::Result<()> {
    let password = if io::stdin().is_terminal() {
        ask()?
    } else {
        read(io::stdin().lock())?
    };
    ensure!(!password.is_empty(), "the password is empty");
    let mut output = io::stdout().lock();
    writeln!(output, "{}", hash(&password)?).context("cannot print the hash")
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

/// Everything but one newline at the end, which editors and `echo` add.
fn read(mut input: impl Read) -> anyhow::Result<Zeroizing<String>> {
    let mut password = Zeroizing::new(String::new());
    input
        .read_to_string(&mut password)
        .context("cannot read the password as UTF-8 text")?;
    if password.ends_with('\n') {
        password.pop();
    }
    Ok(password)
}

/// Argon2id as OWASP recommends it first: 19 MiB, two passes, one lane.
fn hash(password: &str) -> anyhow::Result<String> {
    let parameters = Params::new(19_456, 2, 1, None).map_err(|error| anyhow::anyhow!("{error}"))?;
    let hash = Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters).hash_password(password.as_bytes());
    Ok(hash
        .map_err(|error| anyhow::anyhow!("cannot hash the password: {error}"))?
        .to_string())
}

#[cfg(test)]
mod tests {
    use registry_config::PasswordHash;

    use super::*;

    #[test]
    fn exactly_one_newline_is_dropped() {
        for (input, want) in [
            ("a", "a"),
            ("a\n", "a"),
            ("a\n\n", "a\n"),
            ("\na\n", "\na"),
            ("a\r\n", "a\r"),
            (" a ", " a "),
        ] {
            assert_eq!(*read(input.as_bytes()).unwrap(), want, "{input:?}");
        }
        assert!(read(b"\xff" as &[u8]).is_err());
    }

    #[test]
    fn the_hash_is_one_that_documents_take() {
        let hash = hash("secret").unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        PasswordHash::parse(&hash).unwrap();
    }
}
