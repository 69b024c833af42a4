//! The instruction sets: which of them this machine has, and the kernels compiled for each.
//!
//! Each entry below is one kernel for one instruction set. The attribute on the entry enables the
//! instructions for everything that is inlined into it, so no compiler flag is needed.

#![allow(unsafe_code)] // Entries are unsafe: their instructions must exist.

use std::ops::Range;

use crate::{
    item::{Context, run_item},
    layout::Layout,
    phase::Phase,
    rows::Row,
    simd::{PORTABLE_FUSES, Portable},
    sparse::gather,
    workspace::RowLists,
};

/// An instruction set that the kernels are compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isa {
    /// Whatever the compiler's target has.
    Portable,
    /// AVX2, FMA and POPCNT.
    #[cfg(target_arch = "x86_64")]
    Avx2,
}

/// See [`gather`].
type Gather = unsafe fn(&Layout, Row<'_>, Option<Row<'_>>, usize, Range<usize>, &RowLists) -> bool;

/// The kernels. Call them only on a machine that has the instruction set of [`Isa::detect`].
#[derive(Clone, Copy)]
pub(crate) struct Kernels {
    pub(crate) gather: Gather,
    pub(crate) run_item: unsafe fn(&Context<'_>, Phase, usize, usize),
}

impl Isa {
    /// The best that this machine has.
    pub(crate) fn detect() -> Isa {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("popcnt")
        {
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

    /// See [`crate::numerics`]. Every change that gives some head other bits raises the number in
    /// both names; a test holds the bits.
    pub(crate) fn numerics(self) -> &'static str {
        match self {
            Isa::Portable if !PORTABLE_FUSES => "fused2-no-fma",
            _ => "fused2",
        }
    }

    pub(crate) fn kernels(self) -> Kernels {
        match self {
            Isa::Portable => {
                Kernels { gather: portable::gather_entry, run_item: portable::run_item_entry }
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => Kernels { gather: avx2::gather_entry, run_item: avx2::run_item_entry },
        }
    }
}

/// A module with one entry per kernel, for the vector type `$simd`.
macro_rules! entries {
    ($module:ident, $simd:ty, $(#[$attribute:meta])*) => {
        mod $module {
            use super::*;

            // SAFETY of all entries: the caller's promises are passed on, that of the instruction
            // set among them.

            /// # Safety
            /// That of [`gather`].
            $(#[$attribute])*
            pub(super) unsafe fn gather_entry(
                layout: &Layout,
                content: Row<'_>,
                next: Option<Row<'_>>,
                row: usize,
                blocks: Range<usize>,
                lists: &RowLists,
            ) -> bool {
                // SAFETY: see above.
                unsafe { gather::<$simd>(layout, content, next, row, blocks, lists) }
            }

            /// # Safety
            /// That of [`run_item`].
            $(#[$attribute])*
            pub(super) unsafe fn run_item_entry(
                context: &Context<'_>,
                phase: Phase,
                item: usize,
                items: usize,
            ) {
                // SAFETY: see above.
                unsafe { run_item::<$simd>(context, phase, item, items) }
            }
        }
    };
}

entries!(portable, Portable,);
#[cfg(target_arch = "x86_64")]
entries!(avx2, crate::simd::Avx2, #[target_feature(enable = "avx2,fma,popcnt")]);
