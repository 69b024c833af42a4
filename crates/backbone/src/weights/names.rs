//! A network's convolutions by the names of their tensors.
//!
//! In: the names in a file. Out: the network and the tensors of each of its convolutions. The
//! invariants: every tensor of the network is there, under one prefix and by the names of one origin;
//! the layers of features have no further tensor; and a file in which two networks match is refused.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use plural::counted;
use recipe::Convolution;

use super::axes::AxisOrder;
use super::source::{LayerTensors, Located, NormTensors, TensorSource, check_shape};
use crate::NETWORKS;
use crate::{Error, Network};

/// A program's names of a network's tensors.
struct NameMap {
    /// The program, worded to follow "found by".
    origin: &'static str,
    /// The names of each convolution's tensors, including BatchNorm's if the flag says that there is one.
    /// Maps of programs without a VGG network with BatchNorm have no such names.
    layers: fn(&Network, bool) -> Option<Vec<LayerTensors>>,
    /// The orders of a kernel's axes that the program may have written.
    orders: &'static [AxisOrder],
    /// Whether a name, without its prefix, belongs to a layer of features.
    is_feature: fn(&str) -> bool,
}

/// All name maps. If two maps find the same tensors, the earlier one counts.
const MAPS: [NameMap; 10] = [
    NameMap {
        origin: "torchvision's names",
        layers: |network, norm| Some(numbered("features.", network, norm)),
        orders: &[AxisOrder::OIHW],
        is_feature: |name| name.starts_with("features."),
    },
    // torchvision's `features`, saved alone or as a part of another module: `backbone.0.weight`.
    NameMap {
        origin: "the numbers of torchvision's features",
        layers: |network, norm| Some(numbered("", network, norm)),
        orders: &[AxisOrder::OIHW],
        is_feature: |name| {
            let number = name.split('.').next().unwrap_or_default();
            !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        },
    },
    // Keras 2's `save_weights`: a group for each layer, in it the names of its variables.
    keras("Keras' names", |network, norm| {
        plain(network, norm, |layer| {
            let layer = keras_layer(layer);
            [format!("{layer}/{layer}/kernel:0"), format!("{layer}/{layer}/bias:0")]
        })
    }),
    // The same of a VGG network that is a layer of another model.
    keras("Keras' names in a layer", |network, norm| {
        plain(network, norm, |layer| {
            let layer = keras_layer(layer);
            [format!("{layer}/kernel:0"), format!("{layer}/bias:0")]
        })
    }),
    // Keras 1.
    keras("Keras 1's names", |network, norm| {
        plain(network, norm, |layer| {
            let layer = keras_layer(layer);
            [format!("{layer}/{layer}_W_1:0"), format!("{layer}/{layer}_b_1:0")]
        })
    }),
    keras("Keras 1's names", |network, norm| {
        plain(network, norm, |layer| {
            let layer = keras_layer(layer);
            [format!("{layer}/{layer}_W:0"), format!("{layer}/{layer}_b:0")]
        })
    }),
    // Keras 3's `save` as `.h5`.
    keras("Keras' names", |network, norm| {
        plain(network, norm, |layer| {
            let layer = keras_layer(layer);
            [format!("{layer}/{layer}/kernel"), format!("{layer}/{layer}/bias")]
        })
    }),
    // Keras 3's `.weights.h5` and `.keras`, which count the layers of a class and forget their names.
    NameMap {
        origin: "Keras 3's numbers of its Conv2D layers",
        layers: |network, norm| {
            let mut index = 0;
            plain(network, norm, |_| {
                let layer = match index {
                    0 => "conv2d".to_owned(),
                    index => format!("conv2d_{index}"),
                };
                index += 1;
                [format!("layers/{layer}/vars/0"), format!("layers/{layer}/vars/1")]
            })
        },
        orders: &[AxisOrder::HWIO],
        // A head may have some BatchNormalization. As many as the smallest network has convolutions stand
        // between convolutions.
        is_feature: |name| {
            name.starts_with("layers/conv2d") || name.starts_with("layers/batch_normalization_7/")
        },
    },
    // The paper's names, as in the `vgg16_weights.npz` that many ports to TensorFlow load.
    NameMap {
        origin: "the paper's names",
        layers: |network, norm| {
            plain(network, norm, |layer| [format!("{layer}_W"), format!("{layer}_b")])
        },
        orders: &[AxisOrder::OIHW, AxisOrder::HWIO],
        is_feature: |name| name.starts_with("conv"),
    },
    // A list of arrays, as `np.savez(FILE, *arrays)` names them: weights and biases by turns, the
    // classifier's at the end.
    NameMap {
        origin: "their order in a list, with kernels that are not turned round (flip_filters=False)",
        layers: |network, norm| {
            let mut arrays = (0..).map(|index| format!("arr_{index}"));
            let mut next = || arrays.next().expect("there is no last number");
            plain(network, norm, |_| [next(), next()])
        },
        orders: &[AxisOrder::OIHW, AxisOrder::HWIO],
        is_feature: |_| false,
    },
];

