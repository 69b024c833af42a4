//! The instruction sets, and the kernels compiled for each.
//!
//! Each entry below is one kernel for one instruction set. The attribute on the entry enables the
//! instructions for everything that is inlined into it, so no compiler flag is needed.

#![allow(unsafe_code)] // Entries are unsafe: their instructions must exist.

#[cfg(target_arch = "x86_64")]
use crate::vector::{Avx2, Avx512};
use crate::{
    algorithm::{
        tile_kind::{TileKind, with_transform},
        transform::Transform,
    },
    kernel::{
        few_tiles::{ChunkJob, TileJob, chunk, finish, one_tile},
        filter_transform::{FilterJob, strassen as strassen_filters, transform},
        first_layer::{FirstLayerJob, first_layer},
        global_pool::{self, RowJob, fold_row},
        max_pool::{PoolJob, pool},
        measure::Measured,
        microkernel::{Block, Panel, block, multiply_adds},
        output::{OutputItem, write},
        product::{ProductJob, product},
        strassen::{left, strassen},
        tile_transform::{InputJob, OutputJob, input, output},
    },
    vector::{Pair, Portable},
};

/// An instruction set that the kernels are compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isa {
    /// The instructions of the compiler's target.
    Portable,
    /// The same instructions in vectors of sixteen, as for AVX-512.
    #[cfg(test)]
    PortableWide,
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512F.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// The kernels that do not depend on the tile. They may be called only on a machine with their
/// instruction set.
#[derive(Clone, Copy)]
pub(crate) struct Kernels {
    pub(crate) first_layer: unsafe fn(&FirstLayerJob),
    pub(crate) product: unsafe fn(&ProductJob),
    pub(crate) strassen: unsafe fn(&ProductJob),
    pub(crate) strassen_left: unsafe fn(&ProductJob),
    pub(crate) chunk: unsafe fn(&ChunkJob<'_>),
    pub(crate) finish: unsafe fn(&ChunkJob<'_>, usize, usize),
    pub(crate) pool: unsafe fn(&PoolJob),
    pub(crate) fold_row: unsafe fn(&RowJob),
    pub(crate) global_pool: unsafe fn(&global_pool::PoolJob),
    pub(crate) write_output: unsafe fn(&OutputItem),
}

/// The kernels of one tile kind. They may be called only on a machine with their instruction set.
#[derive(Clone, Copy)]
pub(crate) struct TileKernels {
    pub(crate) input: unsafe fn(&InputJob),
    pub(crate) output: unsafe fn(&OutputJob),
    /// The transform back with a pool, for even tiles only.
    pub(crate) output_pooled: unsafe fn(&OutputJob),
    /// The transform of filters, and that with Strassen's sums.
    pub(crate) filters: unsafe fn(&FilterJob),
    pub(crate) strassen_filters: unsafe fn(&FilterJob),
    /// The products of a single tile.
    pub(crate) one_tile: unsafe fn(&TileJob),
    /// The two above, for layers that are tapped.
    pub(crate) tapped_output: unsafe fn(&OutputJob),
    pub(crate) tapped_output_pooled: unsafe fn(&OutputJob),
}

impl Isa {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Isa::Portable => "portable",
            #[cfg(test)]
            Isa::PortableWide => "portable, wide",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => "avx512",
        }
    }

    pub(crate) fn kernels(self) -> Kernels {
        match self {
            Isa::Portable => portable::KERNELS,
            #[cfg(test)]
            Isa::PortableWide => portable_wide::KERNELS,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => avx2::KERNELS,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => avx512::KERNELS,
        }
    }

    /// The kernels that are measured by themselves.
    pub(crate) fn measured(self) -> Measured {
        match self {
            Isa::Portable => portable::MEASURED,
            #[cfg(test)]
            Isa::PortableWide => portable_wide::MEASURED,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => avx2::MEASURED,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => avx512::MEASURED,
        }
    }

    pub(crate) fn tile_kernels(self, kind: TileKind) -> TileKernels {
        with_transform!(kind, T => match self {
            Isa::Portable => portable::tile_kernels::<T>(),
            #[cfg(test)]
            Isa::PortableWide => portable_wide::tile_kernels::<T>(),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => avx2::tile_kernels::<T>(),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => avx512::tile_kernels::<T>(),
        })
    }
}

