//! The form of a head: its hidden layers, one after the other, between its inputs and its classes.

use std::{fmt, num::NonZeroUsize, ops::Deref, str::FromStr};

use crate::Error;

/// Most hidden layers of a head.
pub const MAX_HIDDEN: usize = 4;

/// The function after a dense layer's sums, as PyTorch has it with its defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Activation {
    /// `max(x, 0)`.
    #[default]
    Relu,
    /// `x` where it is more than 0, else 0.01 `x`.
    LeakyRelu,
    /// `x Φ(x)` with the normal distribution's Φ (Hendrycks & Gimpel 2016), not its approximation by tanh.
    Gelu,
    /// The hyperbolic tangent.
    Tanh,
    /// `x`.
    #[cfg_attr(feature = "serde", serde(rename = "none"))]
    Identity,
}

impl Activation {
    /// All of them.
    pub const ALL: [Activation; 5] = [
        Activation::Relu,
        Activation::LeakyRelu,
        Activation::Gelu,
        Activation::Tanh,
        Activation::Identity,
    ];

    /// Its name in flags and files.
    pub fn name(self) -> &'static str {
        match self {
            Activation::Relu => "relu",
            Activation::LeakyRelu => "leaky-relu",
            Activation::Gelu => "gelu",
            Activation::Tanh => "tanh",
            Activation::Identity => "none",
        }
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Activation {
    type Err = String;

    fn from_str(name: &str) -> Result<Activation, String> {
        Activation::ALL.into_iter().find(|activation| activation.name() == name).ok_or_else(|| {
            let names = Activation::ALL.map(Activation::name).join(", ");
            format!("there is no activation '{name}'; expected one of {names}")
        })
    }
}

/// A hidden layer: dense, activation, and batch normalisation if it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct HiddenLayer {
    /// Number of units.
    pub width: usize,
    /// The function after the sums.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_default"))]
    pub activation: Activation,
    /// Whether the activations are normalised.
    #[cfg_attr(feature = "serde", serde(default = "yes", skip_serializing_if = "is_yes"))]
    pub batch_norm: bool,
}

impl HiddenLayer {
    /// A dense layer of this width with ReLU and BatchNorm.
    pub const fn new(width: usize) -> HiddenLayer {
        HiddenLayer { width, activation: Activation::Relu, batch_norm: true }
    }
}

#[cfg(feature = "serde")]
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(feature = "serde")]
fn yes() -> bool {
    true
}

#[cfg(feature = "serde")]
fn is_yes(value: &bool) -> bool {
    *value
}

/// The hidden layers of a head, from its inputs on: none for a linear head, and at most [`MAX_HIDDEN`]. It is
/// a slice of them.
///
/// Written into files, it is a list of layers, but two equal layers with ReLU and BatchNorm are their width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(into = "Written", try_from = "Written"))]
pub struct HiddenLayers {
    len: usize,
    /// Those after the first `len` are [`UNUSED`].
    layers: [HiddenLayer; MAX_HIDDEN],
}

const UNUSED: HiddenLayer = HiddenLayer::new(0);

impl HiddenLayers {
    /// No layer: the classes' logits are sums over the inputs.
    pub const NONE: HiddenLayers = HiddenLayers { len: 0, layers: [UNUSED; MAX_HIDDEN] };

    /// These layers, in this order.
    ///
    /// # Errors
    /// If they are more than [`MAX_HIDDEN`].
    pub fn new(layers: &[HiddenLayer]) -> Result<HiddenLayers, Error> {
        if layers.len() > MAX_HIDDEN {
            return Err(Error::HiddenLayers { layers: layers.len() });
        }
        let mut all = HiddenLayers { len: layers.len(), ..HiddenLayers::NONE };
        all.layers[..layers.len()].copy_from_slice(layers);
        Ok(all)
    }

    /// Two layers of this width, with ReLU and BatchNorm.
    pub const fn two(width: usize) -> HiddenLayers {
        let layer = HiddenLayer::new(width);
        HiddenLayers { len: 2, layers: [layer, layer, UNUSED, UNUSED] }
    }
}

/// Two layers of this width, see [`HiddenLayers::two`].
impl From<usize> for HiddenLayers {
    fn from(width: usize) -> HiddenLayers {
        HiddenLayers::two(width)
    }
}

impl Deref for HiddenLayers {
    type Target = [HiddenLayer];

    fn deref(&self) -> &[HiddenLayer] {
        &self.layers[..self.len]
    }
}

/// [`HiddenLayers`] in files.
#[cfg(feature = "serde")]
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(untagged)]
enum Written {
    Two(usize),
    Layers(Vec<HiddenLayer>),
}

#[cfg(feature = "serde")]
impl From<HiddenLayers> for Written {
    fn from(layers: HiddenLayers) -> Written {
        match layers.first() {
            Some(first) if layers == HiddenLayers::two(first.width) => Written::Two(first.width),
            _ => Written::Layers(layers.to_vec()),
        }
    }
}

#[cfg(feature = "serde")]
impl TryFrom<Written> for HiddenLayers {
    type Error = Error;

    fn try_from(written: Written) -> Result<HiddenLayers, Error> {
        match written {
            Written::Two(width) => Ok(HiddenLayers::two(width)),
            Written::Layers(layers) => HiddenLayers::new(&layers),
        }
    }
}

/// A head's form and sizes: (BatchNorm →) dropout → (dense → activation → BatchNorm → dropout) for each hidden layer →
/// dense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct HeadShape {
    /// Numbers in a row.
    pub inputs: usize,
    /// The hidden layers.
    pub hidden: HiddenLayers,
    /// Number of classes.
    pub classes: usize,
    /// If the inputs go through BatchNorm first, the positions of each of its channels: so many consecutive numbers of a
    /// row share their statistics, scale and shift, as the pixels of a map do.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub input_norm: Option<NonZeroUsize>,
}

