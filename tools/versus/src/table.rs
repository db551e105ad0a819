//! What was measured, as tables: for people, and for programs.

use std::fmt::{self, Write as _};

use serde_json::{Value, json};

/// One workload on one link, over all stacks.
pub struct Table {
    /// The workload's word.
    pub workload: &'static str,
    /// Which case of it, in a few words.
    pub title: String,
    /// Everything about the link and the messages.
    pub case: String,
    /// What the values are.
    pub columns: &'static [Column],
    /// The column that the picture shows.
    pub headline: usize,
    /// What is possible at all, in the headline's unit.
    pub limit: Option<f64>,
    /// A line for each stack.
    pub rows: Vec<Row>,
    /// What udpchat is to reach here.
    pub goals: Vec<Goal>,
}

/// What a value is.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// In one or two words, with the unit.
    pub name: &'static str,
    /// How many digits behind the point are worth reading.
    pub decimals: usize,
}

/// What one stack did.
pub struct Row {
    /// Whose.
    pub stack: &'static str,
    /// One for each column; none where it says nothing.
    pub values: Vec<Option<f64>>,
    /// What went wrong.
    pub note: String,
}

/// Something that udpchat is to reach.
#[derive(Clone, Debug)]
pub struct Goal {
    /// What.
    pub text: String,
    /// What it is, and what it may be.
    pub found: f64,
    /// The bound.
    pub bound: f64,
    /// Whether more is better.
    pub at_least: bool,
}

impl Goal {
    /// A value that may be no more than `bound`.
    pub fn at_most(text: impl Into<String>, found: f64, bound: f64) -> Self {
        Self { text: text.into(), found, bound, at_least: false }
    }

    /// A value that may be no less than `bound`.
    pub fn at_least(text: impl Into<String>, found: f64, bound: f64) -> Self {
        Self { text: text.into(), found, bound, at_least: true }
    }

    /// Whether it is reached.
    pub fn is_met(&self) -> bool {
        if self.at_least { self.found >= self.bound } else { self.found <= self.bound }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.is_met() { "met    " } else { "NOT MET" };
        let relation = if self.at_least { "at least" } else { "at most" };
        write!(f, "{verdict}  {}: {:.2}, {relation} {:.2}", self.text, self.found, self.bound)
    }
}

impl Table {
    /// A stack's value in the column of that name.
    pub fn value(&self, stack: &str, column: &str) -> Option<f64> {
        let place = self.columns.iter().position(|known| known.name == column)?;
        *self.rows.iter().find(|row| row.stack == stack)?.values.get(place)?
    }

    /// The best value, by `better`, of everybody else who does the same: reliable, and over UDP.
    pub fn best_peer(&self, column: &str, better: fn(f64, f64) -> f64) -> Option<f64> {
        let peers = self
            .rows
            .iter()
            .filter(|row| row.stack != "udpchat" && row.stack != "TCP" && !row.stack.starts_with("raw"));
        peers.filter_map(|row| self.value(row.stack, column)).reduce(better)
    }

    /// Whether the picture's column is a time, of which less is better.
    pub fn is_time(&self) -> bool {
        self.columns.get(self.headline).is_some_and(|column| column.name.ends_with(" ms"))
    }

    /// For programs.
    pub fn to_json(&self) -> Value {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                let mut object = json!({ "stack": row.stack, "note": row.note });
                for (column, value) in self.columns.iter().zip(&row.values) {
                    object[column.name] = json!(value);
                }
                object
            })
            .collect();
        let goals: Vec<Value> = self.goals.iter().map(|goal| json!({
            "goal": goal.text, "found": goal.found, "bound": goal.bound, "at_least": goal.at_least, "met": goal.is_met(),
        })).collect();
        json!({ "workload": self.workload, "title": self.title, "case": self.case, "limit": self.limit, "rows": rows, "goals": goals })
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{}, {}: {}", self.workload, self.title, self.case)?;
        let mut line = format!("  {:<14}", "");
        for column in self.columns {
            let _ = write!(line, " {:>width$}", column.name, width = width(column));
        }
        writeln!(f, "{line}")?;
        for row in &self.rows {
            line.clear();
            let _ = write!(line, "  {:<14}", row.stack);
            for (column, value) in self.columns.iter().zip(&row.values) {
                let text =
                    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.*}", column.decimals));
                let _ = write!(line, " {text:>width$}", width = width(column));
            }
            writeln!(f, "{line}  {}", row.note)?;
        }
        if let (Some(limit), Some(column)) = (self.limit, self.columns.get(self.headline)) {
            writeln!(f, "  limit of {}: {limit:.*}", column.name, column.decimals)?;
        }
        self.goals.iter().try_for_each(|goal| writeln!(f, "  {goal}"))
    }
}

fn width(column: &Column) -> usize {
    column.name.len().max(7)
}
