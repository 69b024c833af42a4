//! Execution: a network's memory, its threads, and the forward pass.

pub(crate) mod bands;
pub(crate) mod chain;
pub(crate) mod clock;
pub(crate) mod execute;
pub(crate) mod few_tiles;
pub(crate) mod forward;
pub(crate) mod layer;
pub(crate) mod network;
pub(crate) mod taps;
pub(crate) mod team;
pub(crate) mod weights;
pub(crate) mod winograd_layer;
pub(crate) mod work_stealing;

/// Iterations of a spin loop before a waiting thread yields its core: some 50 µs, the usual difference
/// between the arrivals of threads with equal work.
pub(crate) const SPINS: u32 = 1 << 10;
