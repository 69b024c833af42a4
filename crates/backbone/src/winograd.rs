//! The forward pass by the `winograd` crate.

use winograd::{Accuracy, ConvLayer, Network, NetworkConfig};

use crate::{Backbone, BackboneConfig, Error, Weights};

/// The forward pass by the `winograd` crate.
pub(crate) struct WinogradBackbone(Network);

impl WinogradBackbone {
    /// Plans the network and transforms the weights, which takes about a second.
    pub(crate) fn new(
        weights: &Weights,
        config: &BackboneConfig,
        accuracy: Accuracy,
    ) -> Result<WinogradBackbone, Error> {
        let convolutions = weights.network().convolutions();
        let last = convolutions.len() - 1;
        let layers: Vec<ConvLayer<'_>> = convolutions
            .iter()
            .zip(weights.convolutions())
            .enumerate()
            .map(|(index, (layer, numbers))| ConvLayer {
                in_channels: layer.in_channels,
                out_channels: layer.out_channels,
                weight: &numbers.weight,
                bias: &numbers.bias,
                max_pool: layer.max_pool && index < last,
            })
            .collect();
        let config = NetworkConfig {
            height: config.size.height,
            width: config.size.width,
            batch_size: config.batch_size,
            threads: config.threads,
            accuracy,
        };
        Ok(WinogradBackbone(Network::new(&layers, &config)?))
    }
}

impl Backbone for WinogradBackbone {
    fn forward(&mut self, images: &[f32], features: &mut [f32]) -> Result<(), Error> {
        Ok(self.0.forward(images, features)?)
    }
}
