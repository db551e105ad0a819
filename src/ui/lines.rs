//! Line mode, for pipes, simple terminals and screen readers: everything is a line that is appended and never changed.
//!
//! Messages and what became of ours go to standard output, everything else to standard error.

use super::notice::Notice;
use super::relay::{Reason, RelayNotice};
use super::style::Style;
use super::text::{self, Limit};
use super::view::{Status, View};
use crate::io::output::Output;
use crate::time::WallTime;

/// Appends lines.
#[derive(Debug)]
pub struct LineView {
    data: Output,
    chatter: Output,
    data_style: Style,
    chatter_style: Style,
    limit: Limit,
}

impl LineView {
    /// A view with a style for each stream, since either may be a terminal and the other not.
    pub fn new(data_style: Style, chatter_style: Style, limit: Limit) -> Self {
        Self { data: Output::stdout(), chatter: Output::stderr(), data_style, chatter_style, limit }
    }
}

impl View for LineView {
    fn show(&mut self, notice: &Notice, at: WallTime) {
        let (output, other, style) = if is_data(notice) {
            (&mut self.data, &mut self.chatter, self.data_style)
        } else {
            (&mut self.chatter, &mut self.data, self.chatter_style)
        };
        // Where both are the same terminal, what happened first stands first.
        other.flush();
        for line in text::describe(notice, at, self.limit) {
            output.push_line(&style.paint(line.tone, &line.text));
        }
    }

    fn flush(&mut self, _status: &Status) {
        self.data.flush();
        self.chatter.flush();
    }

    fn failure(&self) -> Option<&std::io::Error> {
        self.data.failure()
    }
}

fn is_data(notice: &Notice) -> bool {
    match notice {
        Notice::Message(_)
        | Notice::Sent { .. }
        | Notice::SentAgain { .. }
        | Notice::Held { .. }
        | Notice::Kept { .. }
        | Notice::Delivered { .. }
        | Notice::Failed { .. }
        | Notice::Unknown { .. }
        | Notice::Echoed { .. }
        | Notice::Roster(_)
        | Notice::Verification { .. }
        | Notice::Identity(_)
        | Notice::Help => true,
        // What was asked for; who comes and goes is chatter.
        Notice::Relay(notice) => matches!(
            notice,
            RelayNotice::Roster { reason: Reason::Asked, .. }
                | RelayNotice::Rooms(_)
                | RelayNotice::Bans(_)
                | RelayNotice::Log(_)
        ),
        Notice::Ready { .. }
        | Notice::Waiting { .. }
        | Notice::Connected { .. }
        | Notice::Key { .. }
        | Notice::Renamed { .. }
        | Notice::Silent(_)
        | Notice::Resumed(_)
        | Notice::Closed { .. }
        | Notice::Receiver(_)
        | Notice::Info(_)
        | Notice::Error(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_and_chatter_go_separate_ways() {
        let mut view = LineView {
            data: Output::memory(),
            chatter: Output::memory(),
            data_style: Style::PLAIN,
            chatter_style: Style::PLAIN,
            limit: Limit::NONE,
        };
        view.show(&Notice::Roster(Vec::new()), WallTime::default());
        view.show(&Notice::Error("that failed".to_owned()), WallTime::default());
        assert_eq!(view.data.take(), "* nobody yet; /msg ADDR text begins a conversation\n");
        assert_eq!(view.chatter.take(), "! that failed\n");
    }
}
