//! One figure, and the table of all.

use std::fmt::{self, Write as _};

use serde_json::Value;

use crate::failure::{Doing, Failure};

/// Something that was measured.
#[derive(Debug, PartialEq)]
pub(super) struct Figure {
    what: String,
    unit: String,
    ours: f64,
    /// What was measured beside it, and how that did.
    beside: Option<(String, f64)>,
    goal: Option<Goal>,
}

/// What is aimed at.
#[derive(Debug, PartialEq)]
enum Goal {
    AtLeast(f64),
    AtMost(f64),
    RatioAtLeast(f64),
    RatioAtMost(f64),
}

impl Figure {
    /// Reads `{"what", "unit", "ours"}` and, where there is something beside it, `{"beside", "theirs"}`; the
    /// goal is `{"at_least" | "at_most" | "ratio_at_least" | "ratio_at_most": number}`.
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        let value: Value = serde_json::from_str(text).doing(|| format!("read the figure {text}"))?;
        Self::read(&value).ok_or_else(|| Failure::new(format!("the figure {text} lacks something")))
    }

    fn read(value: &Value) -> Option<Self> {
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        let goal = |name: &str| value["goal"][name].as_f64();
        Some(Self {
            what: text("what")?,
            unit: text("unit")?,
            ours: value["ours"].as_f64()?,
            beside: text("beside").zip(value["theirs"].as_f64()),
            goal: goal("at_least")
                .map(Goal::AtLeast)
                .or_else(|| goal("at_most").map(Goal::AtMost))
                .or_else(|| goal("ratio_at_least").map(Goal::RatioAtLeast))
                .or_else(|| goal("ratio_at_most").map(Goal::RatioAtMost)),
        })
    }

    /// Ours beside theirs.
    pub(super) fn beside(what: String, ours: f64, theirs: (&str, f64), ratio_at_least: Option<f64>) -> Self {
        let beside = Some((theirs.0.to_owned(), theirs.1));
        Self { what, unit: "per s".to_owned(), ours, beside, goal: ratio_at_least.map(Goal::RatioAtLeast) }
    }

    fn ratio(&self) -> Option<f64> {
        self.beside.as_ref().map(|(_, theirs)| self.ours / theirs)
    }
}

/// A row of the table.
impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let beside = self
            .beside
            .as_ref()
            .map_or_else(String::new, |(what, theirs)| format!("{what}: {}", rounded(*theirs)));
        let ratio = self.ratio().map_or_else(String::new, |ratio| format!("{ratio:.2}"));
        let goal = self.goal.as_ref().map_or_else(String::new, |goal| {
            let (words, is_met) = match *goal {
                Goal::AtLeast(least) => (format!("≥ {least}"), self.ours >= least),
                Goal::AtMost(most) => (format!("≤ {most}"), self.ours <= most),
                Goal::RatioAtLeast(least) => (format!("ratio ≥ {least}"), self.ratio() >= Some(least)),
                Goal::RatioAtMost(most) => {
                    (format!("ratio ≤ {most}"), self.ratio().is_some_and(|ratio| ratio <= most))
                }
            };
            if is_met { words } else { format!("{words}: **missed**") }
        });
        let ours = rounded(self.ours);
        write!(f, "| {} | {ours} {} | {beside} | {ratio} | {goal} |", self.what, self.unit)
    }
}

/// Three digits that count.
fn rounded(number: f64) -> String {
    match number.abs() {
        large if large >= 100.0 => format!("{number:.0}"),
        large if large >= 10.0 => format!("{number:.1}"),
        large if large >= 1.0 => format!("{number:.2}"),
        _ => format!("{number:.3}"),
    }
}

/// All figures, in Markdown.
pub(super) fn table(figures: &[Figure]) -> String {
    let mut table =
        String::from("| what | Switchback | beside | ratio | goal |\n| --- | --- | --- | --- | --- |\n");
    for figure in figures {
        // A string takes everything.
        let _ = writeln!(table, "{figure}");
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_that_is_missed_says_so() {
        let figure = |ours: f64, goal: &str| {
            let text = format!(
                r#"{{"what": "a", "unit": "s", "ours": {ours}, "beside": "b", "theirs": 2, "goal": {goal}}}"#
            );
            Figure::parse(&text).unwrap().to_string()
        };
        assert_eq!(
            figure(1.0, r#"{"ratio_at_least": 0.4}"#),
            "| a | 1.00 s | b: 2.00 | 0.50 | ratio ≥ 0.4 |"
        );
        assert!(figure(0.5, r#"{"ratio_at_least": 0.4}"#).ends_with("| 0.25 | ratio ≥ 0.4: **missed** |"));
        assert!(figure(3.0, r#"{"ratio_at_most": 1.15}"#).ends_with("1.15: **missed** |"));
        assert!(figure(3.0, r#"{"at_most": 2}"#).ends_with("≤ 2: **missed** |"));
        assert!(figure(3.0, r#"{"at_least": 2}"#).ends_with("≥ 2 |"));
        assert!(figure(3.0, "null").ends_with("| 1.50 |  |"));
    }

    #[test]
    fn a_figure_that_lacks_something_is_refused() {
        assert!(Figure::parse(r#"{"what": "a", "unit": "s"}"#).is_err());
        assert!(Figure::parse("no JSON").is_err());
    }
}
