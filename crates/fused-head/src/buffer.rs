//! The kernels' memory. In the unit tests every buffer ends at a page that may not be touched, so that
//! any read or write past its end ends the test.

#[cfg(all(test, unix, not(miri)))]
use kernel_support::buffer::Guarded as Memory;
#[cfg(not(all(test, unix, not(miri))))]
use kernel_support::buffer::Heap as Memory;

/// A fixed number of values, zero at first.
pub(crate) type Buffer<T = f32> = kernel_support::buffer::Buffer<T, Memory>;
