//! Sealed packets: what their outer head tells, and what stands under the seal.

use super::super::{ConnectionId, DecodeError, FINISH_BYTES, SEAL_BYTES};
use super::{
    Head, Packet, Place, attach_all, canonical, check_number, check_sequence, numbered, parse_head, split,
};

/// What a sealed packet tells without its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealedHead {
    /// The connection, by the receiver's name for it.
    pub to: ConnectionId,
    /// Its number, never used twice in its direction, in any epoch.
    pub number: u64,
    /// The epoch of its key (UC-SEAL-007).
    pub epoch: u64,
    /// Where the handshake's third message begins; it ends where the ciphertext begins.
    pub finish_at: usize,
    /// Where the ciphertext begins. Everything before is authenticated with it (UC-SEAL-006).
    pub sealed_at: usize,
}

/// Reads what was sealed in a packet (UC-SEAL-006): a head and bytes of the same grammar, without what the outer head tells.
pub fn decode_sealed(text: &[u8], to: ConnectionId, number: u64) -> Result<Packet<'_>, DecodeError> {
    let Some(read) = canonical::text(text, to, number) else {
        return decode_any_sealed(text, to, number);
    };
    debug_assert_eq!(decode_any_sealed(text, to, number).as_ref(), Ok(&read), "two ways to read one text");
    Ok(read)
}

/// Reads it in whatever form JSON may have.
pub(super) fn decode_any_sealed(
    text: &[u8],
    to: ConnectionId,
    number: u64,
) -> Result<Packet<'_>, DecodeError> {
    let (head_bytes, mut payload) = split(text);
    let head = parse_head(head_bytes, Place::Sealed)?;
    let carried = attach_all(head.frames.ok_or(DecodeError::Malformed)?, &mut payload)?;
    if carried.handshake.is_some() {
        return Err(DecodeError::Misplaced);
    }
    numbered(to, number, head.low, carried)
}

impl Head<'_> {
    /// The outer head of a sealed packet, if its lengths make sense (UC-WIRE-021).
    pub(super) fn check_sealed(
        &self,
        head_bytes: usize,
        datagram_bytes: usize,
    ) -> Result<SealedHead, DecodeError> {
        let (Some(to), Some(number)) = (self.to, self.number) else {
            return Err(DecodeError::Malformed);
        };
        check_sequence(number, 1)?;
        let epoch = self.epoch.unwrap_or(0);
        check_number(epoch)?;
        let finish_bytes = match self.finish {
            None => 0,
            Some(told) if told == FINISH_BYTES as u64 => FINISH_BYTES,
            Some(_) => return Err(DecodeError::ShortSeal),
        };
        let finish_at = head_bytes + 1;
        let sealed_at = finish_at + finish_bytes;
        if datagram_bytes < sealed_at + SEAL_BYTES {
            return Err(DecodeError::ShortSeal);
        }
        Ok(SealedHead { to, number, epoch, finish_at, sealed_at })
    }
}
