//! The datagrams that stand outside of a connection: hello, welcome, retry, refuse.

use std::borrow::Cow;

use super::super::frame::{Frame, Hello, Limits, Mode, Refuse, SealedHello, Welcome};
use super::super::{ConnectionId, DecodeError, HELLO_BYTES, MAX_COOKIE_BYTES, MAX_LIST};
use super::{Handshake, check_number, check_text};

pub(super) enum RawHandshake<'a> {
    Hello(RawHello<'a>),
    Welcome(RawWelcome),
    Retry(RawRetry<'a>),
    Refuse(Refuse<'a>),
}

#[derive(serde::Deserialize)]
pub(super) struct RawHello<'a> {
    id: ConnectionId,
    mode: Mode,
    #[serde(default, deserialize_with = "crate::wire::object")]
    limits: Limits,
    #[serde(default)]
    old: Option<ConnectionId>,
    #[serde(borrow, default)]
    cookie: Option<Cow<'a, str>>,
    #[serde(default)]
    len: Option<u32>,
}

#[derive(serde::Deserialize)]
pub(super) struct RawWelcome {
    id: Option<ConnectionId>,
    #[serde(default, deserialize_with = "crate::wire::object")]
    limits: Limits,
    #[serde(default)]
    alive: bool,
    #[serde(default)]
    len: Option<u32>,
}

#[derive(serde::Deserialize)]
pub(super) struct RawRetry<'a> {
    #[serde(borrow)]
    cookie: Cow<'a, str>,
}

impl<'a> RawHandshake<'a> {
    /// How many bytes behind the head are its message.
    pub(super) fn message_bytes(&self) -> u32 {
        match self {
            Self::Hello(RawHello { len, .. }) | Self::Welcome(RawWelcome { len, .. }) => len.unwrap_or(0),
            Self::Retry(_) | Self::Refuse(_) => 0,
        }
    }

    /// The handshake, if nothing but padding stands beside it (UC-WIRE-013) and its text and length fit.
    pub(super) fn check(
        self,
        to: Option<ConnectionId>,
        message: &'a [u8],
        others: &[Frame<'_>],
        datagram_bytes: usize,
    ) -> Result<Handshake<'a>, DecodeError> {
        if others.iter().any(|frame| !matches!(frame, Frame::Pad { .. })) {
            return Err(DecodeError::Misplaced);
        }
        match (self, to) {
            (Self::Hello(_), Some(_)) | (Self::Welcome(_) | Self::Retry(_), None) => {
                Err(DecodeError::Misplaced)
            }
            (Self::Hello(_), None) if datagram_bytes < HELLO_BYTES => Err(DecodeError::ShortHello),
            (Self::Hello(raw), None) => raw.check(message),
            (Self::Welcome(raw), Some(to)) => raw.check(to, message),
            (Self::Retry(RawRetry { cookie }), Some(to)) if cookie.len() <= MAX_COOKIE_BYTES => {
                Ok(Handshake::Retry { to, cookie })
            }
            (Self::Retry(_), Some(_)) => Err(DecodeError::TooLong),
            (Self::Refuse(refuse), to) => {
                if refuse.speaks.len() > MAX_LIST {
                    return Err(DecodeError::TooMany);
                }
                refuse.speaks.iter().try_for_each(|&version| check_number(version))?;
                check_text(&refuse.code)?;
                Ok(Handshake::Refuse { to, refuse })
            }
        }
    }
}

impl<'a> RawHello<'a> {
    fn check(self, message: &'a [u8]) -> Result<Handshake<'a>, DecodeError> {
        let Self { id, mode, limits, old, cookie, len } = self;
        check_limits(&limits)?;
        if cookie.as_ref().is_some_and(|cookie| cookie.len() > MAX_COOKIE_BYTES) {
            return Err(DecodeError::TooLong);
        }
        match mode {
            Mode::Sealed if len.is_none() => Err(DecodeError::Malformed),
            Mode::Sealed => Ok(Handshake::SealedHello(SealedHello { id, cookie, message })),
            Mode::Clear | Mode::Unknown => Ok(Handshake::Hello(Hello { id, mode, limits, old })),
        }
    }
}

impl RawWelcome {
    fn check(self, to: ConnectionId, message: &[u8]) -> Result<Handshake<'_>, DecodeError> {
        let Self { id, limits, alive, len } = self;
        check_limits(&limits)?;
        match (len, id) {
            (Some(_), _) => Ok(Handshake::SealedWelcome { to, message }),
            (None, Some(id)) => Ok(Handshake::Welcome { to, welcome: Welcome { id, limits, alive } }),
            (None, None) => Err(DecodeError::Malformed),
        }
    }
}

fn check_limits(limits: &Limits) -> Result<(), DecodeError> {
    if limits.are_numbers() { Ok(()) } else { Err(DecodeError::BadNumber) }
}
