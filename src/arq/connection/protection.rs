//! The keys of a sealed connection, where packets are written and read.

use std::ops::Range;

use super::Connection;
use crate::secure::{OpenError, Opener, PublicKey, Sealer, Session};
use crate::time::Instant;
use crate::wire::{FINISH_BYTES, Form, SEAL_BYTES, SealedHead};

/// What seals the packets of a connection.
#[derive(Debug)]
pub(super) struct Protection {
    remote: PublicKey,
    sealer: Sealer,
    opener: Opener,
    /// The handshake's third message, until the other side has shown that it has it (UC-SEAL-005).
    finish: Option<Box<[u8; FINISH_BYTES]>>,
    /// The epoch that an ack was asked for, because it was to end and none had come.
    asked_in: Option<u64>,
}

impl Connection {
    /// From now on nothing leaves unsealed and nothing unsealed is taken. `finish` is what the other side still needs to read it.
    pub fn protect(&mut self, session: Session, finish: Option<[u8; FINISH_BYTES]>) {
        let Session { remote, mut sealer, opener } = session;
        sealer.set_life(self.config.key_life);
        self.protection = Some(Box::new(Protection {
            remote,
            sealer,
            opener,
            finish: finish.map(Box::new),
            asked_in: None,
        }));
    }

    /// Whose secret the other side has shown to have; None in the clear, and before the handshake.
    pub fn remote_key(&self) -> Option<PublicKey> {
        self.protection.as_ref().map(|protection| protection.remote)
    }

    /// Opens a sealed packet in place; tells where in the datagram its text is.
    pub fn open(
        &mut self,
        now: Instant,
        head: &SealedHead,
        datagram: &mut [u8],
    ) -> Result<Range<usize>, OpenError> {
        let protection = self.protection.as_mut().ok_or(OpenError::Seal)?;
        protection.opener.forget_previous(now);
        let range = protection.opener.open(head.number, head.epoch, datagram, head.sealed_at)?;
        protection.finish = None;
        Ok(range)
    }

    /// The epochs that we send and receive in, for the checkers.
    pub fn epochs(&self) -> Option<(u64, u64)> {
        self.protection.as_ref().map(|it| (it.sealer.epoch(), it.opener.epoch()))
    }

    /// What a sealed packet's number and length must leave room for.
    pub(super) const fn seal_bytes(&self) -> usize {
        if self.protection.is_some() { SEAL_BYTES } else { 0 }
    }

    /// Changes to the next key if it is time. A side that only listens sends nothing that is acked, so it asks once.
    pub(super) fn advance_key(&mut self, now: Instant) {
        if let Some(protection) = &mut self.protection {
            let (next, acked) = (self.sent.next_number(), self.loss.newest_acked());
            let epoch = protection.sealer.epoch();
            if protection.sealer.advance_if_due(now, next, acked)
                && protection.asked_in.replace(epoch) != Some(epoch)
            {
                self.ping_due = true;
            }
            protection.opener.forget_previous(now);
        }
    }

    /// Puts the seal on a packet that was written with [`crate::wire::PacketWriter`] and begins at `start`; its length from now on.
    pub(super) fn seal(
        &mut self,
        number: u64,
        packets: &mut Vec<u8>,
        start: usize,
        sealed_at: Option<usize>,
    ) -> usize {
        if let (Some(protection), Some(sealed_at)) = (&mut self.protection, sealed_at) {
            protection.sealer.seal_behind(number, packets, start..sealed_at);
        }
        packets.len() - start
    }
}

impl Protection {
    /// Gives back what is kept to seal and open quickly: nothing was said for a while.
    pub(super) fn rest(&mut self) {
        self.sealer.rest();
        self.opener.rest();
    }
}

/// How the next packet is to be written.
pub(super) fn form(protection: Option<&Protection>) -> Form<'_> {
    protection.map_or(Form::Clear, |protection| Form::Sealed {
        epoch: protection.sealer.epoch(),
        finish: protection.finish.as_ref().map_or(&[], |finish| finish.as_slice()),
    })
}
