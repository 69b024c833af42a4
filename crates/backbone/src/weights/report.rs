//! A report on the tensors of an imported file.

use std::collections::HashSet;
use std::fmt;

use plural::counted;

use super::source::{Located, TensorSource};
use crate::Network;

/// Largest number of names in a line of the report.
const MOST: usize = 6;

/// The use that was made of a file's tensors.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportReport {
    /// The network that they belong to.
    pub network: &'static Network,
    /// How they were found, worded to follow "found by": `torchvision's names`.
    pub origin: &'static str,
    /// The prefix that was removed from their names. It is empty, or ends with a full stop or a slash.
    pub prefix: String,
    /// The published weights whose first convolution these have, if they are known.
    pub known: Option<&'static str>,
    /// The tensors that are part of the weights, in the network's order.
    pub applied: Vec<Applied>,
    /// Tensors that the network has and the file does not, which became zeros: biases of convolutions
    /// before a BatchNorm, named as in a canonical file.
    pub missing: Vec<String>,
    /// The tensors that are not part of the weights, such as a classifier's.
    pub unused: Vec<String>,
}

/// A tensor that is part of the weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Its name in the file.
    pub tensor: String,
    /// The convolution that it is a part of, by torchvision's name: `features.28`.
    pub layer: String,
    /// Its use.
    pub how: Use,
}

/// The use of a tensor that is part of the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Its numbers were kept under its own name.
    Kept,
    /// Its numbers were kept under its name without the prefix.
    PrefixRemoved,
    /// Its numbers were kept under another name.
    Renamed,
    /// It is part of a convolution into which BatchNorm was folded.
    Folded,
}

impl ImportReport {
    pub(super) fn new<S: TensorSource + ?Sized>(
        source: &S,
        located: &Located,
        known: Option<&'static str>,
    ) -> ImportReport {
        let (mut applied, mut missing) = (Vec::new(), Vec::new());
        for (layer, tensors) in located.network.convolutions().iter().zip(&located.layers) {
            let layer = layer.torchvision_name();
            let (weight, bias) = (format!("{layer}.weight"), format!("{layer}.bias"));
            let mut apply = |tensor: &str, name: &str| {
                let how = if tensors.norm.is_some() {
                    Use::Folded
                } else if tensor == name {
                    Use::Kept
                } else if tensor.strip_prefix(&*located.prefix) == Some(name) {
                    Use::PrefixRemoved
                } else {
                    Use::Renamed
                };
                let (tensor, layer) = (tensor.to_owned(), layer.clone());
                applied.push(Applied { tensor, layer, how });
            };
            apply(&tensors.weight, &weight);
            match &tensors.bias {
                Some(tensor) => apply(tensor, &bias),
                None => missing.push(bias),
            }
            for tensor in tensors.norm.iter().flat_map(|norm| norm.names()) {
                apply(tensor, &layer);
            }
        }
        let used: HashSet<&str> = applied.iter().map(|applied| &*applied.tensor).collect();
        let unused = source.names().into_iter().filter(|name| !used.contains(&**name)).collect();
        ImportReport {
            network: located.network,
            origin: located.origin,
            prefix: located.prefix.clone(),
            known,
            applied,
            missing,
            unused,
        }
    }

    fn count(&self, how: Use) -> usize {
        self.applied.iter().filter(|applied| applied.how == how).count()
    }
}

impl fmt::Display for ImportReport {
    /// Writes a few lines for people to read, without a line break at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, found by {}", self.network.title(), self.origin)?;
        if !self.prefix.is_empty() {
            write!(f, " after the prefix '{}'", self.prefix)?;
        }
        if let Some(known) = self.known {
            write!(f, "\nits first convolution is that of {known}")?;
        }
        write!(f, "\n{} applied", counted(self.applied.len(), "tensor"))?;
        for (how, text) in [
            (Use::PrefixRemoved, "without their prefix"),
            (Use::Renamed, "renamed"),
            (Use::Folded, "belonging to convolutions with a folded BatchNorm"),
        ] {
            match self.count(how) {
                0 => {}
                count if count == self.applied.len() => write!(f, ", {text}")?,
                count => write!(f, ", {count} of them {text}")?,
            }
        }
        for (names, text) in [(&self.missing, "missing, set to zero"), (&self.unused, "not used")] {
            if !names.is_empty() {
                let first = names[..names.len().min(MOST)].join(", ");
                write!(f, "\n{} {text}: {first}", names.len())?;
            }
            if names.len() > MOST {
                f.write_str(", …")?;
            }
        }
        Ok(())
    }
}
