//! The canonical file: safetensors with torchvision's names, which records its network, its family and
//! the digest of its numbers.

use std::collections::HashMap;
use std::path::Path;

use durable::{Digest, Format};
use recipe::{Family, WeightsId};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde::{Deserialize, Serialize};

use super::forms::other_form;
use super::load::load;
use super::safetensors::SafetensorsFile;
use super::source::{Located, TensorSource, map};
use super::{Weights, known, names};
use crate::NETWORKS;
use crate::{Error, Network};

/// The version of the canonical file that is written. Files of version 1 are read as well.
///
/// The metadata has one entry, named after the network. Its value is a JSON object:
/// `{"format":{"major":2,"minor":0},"family":"caffe","digest":"58ed…"}`. Readers ignore members that
/// they do not know. A second entry would make equal weights serialise differently, because safetensors
/// writes metadata in `HashMap` order. A program that does not know the network finds no entry, and
/// refuses the file as one whose family is unknown.
///
/// - 1.0: the entry is text, `<family> <digest>`.
/// - 1.1: the entry is text, `1.1 <family> <digest>`; readers ignore further words.
/// - 2.0: the entry is JSON. It kept its name so that readers of version 1 find it, cannot parse it and
///   refuse the file. Under another name they would take the file for another program's, and import it
///   under any family that the user gives.
const FORMAT: Format = Format { major: 2, minor: 0 };

/// The last version whose entry is text.
const LAST_TEXT: Format = Format { major: 1, minor: 1 };

/// The records of a canonical file.
#[derive(Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) network: &'static Network,
    pub(super) family: Family,
    /// The digest of the numbers.
    digest: Digest,
}

/// The value of the metadata entry. Its members are written in this order.
#[derive(Serialize, Deserialize)]
struct Record {
    format: Format,
    family: Family,
    digest: Digest,
}

impl Weights {
    /// Writes the canonical file: safetensors with torchvision's names, the format's version, the family
    /// and the digest. A file that has the same bytes already is left alone. Returns whether it was
    /// written.
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
        let record = Record { format: FORMAT, family: self.id.family, digest: self.id.digest };
        let entry = serde_json::to_string(&record).expect("a struct of text and numbers is JSON");
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
        let bytes = map(path)?;
        if let Some(form) = other_form(path, &bytes) {
            return Err(Error::NotImported { path: path.to_path_buf(), form });
        }
        let file = SafetensorsFile::open(path, bytes)?;
        let Some(entry) = Entry::find(&file)? else {
            return Err(Error::NoFamily { path: path.to_path_buf() });
        };
        Ok(entry.read(&file)?.0)
    }
}

/// The identity that a canonical file records, without a look at its numbers.
///
/// # Errors
/// If the file is missing, damaged, of another version, or another program's.
pub(super) fn recorded_id(path: &Path) -> Result<WeightsId, Error> {
    let file = SafetensorsFile::open(path, map(path)?)?;
    let entry = Entry::find(&file)?.ok_or_else(|| Error::NoFamily { path: path.to_path_buf() })?;
    Ok(WeightsId { digest: entry.digest, family: entry.family })
}

impl Entry {
    /// The records of a file; `None` if it is another program's.
    ///
    /// # Errors
    /// If they are damaged, or of a version that this program does not read.
    pub(super) fn find<S: TensorSource + ?Sized>(source: &S) -> Result<Option<Entry>, Error> {
        let mut entries = NETWORKS.iter().filter_map(|network| {
            let entry = source.metadata(network.name)?;
            Some(Entry::parse(source.path(), network, entry))
        });
        entries.next().transpose()
    }

    fn parse(path: &Path, network: &'static Network, entry: &str) -> Result<Entry, Error> {
        let (reader, (version, found)) = if entry.starts_with('{') {
            (FORMAT, parse_json(entry))
        } else {
            (LAST_TEXT, parse_text(entry))
        };
        // A later minor version may have a family, say, that this program does not know.
        let is_other = |found: &Format| !found.is_readable_by(reader) || found.minor > reader.minor;
        match (found, version.filter(is_other)) {
            (Some((family, digest)), _) => Ok(Entry { network, family, digest }),
            (None, Some(found)) => {
                Err(Error::OtherFormat { path: path.to_path_buf(), found, written: FORMAT })
            }
            (None, None) => Err(Error::DamagedEntry {
                path: path.to_path_buf(),
                name: network.name,
                entry: entry.to_owned(),
            }),
        }
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
        if self.digest != weights.id.digest {
            return Err(Error::WrongDigest {
                path: source.path().to_path_buf(),
                expected: self.digest,
                found: weights.id.digest,
            });
        }
        Ok((weights, located))
    }
}

