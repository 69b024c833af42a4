//! The kernels' memory. In the unit tests every buffer ends at a page that may not be touched, so that
//! any read or write past its end ends the test.

use kernel_support::buffer::{Zeroable, resident_bytes};

#[cfg(all(test, unix, not(miri)))]
use kernel_support::buffer::Guarded as Memory;
#[cfg(not(all(test, unix, not(miri))))]
use kernel_support::buffer::Heap as Memory;

/// A fixed number of values, zero at first.
pub(crate) type Buffer<T = f32> = kernel_support::buffer::Buffer<T, Memory>;

/// A place where buffers are made.
pub(crate) trait Allocate {
    /// A buffer of `len` values, or one that stands for it.
    fn buffer<T: Zeroable>(&mut self, len: usize) -> Buffer<T>;
}

/// Makes the buffers.
pub(crate) struct Allocator;

impl Allocate for Allocator {
    fn buffer<T: Zeroable>(&mut self, len: usize) -> Buffer<T> {
        Buffer::new(len)
    }
}

/// Counts the bytes that the buffers would take, and makes empty ones.
#[derive(Debug, Default)]
pub(crate) struct Count {
    pub(crate) bytes: u64,
}

impl Allocate for Count {
    fn buffer<T: Zeroable>(&mut self, len: usize) -> Buffer<T> {
        self.bytes = self.bytes.saturating_add(resident_bytes::<T>(len));
        Buffer::new(0)
    }
}
