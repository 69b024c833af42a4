//! The forward pass by the crate `winograd`.

use recipe::{Pooling, Recipe};
use winograd::{Accuracy, ConvLayer, Network, NetworkConfig, Tap, TapPoint};

use super::{Extractor, ExtractorConfig, ResolvedTap};
use crate::{Error, Weights};

/// The forward pass by the crate `winograd`.
pub(super) struct Winograd(Network);

impl Winograd {
    /// Plans the network and transforms the weights, which takes about a second.
    pub(super) fn new(
        recipe: &Recipe,
        weights: &Weights,
        taps: &[ResolvedTap],
        config: &ExtractorConfig,
        accuracy: Accuracy,
    ) -> Result<Winograd, Error> {
        let convolutions = weights.network().convolutions();
        let layers: Vec<ConvLayer<'_>> = convolutions
            .iter()
            .zip(weights.convolutions())
            .map(|(layer, numbers)| ConvLayer {
                in_channels: layer.in_channels,
                out_channels: layer.out_channels,
                weight: &numbers.weight,
                bias: &numbers.bias,
                max_pool: layer.max_pool,
            })
            .collect();
        let taps: Vec<Tap> = taps
            .iter()
            .map(|tap| Tap {
                layer: tap.layer.convolution,
                at: if tap.layer.max_pool { TapPoint::AfterPool } else { TapPoint::AfterRelu },
                pooling: match tap.pooling {
                    Pooling::None => winograd::Pooling::None,
                    Pooling::Max => winograd::Pooling::Max,
                    Pooling::Avg => winograd::Pooling::Avg,
                },
            })
            .collect();
        let config = NetworkConfig {
            height: recipe.image.height,
            width: recipe.image.width,
            batch_size: config.batch_size,
            threads: config.threads,
            accuracy,
        };
        Ok(Winograd(Network::new(&layers, &taps, &config)?))
    }
}

impl Extractor for Winograd {
    fn forward(&mut self, images: &[f32], features: &mut [&mut [f32]]) -> Result<(), Error> {
        Ok(self.0.forward(images, features)?)
    }
}
