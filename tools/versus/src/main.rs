//! The referee: the same work over udpchat and over its peers, in one run, on the same bad link.
//!
//! Every stack is driven without a socket by the same loop (`lane`), through the project's own `fault` link in real time; the
//! loopback workload alone uses sockets. It must never set a peer up to lose: each has its best documented setting, which is
//! printed with the figures.

mod bulk;
mod lane;
mod latency;
mod loopback;
mod processor;
mod stack;
mod stacks;
mod table;
mod tcp;
mod way;
mod work;

use std::io::{self, Write as _};
use std::thread;

use clap::Parser;
use serde_json::json;

use stack::Stack;
use table::Table;

/// udpchat beside quinn, ENet, KCP, TCP and raw UDP.
#[derive(Parser)]
struct Options {
    /// What to measure; everything if nothing is named.
    #[arg(value_parser = WORKLOADS)]
    workloads: Vec<String>,
    /// Fewer samples: all of it in less than a minute.
    #[arg(long)]
    quick: bool,
    /// Tables as JSON.
    #[arg(long)]
    json: bool,
    /// Only stacks whose name contains one of these.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
}

const WORKLOADS: [&str; 5] = ["stream", "lone", "bursts", "bulk", "loopback"];

fn main() -> io::Result<()> {
    let options = Options::parse();
    let wanted = |workload: &str| {
        options.workloads.is_empty() || options.workloads.iter().any(|name| name == workload)
    };
    let is_measured =
        |name: &str| options.only.is_empty() || options.only.iter().any(|part| name.contains(part));
    let mut stacks = stacks::reliable();
    stacks.retain(|stack| is_measured(stack.name()));
    let mut tables = Vec::new();
    let mut output = io::stdout().lock();
    if !options.json {
        for stack in &stacks {
            writeln!(output, "{}: {}", stack.name(), stack.settings())?;
        }
        writeln!(output, "{}", latency::LEGEND)?;
    }
    let mut report = |table: Table| {
        if !options.json {
            write!(output, "{table}")?;
            output.flush()?;
        }
        tables.push(table);
        io::Result::Ok(())
    };
    for workload in WORKLOADS.into_iter().filter(|workload| wanted(workload)) {
        for pattern in latency::patterns(workload, options.quick) {
            report(latency::measure(&pattern, &stacks))?;
        }
        if workload == "bulk" {
            for loss_percent in bulk::LOSSES_PERCENT {
                report(bulk::measure(loss_percent, options.quick, &stacks))?;
            }
        }
    }
    if wanted("loopback") {
        stacks.extend(stacks::raw().into_iter().filter(|stack| is_measured(stack.name())));
        for message_bytes in loopback::MESSAGE_BYTES {
            report(loopback::measure(message_bytes, options.quick, &stacks, is_measured("TCP")))?;
        }
    }
    if options.json {
        let tables: Vec<_> = tables.iter().map(Table::to_json).collect();
        writeln!(output, "{:#}", json!({ "tables": tables }))?;
    }
    Ok(())
}

/// What `measure` finds for each stack, all at the same time, each in a thread of its own.
fn at_once<T: Send>(stacks: &[Box<dyn Stack>], measure: impl Fn(&dyn Stack) -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let threads: Vec<_> = stacks.iter().map(|stack| scope.spawn(|| measure(&**stack))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("a measurement that panics is worth nothing"))
            .collect()
    })
}
