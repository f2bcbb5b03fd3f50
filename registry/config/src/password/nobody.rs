//! Hashes that are nobody's, for the work that they are.

use std::collections::HashMap;

use super::{PasswordHash, PasswordHashing, is_bcrypt};

impl PasswordHash {
    /// A well-formed hash of no password that anybody knows. It costs what most of `hashes` do, or what they do by default where there is
    /// none.
    pub fn of_nobody_among<'a>(hashes: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut costs: HashMap<String, usize> = HashMap::new();
        for hash in hashes {
            *costs.entry(hash.cost()).or_default() += 1;
        }
        // Among as many of each, which one does not matter; that it is always the same does.
        let usual = costs
            .into_iter()
            .max_by(|(a, a_count), (b, b_count)| (a_count, a).cmp(&(b_count, b)));
        usual.map_or_else(
            || PasswordHashing::default().of_nobody(),
            |(cost, _)| Self::of_nobody(&cost),
        )
    }

    /// A hash of nobody's password that begins with what [`PasswordHash::cost`] gives.
    pub(super) fn of_nobody(cost: &str) -> Self {
        Self(if is_bcrypt(cost) {
            format!("{cost}${}", ".".repeat(53))
        } else {
            format!("{cost}${}${}", "A".repeat(22), "A".repeat(43))
        })
    }

    /// What it says of its cost: all before the salt, the same for all marks of bcrypt.
    fn cost(&self) -> String {
        let is_bcrypt = is_bcrypt(&self.0);
        let after = if is_bcrypt { 1 } else { 2 };
        let cost = self.0.rsplitn(after + 1, '$').last().unwrap_or_default();
        if is_bcrypt {
            format!("$2y${}", &cost["$2y$".len()..])
        } else {
            cost.to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BCRYPT: &str = "$2y$05$Kq2ADEwl.sLO6gyHXQ2kce1aC5cHPtnDlsGhkTvvQrzCmuPJ8ZMl6";

    fn argon2(cost: &str) -> PasswordHash {
        let salt_and_hash = "c29tZXNhbHRzb21lc2FsdA$iWh06vD8Fy27wf9npn6FXWiCX4K6pW6Ue1Bnzz07Z8A";
        PasswordHash::parse(&format!("$argon2id$v=19${cost}${salt_and_hash}")).unwrap()
    }

    #[test]
    fn nobodys_password_costs_what_most_of_a_documents_do() {
        let usual = PasswordHash::parse(BCRYPT).unwrap();
        let others = PasswordHash::parse(&BCRYPT.replacen("$2y$", "$2b$", 1)).unwrap();
        let (cheap, dear) = (argon2("m=7168,t=5,p=1"), argon2("m=65536,t=3,p=2"));
        for (hashes, cost) in [
            (vec![], "$argon2id$v=19$m=19456,t=2,p=1$"),
            (vec![&cheap], "$argon2id$v=19$m=7168,t=5,p=1$"),
            (vec![&cheap, &dear, &dear, &usual], "$argon2id$v=19$m=65536,t=3,p=2$"),
            (vec![&others, &cheap, &cheap, &usual, &usual], "$2y$05$"),
        ] {
            let nobodys = PasswordHash::of_nobody_among(hashes);
            assert!(nobodys.as_str().starts_with(cost), "{} {cost}", nobodys.as_str());
            // It can be computed, or nothing would be: a hash that is not read costs no time.
            assert_eq!(PasswordHash::parse(nobodys.as_str()), Ok(nobodys));
        }
        assert_eq!(
            bcrypt::verify("", PasswordHash::of_nobody_among([&usual]).as_str()).ok(),
            Some(false)
        );
    }
}
