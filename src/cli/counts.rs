//! What became of everything that `send` was given, as a sentence.

use std::fmt::Write;

/// What became of the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) total: u64,
    pub(super) all_counted: bool,
    pub(super) delivered: u64,
    pub(super) refused: u64,
    pub(super) unknown: u64,
    pub(super) unsent: u64,
}

impl Counts {
    /// All of it in one sentence.
    pub(super) fn sentence(self, trouble: Option<&str>) -> String {
        let at_least = if self.all_counted { "" } else { "at least " };
        let mut sentence = format!("{} of {at_least}{} acknowledged", self.delivered, self.total);
        for (count, word) in [(self.refused, "refused"), (self.unknown, "unknown"), (self.unsent, "not sent")]
        {
            if count > 0 {
                // Writing to a string cannot fail.
                let _ = write!(sentence, ", {count} {word}");
            }
        }
        if let Some(trouble) = trouble {
            let _ = write!(sentence, ": {trouble}");
        }
        sentence
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentence_names_every_fate_that_occurred() {
        let all = Counts { total: 3, all_counted: true, delivered: 3, refused: 0, unknown: 0, unsent: 0 };
        assert_eq!(all.sentence(None), "3 of 3 acknowledged");
        let some = Counts { total: 10_000, delivered: 3, unknown: 7, unsent: 9_990, ..all };
        assert_eq!(
            some.sentence(Some("no answer for 10s")),
            "3 of 10000 acknowledged, 7 unknown, 9990 not sent: no answer for 10s"
        );
        let open = Counts { all_counted: false, refused: 1, ..all };
        assert_eq!(open.sentence(None), "3 of at least 3 acknowledged, 1 refused");
    }
}
