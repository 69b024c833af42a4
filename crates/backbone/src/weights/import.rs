//! Weights from other programs' files.

use std::path::Path;

use recipe::Family;

use super::canonical::Entry;
use super::forms::open;
use super::load::load;
use super::report::ImportReport;
use super::{Weights, known};
use crate::{Error, Network};

/// Facts that other programs' files do not state, or not always.
#[derive(Debug, Clone, Copy, Default)]
pub struct ImportConfig {
    /// Which preprocessing the weights were trained with. If it is `None`, it is that which a canonical
    /// file records, or that of the published weights that these are recognised as.
    pub family: Option<Family>,
    /// The network; if it is `None`, it is the one that the file has.
    pub network: Option<&'static Network>,
}

/// Imported weights.
#[derive(Debug)]
pub struct Imported {
    /// The weights.
    pub weights: Weights,
    /// The fate of the file's tensors.
    pub report: ImportReport,
}

/// Reads the convolutions of a network from an ONNX file, in which they are found by following its
/// graph, or from a safetensors file, in which they are found by torchvision's names, perhaps after a
/// prefix that they share. BatchNorm is folded into them; other tensors, such as a classifier's, are
/// left alone.
///
/// A canonical file says its network and family itself, and is checked as [`Weights::read`] does.
///
/// # Errors
/// If the file is missing or damaged, does not hold the convolutions of one network in float32, holds
/// another network than the given one, well-known weights of another family, records another family or
/// version, or nothing says the family.
pub fn import_weights(path: &Path, config: &ImportConfig) -> Result<Imported, Error> {
    let source = open(path)?;
    let (weights, located) = match Entry::find(&*source)? {
        Some(entry) => {
            if let Some(given) = config.network.filter(|given| *given != entry.network) {
                let (path, found) = (path.to_path_buf(), entry.network.title());
                return Err(Error::OtherNetwork { path, found, given: given.name });
            }
            if let Some(given) = config.family.filter(|given| *given != entry.family) {
                let (path, recorded) = (path.to_path_buf(), entry.family);
                return Err(Error::OtherFamily { path, recorded, given });
            }
            entry.read(&*source)?
        }
        None => {
            let located = source.locate(config.network)?;
            let convolutions = load(&*source, &located)?;
            let known = known::find(located.network, &convolutions[0]);
            let family = config.family.or_else(|| Some(known?.family));
            let Some(family) = family else {
                return Err(Error::NoFamily { path: path.to_path_buf() });
            };
            known::check(path, known, family)?;
            (Weights::new(located.network, family, convolutions), located)
        }
    };
    let known = known::find(located.network, &weights.convolutions()[0]);
    let report = ImportReport::new(&*source, &located, known.map(|known| known.name));
    Ok(Imported { weights, report })
}
