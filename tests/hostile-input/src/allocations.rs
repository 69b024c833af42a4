//! An allocator that counts, with which a test can limit the memory of a parser.
//!
//! Memory that C and C++ allocate is not counted. Therefore a JPEG's size is checked before libjpeg
//! allocates any, and a head's file is checked against its configuration before its parameters take
//! memory.

#![allow(unsafe_code)] // An allocator cannot be written without.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The number of bytes that a parser may have allocated at one time, in addition to the input's size.
pub const ALLOWANCE: usize = 64 << 20;

/// The total, in bytes, at which an allocation fails, so that a parser that takes too much is stopped
/// before the machine's memory is full.
const REFUSED: usize = 4 << 30;

#[global_allocator]
static COUNTING: Counting =
    Counting { live: AtomicUsize::new(0), most: AtomicUsize::new(0), before: AtomicUsize::new(0) };

/// The system's allocator with counters.
struct Counting {
    /// The number of bytes that all threads have allocated.
    live: AtomicUsize,
    /// The largest number of bytes that were allocated at one time.
    most: AtomicUsize,
    /// The number of bytes that were allocated when the counted work began.
    before: AtomicUsize,
}

impl Counting {
    /// Counts a request of `bytes`. Returns whether it is granted.
    fn grow(&self, bytes: usize) -> bool {
        let live = self.live.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if live > REFUSED {
            self.live.fetch_sub(bytes, Ordering::Relaxed);
        }
        // A refused request counts too, since the parser made it.
        self.most.fetch_max(live, Ordering::Relaxed);
        live <= REFUSED
    }

    fn shrink(&self, bytes: usize) {
        self.live.fetch_sub(bytes, Ordering::Relaxed);
    }
}

// SAFETY: every call is passed on unchanged to the system's allocator, or refused with a null pointer.
// Counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !self.grow(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !self.grow(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        self.shrink(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !self.grow(size.saturating_sub(layout.size())) {
            return std::ptr::null_mut();
        }
        self.shrink(layout.size().saturating_sub(size));
        // SAFETY: the caller's promise.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Runs `work`, and panics if it had more than `limit` bytes allocated at one time. The count is right
/// only if there is one caller at a time.
pub(crate) fn limited<T>(limit: usize, work: impl FnOnce() -> T) -> T {
    let before = COUNTING.live.load(Ordering::Relaxed);
    COUNTING.before.store(before, Ordering::Relaxed);
    COUNTING.most.store(before, Ordering::Relaxed);
    let result = work();
    assert_taken(limit);
    result
}

/// Panics if the work in [`limited`] had more than `limit` bytes allocated at one time until now.
pub(crate) fn assert_taken(limit: usize) {
    let before = COUNTING.before.load(Ordering::Relaxed);
    let taken = COUNTING.most.load(Ordering::Relaxed).saturating_sub(before);
    assert!(taken <= limit, "{taken} bytes were allocated at one time, {limit} are allowed");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_counted() {
        limited(1 << 20, || drop(vec![1u8; 1 << 19]));
        let over = std::panic::catch_unwind(|| limited(1 << 20, || drop(vec![1u8; 1 << 21])));
        assert!(over.is_err());
        let growing = || {
            let mut numbers = Vec::new();
            (0..1u32 << 20).for_each(|number| numbers.push(number));
        };
        assert!(std::panic::catch_unwind(|| limited(1 << 20, growing)).is_err());
        // The memory is requested and never touched.
        let refused = || drop(Vec::<u8>::new().try_reserve_exact(64 << 30));
        assert!(std::panic::catch_unwind(|| limited(1 << 30, refused)).is_err());
    }
}
