use std::mem::MaybeUninit;

/// The most fields a head or a trailer section may have.
pub const MAX_FIELDS: usize = 128;

/// The most bytes a method may have. The longest that is registered (UPDATEREDIRECTREF) has 17.
pub const METHOD_BYTES: usize = 32;

/// Where a head's fields are listed while it is looked at. It lives on the stack of whoever parses.
pub type Slots<'b> = [MaybeUninit<httparse::Header<'b>>; MAX_FIELDS];

/// Fresh slots. Nothing is written, so this costs no more than the room on the stack (4 KiB).
#[inline]
pub fn slots<'b>() -> Slots<'b> {
    [const { MaybeUninit::uninit() }; MAX_FIELDS]
}

/// How much of a message, its content aside, is ever held in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a whole head, from its first line to its empty line.
    pub head_bytes: usize,
    /// Bytes of a request target.
    pub target_bytes: usize,
    /// Bytes of the trailer section of a chunked body.
    pub trailer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        // Dev servers take 16 KiB (Node) to 64 KiB; cookies of a shared `localhost` grow far. A target may be half of it.
        Self { head_bytes: 64 * 1024, target_bytes: 32 * 1024, trailer_bytes: 16 * 1024 }
    }
}
