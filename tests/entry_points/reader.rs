//! Bytes as a script.

/// Takes what an opcode needs from the front of the bytes.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) const fn new(data: &'a [u8]) -> Self {
        Self { rest: data }
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    pub(super) fn flag(&mut self) -> bool {
        self.byte().is_some_and(|byte| byte % 2 == 1)
    }

    /// Which of a few.
    pub(super) fn index(&mut self) -> usize {
        self.byte().unwrap_or(0).into()
    }

    /// A number of two bytes.
    pub(super) fn number(&mut self) -> usize {
        let (high, low) = (self.byte().unwrap_or(0), self.byte().unwrap_or(0));
        usize::from(u16::from_be_bytes([high, low]))
    }

    /// As many bytes as the next two tell, or as there are.
    pub(super) fn chunk(&mut self) -> &'a [u8] {
        let length = self.number().min(self.rest.len());
        let (chunk, rest) = self.rest.split_at(length);
        self.rest = rest;
        chunk
    }
}
