//! The networks as tables: VGG (Simonyan & Zisserman 2014), whose configurations differ in a list of
//! numbers.

use std::fmt;

use crate::{Pooling, Tap};

/// The number of output channels of the convolutions of each block.
const CHANNELS: [usize; 5] = [64, 128, 256, 512, 512];

/// A VGG network up to its last max pool: five blocks of 3×3 convolutions with padding 1. A ReLU follows
/// each convolution, and a 2×2 max pool of stride 2 each block.
#[derive(Debug, PartialEq, Eq)]
pub struct Network {
    /// torchvision's name of the network.
    pub name: &'static str,
    /// The number of convolutions of each block.
    blocks: [usize; 5],
}

/// All networks: configurations A, B, D and E of the paper's table 1.
pub const NETWORKS: [Network; 4] = [
    Network { name: "vgg11", blocks: [1, 1, 2, 2, 2] },
    Network { name: "vgg13", blocks: [2, 2, 2, 2, 2] },
    Network { name: "vgg16", blocks: [2, 2, 3, 3, 3] },
    Network { name: "vgg19", blocks: [2, 2, 4, 4, 4] },
];

/// One 3×3 convolution with padding 1, followed by a ReLU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Convolution {
    /// The number of its block, counted from 1.
    pub block: usize,
    /// Its number within the block, counted from 1.
    pub number: usize,
    /// torchvision's number of the layer: 28 for `features.28`. Its ReLU has the next number.
    pub torchvision: usize,
    /// The number of input channels.
    pub in_channels: usize,
    /// The number of output channels.
    pub out_channels: usize,
    /// Whether a 2×2 max pool of stride 2 follows the ReLU.
    pub max_pool: bool,
}

impl Convolution {
    /// torchvision's name of the layer, with which the names of its tensors begin: `features.28`.
    pub fn torchvision_name(&self) -> String {
        format!("features.{}", self.torchvision)
    }

    /// The shape of its weight, `[out, in, 3, 3]`.
    pub fn weight_shape(&self) -> [usize; 4] {
        [self.out_channels, self.in_channels, 3, 3]
    }
}

impl fmt::Display for Convolution {
    /// Writes the paper's name: `conv5_3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "conv{}_{}", self.block, self.number)
    }
}

/// A layer that can be tapped: a convolution after its ReLU, or a max pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Layer {
    /// Index of the convolution.
    pub convolution: usize,
    /// Whether it is the max pool after the convolution instead of the convolution.
    pub max_pool: bool,
}