/// The version that an entry says, if any, and its family and digest, if they are of a major version that
/// is read.
type Parsed = (Option<Format>, Option<(Family, Digest)>);

/// Parses an entry of version 2.
fn parse_json(entry: &str) -> Parsed {
    /// The member that an entry of any later version has.
    #[derive(Deserialize)]
    struct Versioned {
        format: Format,
    }
    let Ok(Versioned { format }) = serde_json::from_str(entry) else { return (None, None) };
    let record: Option<Record> =
        if format.is_readable_by(FORMAT) { serde_json::from_str(entry).ok() } else { None };
    (Some(format), record.map(|record| (record.family, record.digest)))
}

/// Parses an entry of version 1.
fn parse_text(entry: &str) -> Parsed {
    let mut words = entry.split(' ').peekable();
    let version = words.next_if_map(|word| word.parse::<Format>().map_err(|_| word));
    if version.is_some_and(|version| !version.is_readable_by(LAST_TEXT)) {
        return (version, None);
    }
    let family = words.next().and_then(|family| family.parse().ok());
    let digest = words.next().and_then(|digest| digest.parse().ok());
    (version, family.zip(digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_all_versions_are_read_or_refused() {
        let network = &NETWORKS[3];
        let parse = |entry: &str| Entry::parse(Path::new("w"), network, entry);
        let digest = Digest::of(b"numbers");
        let members = format!(r#""family":"caffe-rgb","digest":"{digest}""#);
        for (entry, family) in [
            (format!("caffe {digest}"), Family::Caffe),
            (format!("1.0 caffe {digest}"), Family::Caffe),
            (format!("1.1 caffe-rgb {digest}"), Family::CaffeRgb),
            (format!("1.9 torchvision {digest} and more"), Family::Torchvision),
            (format!(r#"{{"format":{{"major":2,"minor":0}},{members}}}"#), Family::CaffeRgb),
            (
                format!(r#"{{"x":[],{members},"format":{{"minor":9,"major":2,"x":1}}}}"#),
                Family::CaffeRgb,
            ),
        ] {
            let expected = Entry { network, family, digest };
            assert_eq!(parse(&entry).unwrap(), expected, "{entry}");
        }
        let json = |version: &str, members: &str| {
            let (major, minor) = version.split_once('.').unwrap();
            format!(r#"{{"format":{{"major":{major},"minor":{minor}}},{members}}}"#)
        };
        for (entry, version) in [
            (format!("2.0 caffe {digest}"), "2.0"),
            ("0.9".to_owned(), "0.9"),
            ("3.1 x".to_owned(), "3.1"),
            ("1.2 keras 00".to_owned(), "1.2"),
            (json("3.0", &members), "3.0"),
            (json("1.1", &members), "1.1"),
            (json("3.0", r#""numbers":[]"#), "3.0"),
            (json("2.1", &members.replace("caffe-rgb", "keras")), "2.1"),
        ] {
            match parse(&entry) {
                Err(Error::OtherFormat { found, .. }) => assert_eq!(found.to_string(), version),
                other => panic!("{entry}: {other:?}"),
            }
        }
        for entry in [
            "",
            " ",
            "1.1",
            "1.1 caffe",
            "caffe",
            "caffe 00",
            &format!("1.1 keras {digest}"),
            &format!("1 caffe {digest}"),
            &format!("1.1  {digest}"),
            &format!("1.1 caffe {}", digest.to_string().to_uppercase()),
            "{}",
            &format!("{{{members}}}"),
            &json("2.0", r#""family":"caffe""#),
            &json("2.0", &members.replace("caffe-rgb", "keras")),
            &json("2.0", r#""family":"caffe","digest":"00""#),
            &json("2.0", &format!(r#"{members},"family":"caffe""#)),
            &json("2.0", &format!("{members},")),
            &json("2.0", &members).replace("2,", "-2,"),
            &json("2.0", &members).replace("2,", "4294967296,"),
            &format!("{} ", &json("2.0", &members)[1..]),
        ] {
            assert!(matches!(parse(entry), Err(Error::DamagedEntry { .. })), "{entry}");
        }
    }
}
