//! The mistakes in a network or in a call. Everything is checked before any work starts, so
//! the kernels below never see a length that does not fit.

/// The reason why a network could not be planned, or a forward pass not be run.
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
    /// The input is not a whole number of images, or the slice is empty.
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
    /// A network needs at least one output.
    #[error("the network has no taps, it needs at least one")]
    NoTaps,
    /// A tap at a layer that the network does not have.
    #[error("tap {tap} is at layer {layer}, the network has {layers} layers, counted from 0")]
    TapLayer {
        /// Index of the tap, from 0.
        tap: usize,
        /// The tap's layer.
        layer: usize,
        /// Layers of the network.
        layers: usize,
    },
    /// A tap after the pool of a layer that has none.
    #[error("tap {tap} is after the pool of layer {layer}, which has no pool")]
    TapPool {
        /// Index of the tap, from 0.
        tap: usize,
        /// The tap's layer.
        layer: usize,
    },
    /// Not one slice per tap.
    #[error("the network has {expected} outputs, {actual} slices were given")]
    OutputCount {
        /// Taps of the network.
        expected: usize,
        /// Slices in the call.
        actual: usize,
    },
    /// An output slice does not fit the images.
    #[error("output {output} needs {expected} values, the slice has {actual}")]
    OutputLength {
        /// Index of the output, from 0, in the order of the taps.
        output: usize,
        /// Images in the call times the values of the output for one image.
        expected: usize,
        /// Length of the slice.
        actual: usize,
    },
}
