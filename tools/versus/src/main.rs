//! The referee: the same work over udpchat and over its peers, in one run, on the same bad link.
//!
//! Every stack is driven without a socket by the same loop (`lane`), through the project's own `fault` link in real time; the
//! loopback workload alone uses sockets. It must never set a peer up to lose: each has its best documented setting, which is
//! printed with the figures. A measurement during which the machine stood still is repeated, or called invalid.

mod bulk;
mod lane;
mod latency;
mod loopback;
mod picture;
mod processor;
mod relay;
mod stack;
mod stacks;
mod table;
mod tcp;
mod way;
mod work;

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::thread;

use clap::Parser;
use serde_json::json;

use loopback::Datagrams;
use stack::Stack;
use table::Table;

/// udpchat beside quinn, ENet, KCP, TCP and raw UDP.
#[derive(Parser)]
struct Options {
    /// What to measure; everything but `relay`, which needs other servers, if nothing is named.
    #[arg(value_parser = WORKLOADS)]
    workloads: Vec<String>,
    /// Fewer samples: all of it in less than a minute.
    #[arg(long)]
    quick: bool,
    /// Tables as JSON.
    #[arg(long)]
    json: bool,
    /// A picture of each workload, into this folder.
    #[arg(long, value_name = "FOLDER")]
    svg: Option<PathBuf>,
    /// Only stacks whose name contains one of these; goals that need the others are then not known.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    only: Vec<String>,
}

const WORKLOADS: [&str; 7] = ["stream", "lone", "bursts", "bulk", "beside", "loopback", "relay"];

impl Options {
    fn wants(&self, workload: &str) -> bool {
        self.workloads.is_empty() && workload != "relay" || self.workloads.iter().any(|name| name == workload)
    }

    fn includes(&self, stack: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| stack.contains(part.as_str()))
    }
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    let mut tables = Vec::new();
    let mut settings = Vec::new();
    for workload in WORKLOADS.into_iter().filter(|workload| options.wants(workload)) {
        let mut stacks = stacks_for(workload);
        stacks.retain(|stack| options.includes(stack.name()));
        let known = settings.len();
        for stack in &stacks {
            let line = format!("{}: {}", stack.name(), stack.settings());
            if !settings.contains(&line) {
                settings.push(line);
            }
        }
        if workload == "loopback" && options.includes("TCP") {
            settings.push(tcp::SETTINGS.to_owned());
        }
        if !options.json {
            let legend = legend(workload);
            writeln!(io::stdout(), "\n{}\n{workload}: {legend}", settings[known..].join("\n"))?;
        }
        measure(workload, &options, &stacks, |table| {
            if !options.json {
                write!(io::stdout(), "{table}")?;
                io::stdout().flush()?;
            }
            tables.push(table);
            Ok(())
        })?;
    }
    if let Some(folder) = &options.svg {
        draw(folder, &tables)?;
    }
    conclude(&options, &tables, &settings)
}

/// Who takes part.
fn stacks_for(workload: &str) -> Vec<Box<dyn Stack>> {
    let mut stacks = stacks::reliable();
    match workload {
        "bulk" | "beside" => {}
        "loopback" => {
            stacks.extend(stacks::raw());
            stacks.extend(stacks::large());
        }
        "relay" => stacks.clear(),
        _ => stacks.extend(stacks::prompt()),
    }
    stacks
}

fn legend(workload: &str) -> &'static str {
    match workload {
        "bulk" | "beside" => bulk::LEGEND,
        "loopback" => loopback::LEGEND,
        "relay" => relay::LEGEND,
        _ => latency::LEGEND,
    }
}

/// All cases of a workload, each told as soon as it is known.
fn measure(
    workload: &str,
    options: &Options,
    stacks: &[Box<dyn Stack>],
    mut tell: impl FnMut(Table) -> io::Result<()>,
) -> io::Result<()> {
    match workload {
        "bulk" => bulk::LOSSES_PERCENT
            .into_iter()
            .try_for_each(|loss_percent| tell(bulk::measure(loss_percent, options.quick, stacks))),
        "beside" => tell(bulk::measure_beside(options.quick, stacks, &*stacks::usual())),
        "relay" => {
            let (table, notices) = relay::measure(options.quick, |server| options.includes(server));
            notices.iter().try_for_each(|notice| writeln!(io::stderr(), "{notice}"))?;
            tell(table)
        }
        "loopback" => [Datagrams::Usual, Datagrams::Large].into_iter().try_for_each(|datagrams| {
            let has_tcp = options.includes("TCP");
            let is_meant = |stack: &&dyn Stack| stack.is_large() == (datagrams == Datagrams::Large);
            let stacks: Vec<&dyn Stack> = stacks.iter().map(|stack| &**stack).filter(is_meant).collect();
            loopback::MESSAGE_BYTES.into_iter().try_for_each(|message_bytes| {
                tell(loopback::measure(message_bytes, datagrams, options.quick, &stacks, has_tcp))
            })
        }),
        _ => latency::patterns(workload, options.quick)
            .iter()
            .try_for_each(|pattern| tell(latency::measure(pattern, stacks))),
    }
}

/// One picture for each workload.
fn draw(folder: &Path, tables: &[Table]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for workload in WORKLOADS {
        let of_it: Vec<&Table> = tables.iter().filter(|table| table.workload == workload).collect();
        if !of_it.is_empty() {
            fs::write(folder.join(format!("{workload}.svg")), picture::draw(&of_it))?;
        }
    }
    Ok(())
}

fn conclude(options: &Options, tables: &[Table], settings: &[String]) -> io::Result<()> {
    let goals = || tables.iter().flat_map(|table| &table.goals);
    let (met, all) = (goals().filter(|goal| goal.is_met()).count(), goals().count());
    if options.json {
        let tables: Vec<_> = tables.iter().map(Table::to_json).collect();
        let result = json!({ "settings": settings, "tables": tables, "goals": all, "goals_met": met });
        return writeln!(io::stdout(), "{result:#}");
    }
    writeln!(io::stdout(), "\n{met} of {all} goals met")
}

/// What `measure` finds for each stack, all at the same time, each in a thread of its own.
fn at_once<T: Send>(stacks: &[Box<dyn Stack>], measure: impl Fn(&dyn Stack) -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let measure = &measure;
        let threads: Vec<_> = stacks.iter().map(|stack| scope.spawn(move || measure(&**stack))).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, T>| {
            thread.join().expect("a measurement that panics is worth nothing")
        };
        threads.into_iter().map(join).collect()
    })
}