impl Network {
    /// The network of that name.
    ///
    /// # Errors
    /// If there is no such network. The message lists all names.
    pub fn named(name: &str) -> Result<&'static Network, String> {
        NETWORKS.iter().find(|network| network.name == name).ok_or_else(|| {
            let names = NETWORKS.each_ref().map(|network| network.name).join(", ");
            format!("there is no network '{name}'; expected {names}")
        })
    }

    /// The name as it is written in prose: `VGG16`.
    pub fn title(&self) -> String {
        self.name.to_uppercase()
    }

    /// Its convolutions, starting at the image.
    pub fn convolutions(&self) -> Vec<Convolution> {
        let (mut torchvision, mut in_channels) = (0, 3);
        let mut convolutions = Vec::new();
        for (block, (&count, out_channels)) in self.blocks.iter().zip(CHANNELS).enumerate() {
            for number in 1..=count {
                let max_pool = number == count;
                let block = block + 1;
                convolutions.push(Convolution {
                    block,
                    number,
                    torchvision,
                    in_channels,
                    out_channels,
                    max_pool,
                });
                torchvision += if max_pool { 3 } else { 2 };
                in_channels = out_channels;
            }
        }
        convolutions
    }

    /// The tap that is kept unless others are requested: the last convolution, without pooling.
    pub fn default_tap(&self) -> Tap {
        let last = self.convolutions().pop().expect("a network has convolutions");
        Tap { layer: last.to_string(), pooling: Pooling::None }
    }

    /// The layer of that name: by the paper's name, such as `conv4_3` (after its ReLU) or `pool4`, or by
    /// torchvision's name, `features.22` or `features.23` for the same two.
    ///
    /// # Errors
    /// If the network has no such layer. The message lists those that it has.
    pub fn layer(&self, name: &str) -> Result<Layer, String> {
        let mut before_relu = None;
        for (convolution, layer) in self.convolutions().iter().enumerate() {
            let torchvision = |after| format!("features.{}", layer.torchvision + after);
            if name == layer.to_string() || name == torchvision(1) {
                return Ok(Layer { convolution, max_pool: false });
            }
            if layer.max_pool && (name == format!("pool{}", layer.block) || name == torchvision(2))
            {
                return Ok(Layer { convolution, max_pool: true });
            }
            if name == torchvision(0) {
                before_relu = Some((layer.to_string(), torchvision(1)));
            }
        }
        Err(match before_relu {
            Some((paper, after)) => format!(
                "{name} is the convolution {paper} before its ReLU, and features are taken after the \
                 ReLU; expected {after} or {paper}"
            ),
            None => format!(
                "{} has no layer '{name}'; expected {}, or one by torchvision's name, such as {}",
                self.name,
                self.layer_names().join(", "),
                self.features_name(self.last()),
            ),
        })
    }

    /// The paper's name of a layer.
    pub fn layer_name(&self, layer: Layer) -> String {
        let convolution = self.convolutions()[layer.convolution];
        if layer.max_pool { format!("pool{}", convolution.block) } else { convolution.to_string() }
    }

    /// These taps by the paper's names and in the network's order; taps of one layer are in the order none,
    /// max, avg.
    ///
    /// # Errors
    /// If the network has no such layer, a tap is given twice, or no tap is given. The text says which.
    pub fn taps(&self, taps: &[Tap]) -> Result<Vec<Tap>, String> {
        let mut found = Vec::new();
        for tap in taps {
            found.push((self.layer(&tap.layer)?, tap.pooling));
        }
        found.sort_unstable();
        let named = |(layer, pooling)| Tap { layer: self.layer_name(layer), pooling };
        if let Some(pair) = found.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("the tap {} is given twice, expected it once", named(pair[0])));
        }
        if found.is_empty() {
            return Err("no tap is given, expected at least one".to_owned());
        }
        Ok(found.into_iter().map(named).collect())
    }

    /// The shape of a layer's output for an image of that height and width: `[channels, height, width]`.
    pub fn layer_shape(&self, layer: Layer, height: usize, width: usize) -> [usize; 3] {
        let convolutions = self.convolutions();
        let pools = convolutions[..layer.convolution].iter().filter(|layer| layer.max_pool).count()
            + usize::from(layer.max_pool);
        [convolutions[layer.convolution].out_channels, height >> pools, width >> pools]
    }

    /// The paper's names of all layers that can be tapped, starting at the image.
    fn layer_names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for (convolution, layer) in self.convolutions().iter().enumerate() {
            for max_pool in [false, true] {
                if !max_pool || layer.max_pool {
                    names.push(self.layer_name(Layer { convolution, max_pool }));
                }
            }
        }
        names
    }

    fn last(&self) -> Layer {
        Layer { convolution: self.convolutions().len() - 1, max_pool: false }
    }

    /// torchvision's name of a layer's output.
    fn features_name(&self, layer: Layer) -> String {
        let convolution = self.convolutions()[layer.convolution];
        format!("features.{}", convolution.torchvision + 1 + usize::from(layer.max_pool))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vgg16() -> &'static Network {
        Network::named("vgg16").unwrap()
    }

    /// The numbers and names are those of torchvision's `vgg16().features` and of the paper's table 1.
    #[test]
    fn vgg16_is_configuration_d() {
        let convolutions = vgg16().convolutions();
        let numbers: Vec<usize> = convolutions.iter().map(|layer| layer.torchvision).collect();
        assert_eq!(numbers, [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]);
        let channels: Vec<usize> = convolutions.iter().map(|layer| layer.out_channels).collect();
        assert_eq!(channels, [64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]);
        let pools: Vec<usize> =
            convolutions.iter().filter(|layer| layer.max_pool).map(|l| l.torchvision + 2).collect();
        assert_eq!(pools, [4, 9, 16, 23, 30]);
        assert_eq!(vgg16().default_tap().to_string(), "conv5_3");
    }

    /// A network's name has the number of its weight layers, three of which are the classifier's.
    /// torchvision's `features` has the number of modules given here.
    #[test]
    fn depths_are_those_of_the_names() {
        for (network, modules) in NETWORKS.iter().zip([21, 25, 31, 37]) {
            let convolutions = network.convolutions();
            assert_eq!(format!("vgg{}", convolutions.len() + 3), network.name);
            assert_eq!(convolutions.last().unwrap().torchvision + 3, modules);
        }
        let message = "there is no network 'resnet50'; expected vgg11, vgg13, vgg16, vgg19";
        assert_eq!(Network::named("resnet50").unwrap_err(), message);
    }

    #[test]
    fn layers_have_two_names() {
        for (paper, torchvision, shape) in [
            ("conv1_1", "features.1", [64, 96, 64]),
            ("pool1", "features.4", [64, 48, 32]),
            ("conv4_3", "features.22", [512, 12, 8]),
            ("pool4", "features.23", [512, 6, 4]),
            ("conv5_3", "features.29", [512, 6, 4]),
            ("pool5", "features.30", [512, 3, 2]),
        ] {
            let layer = vgg16().layer(paper).unwrap();
            assert_eq!(vgg16().layer(torchvision), Ok(layer));
            assert_eq!(vgg16().layer_name(layer), paper);
            assert_eq!(vgg16().features_name(layer), torchvision);
            assert_eq!(vgg16().layer_shape(layer, 96, 64), shape);
        }
        let expected = "features.21 is the convolution conv4_3 before its ReLU, and features are \
                        taken after the ReLU; expected features.22 or conv4_3";
        assert_eq!(vgg16().layer("features.21"), Err(expected.to_owned()));
        for absent in ["conv4_4", "pool6", "features.31", "conv0_1", "fc7", ""] {
            let message = vgg16().layer(absent).unwrap_err();
            let start =
                format!("vgg16 has no layer '{absent}'; expected conv1_1, conv1_2, pool1, ");
            assert!(message.starts_with(&start), "{message}");
        }
    }

    #[test]
    fn taps_are_put_in_order() {
        let taps = |text: &str| {
            let taps: Vec<Tap> = text.split_whitespace().map(|tap| tap.parse().unwrap()).collect();
            let taps = vgg16().taps(&taps)?;
            Ok::<_, String>(taps.iter().map(Tap::to_string).collect::<Vec<_>>().join(" "))
        };
        let found = taps("conv5_3 pool4 features.22:avg conv5_3:max conv4_3").unwrap();
        assert_eq!(found, "conv4_3 conv4_3:avg pool4 conv5_3 conv5_3:max");
        let twice = taps("conv4_3:avg features.22:avg").unwrap_err();
        assert_eq!(twice, "the tap conv4_3:avg is given twice, expected it once");
        assert!(taps("").is_err() && taps("fc7").is_err());
    }
}
