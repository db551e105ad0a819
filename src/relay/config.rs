//! How a relay behaves; every number with its reason.

pub use crate::bucket::Rate as Flood;
use std::time::Duration;

use crate::endpoint::EndpointConfig;
use crate::ledger::MailboxBounds;

/// What a relay is started with.
#[derive(Clone, Debug)]
pub struct RelayConfig {
    /// The port that the socket is bound to, for the address fields of what the relay says.
    pub local_port: u16,
    /// What makes an operator of whoever knows it; None: nobody.
    pub admin_secret: Option<String>,
    /// What may be changed while it runs.
    pub limits: RelayLimits,
    /// Faults on purpose.
    pub faults: Faults,
    /// How the layers below behave.
    pub endpoint: EndpointConfig,
}

/// What may be changed while a relay runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayLimits {
    /// What everyone is told at entry.
    pub motd: Option<String>,
    /// How fast a member may talk; None: as fast as it likes.
    pub flood: Option<Flood>,
    /// How fast one address may make connections; None: as fast as it likes.
    pub connections: Option<Flood>,
    /// The most members.
    pub members: usize,
    /// The most rooms that one member may be in.
    pub rooms_per_member: usize,
    /// The longest line or letter, in bytes.
    pub text_bytes: usize,
    /// How much may wait in one mailbox.
    pub mailbox: MailboxBounds,
    /// How long a letter waits.
    pub letter_lifetime: Duration,
}

/// Faults on purpose, to see what becomes of them (UC-RELAY-016).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Nobody is let in.
    pub connect: bool,
    /// No line is taken.
    pub send: bool,
}

impl RelayLimits {
    /// The members, and a fifth more for guests and for connections that are ending.
    pub const fn most_connections(&self) -> usize {
        self.members + self.members / 5
    }
}

impl Default for RelayLimits {
    fn default() -> Self {
        Self {
            motd: None,
            // A person who pastes a page is not slowed down, a program that goes wild is.
            flood: Some(Flood { burst: 200, per_second: 50 }),
            // A classroom behind one address comes in at once; a program that only connects is held to what costs nothing.
            connections: Some(Flood { burst: 500, per_second: 50 }),
            // Idle ones take about 7 KB each (`cargo bench --bench relay -- idle`): 140 MB of them fit any machine that serves so many.
            members: 20_000,
            // More than anybody reads; each costs an entry in the room and a cursor.
            rooms_per_member: 64,
            // A thousand lines of a pasted program. A room is no place for files: everybody gets them.
            text_bytes: 64 * 1024,
            // A week's absence from a busy conversation.
            mailbox: MailboxBounds { letters: 1_000, bytes: 4 * 1024 * 1024 },
            // Longer than a holiday; and a letter that old is news no more.
            letter_lifetime: Duration::from_secs(30 * 24 * 3600),
        }
    }
}

impl Default for RelayConfig {
    fn default() -> Self {
        let relay_limits = RelayLimits::default();
        let mut endpoint = EndpointConfig {
            max_connections: relay_limits.most_connections(),
            max_half_open: 4_096,
            ..EndpointConfig::default()
        };
        // What members send is short, so a relay grants little: three of the longest lines with their JSON, escaped, and a
        // third more for the stream (see `arq::Config`). That is also all that one member can make it hold of its words.
        let limits = &mut endpoint.connection.limits;
        limits.message_bytes = 192 * 1024;
        limits.stream_bytes = 256 * 1024;
        limits.connection_bytes = 320 * 1024;
        limits.stream_messages = 256;
        limits.streams = 2;
        // A closing relay drains for three seconds at most, the answers to its closes included.
        endpoint.connection.flush_timeout = Duration::from_millis(2_500);
        // Far beyond what `deliver` puts there, so that a receipt, or the answer to a request, is never what finds it full.
        endpoint.connection.send_queue_bytes = 4 * 1024 * 1024;
        endpoint.connection.send_queue_messages = 4_096;
        Self { local_port: 0, admin_secret: None, limits: relay_limits, faults: Faults::default(), endpoint }
    }
}