/// A map of Keras' names of the layers of `keras.applications`.
const fn keras(
    origin: &'static str,
    layers: fn(&Network, bool) -> Option<Vec<LayerTensors>>,
) -> NameMap {
    NameMap {
        origin,
        layers,
        orders: &[AxisOrder::HWIO],
        is_feature: |name| name.starts_with("block") && name.contains("_conv"),
    }
}

/// The name of a convolution in `keras.applications`: `block5_conv3`.
fn keras_layer(layer: &Convolution) -> String {
    format!("block{}_conv{}", layer.block, layer.number)
}

/// Layers without BatchNorm, by the names of each one's weight and bias; `None` with BatchNorm.
fn plain(
    network: &Network,
    norm: bool,
    mut names: impl FnMut(&Convolution) -> [String; 2],
) -> Option<Vec<LayerTensors>> {
    if norm {
        return None;
    }
    let layers = network.convolutions();
    let layers = layers.iter().map(|layer| {
        let [weight, bias] = names(layer);
        LayerTensors { weight, order: AxisOrder::OIHW, bias: Some(bias), norm: None }
    });
    Some(layers.collect())
}

/// Largest number of names of a file in a message.
const MOST: usize = 4;

/// The ending of the name of a BatchNorm tensor that only training uses.
const NOT_USED: &str = ".num_batches_tracked";

/// torchvision's names. A layer is named after its number in an `nn.Sequential`, in which each
/// convolution is followed by a ReLU, or by a BatchNorm and a ReLU, and each block by a max pool
/// (`make_layers` in torchvision/models/vgg.py). BatchNorm has PyTorch's default ε.
fn numbered(module: &str, network: &Network, norm: bool) -> Vec<LayerTensors> {
    let layers = network.convolutions().into_iter().enumerate().map(|(index, layer)| {
        let number = layer.torchvision + if norm { index } else { 0 };
        let tensor = |number: usize, part: &str| format!("{module}{number}.{part}");
        let norm = norm.then(|| NormTensors {
            scale: tensor(number + 1, "weight"),
            shift: tensor(number + 1, "bias"),
            mean: tensor(number + 1, "running_mean"),
            variance: tensor(number + 1, "running_var"),
            epsilon: 1e-5,
        });
        let (weight, bias) = (tensor(number, "weight"), Some(tensor(number, "bias")));
        LayerTensors { weight, order: AxisOrder::OIHW, bias, norm }
    });
    layers.collect()
}

/// A network under one prefix, some or all of whose tensors are in a file.
struct Candidate {
    network: &'static Network,
    norm: bool,
    /// Index into [`MAPS`].
    map: usize,
    prefix: String,
    layers: Vec<LayerTensors>,
    /// The number of its tensors that are in the file.
    found: usize,
}

impl Candidate {
    /// A network by the names of a map; `None` if the map has no names for it.
    fn new(
        network: &'static Network,
        norm: bool,
        map: usize,
        prefix: &str,
        present: &HashSet<String>,
    ) -> Option<Candidate> {
        let mut layers = (MAPS[map].layers)(network, norm)?;
        for layer in &mut layers {
            layer.names_mut().for_each(|name| name.insert_str(0, prefix));
        }
        let found = layers.iter().flat_map(LayerTensors::names);
        let found = found.filter(|&name| present.contains(name)).count();
        Some(Candidate { network, norm, map, prefix: prefix.to_owned(), layers, found })
    }

    fn tensors(&self) -> usize {
        self.layers.iter().flat_map(LayerTensors::names).count()
    }

    fn is_complete(&self) -> bool {
        self.found == self.tensors()
    }

    /// Whether a file without a complete network may have been meant to have this one: half of its tensors
    /// are there, or it goes by torchvision's names without a prefix.
    fn is_plausible(&self) -> bool {
        2 * self.found >= self.tensors() || (self.map == 0 && self.prefix.is_empty())
    }

