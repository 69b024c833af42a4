//! The instruction sets: which of them this machine has, and the kernels compiled for each.
//!
//! Each entry below is one kernel for one instruction set. The attribute on the entry enables the
//! instructions for everything that is inlined into it, so no compiler flag is needed.

#![allow(unsafe_code)] // Entries are unsafe: their instructions must exist.

use crate::{
    direct::{DirectJob, direct},
    kind::{TileKind, with_transform},
    pool::{PoolJob, pool},
    product::{ProductJob, product},
    simd::Portable,
    tile::{InputJob, OutputJob, input, output},
    transform::Transform,
};

/// An instruction set that the kernels are compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isa {
    /// Whatever the compiler's target has.
    Portable,
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
}

/// The kernels that do not depend on the tile. Call them only on a machine that has the
/// instruction set of [`Isa::detect`].
#[derive(Clone, Copy)]
pub(crate) struct Kernels {
    pub(crate) direct: unsafe fn(&DirectJob),
    pub(crate) product: unsafe fn(&ProductJob),
    pub(crate) pool: unsafe fn(&PoolJob),
}

/// The kernels of one tile kind; as above.
#[derive(Clone, Copy)]
pub(crate) struct TileKernels {
    pub(crate) input: unsafe fn(&InputJob),
    pub(crate) output: unsafe fn(&OutputJob),
    /// For even tiles only.
    pub(crate) output_pooled: unsafe fn(&OutputJob),
}

impl Isa {
    /// The best that this machine has.
    pub(crate) fn detect() -> Isa {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            return Isa::Avx2;
        }
        Isa::Portable
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Isa::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => "avx2",
        }
    }

    pub(crate) fn kernels(self) -> Kernels {
        match self {
            Isa::Portable => Kernels {
                direct: portable::direct_entry,
                product: portable::product_entry,
                pool: portable::pool_entry,
            },
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => Kernels {
                direct: avx2::direct_entry,
                product: avx2::product_entry,
                pool: avx2::pool_entry,
            },
        }
    }

    pub(crate) fn tile_kernels(self, kind: TileKind) -> TileKernels {
        match self {
            Isa::Portable => with_transform!(kind, T => TileKernels {
                input: portable::input_entry::<T>,
                output: portable::output_entry::<T>,
                output_pooled: portable::output_pooled_entry::<T>,
            }),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => with_transform!(kind, T => TileKernels {
                input: avx2::input_entry::<T>,
                output: avx2::output_entry::<T>,
                output_pooled: avx2::output_pooled_entry::<T>,
            }),
        }
    }
}

/// A module with one entry a kernel, for the vector type `$simd`.
macro_rules! entries {
    ($module:ident, $simd:ty, $(#[$attribute:meta])*) => {
        mod $module {
            use super::*;

            // SAFETY of all entries: the caller's promises are passed on, that of the instruction
            // set among them.

            /// # Safety
            /// That of [`direct`].
            $(#[$attribute])*
            pub(super) unsafe fn direct_entry(job: &DirectJob) {
                // SAFETY: see above.
                unsafe { direct::<$simd>(job) }
            }

            /// # Safety
            /// That of [`product`].
            $(#[$attribute])*
            pub(super) unsafe fn product_entry(job: &ProductJob) {
                // SAFETY: see above.
                unsafe { product::<$simd>(job) }
            }

            /// # Safety
            /// That of [`pool`].
            $(#[$attribute])*
            pub(super) unsafe fn pool_entry(job: &PoolJob) {
                // SAFETY: see above.
                unsafe { pool::<$simd>(job) }
            }

            /// # Safety
            /// That of [`input`].
            $(#[$attribute])*
            pub(super) unsafe fn input_entry<T: Transform>(job: &InputJob) {
                // SAFETY: see above.
                unsafe { input::<$simd, T>(job) }
            }

            /// # Safety
            /// That of [`output`].
            $(#[$attribute])*
            pub(super) unsafe fn output_entry<T: Transform>(job: &OutputJob) {
                // SAFETY: see above.
                unsafe { output::<$simd, T, false>(job) }
            }

            /// # Safety
            /// That of [`output`].
            $(#[$attribute])*
            pub(super) unsafe fn output_pooled_entry<T: Transform>(job: &OutputJob) {
                // SAFETY: see above.
                unsafe { output::<$simd, T, true>(job) }
            }
        }
    };
}

entries!(portable, Portable,);
#[cfg(target_arch = "x86_64")]
entries!(avx2, crate::simd::Avx2, #[target_feature(enable = "avx2,fma")]);
