//! What members say, one thing after the other, as fast as the flood limit and the ledger allow.

use std::borrow::Cow;

use super::session::Phase;
use super::{Flood, Relay};
use crate::chat::{ChatError, MAX_ECHO_BYTES, Receipt, RefusalCode, Said, Say, Words, stream};
use crate::endpoint::Handle;
use crate::time::Now;

/// Jobs at the ledger for one member, beyond which nothing more is read from it. Two group commits' worth: the next one is
/// never empty, and a member's share of the ledger's queue is bounded.
const MAX_JOBS: usize = 128;

/// Receipts, and echoes, that wait for a member that takes none, beyond which nothing more is read from it.
const MAX_RECEIPTS: usize = 1_024;
/// The same in bytes: some are echoes.
const MAX_RECEIPT_BYTES: usize = 256 * 1024;

/// News that wait for a member, beyond which nothing more is read from it: what it asks for would only wait behind them.
const MAX_NEWS_BYTES: usize = 256 * 1024;

/// How fast receipts are taken. An honest member has one for each letter; a mailbox full of them comes at once.
const RECEIPT_FLOOD: Flood = Flood { burst: 1_000, per_second: 200 };

impl Relay {
    /// Reads on, as far as this member may be read now.
    pub(super) fn read(&mut self, now: Now, handle: Handle) {
        while self.may_read(handle) {
            if let Some(body) = self.take_paced(now, handle, stream::RECEIPTS) {
                self.hear_on_receipts(now, handle, &body);
            } else if let Some(body) = self.take_paced(now, handle, stream::WORDS) {
                self.hear(now, handle, &body);
            } else {
                return;
            }
        }
    }

    /// The next message of a stream, if there is a token for it (UC-RELAY-018). Without one it stays where it is, and the member's
    /// window shuts.
    fn take_paced(&mut self, now: Now, handle: Handle, stream: u32) -> Option<Vec<u8>> {
        let session = self.sessions.at(&handle)?;
        let is_receipts = stream == stream::RECEIPTS;
        let bucket = if is_receipts { session.receipt_bucket } else { session.bucket };
        let flood = if is_receipts { Some(RECEIPT_FLOOD) } else { self.config.limits.flood };
        let paid = match flood.map_or(Ok(bucket), |flood| bucket.without_one(now.instant, flood)) {
            Ok(paid) => paid,
            Err(at) => {
                self.wake_session_at(handle, at);
                return None;
            }
        };
        let received = self.endpoint.take(handle, stream)?;
        let session = self.sessions.at_mut(&handle)?;
        *(if is_receipts { &mut session.receipt_bucket } else { &mut session.bucket }) = paid;
        Some(received.body)
    }

    fn may_read(&self, handle: Handle) -> bool {
        // Who is being let in is read no further until that is decided: what follows depends on it.
        self.closing.is_none()
            && self.sessions.at(&handle).is_some_and(|session| {
                session.jobs < MAX_JOBS
                    && session.receipts.len() < MAX_RECEIPTS
                    && session.receipts.bytes() < MAX_RECEIPT_BYTES
                    && session.outbox.bytes() < MAX_NEWS_BYTES
                    && match &session.phase {
                        Phase::Guest { .. } => true,
                        Phase::Member(member) => !member.is_renaming && !member.is_proving,
                        Phase::Entering(_) | Phase::Leaving => false,
                    }
            })
    }

    /// What comes beside the words: receipts, and nothing else. Words here would be out of their order, and past the flood limit.
    fn hear_on_receipts(&mut self, now: Now, handle: Handle, body: &[u8]) {
        match Say::decode(body) {
            Ok(Say { said: Said::Receipt(receipt), .. }) => self.hear_receipt(now, handle, &receipt),
            _ => self.unreadable += 1,
        }
    }

    /// One thing said. What is no relay's business is answered as any peer would (UC-RELAY-002).
    fn hear(&mut self, now: Now, handle: Handle, body: &[u8]) {
        let say = match Say::decode(body) {
            Ok(say) => say,
            Err(ChatError::Invalid { id, at, why }) => {
                return self.receipt(now, handle, Receipt::refused(id, at, why));
            }
            Err(ChatError::Unreadable) => {
                self.unreadable += 1;
                return;
            }
        };
        match say.said {
            // The name in it is a wish; `enter` says whether it comes true.
            Said::Introduce { .. } => {}
            Said::Words(Words { is_echo: true, id, text, .. })
                if text.len() > self.config.limits.text_bytes.min(MAX_ECHO_BYTES) =>
            {
                let reason = "that is more than is returned here";
                self.refuse(now, handle, &(id, say.at), RefusalCode::TooLong, reason);
            }
            Said::Words(Words { is_echo: true, id, text, .. }) => {
                self.take(now, handle, &id, say.at);
                let text = Cow::Owned(text.into_owned());
                self.answer_unordered(now, handle, Said::Echoed { id, original_at: say.at, text });
            }
            Said::Words(words) => self.hear_words(now, handle, words, say.to, say.at),
            Said::Receipt(receipt) => self.hear_receipt(now, handle, &receipt),
            Said::Request { id, ask } => self.hear_request(now, handle, (id, say.at), ask),
            // Not to be said to a relay.
            Said::Echoed { .. } | Said::News(_) => self.unreadable += 1,
        }
    }
}
