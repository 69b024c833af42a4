//! A network's weights, and the files that they are read from and written to.
//!
//! In: the canonical file, or another program's. Out: the numbers of all convolutions of a network, in
//! order, BatchNorm folded into them. The invariants: all numbers are finite and belong to one network,
//! and the family, which fixes the preprocessing, is known.

mod archive;
mod axes;
mod batch_norm;
mod canonical;
mod find;
mod floats;
mod forms;
mod import;
mod keras;
mod known;
mod load;
mod names;
mod npz;
mod onnx;
mod pickle;
mod pytorch;
mod report;
mod safetensors;
mod source;

use std::fmt;

use durable::Digest;
use recipe::{Family, Recipe, WeightsId};

use crate::{Error, Network};

pub use find::find_weights;
pub use forms::{FORMS, Form};
pub use import::{ImportConfig, Imported, import_weights};
pub use report::{Applied, ImportReport, Use};

/// The numbers of one convolution.
#[derive(Debug, Clone, PartialEq)]
pub struct ConvolutionWeights {
    /// `[out, in, 3, 3]` in C order.
    pub weight: Vec<f32>,
    /// `[out]`.
    pub bias: Vec<f32>,
}

/// The weights of all convolutions of a network. Every number is finite.
#[derive(Clone, PartialEq)]
pub struct Weights {
    network: &'static Network,
    id: WeightsId,
    convolutions: Vec<ConvolutionWeights>,
}

impl Weights {
    /// Weights of a network from finite numbers of the right shapes.
    fn new(
        network: &'static Network,
        family: Family,
        convolutions: Vec<ConvolutionWeights>,
    ) -> Weights {
        let mut hasher = blake3::Hasher::new();
        for convolution in &convolutions {
            hasher.update_rayon(bytemuck::cast_slice(&convolution.weight));
            hasher.update(bytemuck::cast_slice(&convolution.bias));
        }
        let digest = Digest::from(hasher.finalize());
        Weights { network, id: WeightsId { digest, family }, convolutions }
    }

    /// Weights of a network from numbers of the right shapes.
    ///
    /// # Panics
    /// If the numbers are not those of the network's convolutions.
    pub fn of(
        network: &'static Network,
        family: Family,
        convolutions: Vec<ConvolutionWeights>,
    ) -> Weights {
        let layers = network.convolutions();
        assert_eq!(convolutions.len(), layers.len(), "the network's convolutions");
        for (layer, numbers) in layers.iter().zip(&convolutions) {
            let expected: usize = layer.weight_shape().iter().product();
            assert_eq!((numbers.weight.len(), numbers.bias.len()), (expected, layer.out_channels));
        }
        Weights::new(network, family, convolutions)
    }

    /// Checks that they are those that a recipe names.
    ///
    /// # Errors
    /// If they are not.
    pub fn check(&self, recipe: &Recipe) -> Result<(), Error> {
        if self.network.name == recipe.network && self.id == recipe.weights {
            return Ok(());
        }
        Err(Error::OtherWeights {
            expected: recipe.weights,
            expected_network: recipe.network.clone(),
            found: self.id,
            found_network: self.network.name,
        })
    }

    /// The network that they belong to.
    pub fn network(&self) -> &'static Network {
        self.network
    }

    /// The BLAKE3 digest of the numbers, in order and little-endian, and the family.
    pub fn id(&self) -> WeightsId {
        self.id
    }

    /// The family, which fixes the preprocessing.
    pub fn family(&self) -> Family {
        self.id.family
    }

    /// The numbers of each of the network's convolutions, in its order.
    pub fn convolutions(&self) -> &[ConvolutionWeights] {
        &self.convolutions
    }
}

impl fmt::Debug for Weights {
    /// Writes network and identity, without the millions of numbers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("Weights");
        fields.field("network", &self.network.name).field("id", &self.id).finish_non_exhaustive()
    }
}

/// Numbers in files are little-endian, and the code copies them as they are in memory.
const _: () = assert!(cfg!(target_endian = "little"), "weights are stored little-endian");

#[cfg(test)]
mod tests;
