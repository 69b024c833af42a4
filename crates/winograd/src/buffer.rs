//! The kernels' memory. In unit tests every buffer ends at a forbidden page, so that any read or write past
//! its end ends the test.

#[cfg(all(test, unix, not(miri)))]
use kernel_support::buffer::Guarded as Memory;
#[cfg(not(all(test, unix, not(miri))))]
use kernel_support::buffer::Heap as Memory;

/// A fixed number of values, initially zero.
pub(crate) type Buffer<T = f32> = kernel_support::buffer::Buffer<T, Memory>;
