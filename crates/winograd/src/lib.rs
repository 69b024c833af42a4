//! Networks of 3x3 convolutions, stride 1, such as VGG: several times as fast as direct
//! convolution, because each costs a fraction of the multiplications.
//!
//! Weights and images go in, the maps of the tapped layers come out; all in `f32`, all in C order. The
//! crate's README has the mathematics, the memory layout and the measurements.
//!
//! ```
//! use winograd::{Accuracy, ConvLayer, Network, NetworkConfig, Pooling, Tap, TapPoint};
//!
//! let (weight, bias) = (vec![0.1; 8 * 3 * 9], vec![0.0; 8]);
//! let layers = [ConvLayer {
//!     in_channels: 3,
//!     out_channels: 8,
//!     weight: &weight,
//!     bias: &bias,
//!     max_pool: true,
//! }];
//! let config = NetworkConfig {
//!     height: 32,
//!     width: 48,
//!     batch_size: 4,
//!     threads: 2,
//!     accuracy: Accuracy::Fast,
//! };
//! let pooled = Tap { layer: 0, at: TapPoint::AfterPool, pooling: Pooling::None };
//! let mean = Tap { layer: 0, at: TapPoint::AfterRelu, pooling: Pooling::Avg };
//! let mut network = Network::new(&layers, &[pooled, mean], &config)?;
//! assert_eq!(network.output_shapes()[0].size, Some((16, 24)));
//! assert_eq!(network.output_shapes()[1].size, None);
//!
//! let images = vec![1.0; 2 * 3 * 32 * 48];
//! let (mut pooled, mut means) = (vec![0.0; 2 * 8 * 16 * 24], vec![0.0; 2 * 8]);
//! network.forward(&images, &mut [&mut pooled, &mut means])?;
//! # Ok::<(), winograd::Error>(())
//! ```
//!
//! In reading order:
//! - [`points`], [`transform`], [`kind`]: the algorithms;
//! - [`simd`], [`slots`], [`tile`], [`microkernel`], [`product`], [`strassen`], [`rows`], [`pool`]: the
//!   kernels, generic over the vector, [`isa`], which compiles them for each instruction set, and
//!   [`self_check`];
//! - [`buffer`], [`activation`], [`weights`]: the memory;
//! - [`plan`], [`schedule`], [`team`], [`help`], [`layer`], [`network`]: which layer does
//!   what, on which thread.

#![allow(rustdoc::private_intra_doc_links)] // The map above is for readers of the source, too.

mod accuracy;
mod activation;
mod buffer;
mod clock;
mod config;
mod error;
mod help;
mod isa;
mod kind;
mod layer;
mod microkernel;
mod network;
mod output;
mod plan;
mod points;
mod pool;
mod product;
mod rows;
mod schedule;
#[cfg(any(test, target_arch = "x86_64"))]
mod self_check;
mod simd;
mod slots;
mod strassen;
mod team;
mod tile;
mod transform;
mod weights;

#[cfg(test)]
mod tests;

pub use accuracy::{Accuracy, ParseAccuracyError};
pub use clock::LayerTimes;
pub use config::{ConvLayer, NetworkConfig, OutputShape, Pooling, Tap, TapPoint};
pub use error::Error;
pub use kind::TileKind;
pub use network::{Network, Profile};
pub use plan::{LayerPlan, Method, Plan};
