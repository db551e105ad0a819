//! The registry of frame kinds: what the `t` of a frame may be.

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// What a frame is, as its `t` tells (UC-WIRE-008). The names are the protocol's; `spec/registry/frames.json` lists
        /// them for other programs, and a test compares the two.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $($(#[$doc])* $variant,)*
        }

        impl Kind {
            /// Every kind of this version, in the registry's order.
            pub const ALL: &[Kind] = &[$(Kind::$variant,)*];

            /// The `t` of such a frame.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Kind::$variant => $name,)*
                }
            }

            /// The kind of that `t`; None if this version has none such.
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Kind::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

kinds! {
    /// Asks for a connection.
    Hello = "hello",
    /// Grants it.
    Welcome = "welcome",
    /// Asks to bring a cookie back; proves nothing.
    Retry = "retry",
    /// Says why a hello cannot be answered; proves nothing.
    Refuse = "refuse",
    /// Packets that arrived.
    Ack = "ack",
    /// Packets that are missing.
    Nack = "nack",
    /// Messages that arrived, though their packets did not.
    Have = "have",
    /// Whole messages of a stream.
    Msg = "msg",
    /// A fragment of a message.
    Part = "part",
    /// Repair symbols: sums of messages, to compute missing ones from.
    Repair = "repair",
    /// One message that is sent once.
    Gram = "gram",
    /// How much more may be sent.
    Window = "window",
    /// Messages given up by their sender.
    Skip = "skip",
    /// Asks for an ack.
    Ping = "ping",
    /// Asks an address to prove itself, or answers.
    Path = "path",
    /// Ends the connection.
    Close = "close",
    /// Bytes without meaning.
    Pad = "pad",
}

#[cfg(test)]
mod tests {
    use super::*;

    // UC-WIRE-008
    #[test]
    fn every_name_leads_back_to_its_kind() {
        for &kind in Kind::ALL {
            assert_eq!(Kind::from_name(kind.name()), Some(kind));
        }
        assert_eq!(Kind::from_name("mend"), None);
    }
}