/// A module with one entry per kernel, for the vector type `$simd` and the panel type `$panel`.
macro_rules! entries {
    ($module:ident, $simd:ty, $panel:ty, $(#[$attribute:meta])*) => {
        mod $module {
            use super::*;

            pub(super) const KERNELS: Kernels = Kernels {
                first_layer: first_layer_entry,
                product: product_entry,
                strassen: strassen_entry,
                strassen_left: strassen_left_entry,
                chunk: chunk_entry,
                finish: finish_entry,
                pool: pool_entry,
                fold_row: fold_row_entry,
                global_pool: global_pool_entry,
                write_output: write_output_entry,
            };

            pub(super) const MEASURED: Measured = Measured {
                blocks: BLOCKS.split_at(<$panel as Panel>::ROWS).0,
                peak: peak_entry,
            };

            const BLOCKS: &[unsafe fn(Block<'_>)] = &[
                block_entry::<1>,
                block_entry::<2>,
                block_entry::<3>,
                block_entry::<4>,
                block_entry::<5>,
                block_entry::<6>,
                block_entry::<7>,
                block_entry::<8>,
            ];

            pub(super) fn tile_kernels<T: Transform>() -> TileKernels {
                let output: unsafe fn(&OutputJob) = output_entry::<T, false, false>;
                let tapped_output: unsafe fn(&OutputJob) = output_entry::<T, false, true>;
                // Kernels with a pool are not even compiled for odd tiles.
                let (output_pooled, tapped_output_pooled) = if T::M % 2 == 0 {
                    (output_entry::<T, true, false> as _, output_entry::<T, true, true> as _)
                } else {
                    (output, tapped_output)
                };
                let input = input_entry::<T>;
                TileKernels {
                    input,
                    output,
                    output_pooled,
                    tapped_output,
                    tapped_output_pooled,
                    filters: filters_entry::<T>,
                    strassen_filters: strassen_filters_entry::<T>,
                    one_tile: one_tile_entry::<T>,
                }
            }

            // SAFETY of all entries: the caller's promises are passed on, that of the instruction
            // set among them.

            /// # Safety
            /// That of [`block`].
            $(#[$attribute])*
            unsafe fn block_entry<const ROWS: usize>(job: Block<'_>) {
                // SAFETY: see above.
                unsafe { block::<$panel, ROWS>(job) }
            }

            /// # Safety
            /// That of [`multiply_adds`].
            $(#[$attribute])*
            unsafe fn peak_entry(count: usize) -> usize {
                // SAFETY: see above.
                unsafe { multiply_adds::<$panel, { <$panel as Panel>::ROWS }>(count) }
            }

            /// # Safety
            /// That of [`first_layer`].
            $(#[$attribute])*
            unsafe fn first_layer_entry(job: &FirstLayerJob) {
                // SAFETY: see above.
                unsafe { first_layer::<$panel>(job) }
            }

            /// # Safety
            /// That of [`product`].
            $(#[$attribute])*
            unsafe fn product_entry(job: &ProductJob) {
                // SAFETY: see above.
                unsafe { product::<$panel>(job) }
            }

            /// # Safety
            /// That of [`strassen`].
            $(#[$attribute])*
            unsafe fn strassen_entry(job: &ProductJob) {
                // SAFETY: see above.
                unsafe { strassen::<$simd, $panel>(job) }
            }

            /// # Safety
            /// That of [`left`].
            $(#[$attribute])*
            unsafe fn strassen_left_entry(job: &ProductJob) {
                // SAFETY: see above.
                unsafe { left::<$simd>(job) }
            }

            /// # Safety
            /// That of [`chunk`].
            $(#[$attribute])*
            unsafe fn chunk_entry(job: &ChunkJob<'_>) {
                // SAFETY: see above.
                unsafe { chunk::<$panel>(job) }
            }

            /// # Safety
            /// That of [`finish`].
            $(#[$attribute])*
            unsafe fn finish_entry(job: &ChunkJob<'_>, column: usize, stride: usize) {
                // SAFETY: see above.
                unsafe { finish::<$panel>(job, column, stride) }
            }

            /// # Safety
            /// That of [`pool`].
            $(#[$attribute])*
            unsafe fn pool_entry(job: &PoolJob) {
                // SAFETY: see above.
                unsafe { pool::<$simd>(job) }
            }

            /// # Safety
            /// That of [`fold_row`].
            $(#[$attribute])*
            unsafe fn fold_row_entry(job: &RowJob) {
                // SAFETY: see above.
                unsafe { fold_row::<$simd>(job) }
            }

            /// # Safety
            /// That of [`global_pool::pool`].
            $(#[$attribute])*
            unsafe fn global_pool_entry(job: &global_pool::PoolJob) {
                // SAFETY: see above.
                unsafe { global_pool::pool(job) }
            }

            /// # Safety
            /// That of [`write`].
            $(#[$attribute])*
            unsafe fn write_output_entry(item: &OutputItem) {
                // SAFETY: see above.
                unsafe { write::<$simd>(item) }
            }

            /// # Safety
            /// That of [`input`].
            $(#[$attribute])*
            unsafe fn input_entry<T: Transform>(job: &InputJob) {
                // SAFETY: see above.
                unsafe { input::<$simd, T>(job) }
            }

            /// # Safety
            /// That of [`output`].
            $(#[$attribute])*
            unsafe fn output_entry<T: Transform, const POOL: bool, const TAPPED: bool>(
                job: &OutputJob,
            ) {
                // SAFETY: see above.
                unsafe { output::<$simd, T, POOL, TAPPED>(job) }
            }

            /// # Safety
            /// That of [`one_tile`].
            $(#[$attribute])*
            unsafe fn one_tile_entry<T: Transform>(job: &TileJob) {
                // SAFETY: see above.
                unsafe { one_tile::<$panel, T>(job) }
            }

            /// # Safety
            /// That of [`transform`].
            $(#[$attribute])*
            unsafe fn filters_entry<T: Transform>(job: &FilterJob) {
                // SAFETY: see above.
                unsafe { transform::<$panel, T>(job) }
            }

            /// # Safety
            /// That of [`strassen_filters`].
            $(#[$attribute])*
            unsafe fn strassen_filters_entry<T: Transform>(job: &FilterJob) {
                // SAFETY: see above.
                unsafe { strassen_filters::<$panel, T>(job) }
            }
        }
    };
}

entries!(portable, Portable<8>, Pair<Portable<8>>,);
#[cfg(test)]
entries!(portable_wide, Portable<16>, Portable<16>,);
#[cfg(target_arch = "x86_64")]
entries!(avx2, Avx2, Pair<Avx2>, #[target_feature(enable = "avx2,fma")]);
#[cfg(target_arch = "x86_64")]
entries!(avx512, Avx512, Avx512, #[target_feature(enable = "avx512f,avx2,fma")]);
