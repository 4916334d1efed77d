//! The bytes of the ring, shared by two threads: the one place with unsafe code.
//!
//! What makes it sound is the protocol of the parent module, and only that: the writer writes positions in
//! `written .. read + size`, the reader reads positions in `read .. written`. Those never meet. Each side moves its own
//! position only when it is done with the bytes, with a release store, and looks at the other's with an acquire load.
//! `Producer` and `Consumer` are not `Clone` and their methods take `&mut self`, so there is one of each.

#![allow(unsafe_code)]

#[cfg(not(loom))]
mod plain {
    use std::cell::UnsafeCell;

    pub(crate) struct Storage {
        /// Words, not bytes, so that records start on eight-byte boundaries.
        words: Box<[UnsafeCell<u64>]>,
        len: usize,
    }

    // SAFETY: shared between exactly one writer and one reader, which never touch the same bytes at a time; see the
    // head of this module.
    unsafe impl Sync for Storage {}

    impl Storage {
        pub(crate) fn new(len: usize) -> Self {
            assert!(len.is_power_of_two() && len >= 64 && len < u32::MAX as usize, "a ring of {len} bytes");
            // Ones, not zeros: zeroed memory comes from the system untouched and would fault page by page later.
            let words = (0..len / 8).map(|_| UnsafeCell::new(!0)).collect();
            Storage { words, len }
        }

        #[inline]
        pub(crate) fn len(&self) -> usize {
            self.len
        }

        /// Only for the writer, only on bytes it owns by the protocol.
        #[inline]
        pub(crate) fn write(&self, at: usize, len: usize, fill: impl FnOnce(&mut [u8])) {
            assert!(at <= self.len && len <= self.len - at);
            // SAFETY: the range was just checked to lie inside the allocation. The writer alone may touch it until it
            // publishes a new position, so the exclusive reference is exclusive. Bytes have no alignment and no
            // invalid values.
            let place = unsafe {
                let start = UnsafeCell::raw_get(self.words.as_ptr()).cast::<u8>().add(at);
                std::slice::from_raw_parts_mut(start, len)
            };
            fill(place);
        }

        /// Only for the reader, only on bytes between its position and the writer's.
        #[inline]
        pub(crate) fn read(&self, at: usize, len: usize) -> &[u8] {
            assert!(at <= self.len && len <= self.len - at);
            // SAFETY: the range was just checked. The writer does not touch these bytes before the reader releases
            // them, which needs `&mut Consumer`, while this slice borrows the consumer.
            unsafe {
                let start = UnsafeCell::raw_get(self.words.as_ptr()).cast::<u8>().add(at);
                std::slice::from_raw_parts(start, len)
            }
        }
    }
}

/// The same with each word watched by loom. Slices cannot be watched, so bytes are copied in and out.
#[cfg(loom)]
mod watched {
    use loom::cell::UnsafeCell;

    pub(crate) struct Storage {
        words: Vec<UnsafeCell<[u8; 8]>>,
    }

    // SAFETY: as above, and here loom checks that it is so.
    unsafe impl Sync for Storage {}
    // SAFETY: plain bytes.
    unsafe impl Send for Storage {}

    impl Storage {
        pub(crate) fn new(len: usize) -> Self {
            Storage { words: (0..len / 8).map(|_| UnsafeCell::new([0xff; 8])).collect() }
        }

        pub(crate) fn len(&self) -> usize {
            self.words.len() * 8
        }

        pub(crate) fn write(&self, at: usize, len: usize, fill: impl FnOnce(&mut [u8])) {
            let mut copy = vec![0u8; len];
            fill(&mut copy);
            for (word, bytes) in self.words[at / 8..].iter().zip(copy.chunks(8)) {
                word.with_mut(|place| {
                    // SAFETY: loom hands out the pointer and fails the test if anyone else holds it.
                    let place = unsafe { &mut *place };
                    place[..bytes.len()].copy_from_slice(bytes);
                });
            }
        }

        pub(crate) fn read(&self, at: usize, len: usize) -> &[u8] {
            let mut copy = Vec::with_capacity(len + 8);
            for word in self.words[at / 8..].iter().take(len.div_ceil(8)) {
                // SAFETY: as in `write`.
                word.with(|place| copy.extend_from_slice(unsafe { &*place }));
            }
            copy.truncate(len);
            // A model run is short and small: leaking keeps the signature of the real thing.
            copy.leak()
        }
    }
}

#[cfg(not(loom))]
pub(crate) use plain::Storage;
#[cfg(loom)]
pub(crate) use watched::Storage;