    /// The rank among the candidates of a file without a complete network: the more tensors are there, the
    /// greater. VGG16 wins among equals.
    fn nearness(&self) -> impl Ord + use<> {
        (self.found, Reverse(self.map), self.network.name == "vgg16", !self.norm)
    }

    /// The network and its prefix, for messages.
    fn describe(&self) -> String {
        match &*self.prefix {
            "" => format!("{} without a prefix", self.network.title()),
            prefix => format!("{} after the prefix '{prefix}'", self.network.title()),
        }
    }

    /// Takes the first of the map's orders of axes that all kernels have. If none is, the first of all.
    fn find_order<S: TensorSource + ?Sized>(&mut self, source: &S) -> bool {
        let orders = MAPS[self.map].orders;
        let convolutions = self.network.convolutions();
        let fits = |order: &AxisOrder| {
            self.layers.iter().zip(&convolutions).all(|(tensors, layer)| {
                let expected = order.shape_in_file(layer.weight_shape());
                source.shape(&tensors.weight).is_some_and(|shape| shape == expected)
            })
        };
        let found = orders.iter().find(|order| fits(order));
        let order = *found.unwrap_or(&orders[0]);
        let fits = found.is_some();
        self.layers.iter_mut().for_each(|layer| layer.order = order);
        fits
    }

    fn located(self) -> Located {
        let origin = MAPS[self.map].origin;
        Located { network: self.network, origin, prefix: self.prefix, layers: self.layers }
    }

    /// Checks that all of its tensors are there, and that its features have no others.
    fn check<S: TensorSource + ?Sized>(
        &self,
        source: &S,
        present: &HashSet<String>,
    ) -> Result<(), Error> {
        let path = source.path();
        let map = &MAPS[self.map];
        let own: HashSet<&str> = self.layers.iter().flat_map(LayerTensors::names).collect();
        let foreign = present.iter().filter(|name| {
            let feature = name.strip_prefix(&*self.prefix).is_some_and(map.is_feature);
            feature && !own.contains(&***name) && !(self.norm && name.ends_with(NOT_USED))
        });
        // A BatchNorm's tensor explains most: the file is the variant with BatchNorm.
        let foreign = foreign.min_by_key(|name| (!name.ends_with(".running_mean"), *name));
        if let Some(tensor) = foreign {
            return Err(Error::UnexpectedTensor {
                path: path.to_path_buf(),
                tensor: tensor.clone(),
                network: self.network.title(),
            });
        }
        let mut shapes = Vec::new();
        for (layer, tensors) in self.network.convolutions().iter().zip(&self.layers) {
            let channels = vec![layer.out_channels];
            let shape = tensors.order.shape_in_file(layer.weight_shape());
            shapes.push((tensors.weight.as_str(), shape.to_vec()));
            let is_theano =
                || source.shape(&tensors.weight).is_some_and(|it| it == layer.weight_shape());
            if map.orders == [AxisOrder::HWIO] && is_theano() {
                let (path, tensor) = (path.to_path_buf(), tensors.weight.clone());
                return Err(Error::TheanoOrder { path, tensor, shape: layer.weight_shape() });
            }
            shapes.extend(tensors.names().skip(1).map(|name| (name, channels.clone())));
        }
        let (first, last) = (shapes[0].0, shapes[shapes.len() - 1].0);
        for (tensor, shape) in &shapes {
            if !present.contains(*tensor) {
                let norm = if self.norm { " with BatchNorm" } else { "" };
                let (origin, title) = (map.origin, self.network.title());
                let expected = format!("{origin} of {title}{norm}, {first} to {last}");
                let (path, tensor) = (path.to_path_buf(), (*tensor).to_owned());
                let mut names: Vec<&str> = present.iter().map(String::as_str).collect();
                names.sort_unstable();
                let (tensors, more) = (names.len(), if names.len() > MOST { ", …" } else { "" });
                names.truncate(MOST);
                let found = format!("{}: {}{more}", counted(tensors, "tensor"), names.join(", "));
                return Err(Error::MissingTensor { path, tensor, expected, found });
            }
            check_shape(source, tensor, shape)?;
        }
        Ok(())
    }
}

