//! A network's convolutions by the names of their tensors.
//!
//! In: the names in a file. Out: the network and the tensors of each of its convolutions. The
//! invariants: every tensor of the network is there, under one prefix and by the names of one origin;
//! the layers of features have no further tensor; and a file in which two networks match is refused.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use super::source::{LayerTensors, Located, NormTensors, TensorSource, check_shape};
use crate::NETWORKS;
use crate::{Error, Network};

/// A program's names of a network's tensors.
struct NameMap {
    /// The program, worded to follow "found by".
    origin: &'static str,
    /// The names of each convolution's tensors, including BatchNorm's if the flag says that there is one.
    layers: fn(&Network, bool) -> Vec<LayerTensors>,
    /// Whether a name, without its prefix, belongs to a layer of features.
    is_feature: fn(&str) -> bool,
}

/// All name maps. If two maps find the same tensors, the earlier one counts.
const MAPS: [NameMap; 2] = [
    NameMap {
        origin: "torchvision's names",
        layers: |network, norm| numbered("features.", network, norm),
        is_feature: |name| name.starts_with("features."),
    },
    // torchvision's `features`, saved alone or as a part of another module: `backbone.0.weight`.
    NameMap {
        origin: "the numbers of torchvision's features",
        layers: |network, norm| numbered("", network, norm),
        is_feature: |name| {
            let number = name.split('.').next().unwrap_or_default();
            !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        },
    },
];

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
        LayerTensors { weight, bias, norm }
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
    fn new(
        network: &'static Network,
        norm: bool,
        map: usize,
        prefix: &str,
        present: &HashSet<String>,
    ) -> Candidate {
        let mut layers = (MAPS[map].layers)(network, norm);
        for layer in &mut layers {
            layer.names_mut().for_each(|name| name.insert_str(0, prefix));
        }
        let found = layers.iter().flat_map(LayerTensors::names);
        let found = found.filter(|&name| present.contains(name)).count();
        Candidate { network, norm, map, prefix: prefix.to_owned(), layers, found }
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
            shapes.push((tensors.weight.as_str(), layer.weight_shape().to_vec()));
            shapes.extend(tensors.names().skip(1).map(|name| (name, channels.clone())));
        }
        let (first, last) = (shapes[0].0, shapes[shapes.len() - 1].0);
        for (tensor, shape) in &shapes {
            if !present.contains(*tensor) {
                let norm = if self.norm { " with BatchNorm" } else { "" };
                let (origin, title) = (map.origin, self.network.title());
                let expected = format!("{origin} of {title}{norm}, {first} to {last}");
                let (path, tensor) = (path.to_path_buf(), (*tensor).to_owned());
                return Err(Error::MissingTensor { path, tensor, expected });
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
    let (mut complete, mut nearest) = (Vec::<Candidate>::new(), None);
    for (map, prefix) in prefixes(&present) {
        for (network, norm) in networks() {
            let candidate = Candidate::new(network, norm, map, &prefix, &present);
            if candidate.is_complete() {
                complete.push(candidate);
            } else if given.is_none_or(|given| given == network) && candidate.is_plausible() {
                nearest = nearest.into_iter().chain([candidate]).max_by_key(Candidate::nearness);
            }
        }
    }
    // Two maps that find the same tensors have found the same network.
    let mut firsts = HashSet::new();
    complete.retain(|candidate| firsts.insert(candidate.layers[0].weight.clone()));

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
        _ => nearest.unwrap_or_else(|| {
            Candidate::new(given.unwrap_or(&NETWORKS[0]), false, 0, "", &present)
        }),
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
    let candidate = Candidate::new(network, false, 0, "", &present);
    candidate.check(source, &present)?;
    Ok(candidate.located())
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
            .flat_map(|(network, norm)| layers(network, norm))
            .map(|layer| layer.weight)
            .collect();
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for name in present {
            for prefix in endings.iter().filter_map(|ending| name.strip_suffix(&**ending)) {
                if prefix.is_empty() || prefix.ends_with('.') {
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
