//! What a connection counted.

/// Counters of one connection, from its beginning. They only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Packets that left, acks and probes included.
    pub packets_sent: u64,
    /// Their bytes.
    pub bytes_sent: u64,
    /// Bytes of small messages that were sent again before they were found lost.
    pub bytes_copied: u64,
    /// Messages whose packets were missing and that were computed from others.
    pub messages_repaired: u64,
    /// Packets that came and were new.
    pub packets_received: u64,
    /// Their bytes.
    pub bytes_received: u64,
    /// Packets that came again, or so late that nobody waited for them.
    pub duplicates: u64,
    /// Packets that were given up as lost.
    pub packets_lost: u64,
    /// Of those, the ones that an ack proved to have arrived after all.
    pub spurious_losses: u64,
    /// Frames of a kind that this version does not know.
    pub unknown_frames: u64,
    /// Acks for packets that were never sent; they change nothing.
    pub dishonest_acks: u64,
    /// Answers to path challenges that are not the one that is waited for: wrong, late, or from elsewhere; they change nothing.
    pub stray_path_answers: u64,
    /// Unreliable messages dropped here: past their deadline, or nobody took them.
    pub grams_dropped: u64,
    /// Messages that arrived whole at the other side.
    pub messages_arrived: u64,
    /// Bytes of messages, or parts of messages, that the other side confirmed: grows with all progress.
    pub bytes_confirmed: u64,
}
