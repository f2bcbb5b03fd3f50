//! Figures, and how ours are judged.

use std::fmt;

/// Several measurements of the same thing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures(Vec<f64>);

impl Figures {
    pub(crate) fn add(&mut self, figure: f64) {
        self.0.push(figure);
        self.0.sort_by(f64::total_cmp);
    }

    /// The one in the middle; the lower one of two.
    pub(crate) fn median(&self) -> f64 {
        self.0
            .get(self.0.len().saturating_sub(1) / 2)
            .copied()
            .unwrap_or(f64::NAN)
    }
}

/// Median, and between which bounds.
impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |figure: f64| match figure {
            figure if figure >= 100.0 => format!("{figure:.0}"),
            figure if figure >= 10.0 => format!("{figure:.1}"),
            figure => format!("{figure:.2}"),
        };
        let (least, most) = (self.0.first().copied(), self.0.last().copied());
        write!(f, "{}", short(self.median()))?;
        match least.zip(most) {
            Some((least, most)) if self.0.len() > 1 => write!(f, " ({}–{})", short(least), short(most)),
            _ => Ok(()),
        }
    }
}

/// Which way a figure is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Better {
    Higher,
    Lower,
}

/// What ours is held against.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    /// So many times the best of the other columns.
    TimesBest(f64),
    /// So many times another column.
    Times(f64, &'static str),
    /// A figure.
    Value(f64),
}

/// One kind of work: what each server came to. The first column is ours.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) work: String,
    pub(crate) unit: &'static str,
    pub(crate) better: Better,
    pub(crate) columns: Vec<(String, Figures)>,
    pub(crate) goal: Goal,
}

impl Row {
    /// Work in which ours is held against the best of the others.
    pub(crate) fn against_best(
        work: &str,
        unit: &'static str,
        better: Better,
        columns: Vec<(String, Figures)>,
        factor: f64,
    ) -> Self {
        Self {
            work: work.to_owned(),
            unit,
            better,
            columns,
            goal: Goal::TimesBest(factor),
        }
    }

    /// The figure that is asked for.
    fn mark(&self) -> f64 {
        let others = self.columns.iter().skip(1).map(|(_, figures)| figures.median());
        match self.goal {
            Goal::Value(value) => value,
            Goal::Times(factor, name) => {
                let column = self.columns.iter().find(|(column, _)| column == name);
                factor * column.map_or(f64::NAN, |(_, figures)| figures.median())
            }
            Goal::TimesBest(factor) => {
                let best = match self.better {
                    Better::Higher => others.fold(f64::NAN, f64::max),
                    Better::Lower => others.fold(f64::NAN, f64::min),
                };
                factor * best
            }
        }
    }

    fn ours(&self) -> f64 {
        self.columns.first().map_or(f64::NAN, |(_, figures)| figures.median())
    }

    /// Whether the goal is met.
    pub(crate) fn is_met(&self) -> bool {
        match self.better {
            Better::Higher => self.ours() >= self.mark(),
            Better::Lower => self.ours() <= self.mark(),
        }
    }

    /// The goal in words.
    pub(crate) fn goal(&self) -> String {
        let sign = match self.better {
            Better::Higher => '≥',
            Better::Lower => '≤',
        };
        match self.goal {
            Goal::TimesBest(factor) => format!("{sign} {factor} × best peer"),
            Goal::Times(factor, name) => format!("{sign} {factor} × {name}"),
            Goal::Value(value) => format!("{sign} {value}"),
        }
    }

    /// How ours stands to what the goal is a multiple of; to the goal itself where it is a figure.
    pub(crate) fn ratio(&self) -> f64 {
        let factor = match self.goal {
            Goal::TimesBest(factor) | Goal::Times(factor, _) => factor,
            Goal::Value(_) => 1.0,
        };
        self.ours() / (self.mark() / factor)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.work)?;
        for (name, figures) in &self.columns {
            write!(f, " {name} {figures} {};", self.unit)?;
        }
        let verdict = if self.is_met() { "met" } else { "MISSED" };
        write!(f, " ratio {:.2}, goal {}: {verdict}", self.ratio(), self.goal())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(all: &[f64]) -> Figures {
        let mut figures = Figures::default();
        for figure in all {
            figures.add(*figure);
        }
        figures
    }

    #[test]
    fn the_middle_is_shown_with_its_bounds() {
        assert_eq!(figures(&[300.0, 5.0, 20.0]).to_string(), "20.0 (5.00–300)");
        assert_eq!(figures(&[5.0]).to_string(), "5.00");
    }

    #[test]
    fn ours_is_held_against_the_goal() {
        let row = |better, goal| Row {
            work: "work".into(),
            unit: "u",
            better,
            columns: vec![
                ("ours".into(), figures(&[30.0])),
                ("a".into(), figures(&[10.0])),
                ("b".into(), figures(&[20.0])),
            ],
            goal,
        };
        assert!(row(Better::Higher, Goal::TimesBest(1.5)).is_met());
        assert!(!row(Better::Higher, Goal::TimesBest(1.6)).is_met());
        assert!(!row(Better::Lower, Goal::TimesBest(1.0)).is_met());
        assert!(row(Better::Lower, Goal::Times(3.0, "a")).is_met());
        assert!(!row(Better::Lower, Goal::Value(29.0)).is_met());
        assert!(!row(Better::Higher, Goal::Times(1.0, "nobody")).is_met());
        assert!((row(Better::Higher, Goal::TimesBest(2.0)).ratio() - 1.5).abs() < 1e-9);
    }
}
