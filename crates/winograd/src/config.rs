//! The inputs of a [`Network`](crate::Network): its layers, its outputs, and the form of the images that it
//! is planned for. Everything is checked here, before any work starts.

use crate::{accuracy::Accuracy, error::Error};

/// The number of channels of an image.
pub(crate) const IMAGE_CHANNELS: usize = 3;

/// A 3x3 convolution with stride 1 and zero padding of 1, its bias, a ReLU, and optionally a max pool.
#[derive(Debug, Clone, Copy)]
pub struct ConvLayer<'a> {
    /// The number of input channels: 3 for the first layer, the output channels of the layer before for
    /// the others.
    pub in_channels: usize,
    /// The number of output channels.
    pub out_channels: usize,
    /// `[out_channels, in_channels, 3, 3]`
    pub weight: &'a [f32],
    /// `[out_channels]`
    pub bias: &'a [f32],
    /// Whether a 2x2 max pool with stride 2 follows the ReLU. It drops an odd last row and column.
    pub max_pool: bool,
}

/// The sizes, the threads and the accuracy that a network is planned for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetworkConfig {
    /// Height of the images, in pixels.
    pub height: usize,
    /// Width of the images, in pixels.
    pub width: usize,
    /// Largest number of images in one call.
    pub batch_size: usize,
    /// Number of threads of a forward pass, including the calling one.
    pub threads: usize,
    /// Bound on the rounding error of the results.
    pub accuracy: Accuracy,
}

/// One output of a network: the map of a layer, whole or pooled to one value per channel.
///
/// Its values depend on the layers, the size of the images and the accuracy, but not on the other taps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tap {
    /// Index of the layer, from 0.
    pub layer: usize,
    /// The point of the layer, before or after its pool.
    pub at: TapPoint,
    /// Global pooling over height and width.
    pub pooling: Pooling,
}

/// A point of a layer at which its map can be tapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TapPoint {
    /// After the ReLU, before any 2x2 pool.
    AfterRelu,
    /// After the 2x2 pool, in layers that have one.
    AfterPool,
}

/// Global pooling of a map over its height and width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Pooling {
    /// The whole map, `[n, channels, height, width]`.
    #[default]
    None,
    /// The largest value of each channel, `[n, channels]`; NaN if one of the values is.
    Max,
    /// The mean of each channel, `[n, channels]`, as torch's `adaptive_avg_pool2d` to 1x1. The values of a
    /// part of the map are added in float32, row by row, and the sums of the parts in float64, in their
    /// order. The parts are the layer's tiles, or rows in the first layer and after a pool of odd tiles.
    Avg,
}

impl Tap {
    /// The default output of a network: its last layer after the ReLU, without pooling.
    pub fn last(layers: &[ConvLayer<'_>]) -> Tap {
        let layer = layers.len().saturating_sub(1);
        Tap { layer, at: TapPoint::AfterRelu, pooling: Pooling::None }
    }
}

/// The shape of one output, for one image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OutputShape {
    /// Channels of the tapped layer.
    pub channels: usize,
    /// Height and width of the map; `None` if it is pooled globally.
    pub size: Option<(usize, usize)>,
}

impl OutputShape {
    /// The number of values of one image, at least 1.
    #[allow(clippy::len_without_is_empty)] // Never empty.
    pub fn len(&self) -> usize {
        let (height, width) = self.size.unwrap_or((1, 1));
        self.channels * height * width
    }
}

/// Checks layers, taps and configuration.
pub(crate) fn check(
    layers: &[ConvLayer<'_>],
    taps: &[Tap],
    config: &NetworkConfig,
) -> Result<(), Error> {
    for (field, value) in [("batch_size", config.batch_size), ("threads", config.threads)] {
        if value == 0 {
            return Err(Error::Zero { field });
        }
    }
    check_layers(layers)?;
    check_taps(layers, taps)?;
    let (mut height, mut width) = (config.height, config.width);
    for index in 0..layer_count(taps) {
        if pools(layers, taps, index) {
            (height, width) = (height / 2, width / 2);
        }
        if height == 0 || width == 0 {
            let (height, width) = (config.height, config.width);
            return Err(Error::EmptyMap { layer: index, height, width });
        }
    }
    Ok(())
}

fn check_layers(layers: &[ConvLayer<'_>]) -> Result<(), Error> {
    let first = layers.first().ok_or(Error::NoLayers)?;
    if first.in_channels != IMAGE_CHANNELS {
        return Err(Error::ImageChannels { actual: first.in_channels });
    }
    let mut channels = IMAGE_CHANNELS;
    for (index, layer) in layers.iter().enumerate() {
        if layer.in_channels != channels {
            let actual = layer.in_channels;
            return Err(Error::ChannelMismatch { layer: index, expected: channels, actual });
        }
        channels = layer.out_channels;
        if channels == 0 {
            return Err(Error::NoChannels { layer: index });
        }
        let expected = layer.out_channels * layer.in_channels * 9;
        if layer.weight.len() != expected {
            let actual = layer.weight.len();
            return Err(Error::WeightLength { layer: index, expected, actual });
        }
        if layer.bias.len() != layer.out_channels {
            let (expected, actual) = (layer.out_channels, layer.bias.len());
            return Err(Error::BiasLength { layer: index, expected, actual });
        }
    }
    Ok(())
}

fn check_taps(layers: &[ConvLayer<'_>], taps: &[Tap]) -> Result<(), Error> {
    if taps.is_empty() {
        return Err(Error::NoTaps);
    }
    for (index, tap) in taps.iter().enumerate() {
        let Some(layer) = layers.get(tap.layer) else {
            return Err(Error::TapLayer { tap: index, layer: tap.layer, layers: layers.len() });
        };
        if tap.at == TapPoint::AfterPool && !layer.max_pool {
            return Err(Error::TapPool { tap: index, layer: tap.layer });
        }
    }
    Ok(())
}

/// The number of layers that have to be run for the taps.
pub(crate) fn layer_count(taps: &[Tap]) -> usize {
    taps.iter().map(|tap| tap.layer + 1).max().unwrap_or(0)
}

/// Whether the pool of a layer has to be run, because the next layer or a tap reads its result.
pub(crate) fn pools(layers: &[ConvLayer<'_>], taps: &[Tap], layer: usize) -> bool {
    let read = layer + 1 < layer_count(taps);
    layers[layer].max_pool && (read || is_tapped(taps, layer, TapPoint::AfterPool))
}

/// Whether a layer is tapped at this point.
pub(crate) fn is_tapped(taps: &[Tap], layer: usize, at: TapPoint) -> bool {
    taps.iter().any(|tap| tap.layer == layer && tap.at == at)
}
