//! The tile kinds as values, from which the planner chooses.

use std::fmt;

use crate::algorithm::{
    points::{P2, P3, P4, P5, P6, P7, P8},
    transform::{MAX_SIDE, ToomCook, Transform, Z3},
};

/// A kind of tile: the number of outputs that are computed at a time, and the algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TileKind {
    /// 2x2 outputs from 4x4 products, for the smallest maps.
    F2,
    /// 3x3 outputs from 5x5 products.
    F3,
    /// 4x4 outputs from 6x6 products.
    F4,
    /// 5x5 outputs from 7x7 products.
    F5,
    /// 6x6 outputs from 8x8 products.
    F6,
    /// 7x7 outputs from 9x9 products.
    F7,
    /// 8x8 outputs from 10x10 products.
    F8,
    /// A whole 3x3 map from 4x4 products.
    Z3,
}

/// Evaluates an expression with `$transform` standing for the kind's [`Transform`].
macro_rules! with_transform {
    ($kind:expr, $transform:ident => $body:expr) => {
        match $kind {
            $crate::algorithm::tile_kind::TileKind::F2 => {
                type $transform =
                    $crate::algorithm::transform::ToomCook<$crate::algorithm::points::P2>;
                $body
            }
            $crate::algorithm::tile_kind::TileKind::F3 => {
                type $transform =
                    $crate::algorithm::transform::ToomCook<$crate::algorithm::points::P3>;
                $body
            }
            $crate::algorithm::tile_kind::TileKind::F4 => {
                type $transform =
                    $crate::algorithm::transform::ToomCook<$crate::algorithm::points::P4>;
                $body
            }
            $crate::algorithm::tile_kind::TileKind::F5 => {
                type $transform =
                    $crate::algorithm::transform::ToomCook<$crate::algorithm::points::P5>;
                $body
            }
            $crate::algorithm::tile_kind::TileKind::F6 => {
                type $transform =
                    $crate::algorithm::transform::ToomCook<$crate::algorithm::points::P6>;
                $body
            }
            $crate::algorithm::tile_kind::TileKind::F7 => {
                type $transform =
                    $crate::algorithm::transform::ToomCook<$crate::algorithm::points::P7>;
                $body
            }
            $crate::algorithm::tile_kind::TileKind::F8 => {
                type $transform =
                    $crate::algorithm::transform::ToomCook<$crate::algorithm::points::P8>;
                $body
            }
            $crate::algorithm::tile_kind::TileKind::Z3 => {
                type $transform = $crate::algorithm::transform::Z3;
                $body
            }
        }
    };
}
pub(crate) use with_transform;

impl TileKind {
    /// All kinds.
    pub const ALL: [TileKind; 8] = [
        TileKind::F2,
        TileKind::F3,
        TileKind::F4,
        TileKind::F5,
        TileKind::F6,
        TileKind::F7,
        TileKind::F8,
        TileKind::Z3,
    ];

    /// The number of outputs per side.
    pub fn outputs(self) -> usize {
        with_transform!(self, T => T::M)
    }

    /// The number of products per side.
    pub fn products(self) -> usize {
        with_transform!(self, T => T::A)
    }

    /// The numbers of rows and columns of a frame, including its border, that holds the inputs of all tiles
    /// that cover a map of this size.
    pub(crate) fn frame(self, height: usize, width: usize) -> (usize, usize) {
        with_transform!(self, T => {
            let side = |pixels: usize| (pixels.div_ceil(T::M) - 1) * T::M + T::OFFSET + T::INPUTS;
            (side(height), side(width))
        })
    }
}

impl fmt::Display for TileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            TileKind::F2 => "F2",
            TileKind::F3 => "F3",
            TileKind::F4 => "F4",
            TileKind::F5 => "F5",
            TileKind::F6 => "F6",
            TileKind::F7 => "F7",
            TileKind::F8 => "F8",
            TileKind::Z3 => "Z3",
        })
    }
}

// Every transform fits into the arrays that the kernels have for a side.
const _: () = {
    assert!(ToomCook::<P2>::A <= MAX_SIDE && ToomCook::<P2>::M == 2);
    assert!(ToomCook::<P3>::A <= MAX_SIDE && ToomCook::<P3>::M == 3);
    assert!(ToomCook::<P4>::A <= MAX_SIDE && ToomCook::<P4>::M == 4);
    assert!(ToomCook::<P5>::A <= MAX_SIDE && ToomCook::<P5>::M == 5);
    assert!(ToomCook::<P6>::A <= MAX_SIDE && ToomCook::<P6>::M == 6);
    assert!(ToomCook::<P7>::A <= MAX_SIDE && ToomCook::<P7>::M == 7);
    assert!(ToomCook::<P8>::A <= MAX_SIDE && ToomCook::<P8>::M == 8);
    assert!(Z3::A <= MAX_SIDE);
};
