//! The canonical file: safetensors with torchvision's names, which records its network, its family and
//! the digest of its numbers.

use std::collections::HashMap;
use std::path::Path;

use durable::Format;
use recipe::Family;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::load::load;
use super::safetensors::SafetensorsFile;
use super::source::{Located, TensorSource, map};
use super::{Weights, known, names};
use crate::NETWORKS;
use crate::{Error, Network};

/// The version of the canonical file that is written.
///
/// The one entry of its metadata has the network's name and says `<format> <family> <digest>`. There is
/// one because safetensors would write several in random order, and equal weights would not make equal
/// files. A program that does not know the network finds no entry, and refuses the file.
///
/// - 1.0: `<family> <digest>`, without a version.
/// - 1.1: `<format> <family> <digest>`; readers leave further words alone.
const FORMAT: Format = Format { major: 1, minor: 1 };

/// The records of a canonical file.
#[derive(Debug, PartialEq)]
pub(super) struct Entry<'a> {
    pub(super) network: &'static Network,
    pub(super) family: Family,
    /// The digest of the numbers, in hexadecimal.
    digest: &'a str,
}

impl Weights {
    /// Writes the canonical file: safetensors with torchvision's names, the format's version, the
    /// family and the digest. Returns whether it was written: one with the same bytes is left alone.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<bool, Error> {
        let mut views = Vec::new();
        for (layer, numbers) in self.network.convolutions().iter().zip(&self.convolutions) {
            let (name, shape) = (layer.torchvision_name(), layer.weight_shape().to_vec());
            for (part, shape, numbers) in [
                ("weight", shape, &numbers.weight),
                ("bias", vec![layer.out_channels], &numbers.bias),
            ] {
                let view = TensorView::new(Dtype::F32, shape, bytemuck::cast_slice(numbers))
                    .expect("the shape is that of the numbers");
                views.push((format!("{name}.{part}"), view));
            }
        }
        let entry = format!("{FORMAT} {} {}", self.id.family, self.id.digest);
        let metadata = HashMap::from([(self.network.name.to_owned(), entry)]);
        let bytes = safetensors::serialize(views, Some(metadata))
            .map_err(|source| Error::Safetensors { path: path.to_path_buf(), source })?;
        if map(path).is_ok_and(|there| there == bytes) {
            return Ok(false);
        }
        durable::replace(path, &bytes)?;
        Ok(true)
    }

    /// Reads a canonical file and checks its digest.
    ///
    /// # Errors
    /// If the file is missing, damaged, of another version, or does not say its own family.
    pub fn read(path: &Path) -> Result<Weights, Error> {
        let file = SafetensorsFile::open(path, map(path)?)?;
        let Some(entry) = Entry::find(&file)? else {
            return Err(Error::NoFamily { path: path.to_path_buf() });
        };
        Ok(entry.read(&file)?.0)
    }
}

impl<'a> Entry<'a> {
    /// The records of a file; `None` if it is another program's.
    ///
    /// # Errors
    /// If it records something else, or its version is not read.
    pub(super) fn find<S: TensorSource + ?Sized>(
        source: &'a S,
    ) -> Result<Option<Entry<'a>>, Error> {
        let mut entries = NETWORKS.iter().filter_map(|network| {
            let entry = source.metadata(network.name)?;
            Some(Entry::parse(source.path(), network, entry))
        });
        entries.next().transpose()
    }

    fn parse(path: &Path, network: &'static Network, entry: &'a str) -> Result<Entry<'a>, Error> {
        let mut words = entry.split(' ').peekable();
        let version = words.next_if_map(|word| word.parse::<Format>().map_err(|_| word));
        if let Some(found) = version.filter(|version| !version.is_readable_by(FORMAT)) {
            return Err(Error::OtherFormat { path: path.to_path_buf(), found, expected: FORMAT });
        }
        let family = words.next().and_then(|family| family.parse().ok());
        let found = family.zip(words.next());
        let found = found.map(|(family, digest)| Entry { network, family, digest });
        found.ok_or_else(|| match version.filter(|version| version.minor > FORMAT.minor) {
            // A family, say, that this version does not know.
            Some(found) => Error::OtherFormat { path: path.to_path_buf(), found, expected: FORMAT },
            None => Error::DamagedEntry {
                path: path.to_path_buf(),
                name: network.name,
                entry: entry.to_owned(),
            },
        })
    }

    /// The weights of the file, and where they are in it.
    ///
    /// # Errors
    /// If they are not there, do not have the digest recorded, or are known to be of another family.
    pub(super) fn read<S: TensorSource + ?Sized>(
        &self,
        source: &S,
    ) -> Result<(Weights, Located), Error> {
        let located = names::canonical(source, self.network)?;
        let convolutions = load(source, &located)?;
        let known = known::find(self.network, &convolutions[0]);
        known::check(source.path(), known, self.family)?;
        let weights = Weights::new(self.network, self.family, convolutions);
        // Digests that earlier versions wrote are compared as they stand there.
        if self.digest != weights.id.digest.to_string() {
            return Err(Error::WrongDigest {
                path: source.path().to_path_buf(),
                expected: self.digest.to_owned(),
                found: weights.id.digest,
            });
        }
        Ok((weights, located))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_all_versions_are_read_or_refused() {
        let network = &NETWORKS[3];
        let parse = |entry| Entry::parse(Path::new("w"), network, entry);
        for (entry, family) in [
            ("caffe 00ff", Family::Caffe),
            ("1.0 caffe 00ff", Family::Caffe),
            ("1.1 caffe-rgb 00ff", Family::CaffeRgb),
            ("1.9 torchvision 00ff and more", Family::Torchvision),
        ] {
            let expected = Entry { network, family, digest: "00ff" };
            assert_eq!(parse(entry).unwrap(), expected, "{entry}");
        }
        for (entry, version) in [("2.0 caffe 00ff", "2.0"), ("0.9", "0.9"), ("3.1 x", "3.1")] {
            match parse(entry) {
                Err(Error::OtherFormat { found, .. }) => assert_eq!(found.to_string(), version),
                other => panic!("{entry}: {other:?}"),
            }
        }
        for entry in ["", " ", "1.1", "1.1 caffe", "caffe", "1.1 keras 00", "1 caffe 00", "1.1  00"]
        {
            assert!(matches!(parse(entry), Err(Error::DamagedEntry { .. })), "{entry}");
        }
    }
}
