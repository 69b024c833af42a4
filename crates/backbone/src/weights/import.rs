//! Weights from other programs' files.

use std::path::Path;

use recipe::Family;

use super::canonical::Entry;
use super::forms::open;
use super::load::load;
use super::report::ImportReport;
use super::{Weights, known};
use crate::{Error, Network};

/// Facts about the weights that other programs' files may not state.
#[derive(Debug, Clone, Copy, Default)]
pub struct ImportConfig {
    /// The family, which fixes the preprocessing. `None` takes the one that a canonical file records, or
    /// that of the published weights that these are recognised as.
    pub family: Option<Family>,
    /// The network; `None` takes the one that the file has.
    pub network: Option<&'static Network>,
}

/// Imported weights.
#[derive(Debug)]
pub struct Imported {
    /// The weights.
    pub weights: Weights,
    /// The use that was made of the file's tensors.
    pub report: ImportReport,
}

/// Reads the convolutions of a network from a file of one of the [`FORMS`](super::FORMS). They are found
/// by following an ONNX file's graph, and elsewhere by their names, perhaps after a common prefix.
/// BatchNorm is folded into them. Other tensors, such as a classifier's, are ignored.
///
/// A canonical file records its network and family, and is checked as in [`Weights::read`].
///
/// # Errors
/// If the file is missing or damaged, or does not hold the convolutions of exactly one network; if it has another
/// network or family than the given one; if it has published weights of another family; if it records a version that
/// is not read; or if the family is neither given, recorded nor recognised.
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
            known::refuse_turned(path, located.network, &convolutions[0])?;
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
