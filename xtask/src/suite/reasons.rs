//! Why tests failed, picked out of what they print, so that the end of a long run says it again.

/// How much is kept of one failure, and of all failures of a program, in lines.
const LINES_OF_ONE: usize = 15;
const LINES_OF_ALL: usize = 60;

/// The lines that say why something failed.
#[derive(Debug, Default)]
pub(super) struct Reasons {
    kept: Vec<String>,
    /// How many more lines belong to the failure that was seen last.
    open: usize,
}

impl Reasons {
    /// Looks at the next line that was printed.
    pub(super) fn see(&mut self, line: &str) {
        // What a test returns, and what it panics with.
        if line.starts_with("Error: ") || line.contains(" panicked at ") {
            self.open = LINES_OF_ONE;
        } else if line.trim().eq_ignore_ascii_case("stack backtrace:") || line.starts_with("test ") {
            self.open = 0;
        }
        if self.open > 0 && self.kept.len() < LINES_OF_ALL && !line.trim().is_empty() {
            self.open -= 1;
            self.kept.push(format!("    {line}"));
        }
    }

    /// What failed, and then why, as far as it was seen.
    pub(super) fn of(self, what: String) -> String {
        let mut lines = vec![what];
        lines.extend(self.kept);
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_and_panics_are_kept_and_what_is_around_them_is_not() {
        let printed = "test one ... WHARFINGER_SEED=1\n\
            Error: nobody misses these: [\n    \"sync data\",\n]\n\nStack backtrace:\n   0: anyhow\ntest one ... FAILED\n\
            thread 'two' panicked at a.rs:1:2:\nleft is not right\ntest two ... FAILED\n";
        let mut reasons = Reasons::default();
        printed.lines().for_each(|line| reasons.see(line));
        assert_eq!(
            reasons.of("faults".to_owned()),
            "faults\n    Error: nobody misses these: [\n        \"sync data\",\n    ]\n    thread 'two' panicked at a.rs:1:2:\n    left is not right"
        );
    }

    #[test]
    fn a_program_that_prints_without_end_is_cut_off() {
        let mut reasons = Reasons::default();
        for _ in 0..1_000 {
            reasons.see("Error: again");
        }
        assert_eq!(reasons.of(String::new()).lines().count(), 1 + LINES_OF_ALL);
    }
}
