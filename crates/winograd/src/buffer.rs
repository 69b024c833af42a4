//! Float memory for the kernels: zeroed, aligned, on huge pages where the system has them.
//!
//! In the unit tests every buffer ends at a page that may not be touched, and starts after one, so
//! that any read or write outside of it ends the test.

#![allow(unsafe_code)] // Allocates by hand for the alignment, and lends raw pointers.

use std::{alloc, ptr::NonNull};

/// Cache line, and the least alignment of a buffer.
const LINE: usize = 64;
/// Transparent huge pages on x86-64 and most Arm systems.
const HUGE_PAGE: usize = 2 << 20;
/// Buffers from this size on get huge pages, even if they fill a part of one: on small pages the
/// processor's prefetchers stop at every 4 KiB.
const LARGE: usize = 128 << 10;

/// Buffers from this size on are fresh pages of the system's, which are zero: each thread clears those
/// that it touches first. The largest size that glibc's allocator may take from its own heap.
const FRESH: usize = 32 << 20;

/// A fixed number of floats, zero at first.
///
/// Threads share a buffer while they fill different parts of it, so it lends raw pointers; whoever
/// makes them into accesses says why these do not overlap.
pub(crate) struct Buffer {
    start: NonNull<f32>,
    len: usize,
    memory: Memory,
}

// SAFETY: the buffer owns its memory, and lends only raw pointers, through which each access is
// justified where it is made.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// `len` zeros, starting at a cache line (at a huge page, if it is a large one).
    pub(crate) fn new(len: usize) -> Buffer {
        let bytes = (len.max(1) * size_of::<f32>()).next_multiple_of(LINE);
        let (memory, start) = Memory::zeroed(bytes);
        Buffer { start, len, memory }
    }

    /// A buffer with the values of a slice, padded with zeros to `len`.
    pub(crate) fn padded(values: &[f32], len: usize) -> Buffer {
        assert!(values.len() <= len, "{} values do not fit into {len}", values.len());
        let buffer = Buffer::new(len);
        // SAFETY: the buffer is longer than the slice, new, and so not shared.
        unsafe { values.as_ptr().copy_to_nonoverlapping(buffer.pointer(), values.len()) }
        buffer
    }

    /// The first float.
    pub(crate) fn pointer(&self) -> *mut f32 {
        self.start.as_ptr()
    }

    /// Number of floats.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes taken from the system.
    pub(crate) fn bytes(&self) -> usize {
        self.memory.bytes()
    }
}

#[cfg(all(test, unix, not(miri)))]
use guarded::Memory;
#[cfg(not(all(test, unix, not(miri))))]
use heap::Memory;

/// The ordinary allocator.
#[cfg_attr(all(test, unix, not(miri)), allow(dead_code))]
mod heap {
    use super::*;

    pub(super) struct Memory {
        start: NonNull<u8>,
        layout: alloc::Layout,
    }

    impl Memory {
        /// `bytes` is a positive multiple of [`LINE`].
        pub(super) fn zeroed(bytes: usize) -> (Memory, NonNull<f32>) {
            let align = if bytes >= LARGE { HUGE_PAGE } else { LINE };
            let len = bytes.next_multiple_of(align);
            let fresh = bytes >= FRESH;
            // Fresh pages are aligned by hand: the allocator clears what it aligns.
            let (size, by_allocator) = if fresh { (len + align, 1) } else { (len, align) };
            let layout = alloc::Layout::from_size_align(size, by_allocator)
                .expect("a buffer is smaller than the address space");
            // SAFETY: the layout is not empty.
            let start =
                unsafe { if fresh { alloc::alloc_zeroed(layout) } else { alloc::alloc(layout) } };
            let Some(start) = NonNull::new(start) else { alloc::handle_alloc_error(layout) };
            // SAFETY: `align` bytes more than are needed were allocated, or none is skipped.
            let aligned = unsafe { start.add(start.align_offset(align)) };
            #[cfg(target_os = "linux")]
            if align == HUGE_PAGE && cfg!(not(miri)) {
                // SAFETY: whole pages of our own; the advice changes nothing that can be seen. It
                // must come before the first write, or the pages are small already.
                unsafe { libc::madvise(aligned.as_ptr().cast(), len, libc::MADV_HUGEPAGE) };
            }
            if !fresh {
                // SAFETY: `len` bytes were just allocated.
                unsafe { aligned.write_bytes(0, len) };
            }
            (Memory { start, layout }, aligned.cast())
        }

        pub(super) fn bytes(&self) -> usize {
            self.layout.size()
        }
    }

    impl Drop for Memory {
        fn drop(&mut self) {
            // SAFETY: allocated in `zeroed` with this layout.
            unsafe { alloc::dealloc(self.start.as_ptr(), self.layout) }
        }
    }
}

/// Pages of our own, with a forbidden one on either side.
#[cfg(all(test, unix, not(miri)))]
mod guarded {
    use super::*;

    /// A multiple of every page size in use.
    const GUARD: usize = 64 << 10;

    pub(super) struct Memory {
        base: *mut libc::c_void,
        size: usize,
    }

    impl Memory {
        /// The last byte lies just before the forbidden page.
        pub(super) fn zeroed(bytes: usize) -> (Memory, NonNull<f32>) {
            let inner = bytes.next_multiple_of(GUARD);
            let size = inner + 2 * GUARD;
            // SAFETY: a new private mapping, then access for its inner pages.
            let base = unsafe {
                let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
                let base = libc::mmap(std::ptr::null_mut(), size, libc::PROT_NONE, flags, -1, 0);
                assert_ne!(base, libc::MAP_FAILED, "mmap of {size} bytes");
                let access = libc::PROT_READ | libc::PROT_WRITE;
                assert_eq!(libc::mprotect(base.byte_add(GUARD), inner, access), 0);
                base
            };
            // SAFETY: within the mapping.
            let start = unsafe { base.byte_add(GUARD + inner - bytes) };
            let start = NonNull::new(start.cast()).expect("a mapping is not null");
            (Memory { base, size }, start)
        }

        pub(super) fn bytes(&self) -> usize {
            self.size
        }
    }

    impl Drop for Memory {
        fn drop(&mut self) {
            // SAFETY: mapped in `zeroed`.
            unsafe { libc::munmap(self.base, self.size) };
        }
    }
}
