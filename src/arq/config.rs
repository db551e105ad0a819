//! Every number of the reliability layer that can be set, and the reason for its default.

use std::time::Duration;

use crate::secure::KeyLife;
use crate::wire::{BASE_DATAGRAM_BYTES, Limits, MAX_REPAIR_SPAN};

/// How a connection behaves. The defaults suit a chat between two machines with megabytes to spare, on links from a loopback to a
/// satellite; nothing has to be set for any of them.
#[derive(Clone, Debug)]
pub struct Config {
    /// What this side accepts; told to the other side in the handshake.
    pub limits: Limits,
    /// The longest datagram that is sent before a longer one is proved to arrive (UC-ARQ-024). 1200 bytes pass everywhere.
    pub datagram_bytes: usize,
    /// The longest datagram that is ever tried, within what the other side takes. 1452 bytes pass Ethernet under IPv6; jumbo frames and
    /// a machine's own loopback take more, up to 65 507, and are worth the search to whoever knows of one.
    pub longest_datagram_bytes: usize,
    /// The most datagrams that one [`crate::machine::Transmit`] may have. Whoever sets more than one must be able to take them apart.
    pub max_segments: usize,
    /// The most bytes of messages that wait here, sent or not, until the other side has them. Two of the longest messages:
    /// one on its way, one behind it.
    pub send_queue_bytes: usize,
    /// The most messages that wait here. Four windows' worth: enough to keep the sender busy, few enough to list.
    pub send_queue_messages: usize,
    /// The time after which the first packets count as lost, while no round trip has been measured. RFC 9002 would take a
    /// second; on a lossy link a whole second for each early loss is what users notice first.
    pub initial_timeout: Duration,
    /// How many probes of a silent partner keep the same interval before it doubles. Eight losses in a row are common at 30 %
    /// loss both ways (0.51^8 is 1 in 200), so doubling earlier makes tails, not peace.
    pub linear_probes: u32,
    /// The longest interval between probes. A link that comes back is noticed this late at worst.
    pub probe_cap: Duration,
    /// An idle side that wants the connection pings after this long. NAT tables forget UDP after 30 s (RFC 4787, section 4.3,
    /// tolerates no less than 120 s, and home routers do it all the same).
    pub keep_alive: Duration,
    /// The same while the application waits for the other side's own word. An address that changed under an idle connection
    /// cannot be reached until something leaves from it, and nobody should wait for a receipt until the next keep-alive.
    pub attentive_keep_alive: Duration,
    /// A partner that owes an answer for this long is called silent, and a fresh hello goes out beside the probes.
    pub silent_after: Duration,
    /// A partner that was not heard for this long is given up: two lost keep-alives and a margin.
    pub idle_timeout: Duration,
    /// How long a close waits for queued messages to arrive.
    pub flush_timeout: Duration,
    /// How long one key seals what this side sends.
    pub key_life: KeyLife,
}

/// The longest message: 16 MiB of text, and 64 KiB for the JSON around it and for what must be escaped in it.
pub const MAX_MESSAGE_BYTES: u64 = 16 * 1024 * 1024 + 64 * 1024;

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Limits {
                message_bytes: MAX_MESSAGE_BYTES,
                // A message is buffered whole and charged whole, so a stream's window holds the longest one and a third
                // more: a quarter of the window is free before it is told, and three quarters hold the longest message.
                // The connection's holds more than one stream's: a stalled stream cannot take all the others' room.
                connection_bytes: 2 * MAX_MESSAGE_BYTES,
                stream_bytes: MAX_MESSAGE_BYTES.div_ceil(3) * 4,
                // Where a fifth is lost, one message of 3000 is lost five times in a row, and all behind it wait: at 12 000 a second for
                // three tenths of a second. A quarter of the window is used before it moves.
                stream_messages: 16_384,
                // Chat uses two; the rest is for files and calls. Each costs nothing until it is used.
                streams: 16,
                // UC-WIRE-017
                datagram_bytes: 1452,
                // Two packets of a talk with 40 messages a second are acked together. Only what comes steadily waits at all.
                ack_delay_us: 25_000,
                idle_ms: 45_000,
                // As many as a `repair` may be about.
                repair_messages: MAX_REPAIR_SPAN,
            },
            datagram_bytes: BASE_DATAGRAM_BYTES,
            longest_datagram_bytes: 1_452,
            // A driver without a system behind it, such as a test or a simulation, has nothing to gain.
            max_segments: 1,
            send_queue_bytes: 2 * MAX_MESSAGE_BYTES as usize,
            send_queue_messages: 16_384,
            initial_timeout: Duration::from_millis(250),
            linear_probes: 8,
            probe_cap: Duration::from_millis(1_500),
            keep_alive: Duration::from_secs(20),
            attentive_keep_alive: Duration::from_secs(1),
            silent_after: Duration::from_secs(3),
            idle_timeout: Duration::from_secs(45),
            flush_timeout: Duration::from_secs(3),
            key_life: KeyLife::default(),
        }
    }
}
