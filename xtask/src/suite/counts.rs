//! Adding up what test binaries say at their end.

use std::fmt;
use std::ops::AddAssign;

/// How many tests ended how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

impl Counts {
    /// `test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.01s`
    pub(crate) fn parse(line: &str) -> Option<Self> {
        // With --nocapture, what a test has printed last may stand in front.
        let (_, result) = line.split_once("test result: ")?;
        let count = |word: &str| {
            let part = result
                .split([';', '.'])
                .map(str::trim)
                .find(|part| part.ends_with(word))?;
            part.split(' ').next()?.parse().ok()
        };
        Some(Self {
            passed: count("passed")?,
            failed: count("failed")?,
            skipped: count("ignored")?,
        })
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, more: Self) {
        let Self {
            passed,
            failed,
            skipped,
        } = more;
        self.passed += passed;
        self.failed += failed;
        self.skipped += skipped;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            passed,
            failed,
            skipped,
        } = self;
        write!(f, "{passed} passed, {failed} failed")?;
        if *skipped > 0 {
            write!(f, ", {skipped} skipped")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_closing_line_of_a_test_binary() {
        let ok = "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.01s";
        assert_eq!(
            Counts::parse(ok),
            Some(Counts {
                passed: 12,
                failed: 0,
                skipped: 1
            })
        );
        let bad = "last wordstest result: FAILED. 0 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(
            Counts::parse(bad),
            Some(Counts {
                passed: 0,
                failed: 2,
                skipped: 0
            })
        );
        assert_eq!(Counts::parse("test one ... ok"), None);
    }

    #[test]
    fn is_written_as_one_line_that_names_skipped_tests_only_if_there_are_any() {
        let mut sum = Counts {
            passed: 1,
            failed: 0,
            skipped: 0,
        };
        assert_eq!(sum.to_string(), "1 passed, 0 failed");
        sum += Counts {
            passed: 2,
            failed: 1,
            skipped: 3,
        };
        assert_eq!(sum.to_string(), "3 passed, 1 failed, 3 skipped");
    }
}