impl HeadShape {
    /// A head of this form; a number stands for two hidden layers of this width with ReLU and BatchNorm.
    pub fn new(inputs: usize, hidden: impl Into<HiddenLayers>, classes: usize) -> HeadShape {
        HeadShape { inputs, hidden: hidden.into(), classes, input_norm: None }
    }

    /// The same head with BatchNorm of the inputs, over channels of so many positions.
    #[must_use]
    pub fn with_input_norm(self, positions: NonZeroUsize) -> HeadShape {
        HeadShape { input_norm: Some(positions), ..self }
    }

    /// Number of dense layers: the hidden ones, and that of the logits.
    pub fn dense_layers(&self) -> usize {
        self.hidden.len() + 1
    }

    /// Inputs and outputs of each dense layer, in order.
    pub fn dense_sizes(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let shape = *self;
        let width =
            move |layer: usize| shape.hidden.get(layer).map_or(shape.classes, |it| it.width);
        let inputs = move |layer: usize| layer.checked_sub(1).map_or(shape.inputs, width);
        (0..shape.dense_layers()).map(move |layer| (inputs(layer), width(layer)))
    }

    /// Checks that no size is 0, and that the inputs are whole channels.
    pub(crate) fn check(self) -> Result<(), Error> {
        let widths = self.hidden.iter().map(|layer| ("hidden", layer.width));
        let sizes = [("inputs", self.inputs), ("classes", self.classes)].into_iter().chain(widths);
        for (field, size) in sizes {
            if size == 0 {
                return Err(Error::Zero { field });
            }
        }
        let inputs = self.inputs;
        match self.input_norm {
            Some(positions) if inputs % positions != 0 => {
                Err(Error::Positions { inputs, positions: positions.get() })
            }
            _ => Ok(()),
        }
    }

    /// Name and dimensions of every tensor of a head, layer by layer: `fc1.weight`, `fc1.bias`, and of a layer
    /// with BatchNorm `bn1.weight`, `bn1.bias`, `bn1.running_mean` and `bn1.running_var`; then `fc2`, and so on. Before
    /// them are those of the inputs' BatchNorm, `bn0.weight` and so on.
    pub fn tensors(self) -> impl Iterator<Item = (&'static str, Vec<usize>)> {
        self.tensor_ids().map(move |id| (id.name(), id.dimensions(&self)))
    }

    pub(crate) fn tensor_ids(self) -> impl Iterator<Item = TensorId> {
        let of_inputs = if self.input_norm.is_some() { &Part::ALL[2..] } else { &Part::ALL[..0] };
        let of_inputs = of_inputs.iter().map(|&part| TensorId { layer: None, part });
        let of_layers = (0..self.dense_layers()).flat_map(move |layer| {
            let is_normalised = self.hidden.get(layer).is_some_and(|hidden| hidden.batch_norm);
            let parts = if is_normalised { &Part::ALL[..] } else { &Part::ALL[..2] };
            parts.iter().map(move |&part| TensorId { layer: Some(layer), part })
        });
        of_inputs.chain(of_layers)
    }
}

/// One of the tensors of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TensorId {
    /// Index of the dense layer; `None` for the inputs' BatchNorm.
    pub(crate) layer: Option<usize>,
    pub(crate) part: Part,
}

/// A tensor of a dense layer, or of the BatchNorm after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Weight,
    Bias,
    Scale,
    Shift,
    RunningMean,
    RunningVar,
}

impl Part {
    pub(crate) const ALL: [Part; 6] =
        [Part::Weight, Part::Bias, Part::Scale, Part::Shift, Part::RunningMean, Part::RunningVar];
}

/// The names as PyTorch has them, of the inputs' BatchNorm and then by layer, by [`Part`].
const NAMES: [[&str; 6]; MAX_HIDDEN + 2] = [
    ["", "", "bn0.weight", "bn0.bias", "bn0.running_mean", "bn0.running_var"],
    ["fc1.weight", "fc1.bias", "bn1.weight", "bn1.bias", "bn1.running_mean", "bn1.running_var"],
    ["fc2.weight", "fc2.bias", "bn2.weight", "bn2.bias", "bn2.running_mean", "bn2.running_var"],
    ["fc3.weight", "fc3.bias", "bn3.weight", "bn3.bias", "bn3.running_mean", "bn3.running_var"],
    ["fc4.weight", "fc4.bias", "bn4.weight", "bn4.bias", "bn4.running_mean", "bn4.running_var"],
    ["fc5.weight", "fc5.bias", "bn5.weight", "bn5.bias", "bn5.running_mean", "bn5.running_var"],
];

impl TensorId {
    pub(crate) fn name(self) -> &'static str {
        NAMES[self.layer.map_or(0, |layer| layer + 1)][self.part as usize]
    }

    /// Of a dense layer's tensor, its number among those of a head all of whose layers have BatchNorm.
    pub(crate) fn number(self) -> usize {
        self.layer.unwrap_or(0) * Part::ALL.len() + self.part as usize
    }

    pub(crate) fn dimensions(self, shape: &HeadShape) -> Vec<usize> {
        let Some(layer) = self.layer else {
            return vec![shape.inputs / shape.input_norm.map_or(1, NonZeroUsize::get)];
        };
        let (inputs, outputs) =
            shape.dense_sizes().nth(layer).expect("it is one of the head's layers");
        if self.part == Part::Weight { vec![outputs, inputs] } else { vec![outputs] }
    }
}
