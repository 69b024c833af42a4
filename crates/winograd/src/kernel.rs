//! The kernels, which are generic over the vector, the memory layouts that they read and write, and the
//! instruction sets that they are compiled for.

pub(crate) mod feature_map;
pub(crate) mod few_tiles;
pub(crate) mod filter_transform;
pub(crate) mod first_layer;
pub(crate) mod global_pool;
pub(crate) mod isa;
pub(crate) mod max_pool;
pub(crate) mod measure;
pub(crate) mod microkernel;
pub(crate) mod output;
pub(crate) mod product;
pub(crate) mod strassen;
pub(crate) mod tile_slots;
pub(crate) mod tile_transform;

#[cfg(test)]
mod tests;
