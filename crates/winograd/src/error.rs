//! Errors in the description of a network or in a call. Everything is checked before any work starts, so
//! the kernels never see a wrong length.

/// The reason why a network cannot be planned or a forward pass cannot be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A network needs at least one layer.
    #[error("the network has no layers")]
    NoLayers,
    /// The first layer reads images, which have three channels.
    #[error("the first layer has {actual} input channels, expected 3")]
    ImageChannels {
        /// The first layer's number of input channels.
        actual: usize,
    },
    /// A layer has another number of input channels than the layer before it has output channels.
    #[error(
        "layer {layer} has {actual} input channels, expected the {expected} output channels of the \
         layer before it"
    )]
    ChannelMismatch {
        /// Index of the layer, from 0.
        layer: usize,
        /// The number of output channels of the layer before.
        expected: usize,
        /// The number of input channels of this layer.
        actual: usize,
    },
    /// A layer without output channels.
    #[error("layer {layer} has no output channels, expected at least one")]
    NoChannels {
        /// Index of the layer, from 0.
        layer: usize,
    },
    /// A slice of weights, `[out_channels, in_channels, 3, 3]`, of the wrong length.
    #[error("layer {layer} has {actual} weights, expected {expected}")]
    WeightLength {
        /// Index of the layer, from 0.
        layer: usize,
        /// `out_channels * in_channels * 9`.
        expected: usize,
        /// Length of the slice.
        actual: usize,
    },
    /// A slice of biases, `[out_channels]`, of the wrong length.
    #[error("layer {layer} has {actual} biases, expected {expected}")]
    BiasLength {
        /// Index of the layer, from 0.
        layer: usize,
        /// `out_channels`.
        expected: usize,
        /// Length of the slice.
        actual: usize,
    },
    /// The images are so small that the pools leave nothing of them.
    #[error(
        "images of {height}x{width} pixels are too small: the pools leave nothing of them in layer \
         {layer}"
    )]
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
        /// The name of the field of the configuration.
        field: &'static str,
    },
    /// The input is not a whole number of images, or the slice is empty.
    #[error("the input has {actual} values, expected a positive multiple of an image's {image}")]
    InputLength {
        /// The number of values of one image, `3 * height * width`.
        image: usize,
        /// Length of the slice.
        actual: usize,
    },
    /// More images than the network was planned for.
    #[error("the input has {images} images, expected at most the batch size of {batch_size}")]
    BatchTooLarge {
        /// The number of images in the call.
        images: usize,
        /// The batch size of the configuration.
        batch_size: usize,
    },
    /// A network needs at least one output.
    #[error("the network has no taps, expected at least one")]
    NoTaps,
    /// A tap at a layer that the network does not have.
    #[error("tap {tap} is at layer {layer}, counted from 0; layers there are: {layers}")]
    TapLayer {
        /// Index of the tap, from 0.
        tap: usize,
        /// The tap's layer.
        layer: usize,
        /// The number of layers of the network.
        layers: usize,
    },
    /// A tap after the pool of a layer that has no pool.
    #[error("tap {tap} is after the pool of layer {layer}, expected a layer with a pool")]
    TapPool {
        /// Index of the tap, from 0.
        tap: usize,
        /// The tap's layer.
        layer: usize,
    },
    /// Another number of output slices than taps.
    #[error("output slices given: {actual}; expected {expected}, one for each tap")]
    OutputCount {
        /// The number of taps of the network.
        expected: usize,
        /// The number of slices in the call.
        actual: usize,
    },
    /// An output slice of the wrong length for the images.
    #[error("the slice of output {output} has {actual} values, expected {expected}")]
    OutputLength {
        /// Index of the output, from 0, in the order of the taps.
        output: usize,
        /// The number of images in the call times the number of values of the output for one image.
        expected: usize,
        /// Length of the slice.
        actual: usize,
    },
}
