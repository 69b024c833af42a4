//! The foundation of `winograd` and `fused-head`: what kernels on raw memory need, whatever they compute.
//!
//! - [`buffer`]: zeroed, aligned memory on huge pages, and for tests memory that ends at a forbidden
//!   page;
//! - [`simd`]: the trait for a vector of floats, and its implementations in plain Rust, AVX2 and
//!   AVX-512;
//! - [`sync`]: waiting for other threads, and the barrier between two phases of work;
//! - `testing` (a feature): code that the kernels' unit tests share.
//!
//! Mistakes in these parts are the hardest to find, so each of them exists once. What only one of the two
//! crates needs is an extension trait there. Two things are similar in both crates and not shared: the
//! launchers of threads (for the length of a call in `winograd`, a pool that lives for many steps in
//! `fused-head`), and the entry points with `#[target_feature]`, which must be compiled in the crate that
//! calls them. A kernel is fast only if everything that it calls is inlined into such an entry point.
//! Hence every vector operation has `inline(always)`.

pub mod buffer;
pub mod simd;
pub mod sync;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
