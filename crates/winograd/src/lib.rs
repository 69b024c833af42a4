//! Networks of 3x3 convolutions with stride 1, such as VGG. They are several times as fast as with direct
//! convolution, because Winograd's algorithms take a fraction of the multiplications.
//!
//! In: weights and images. Out: the maps of the tapped layers. All are `f32` in C order. The crate's README
//! has the mathematics, the memory layout and the measurements.
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
//! The modules in reading order. No file imports one of a later group, and no imports form a circle:
//! - [`config`], [`accuracy`], [`error`]: the inputs, and the errors in them;
//! - [`buffer`], [`vector`]: memory and vectors, on top of the crate `kernel-support`;
//! - [`algorithm`]: interpolation points, transforms, tiles;
//! - [`kernel`]: the kernels, generic over the vector, and `isa`, which compiles them for each instruction
//!   set;
//! - [`plan`]: the choice of tiles for each layer, and in `schedule` the division of the work;
//! - [`run`]: the layers' weights, the threads, the forward pass;
//! - [`select`], [`construct`]: the choice of the instruction set, and the construction of a network.

#![allow(rustdoc::private_intra_doc_links)] // The list above is also for readers of the source.

mod accuracy;
mod algorithm;
mod buffer;
mod config;
mod construct;
mod error;
mod kernel;
mod plan;
mod run;
mod select;
mod vector;

#[cfg(test)]
mod tests;

pub use accuracy::{Accuracy, ParseAccuracyError};
pub use algorithm::tile_kind::TileKind;
pub use config::{ConvLayer, NetworkConfig, OutputShape, Pooling, Tap, TapPoint};
pub use error::Error;
#[doc(hidden)] // For the benchmark of the register blocks.
pub use kernel::measure::RegisterBlock;
pub use plan::layers::{LayerPlan, Method, Plan};
pub use run::{clock::LayerTimes, forward::Profile, network::Network};
