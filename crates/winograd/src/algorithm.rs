//! The mathematics of a tile: interpolation points, one-dimensional transforms, and the tile kinds.

pub(crate) mod points;
pub(crate) mod tile_kind;
pub(crate) mod transform;
