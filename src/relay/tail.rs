//! The newest lines of a log, encoded once for all who get them.

use std::collections::VecDeque;
use std::sync::Arc;

/// The newest lines of a log. What is older is in the ledger.
#[derive(Debug)]
pub(super) struct Tail {
    lines: VecDeque<(u64, Arc<[u8]>)>,
    bytes: usize,
    /// Every line of the log after this position is here.
    from: u64,
    /// The last position of the log.
    head: u64,
}

/// What comes after a position.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum After {
    /// This line.
    Line(u64, Arc<[u8]>),
    /// Something that only the ledger has.
    Older,
    /// Nothing yet.
    Nothing,
}

impl Tail {
    /// A log of which only the end is known.
    pub(super) const fn new(head: u64) -> Self {
        Self { lines: VecDeque::new(), bytes: 0, from: head, head }
    }

    /// The last position.
    pub(super) const fn head(&self) -> u64 {
        self.head
    }

    /// A line was stored. At most `most_bytes` of lines stay here, be it none.
    pub(super) fn push(&mut self, pos: u64, body: Arc<[u8]>, most_bytes: usize) {
        if pos <= self.head {
            return;
        }
        self.head = pos;
        self.bytes += body.len();
        self.lines.push_back((pos, body));
        while self.bytes > most_bytes {
            let Some((pos, body)) = self.lines.pop_front() else { break };
            self.bytes -= body.len();
            self.from = pos;
        }
    }

    pub(super) fn after(&self, after: u64) -> After {
        if after >= self.head {
            return After::Nothing;
        }
        if after < self.from {
            return After::Older;
        }
        let index = self.index_after(after);
        self.lines.get(index).map_or(After::Nothing, |(pos, body)| After::Line(*pos, Arc::clone(body)))
    }

    /// The lines after a position, if all of them are here.
    fn lines_after(&self, after: u64) -> impl Iterator<Item = &(u64, Arc<[u8]>)> {
        let first = if after < self.from { self.lines.len() } else { self.index_after(after) };
        self.lines.range(first..)
    }

    /// Where the lines after a position begin. Most cursors are near the end.
    fn index_after(&self, after: u64) -> usize {
        /// What a member hears at once, under load.
        const NEAR: usize = 64;
        let near = self.lines.len().saturating_sub(NEAR);
        match self.lines.get(near) {
            Some((pos, _)) if *pos <= after => {
                let behind = self.lines.range(near..).rev().take_while(|(pos, _)| *pos > after).count();
                self.lines.len() - behind
            }
            _ => self.lines.partition_point(|(pos, _)| *pos <= after),
        }
    }
}

/// How far somebody has been sent a log.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    /// The last position that was handed to the connection.
    pub(super) after: u64,
    /// What the ledger read, and has still to be sent.
    pub(super) page: VecDeque<(u64, Arc<[u8]>)>,
    /// The ledger is reading: the answer to this ticket. Any other is for a cursor that was here before.
    pub(super) reading: Option<u64>,
}

impl Cursor {
    pub(super) fn at(after: u64) -> Self {
        Self { after, ..Self::default() }
    }

    /// Whether it holds a page, or will.
    pub(super) fn has_page(&self) -> bool {
        self.reading.is_some() || !self.page.is_empty()
    }

    /// Hands the lines of the tail over as long as somebody takes them; tells how many were taken.
    pub(super) fn walk(&mut self, tail: &Tail, mut take: impl FnMut(&Arc<[u8]>) -> bool) -> usize {
        if self.has_page() {
            return 0;
        }
        let mut taken = 0;
        for (pos, body) in tail.lines_after(self.after) {
            if !take(body) {
                break;
            }
            (self.after, taken) = (*pos, taken + 1);
        }
        taken
    }

    /// What comes next; a page that was read first.
    pub(super) fn next(&mut self, tail: &Tail) -> After {
        if let Some((pos, body)) = self.page.pop_front() {
            self.after = pos;
            return After::Line(pos, body);
        }
        if self.reading.is_some() {
            return After::Nothing;
        }
        let next = tail.after(self.after);
        if let After::Line(pos, _) = next {
            self.after = pos;
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(tail: &mut Tail, pos: u64) {
        tail.push(pos, Arc::from(pos.to_string().into_bytes()), 3);
    }

    #[test]
    fn a_cursor_walks_over_gaps_and_asks_for_what_is_older() {
        let mut tail = Tail::new(4);
        assert_eq!(tail.after(4), After::Nothing);
        for pos in [5, 7, 9] {
            line(&mut tail, pos);
        }
        let mut cursor = Cursor::at(4);
        let mut seen = Vec::new();
        while let After::Line(pos, _) = cursor.next(&tail) {
            seen.push(pos);
        }
        assert_eq!(seen, [5, 7, 9]);
        line(&mut tail, 12);
        // 5 went when 12 came: three bytes are the most.
        assert_eq!(tail.after(4), After::Older);
        assert_eq!(cursor.next(&tail), After::Line(12, Arc::from(*b"12")));
    }
}
