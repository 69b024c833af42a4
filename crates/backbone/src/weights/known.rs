//! Published weights, whose family is known. They are recognised by the first filter of their first
//! convolution. The biases do not count, since fine-tuning may change the biases alone.

use std::path::Path;

use recipe::Family;

use crate::{ConvolutionWeights, Error, Network};

/// The first filter of a first convolution, 3×3 for each input channel.
type Filter = [[f32; 9]; 3];

/// Published weights.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) name: &'static str,
    pub(super) family: Family,
    network: &'static str,
    filter: Filter,
}

/// Largest difference of a number of the filter. It is larger than the rounding of the numbers below and
/// of bfloat16, and far smaller than the differences between networks that were trained separately.
const TOLERANCE: f32 = 4e-3;

/// conv1_1 of the VGG-16 that Oxford released (VGG_ILSVRC_16_layers), input channels B, G, R, from the
/// weights that `just setup` fetches.
pub(super) const OXFORD: Filter = [
    [0.4295, 0.3735, -0.0614, 0.2748, 0.0387, -0.3672, -0.0575, -0.2622, -0.3501],
    [0.5504, 0.4401, -0.0814, 0.3457, 0.0406, -0.4535, -0.0586, -0.3307, -0.4850],
    [0.4800, 0.4085, -0.0651, 0.3105, 0.0502, -0.4034, -0.0509, -0.2852, -0.4185],
];

/// `features.0` of torchvision's `VGG16_Weights.IMAGENET1K_V1` (vgg16-397923af.pth), input channels
/// R, G, B, as PyTorch prints it in public notebooks of Udacity's flower classifier, which load that
/// file, freeze its layers and train new ones at its end.
const TORCHVISION: Filter = [
    [-0.5537, 0.1427, 0.5290, -0.5831, 0.3566, 0.7657, -0.6902, -0.0480, 0.4841],
    [0.1755, 0.0099, -0.0814, 0.0441, -0.0703, -0.2604, 0.1324, -0.1728, -0.1323],
    [0.3130, -0.1659, -0.4275, 0.4752, -0.0827, -0.4870, 0.6320, 0.0193, -0.2775],
];

/// All published weights that are recognised. They are VGG16's; published weights of other networks have
/// other first filters.
const KNOWN: [Known; 3] = [
    Known {
        name: "the original Oxford weights (input channels B, G, R)",
        family: Family::Caffe,
        network: "vgg16",
        filter: OXFORD,
    },
    Known {
        name: "the original Oxford weights (input channels R, G, B)",
        family: Family::CaffeRgb,
        network: "vgg16",
        filter: [OXFORD[2], OXFORD[1], OXFORD[0]],
    },
    Known {
        name: "torchvision's IMAGENET1K_V1 weights",
        family: Family::Torchvision,
        network: "vgg16",
        filter: TORCHVISION,
    },
];

/// The published weights that have this first convolution, which copies that were fine-tuned with it
/// frozen have too. `None` if no known weights have it.
pub(super) fn find(network: &Network, first: &ConvolutionWeights) -> Option<&'static Known> {
    KNOWN.iter().find(|known| {
        let pairs = first.weight.iter().zip(known.filter.as_flattened());
        let differences = pairs.map(|(found, expected)| (found - expected).abs());
        known.network == network.name && differences.into_iter().all(|one| one <= TOLERANCE)
    })
}

/// Refuses published weights whose kernels are turned by 180 degrees, as Theano, whose convolution turns
/// them again, has them.
pub(super) fn refuse_turned(
    path: &Path,
    network: &Network,
    first: &ConvolutionWeights,
) -> Result<(), Error> {
    let mut filter = first.weight[..first.weight.len().min(27)].to_vec();
    filter.chunks_mut(9).for_each(<[f32]>::reverse);
    match find(network, &ConvolutionWeights { weight: filter, bias: Vec::new() }) {
        Some(known) => Err(Error::TurnedKernels { path: path.to_path_buf(), found: known.name }),
        None => Ok(()),
    }
}

/// Checks that published weights are given with their own family.
pub(super) fn check(path: &Path, known: Option<&Known>, given: Family) -> Result<(), Error> {
    match known {
        Some(known) if known.family != given => Err(Error::WrongFamily {
            path: path.to_path_buf(),
            found: known.name,
            expected: known.family,
            given,
        }),
        _ => Ok(()),
    }
}
