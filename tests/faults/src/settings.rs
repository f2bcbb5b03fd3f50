//! How much is done, and by which seed.

use rand::Rng;

/// How many kills each test of kills makes at least, of which there are two: `WHARFINGER_KILLS`, 60 unless it is set.
///
/// # Errors
/// Where it is no number.
pub fn kills() -> anyhow::Result<u64> {
    number("WHARFINGER_KILLS", || 60)
}

/// Where all randomness comes from: `WHARFINGER_SEED`, a new one unless it is set. Tests print it. It decides what each
/// client asks for; in which order the registry gets to it, the scheduler decides.
///
/// # Errors
/// Where it is no number.
#[expect(clippy::print_stdout, reason = "whoever sees a test fail needs it")]
pub fn seed() -> anyhow::Result<u64> {
    let seed = number("WHARFINGER_SEED", || rand::rng().random())?;
    println!("WHARFINGER_SEED={seed}");
    Ok(seed)
}

fn number(variable: &str, otherwise: impl FnOnce() -> u64) -> anyhow::Result<u64> {
    match std::env::var(variable) {
        Ok(text) => text
            .parse()
            .map_err(|_| anyhow::anyhow!("`{variable}` is `{text}`, but must be a number")),
        Err(_) => Ok(otherwise()),
    }
}
