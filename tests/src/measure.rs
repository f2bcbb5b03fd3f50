//! How long things took, as a table for people.

use std::time::Duration;

/// The durations of one kind of change.
#[derive(Debug, Default)]
pub struct Series(Vec<Duration>);

impl Series {
    /// Notes one more.
    pub fn note(&mut self, took: Duration) {
        self.0.push(took);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The smallest value that at least so many of a hundred are not above (nearest rank).
    fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied().unwrap_or_default()
    }
}

/// Prints a row for each series: how many, the median, p99 where there are enough for it to mean something, the maximum.
#[expect(clippy::print_stdout, reason = "the measurement is what the test is run for")]
pub fn print(title: &str, rows: &[(&str, &Series)]) {
    // The test runner has left its line open.
    println!("\n{title}");
    println!("{:<44} {:>5} {:>9} {:>9} {:>9}", "", "n", "p50 ms", "p99 ms", "max ms");
    for (name, series) in rows {
        let milliseconds = |percent| format!("{:.0}", series.percentile(percent).as_secs_f64() * 1000.0);
        let p99 = if series.len() >= 200 {
            milliseconds(99)
        } else {
            "-".into()
        };
        println!(
            "{name:<44} {:>5} {:>9} {p99:>9} {:>9}",
            series.len(),
            milliseconds(50),
            milliseconds(100)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let series = Series((1..=200).map(Duration::from_millis).collect());
        for (percent, want) in [(50, 100), (99, 198), (100, 200)] {
            assert_eq!(series.percentile(percent), Duration::from_millis(want), "p{percent}");
        }
        assert_eq!(Series::default().percentile(99), Duration::ZERO);
    }
}
