//! A workload's tables as one picture: an SVG that needs nothing beside it and is readable on light and on dark paper.
//!
//! It shows one column. Everything else is in the table.

use std::fmt::Write as _;

use crate::table::Table;

const WIDTH: f64 = 760.0;
/// Where bars begin and where the longest ends; its value stands behind it.
const LEFT: f64 = 120.0;
const RIGHT: f64 = 690.0;
const BAR: f64 = 18.0;
const STEP: f64 = 24.0;
const HEADING: f64 = 40.0;

const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#1f2328}.title{font-size:16px;font-weight:600}.case{font-weight:600}\
.small{font-size:11px;fill:#59636e}.name,.value{dominant-baseline:central}.name{text-anchor:end}.peer{fill:#9aa4af}.ours{fill:#0969da}\
.grid{stroke:#d1d9e0}.limit{stroke:#cf222e;stroke-dasharray:4 3}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.small{fill:#9198a1}.peer{fill:#656c76}.ours{fill:#4493f8}.grid{stroke:#3d444d}\
.limit{stroke:#f85149}}";

/// The picture of one workload's `tables`, which have the same columns.
pub fn draw(tables: &[&Table]) -> String {
    let Some(first) = tables.first() else { return String::new() };
    let shown: Vec<(&Table, Vec<(&str, f64)>)> = tables.iter().map(|table| (*table, bars(table))).collect();
    // Times are compared from case to case; rates only within one, since their units may differ.
    let common = Scale::of(first, shown.iter().flat_map(|(_, bars)| bars));
    let mut body = String::new();
    let mut top = 56.0;
    for (table, bars) in &shown {
        let own = Scale::of(table, bars.iter());
        let scale = if table.is_time() { &common } else { &own };
        let heading = format!("{}: {}", table.title, table.columns[table.headline].name);
        let bottom = top + HEADING + STEP * bars.len() as f64;
        let _ = write!(body, r#"<text class="case" x="16" y="{}">{}</text>"#, top + 16.0, escape(&heading));
        scale.draw_grid(&mut body, top + HEADING - 6.0, bottom);
        for (place, (stack, value)) in (0_u32..).zip(bars) {
            let y = top + HEADING + STEP * f64::from(place);
            draw_bar(&mut body, y, stack, *value, scale.x(*value), table.columns[table.headline].decimals);
        }
        if let Some(limit) = table.limit {
            let x = scale.x(limit);
            let (y1, y2) = (top + HEADING - 6.0, bottom);
            let _ =
                write!(body, r#"<line class="limit" x1="{x:.1}" x2="{x:.1}" y1="{y1:.1}" y2="{y2:.1}"/>"#);
        }
        top = bottom + 12.0;
    }
    let subtitle = match (first.is_time(), first.limit.is_some()) {
        (true, _) => "shorter is better; logarithmic; dashed: what no protocol can go below",
        (false, true) => "longer is better; dashed: what no protocol can exceed",
        (false, false) if first.workload == "relay" => "shorter is better",
        (false, false) => "longer is better",
    };
    let height = top + 8.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" width=\"{WIDTH}\" height=\"{height:.0}\" \
         role=\"img\"><style>{STYLE}</style><text class=\"title\" x=\"16\" y=\"26\">{}</text><text class=\"small\" x=\"16\" \
         y=\"44\">{}</text>{body}</svg>\n",
        escape(first.workload),
        escape(subtitle)
    )
}

/// What has a value in the column that is shown.
fn bars(table: &Table) -> Vec<(&str, f64)> {
    let value = |row: &crate::table::Row| row.values.get(table.headline).copied().flatten();
    table.rows.iter().filter_map(|row| Some((row.stack, value(row)?))).collect()
}

fn draw_bar(body: &mut String, y: f64, stack: &str, value: f64, x: f64, decimals: usize) {
    let class = if stack == "udpchat" { "ours" } else { "peer" };
    let middle = y + BAR / 2.0;
    let width = (x - LEFT).max(1.0);
    let _ = write!(
        body,
        r#"<text class="name" x="{}" y="{middle:.1}">{}</text><rect class="{class}" x="{LEFT}" y="{y:.1}" width="{width:.1}" height="{BAR}" rx="2"/><text class="value" x="{:.1}" y="{middle:.1}">{value:.decimals$}</text>"#,
        LEFT - 8.0,
        escape(stack),
        LEFT + width + 6.0,
    );
}

/// From values to places.
enum Scale {
    Linear { most: f64 },
    Logarithmic { least: f64, most: f64 },
}

impl Scale {
    fn of<'a>(table: &Table, bars: impl Iterator<Item = &'a (&'a str, f64)>) -> Self {
        let most = bars.map(|(_, value)| *value).chain(table.limit).fold(1e-9, f64::max);
        if table.is_time() {
            Self::Logarithmic { least: 10.0, most: most.max(100.0) }
        } else {
            Self::Linear { most }
        }
    }

    fn x(&self, value: f64) -> f64 {
        let share = match self {
            Self::Linear { most } => value / most,
            Self::Logarithmic { least, most } => (value / least).log10() / (most / least).log10(),
        };
        LEFT + (RIGHT - LEFT) * share.clamp(0.0, 1.0)
    }

    /// Only where distances mislead without it.
    fn draw_grid(&self, body: &mut String, top: f64, bottom: f64) {
        let Self::Logarithmic { least, most } = self else { return };
        let mut value = *least;
        while value <= *most {
            let x = self.x(value);
            let _ = write!(
                body,
                r#"<line class="grid" x1="{x:.1}" x2="{x:.1}" y1="{top:.1}" y2="{bottom:.1}"/><text class="small" x="{:.1}" y="{:.1}">{value:.0}</text>"#,
                x + 3.0,
                top + 2.0,
            );
            value *= 10.0;
        }
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Column, Row};

    #[test]
    fn a_picture_names_every_stack_and_escapes_what_it_writes() {
        let table = Table {
            workload: "stream",
            title: "a < b".to_owned(),
            case: String::new(),
            columns: &[Column { name: "p99 ms", decimals: 1 }],
            headline: 0,
            limit: Some(25.0),
            rows: vec![
                Row { stack: "udpchat", values: vec![Some(60.0)], note: String::new() },
                Row { stack: "other", values: vec![None], note: String::new() },
            ],
            goals: Vec::new(),
        };
        let picture = draw(&[&table]);
        assert!(
            picture.contains("a &lt; b") && picture.contains(">60.0<") && picture.contains("class=\"ours\"")
        );
        assert!(!picture.contains("other"), "it has no value to show");
    }
}
