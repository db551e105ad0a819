//! The account of a run: what each rule was configured to do against what it did, for each direction and in
//! total.
//!
//! A bad link that cannot show its effect proves nothing. Floating point appears here only, behind all
//! verdicts.

use std::fmt;
use std::time::Duration;

use super::link::Link;
use super::plan::{Fault, Rule};
use super::quantity::Quantity;
use super::statistics::{RuleStatistics, Statistics};

/// A table with one column for each link, and one for all of them if there are several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The columns' names.
    pub columns: Vec<&'static str>,
    /// The links' counts, in the order of the columns.
    pub links: Vec<Statistics>,
    /// One for each different rule.
    pub rows: Vec<Row>,
}

/// One rule in every link that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The rule.
    pub rule: Rule,
    /// What it did, for each column; None where the plan lacks it.
    pub cells: Vec<Option<RuleStatistics>>,
}

impl Report {
    /// The account of these links so far.
    pub fn new(links: &[&Link]) -> Self {
        let statistics: Vec<Statistics> = links.iter().map(|link| link.statistics()).collect();
        let mut rows: Vec<Row> = Vec::new();
        for (column, link) in links.iter().enumerate() {
            for (rule, counts) in link.plan().rules.iter().zip(&statistics[column].rules) {
                let known = rows.iter().position(|row| row.rule == *rule && row.cells[column].is_none());
                let place = known.unwrap_or_else(|| {
                    rows.push(Row { rule: *rule, cells: vec![None; links.len()] });
                    rows.len() - 1
                });
                rows[place].cells[column] = Some(*counts);
            }
        }
        Self { columns: links.iter().map(|link| link.direction().name()).collect(), links: statistics, rows }
    }

    fn lines(&self) -> Vec<Vec<String>> {
        let mut heading = vec![String::new()];
        heading.extend(self.columns.iter().map(|name| (*name).to_string()));
        if self.columns.len() > 1 {
            heading.push("both".into());
        }
        let mut lines = vec![heading];
        lines.push(self.count_line("received", |link| (link.received, None)));
        for row in &self.rows {
            lines.push(self.rule_line(row));
        }
        lines.push(self.count_line("lost", |link| (link.lost, Some(link.received))));
        if self.links.iter().any(|link| link.lost_waiting > 0) {
            lines.push(
                self.count_line("  too much under way", |link| (link.lost_waiting, Some(link.received))),
            );
        }
        if self.links.iter().any(|link| link.under_way > 0) {
            lines.push(self.count_line("still under way", |link| (link.under_way, None)));
        }
        lines.push(self.count_line("delivered", |link| (link.delivered, None)));
        lines.push(self.count_line("  overtaken", |link| (link.overtaken, Some(link.delivered))));
        lines.push(self.text_line("time in the link", |link| {
            format!(
                "mean {}, most {}",
                Quantity::Time(rounded(link.transit_mean())),
                Quantity::Time(rounded(link.transit_max))
            )
        }));
        lines.push(self.text_line("  of it, too late", |link| {
            format!(
                "mean {}, most {}",
                Quantity::Time(rounded(link.late_mean())),
                Quantity::Time(rounded(link.late_max))
            )
        }));
        lines
    }

    fn rule_line(&self, row: &Row) -> Vec<String> {
        let mut total = RuleStatistics::default();
        let mut line = vec![row.rule.to_string()];
        for cell in &row.cells {
            line.push(cell.as_ref().map_or("-".into(), |counts| effect(&row.rule.fault, counts)));
            let counts = cell.unwrap_or_default();
            total.asked += counts.asked;
            total.acted += counts.acted;
            total.spared += counts.spared;
        }
        if row.cells.len() > 1 {
            line.push(effect(&row.rule.fault, &total));
        }
        line
    }

    /// Each cell is a count, and its share of a whole if there is one.
    fn count_line(&self, label: &str, count: impl Fn(&Statistics) -> (u64, Option<u64>)) -> Vec<String> {
        let cell = |count: u64, whole: Option<u64>| match whole {
            Some(whole) if whole > 0 => format!("{count} = {:.2}%", percent(count, whole)),
            _ => count.to_string(),
        };
        let counts: Vec<(u64, Option<u64>)> = self.links.iter().map(count).collect();
        let mut line = vec![label.to_string()];
        line.extend(counts.iter().map(|(count, whole)| cell(*count, *whole)));
        if counts.len() > 1 {
            let whole = counts.iter().map(|(_, whole)| *whole).sum::<Option<u64>>();
            line.push(cell(counts.iter().map(|(count, _)| count).sum(), whole));
        }
        line
    }

    fn text_line(&self, label: &str, text: impl Fn(&Statistics) -> String) -> Vec<String> {
        let mut line = vec![label.to_string()];
        line.extend(self.links.iter().map(text));
        line
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.lines();
        let width = |column: usize| {
            lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max()
        };
        let widths: Vec<usize> =
            (0..=self.columns.len() + 1).map(|column| width(column).unwrap_or(0)).collect();
        for line in &lines {
            let mut text = String::new();
            for (cell, width) in line.iter().zip(&widths) {
                text.push_str(&format!("{cell:width$}  "));
            }
            writeln!(f, "{}", text.trim_end())?;
        }
        Ok(())
    }
}

impl RuleStatistics {
    /// The share that the rule acted on, in ppm.
    pub fn effective_ppm(&self) -> u64 {
        self.acted.saturating_mul(1_000_000) / self.asked.max(1)
    }

    /// Between which shares, in percent, the rule's true one is with 95 % probability, going by the counts
    /// (Wilson, 1927).
    pub fn interval_percent(&self) -> (f64, f64) {
        if self.asked == 0 {
            return (0.0, 100.0);
        }
        let (n, share, z) = (self.asked as f64, self.acted as f64 / self.asked as f64, 1.96_f64);
        let centre = share + z * z / (2.0 * n);
        let spread = z * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
        let whole = 1.0 + z * z / n;
        ((100.0 * (centre - spread) / whole).max(0.0), (100.0 * (centre + spread) / whole).min(100.0))
    }
}

/// What a rule did. The interval stands there for what independent chance decides: there it says whether a
/// deviation is one.
fn effect(fault: &Fault, counts: &RuleStatistics) -> String {
    let RuleStatistics { asked, acted, spared } = *counts;
    if let Fault::Delay { .. } | Fault::Jitter { .. } | Fault::Rebind { .. } = fault {
        return acted.to_string();
    }
    if asked == 0 {
        return "0 of 0".into();
    }
    let mut text = format!("{acted} of {asked} = {:.2}%", percent(acted, asked));
    match fault {
        Fault::Burst { .. } | Fault::Outage { .. } => {}
        Fault::Rate { .. } => text.push_str(" too many"),
        Fault::Mtu { .. } => text.push_str(" too large"),
        fault if fault.share_ppm().is_none() => {}
        _ => {
            let (low, high) = counts.interval_percent();
            text.push_str(&format!(" [{low:.2}, {high:.2}]"));
        }
    }
    if spared > 0 {
        text.push_str(&format!(", {spared} spared"));
    }
    text
}

fn percent(part: u64, whole: u64) -> f64 {
    100.0 * part as f64 / whole as f64
}

/// To whole microseconds: more is noise to a reader.
fn rounded(time: Duration) -> Duration {
    Duration::from_micros(u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
}
