//! Signals as events of the loop.
//!
//! No work is done in a signal handler: it only makes the loop wake up.

use std::io;

use mio::{Interest, Registry, Token};
use signal_hook::consts::signal::{SIGHUP, SIGINT, SIGTERM, SIGWINCH};
use signal_hook_mio::v1_0::Signals as Source;

/// What the system tells the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Ctrl-C, where the terminal turns it into a signal.
    Interrupt,
    /// An orderly end is wanted.
    Terminate,
    /// The terminal went away.
    Hangup,
    /// The terminal has another size.
    Resize,
}

/// The signals that the program answers itself.
pub struct Signals {
    source: Source,
}

impl Signals {
    /// Takes the signals over from the system's defaults and has them wake up whoever polls `registry`.
    pub fn register(registry: &Registry, token: Token) -> io::Result<Self> {
        let mut source = Source::new([SIGINT, SIGTERM, SIGHUP, SIGWINCH])?;
        registry.register(&mut source, token, Interest::READABLE)?;
        Ok(Self { source })
    }

    /// Those that came since the last call.
    pub fn pending(&mut self) -> impl Iterator<Item = Signal> {
        self.source.pending().filter_map(|number| match number {
            SIGINT => Some(Signal::Interrupt),
            SIGTERM => Some(Signal::Terminate),
            SIGHUP => Some(Signal::Hangup),
            SIGWINCH => Some(Signal::Resize),
            _ => None,
        })
    }
}

impl std::fmt::Debug for Signals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signals")
    }
}
