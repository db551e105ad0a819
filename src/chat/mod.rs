//! What the application says: messages, replies, receipts, echoes, as typed JSON. (to be written)

mod id;

pub use id::MessageId;

/// The longest text of one message.
pub const MAX_TEXT_BYTES: usize = 16 * 1024 * 1024;
