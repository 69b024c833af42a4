//! What can be wrong with a network or with a call. Everything is checked before any work starts, so
//! the kernels below never see a length that does not fit.

/// Why a network could not be planned, or a forward pass not be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A network needs at least one layer.
    #[error("the network has no layers")]
    NoLayers,
    /// The first layer reads images, which have three channels.
    #[error("the first layer must have 3 input channels, it has {actual}")]
    ImageChannels {
        /// Input channels of the first layer.
        actual: usize,
    },
    /// A layer does not take what the layer before it gives.
    #[error("layer {layer} takes {actual} channels, but the layer before it gives {expected}")]
    ChannelMismatch {
        /// Index of the layer, from 0.
        layer: usize,
        /// Output channels of the layer before.
        expected: usize,
        /// Input channels of this layer.
        actual: usize,
    },
    /// A layer without output channels.
    #[error("layer {layer} has no output channels")]
    NoChannels {
        /// Index of the layer, from 0.
        layer: usize,
    },
    /// Weights are `[out_channels, in_channels, 3, 3]`.
    #[error("layer {layer} needs {expected} weights, {actual} were given")]
    WeightLength {
        /// Index of the layer, from 0.
        layer: usize,
        /// `out_channels * in_channels * 9`.
        expected: usize,
        /// Length of the slice.
        actual: usize,
    },
    /// Biases are `[out_channels]`.
    #[error("layer {layer} needs {expected} biases, {actual} were given")]
    BiasLength {
        /// Index of the layer, from 0.
        layer: usize,
        /// `out_channels`.
        expected: usize,
        /// Length of the slice.
        actual: usize,
    },
    /// The images are so small that the pools leave nothing of them.
    #[error("images of {height}x{width} pixels vanish in layer {layer}")]
    EmptyMap {
        /// Index of the first layer without any output.
        layer: usize,
        /// Height of the images.
        height: usize,
        /// Width of the images.
        width: usize,
    },
    /// Batch size and thread count must be at least 1.
    #[error("{field} must be at least 1")]
    Zero {
        /// Which field of the configuration.
        field: &'static str,
    },
    /// The input is not a whole number of images, or none at all.
    #[error("{actual} values are not a positive number of images of {image} values each")]
    InputLength {
        /// Values in one image, `3 * height * width`.
        image: usize,
        /// Length of the slice.
        actual: usize,
    },
    /// More images than the network was planned for.
    #[error("{images} images in one call, the network was planned for at most {batch_size}")]
    BatchTooLarge {
        /// Images in the call.
        images: usize,
        /// The largest batch, from the configuration.
        batch_size: usize,
    },
    /// The output slice does not fit the images.
    #[error("the output needs {expected} values, the slice has {actual}")]
    OutputLength {
        /// `n * channels * height * width` of the output.
        expected: usize,
        /// Length of the slice.
        actual: usize,
    },
}
