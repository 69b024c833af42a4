//! An allocator that counts, so that a parser can be held to a limit.
//!
//! Memory that C and C++ take is not counted. A head's file is therefore checked against its
//! configuration before its parameters take memory, and a JPEG's size before libjpeg takes any.

#![allow(unsafe_code)] // An allocator cannot be written without.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that a parser may have allocated at one time beyond the input's own.
pub const ALLOWANCE: usize = 64 << 20;

/// Bytes from which on an allocation fails, so that a parser that takes too much is stopped before the
/// machine's memory is full.
const REFUSED: usize = 4 << 30;

#[global_allocator]
static COUNTING: Counting =
    Counting { live: AtomicUsize::new(0), most: AtomicUsize::new(0), before: AtomicUsize::new(0) };

/// The system's allocator, counted.
struct Counting {
    /// Bytes allocated now, by all threads.
    live: AtomicUsize,
    /// The most bytes that were allocated at one time.
    most: AtomicUsize,
    /// The bytes that were allocated when the counted work began.
    before: AtomicUsize,
}

impl Counting {
    /// Counts `bytes` more, unless they are refused.
    fn grow(&self, bytes: usize) -> bool {
        let live = self.live.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if live > REFUSED {
            self.live.fetch_sub(bytes, Ordering::Relaxed);
        }
        // A refused request counts too: it was made.
        self.most.fetch_max(live, Ordering::Relaxed);
        live <= REFUSED
    }

    fn shrink(&self, bytes: usize) {
        self.live.fetch_sub(bytes, Ordering::Relaxed);
    }
}

// SAFETY: every call is passed on to the system's allocator as it came, or refused with a null
// pointer; counting neither allocates nor unwinds.
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

/// Runs `work`, and panics if it had more than `limit` bytes allocated at one time. Only one caller
/// at a time is counted rightly.
pub(crate) fn limited<T>(limit: usize, work: impl FnOnce() -> T) -> T {
    let before = COUNTING.live.load(Ordering::Relaxed);
    COUNTING.before.store(before, Ordering::Relaxed);
    COUNTING.most.store(before, Ordering::Relaxed);
    let result = work();
    assert_taken(limit);
    result
}

/// Panics if the work in [`limited`] had more than so many bytes allocated at one time until now.
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
        // Never touched, and yet asked for.
        let refused = || drop(Vec::<u8>::new().try_reserve_exact(64 << 30));
        assert!(std::panic::catch_unwind(|| limited(1 << 30, refused)).is_err());
    }
}
