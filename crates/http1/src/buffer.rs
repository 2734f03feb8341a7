use std::cell::RefCell;

/// Room for a usual head, and for the reads of a stream of small messages.
pub const SMALL: usize = 16 * 1024;
/// Room for the reads of a long body. Twice as much was not measurably faster, half as much was slower by a tenth.
pub const LARGE: usize = 256 * 1024;

/// Buffers a thread keeps for the next exchange: as many as exchanges under load want, and no more than 1 MiB and 2 MiB.
const SMALL_KEPT: usize = 64;
const LARGE_KEPT: usize = 8;

/// Small ones and large ones.
type Free = (Vec<Box<[u8]>>, Vec<Box<[u8]>>);

thread_local! {
    static FREE: RefCell<Free> = const { RefCell::new((Vec::new(), Vec::new())) };
}

/// Bytes in flight. It exists only while there are any: where it comes from and goes to is a list of the thread's, so an
/// idle connection has none, and a busy one takes the one that is warm in the cache.
#[derive(Debug)]
pub struct Buffer {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// A buffer with room for [`SMALL`] bytes.
    #[inline]
    pub fn small() -> Self {
        Self::of(SMALL)
    }

    /// A buffer with room for [`LARGE`] bytes.
    #[inline]
    pub fn large() -> Self {
        Self::of(LARGE)
    }

    fn of(size: usize) -> Self {
        let kept = FREE.try_with(|free| {
            let mut free = free.borrow_mut();
            if size == SMALL { free.0.pop() } else { free.1.pop() }
        });
        let bytes = kept.ok().flatten().unwrap_or_else(|| vec![0; size].into_boxed_slice());
        Self { bytes, start: 0, end: 0 }
    }

    /// What is in it.
    #[inline]
    pub fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Whether nothing is in it.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Takes `n` bytes off its front.
    #[inline]
    pub fn consume(&mut self, n: usize) {
        self.start = (self.start + n).min(self.end);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// The room behind what is in it.
    #[inline]
    pub fn room(&mut self) -> &mut [u8] {
        &mut self.bytes[self.end..]
    }

    /// Says that `n` bytes were put into its room.
    #[inline]
    pub fn filled_more(&mut self, n: usize) {
        self.end = (self.end + n).min(self.bytes.len());
    }

    /// Makes room behind what is in it: by moving it to the front, and where that does not help to a large buffer.
    pub fn make_room(&mut self) {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        } else if self.end == self.bytes.len() && self.bytes.len() < LARGE {
            let mut large = Self::large();
            large.bytes[..self.end].copy_from_slice(&self.bytes[..self.end]);
            large.end = self.end;
            *self = large;
        }
    }

    pub(crate) fn slice(&self, start: usize, len: usize) -> &[u8] {
        &self.bytes[start..start + len]
    }

    /// Where what is in it begins, for [`slice`](Self::slice).
    pub(crate) fn position(&self) -> usize {
        self.start
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        // Fails when the thread is ending; then the memory goes with it.
        let _ = FREE.try_with(|free| {
            let mut free = free.borrow_mut();
            let (kept, most) = if bytes.len() == SMALL { (&mut free.0, SMALL_KEPT) } else { (&mut free.1, LARGE_KEPT) };
            if kept.len() < most {
                kept.push(bytes);
            }
        });
    }
}
