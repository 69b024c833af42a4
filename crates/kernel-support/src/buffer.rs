//! Memory for the kernels: zeroed, aligned, and on huge pages if the system has them.

#![allow(unsafe_code)] // Allocates by hand for the alignment, and lends raw pointers.

use std::{alloc, marker::PhantomData, ptr::NonNull};

/// Size of a cache line and smallest alignment of a buffer, in bytes.
const LINE: usize = 64;
/// Size of a transparent huge page on x86-64 and most Arm systems, in bytes.
const HUGE_PAGE: usize = 2 << 20;
/// Smallest size of a buffer on huge pages, in bytes. It may fill only a part of one: on small pages the
/// processor's prefetchers stop at every 4 KiB.
const LARGE: usize = 128 << 10;

/// Smallest size, in bytes, of a buffer that consists of fresh pages from the system. These are zero, and
/// the system clears each page for the thread that first touches it. It is the largest size that glibc's
/// allocator may take from its own heap.
const FRESH: usize = 32 << 20;

/// Types for which zero in all bits is a value, the number 0.
///
/// # Safety
/// A value all of whose bytes are zero is valid.
pub unsafe trait Zeroable: Copy + Send + Sync + 'static {}
// SAFETY: 0.0 and 0.
unsafe impl Zeroable for f32 {}
// SAFETY: as above.
unsafe impl Zeroable for f64 {}
// SAFETY: as above.
unsafe impl Zeroable for u32 {}

/// The owner of a buffer's bytes.
///
/// # Safety
/// `zeroed(bytes)` owns at least `bytes` bytes, all zero, beginning at [`start`](Self::start), which is
/// aligned to a cache line. They do not move, and are freed when it is dropped.
pub unsafe trait Memory: Send + Sync {
    /// Takes a positive multiple of 64 bytes from the system.
    fn zeroed(bytes: usize) -> Self;
    /// The first byte.
    fn start(&self) -> NonNull<u8>;
    /// The number of bytes taken from the system.
    fn bytes(&self) -> usize;
}

/// A fixed number of values, initially zero.
///
/// Threads share a buffer while they fill different parts of it. Therefore it lends raw pointers, and
/// each access states why it does not overlap others.
pub struct Buffer<T: Zeroable = f32, M: Memory = Heap> {
    memory: M,
    len: usize,
    values: PhantomData<T>,
}

impl<T: Zeroable, M: Memory> Buffer<T, M> {
    /// `len` zeros, aligned to a cache line, or to a huge page if the buffer is large.
    pub fn new(len: usize) -> Self {
        assert!(align_of::<T>() <= LINE);
        let bytes = len.max(1).checked_mul(size_of::<T>());
        let bytes = bytes.and_then(|bytes| bytes.checked_next_multiple_of(LINE));
        let bytes = bytes.expect("a buffer is smaller than the address space");
        Buffer { memory: M::zeroed(bytes), len, values: PhantomData }
    }

    /// A buffer with the values of a slice, padded with zeros to `len`.
    ///
    /// # Panics
    /// If the slice is longer.
    pub fn padded(values: &[T], len: usize) -> Self {
        assert!(values.len() <= len, "{} values do not fit into {len}", values.len());
        let mut buffer = Self::new(len);
        buffer.as_slice()[..values.len()].copy_from_slice(values);
        buffer
    }

    /// The first value.
    #[inline(always)]
    pub fn pointer(&self) -> *mut T {
        self.memory.start().as_ptr().cast()
    }

    /// All values. Kernels run under a shared borrow, so the exclusive borrow excludes them.
    pub fn as_slice(&mut self) -> &mut [T] {
        // SAFETY: `len` initialised values that this buffer owns.
        unsafe { std::slice::from_raw_parts_mut(self.pointer(), self.len) }
    }

    /// The number of values.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of bytes taken from the system.
    pub fn bytes(&self) -> usize {
        self.memory.bytes()
    }
}

/// Bytes of memory that a buffer of `len` values takes from the heap, all of which it touches.
pub fn resident_bytes<T: Zeroable>(len: usize) -> u64 {
    let round = |bytes: u64, to: usize| bytes.div_ceil(to as u64).saturating_mul(to as u64);
    let bytes = round((len.max(1) as u64).saturating_mul(size_of::<T>() as u64), LINE);
    if bytes < LARGE as u64 { bytes } else { round(bytes, HUGE_PAGE) }
}

/// Memory from the ordinary allocator.
pub struct Heap {
    start: NonNull<u8>,
    allocated: NonNull<u8>,
    layout: alloc::Layout,
}

// SAFETY: it owns its memory and lends only raw pointers. Each access through them is justified where it
// is made.
unsafe impl Send for Heap {}
// SAFETY: as above.
unsafe impl Sync for Heap {}