/// The tensors of a network's convolutions by their names: of the given network, or else of the one in the
/// file.
///
/// # Errors
/// If there is no network, more than one, or another than the given one.
pub(super) fn locate<S: TensorSource + ?Sized>(
    source: &S,
    given: Option<&'static Network>,
) -> Result<Located, Error> {
    let present: HashSet<String> = source.names().into_iter().collect();
    let (mut complete, mut nearest) = (Vec::<(bool, usize, Candidate)>::new(), None);
    for (map, prefix) in prefixes(&present) {
        for (network, norm) in networks() {
            let Some(mut candidate) = Candidate::new(network, norm, map, &prefix, &present) else {
                continue;
            };
            let fits = candidate.find_order(source);
            if candidate.is_complete() {
                complete.push((fits, complete.len(), candidate));
            } else if given.is_none_or(|given| given == network) && candidate.is_plausible() {
                nearest = nearest.into_iter().chain([candidate]).max_by_key(Candidate::nearness);
            }
        }
    }
    // Two maps that find the same tensors have found the same network: the earlier one counts. By Keras'
    // names and in a list, a network also has all tensors of a smaller one: that of which the shapes fit
    // counts, and the largest of those.
    complete.sort_by_key(|(fits, _, candidate)| (!fits, Reverse(candidate.found)));
    let mut firsts = HashSet::new();
    complete.retain(|(.., candidate)| firsts.insert(candidate.layers[0].weight.clone()));
    complete.sort_by_key(|(_, index, _)| *index);
    let mut complete: Vec<Candidate> = complete.into_iter().map(|(.., it)| it).collect();

    let path = source.path().to_path_buf();
    let found = complete.first().map(Candidate::describe);
    complete.retain(|candidate| given.is_none_or(|given| given == candidate.network));
    if let [first, second, ..] = &complete[..] {
        let (first, second) = (first.describe(), second.describe());
        return Err(Error::AmbiguousNetwork { path, first, second });
    }
    let candidate = match (complete.pop(), found, given) {
        (Some(candidate), ..) => candidate,
        (None, Some(found), Some(given)) => {
            return Err(Error::OtherNetwork { path, found, given: given.name });
        }
        // Its check fails and says what is missing.
        _ => nearest.unwrap_or_else(|| first_map(given.unwrap_or(&NETWORKS[0]), &present)),
    };
    candidate.check(source, &present)?;
    Ok(candidate.located())
}

/// The tensors of a network without BatchNorm, by torchvision's names without a prefix, as in a
/// canonical file.
///
/// # Errors
/// If one of them is missing, or the features have another one.
pub(super) fn canonical<S: TensorSource + ?Sized>(
    source: &S,
    network: &'static Network,
) -> Result<Located, Error> {
    let present = source.names().into_iter().collect();
    let candidate = first_map(network, &present);
    candidate.check(source, &present)?;
    Ok(candidate.located())
}

/// A network without BatchNorm, by torchvision's names without a prefix.
fn first_map(network: &'static Network, present: &HashSet<String>) -> Candidate {
    Candidate::new(network, false, 0, "", present).expect("torchvision has names for all networks")
}

/// All networks, each without and with BatchNorm.
fn networks() -> impl Iterator<Item = (&'static Network, bool)> {
    NETWORKS.iter().flat_map(|network| [(network, false), (network, true)])
}

/// The possible prefixes of a network's names, each with the index of a name map, in the order of the maps:
/// those that as many weights have as half of the smallest network's convolutions, and the empty one.
fn prefixes(present: &HashSet<String>) -> Vec<(usize, String)> {
    let least = NETWORKS.iter().map(|network| network.convolutions().len()).min().unwrap_or(0) / 2;
    let mut prefixes = Vec::new();
    for (map, NameMap { layers, .. }) in MAPS.iter().enumerate() {
        let endings: HashSet<String> = networks()
            .filter_map(|(network, norm)| layers(network, norm))
            .flatten()
            .map(|layer| layer.weight)
            .collect();
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for name in present {
            for prefix in endings.iter().filter_map(|ending| name.strip_suffix(&**ending)) {
                if prefix.is_empty() || prefix.ends_with(['.', '/']) {
                    *counts.entry(prefix).or_default() += 1;
                }
            }
        }
        let mut frequent: Vec<&str> = counts
            .iter()
            .filter(|(_, count)| **count >= least)
            .map(|(prefix, _)| *prefix)
            .collect();
        if !frequent.contains(&"") {
            frequent.push("");
        }
        frequent.sort_unstable();
        prefixes.extend(frequent.into_iter().map(|prefix| (map, prefix.to_owned())));
    }
    prefixes
}

#[cfg(test)]
mod tests;
