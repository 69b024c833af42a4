//! The substrate of `winograd` and `fused-head`: what any kernel on raw memory needs, whatever it
//! computes.
//!
//! - [`buffer`]: zeroed, aligned memory on huge pages, and for tests memory that ends at a forbidden
//!   page;
//! - [`simd`]: the trait for a vector of floats, and its implementations in plain Rust, AVX2 and
//!   AVX-512;
//! - [`sync`]: waiting for other threads, and the barrier between two phases of work;
//! - `testing` (a feature): what the kernels' unit tests share.
//!
//! These are the parts whose mistakes are the hardest to find, so that they exist once. What only one
//! of the two crates needs is an extension trait there. Two things that look alike stay apart: the
//! launchers of threads (one for the length of a call in `winograd`, a pool that is kept from step to
//! step in `fused-head`), and the entry points with `#[target_feature]`, which must be compiled in the
//! crate that calls them. A kernel is fast only if everything below is inlined into such an entry
//! point; hence `inline(always)` on every vector operation.

pub mod buffer;
pub mod simd;
pub mod sync;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