// SAFETY: see the comments within; a cache line divides a huge page.
unsafe impl Memory for Heap {
    fn zeroed(bytes: usize) -> Heap {
        let align = if bytes >= LARGE { HUGE_PAGE } else { LINE };
        let len =
            bytes.checked_next_multiple_of(align).filter(|len| *len <= isize::MAX as usize - align);
        let len = len.expect("a buffer is smaller than the address space");
        let fresh = bytes >= FRESH;
        // Fresh pages are aligned here, because the allocator would clear pages that it aligns.
        let (size, by_allocator) = if fresh { (len + align, 1) } else { (len, align) };
        let layout = alloc::Layout::from_size_align(size, by_allocator)
            .expect("a buffer is smaller than the address space");
        // SAFETY: the layout is not empty.
        let allocated =
            unsafe { if fresh { alloc::alloc_zeroed(layout) } else { alloc::alloc(layout) } };
        let Some(allocated) = NonNull::new(allocated) else { alloc::handle_alloc_error(layout) };
        // SAFETY: `align` bytes more than are needed were allocated, or none is skipped.
        let start = unsafe { allocated.add(allocated.align_offset(align)) };
        #[cfg(target_os = "linux")]
        if align == HUGE_PAGE && cfg!(not(miri)) {
            // SAFETY: these are whole pages of this allocation, and the advice does not change their
            // content. It must come before the first write, which would make the pages small.
            unsafe { libc::madvise(start.as_ptr().cast(), len, libc::MADV_HUGEPAGE) };
        }
        if !fresh {
            // SAFETY: `len` bytes were just allocated.
            unsafe { start.write_bytes(0, len) };
        }
        Heap { start, allocated, layout }
    }

    #[inline(always)]
    fn start(&self) -> NonNull<u8> {
        self.start
    }

    fn bytes(&self) -> usize {
        self.layout.size()
    }
}

impl Drop for Heap {
    fn drop(&mut self) {
        // SAFETY: allocated in `zeroed` with this layout.
        unsafe { alloc::dealloc(self.allocated.as_ptr(), self.layout) }
    }
}

/// Memory for unit tests, between two forbidden pages: any read or write past the end of a buffer ends the
/// process.
#[cfg(all(any(test, feature = "testing"), unix))]
pub struct Guarded {
    base: NonNull<u8>,
    size: usize,
    start: NonNull<u8>,
}

#[cfg(all(any(test, feature = "testing"), unix))]
mod guarded {
    use super::*;

    /// A multiple of every page size in use.
    const GUARD: usize = 64 << 10;

    // SAFETY: as for `Heap`.
    unsafe impl Send for Guarded {}
    // SAFETY: as for `Heap`.
    unsafe impl Sync for Guarded {}

    // SAFETY: a new anonymous mapping is zero.
    unsafe impl Memory for Guarded {
        /// The last byte lies just before the forbidden page.
        fn zeroed(bytes: usize) -> Guarded {
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
            let base = NonNull::new(base.cast::<u8>()).expect("a mapping is not null");
            // SAFETY: within the mapping.
            let start = unsafe { base.add(GUARD + inner - bytes) };
            Guarded { base, size, start }
        }

        #[inline(always)]
        fn start(&self) -> NonNull<u8> {
            self.start
        }

        fn bytes(&self) -> usize {
            self.size
        }
    }

    impl Drop for Guarded {
        fn drop(&mut self) {
            // SAFETY: mapped in `zeroed`.
            unsafe { libc::munmap(self.base.as_ptr().cast(), self.size) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<M: Memory>() {
        // Lengths on either side of each threshold and of whole cache lines.
        for len in [0, 1, 15, 16, 17, LARGE / 4 - 1, LARGE / 4, HUGE_PAGE / 4 + 1, FRESH / 4 + 3] {
            let mut buffer = Buffer::<f32, M>::new(len);
            assert_eq!(buffer.pointer() as usize % LINE, 0, "{len}");
            assert_eq!((buffer.len(), buffer.is_empty()), (len, len == 0));
            assert!(buffer.bytes() >= 4 * len);
            assert!(buffer.as_slice().iter().all(|value| value.to_bits() == 0), "{len}");
            buffer.as_slice().fill(1.0);
        }
        let mut padded = Buffer::<u32, M>::padded(&[1, 2, 3], 5);
        assert_eq!(padded.as_slice(), [1, 2, 3, 0, 0]);
    }

    #[test]
    fn buffers_are_zero_and_aligned() {
        check::<Heap>();
        let large = Buffer::<f32>::new(LARGE / 4);
        assert_eq!(large.pointer() as usize % HUGE_PAGE, 0);
    }

    #[test]
    fn resident_bytes_are_those_taken_from_the_system() {
        for len in [0, 1, 16, 17, LARGE / 4 - 1, LARGE / 4, HUGE_PAGE / 4, HUGE_PAGE / 4 + 1] {
            assert_eq!(resident_bytes::<f32>(len), Buffer::<f32>::new(len).bytes() as u64, "{len}");
        }
        // Beside what is left out of fresh memory for its alignment.
        let len = FRESH / 4 + 3;
        let taken = Buffer::<f32>::new(len).bytes() - HUGE_PAGE;
        assert_eq!(resident_bytes::<f32>(len), taken as u64);
        assert_eq!(resident_bytes::<f32>(usize::MAX), u64::MAX);
    }

    #[test]
    #[cfg(all(unix, not(miri)))]
    fn guarded_buffers_are_zero_and_aligned_and_end_at_a_forbidden_page() {
        check::<Guarded>();
        // The access ends the process, so it is made in a child process.
        let touch = |past: usize| {
            let buffer = Buffer::<f32, Guarded>::new(32);
            // SAFETY: `fork` in a test that holds no locks of its own; the child only reads a float
            // and leaves.
            unsafe {
                let child = libc::fork();
                if child == 0 {
                    libc::signal(libc::SIGSEGV, libc::SIG_DFL);
                    libc::signal(libc::SIGBUS, libc::SIG_DFL);
                    let value = buffer.pointer().add(31 + past).read_volatile();
                    libc::_exit(value as i32);
                }
                let mut status = 0;
                assert_eq!(libc::waitpid(child, &mut status, 0), child);
                status
            }
        };
        assert_eq!(touch(0), 0);
        assert!(libc::WIFSIGNALED(touch(1)));
    }
}
