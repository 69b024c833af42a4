//! Keras' files: HDF5 as Keras 1 and 2 wrote it (`.h5`), as Keras 3 writes it (`.weights.h5`), and
//! Keras 3's `.keras`, a zip archive with such a file in it. Kernels are `[rows, columns, in, out]`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use hdf5_reader::error::Error as Hdf5Error;
use hdf5_reader::group::Group;
use hdf5_reader::{ByteOrder, Dataset, Datatype, Hdf5File, OpenOptions};

use super::archive;
use super::floats::{Float, swap_bytes};
use super::names;
use super::source::{Located, TensorSource};
use crate::{Error, Network};

/// The first bytes of an HDF5 file.
const MAGIC: &[u8] = b"\x89HDF\r\n\x1a\n";

/// The HDF5 file in a `.keras` file.
const INNER: &str = "model.weights.h5";

/// Largest number of groups and datasets in a file. VGG19 with the state of an optimiser has some hundred.
const MAX_OBJECTS: usize = 1 << 13;

/// Largest depth of groups in a file.
const MAX_DEPTH: usize = 16;

/// Largest size of a chunk in bytes, decompressed: four times that of VGG's largest convolution.
const MAX_CHUNK: usize = 1 << 26;

/// A Keras file.
pub(super) struct KerasFile {
    path: PathBuf,
    /// By their paths in the file, without a slash at the start.
    datasets: BTreeMap<String, Dataset>,
}

/// Whether these bytes begin like an HDF5 file, or are a `.keras` file.
pub(super) fn recognises(bytes: &Bytes) -> bool {
    bytes.starts_with(MAGIC)
        || archive::names(bytes).is_some_and(|names| names.iter().any(|name| name == INNER))
}

impl KerasFile {
    /// Reads the names and shapes of the datasets of the file at `path` from its `bytes`.
    ///
    /// # Errors
    /// If it is damaged, or has far more objects than a network.
    pub(super) fn open(path: &Path, bytes: &Bytes) -> Result<KerasFile, Error> {
        let damaged = |source| Error::Damaged { path: path.to_path_buf(), form: "Keras", source };
        let bytes =
            if bytes.starts_with(MAGIC) { bytes.clone() } else { inner(bytes).map_err(damaged)? };
        let options = OpenOptions::default()
            .with_chunk_cache_bytes(MAX_CHUNK)
            .with_max_chunk_bytes(MAX_CHUNK);
        let mut datasets = BTreeMap::new();
        let mut left = MAX_OBJECTS;
        Hdf5File::from_owner(bytes, options)
            .and_then(|file| walk(&file.root_group()?, "", 0, &mut left, &mut datasets))
            .map_err(|error| damaged(Box::new(error)))?;
        if left == 0 {
            return Err(Error::TooManyParts { path: path.to_path_buf(), most: MAX_OBJECTS });
        }
        Ok(KerasFile { path: path.to_path_buf(), datasets })
    }
}

/// The HDF5 file in a `.keras` file. Keras does not compress it, so it is part of the mapped file.
fn inner(bytes: &Bytes) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
    if archive::names(bytes).is_none() {
        return Err(
            "it begins neither like an HDF5 file nor like a zip archive, or ends too early".into(),
        );
    }
    let mut archive = archive::open(bytes)?;
    let file = archive.by_name(INNER)?;
    if file.compression() != zip::CompressionMethod::Stored {
        let says = format!("{INNER} is compressed in it, as Keras does not write it; unpack it");
        return Err(says.into());
    }
    let start = usize::try_from(file.data_start().ok_or("it has no data")?)?;
    let end = start.checked_add(usize::try_from(file.size())?).filter(|end| *end <= bytes.len());
    Ok(bytes.slice(start..end.ok_or("it ends within its data")?))
}

/// Collects the datasets of a group and of those in it, until `left` of them were seen. Groups may
/// contain one another in circles; the depth is limited too.
fn walk(
    group: &Group,
    prefix: &str,
    depth: usize,
    left: &mut usize,
    found: &mut BTreeMap<String, Dataset>,
) -> Result<(), Hdf5Error> {
    let (groups, datasets) = group.member_names()?;
    *left = left.saturating_sub(groups.len() + datasets.len());
    if *left == 0 || depth == MAX_DEPTH {
        return Ok(());
    }
    for name in datasets {
        found.insert(format!("{prefix}{name}"), group.dataset(&name)?);
    }
    for name in groups {
        walk(&group.group(&name)?, &format!("{prefix}{name}/"), depth + 1, left, found)?;
    }
    Ok(())
}

impl TensorSource for KerasFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn names(&self) -> Vec<String> {
        self.datasets.keys().cloned().collect()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        let sides = self.datasets.get(name)?.shape().iter();
        sides.map(|&side| usize::try_from(side).ok()).collect()
    }

    fn numbers(&self, name: &str, count: usize) -> Result<Vec<f32>, String> {
        let dataset = self.datasets.get(name).ok_or("is not there")?;
        let (float, order) = match dataset.dtype() {
            Datatype::FloatingPoint { size: 2, .. } => {
                // hdf5-reader does not say where their exponent ends.
                let what = "numbers of 16 bits, which may be float16 or bfloat16";
                return Err(format!("has {what}: save it in float32"));
            }
            Datatype::FloatingPoint { size: 4, byte_order } => (Float::F32, byte_order),
            Datatype::FloatingPoint { size: 8, byte_order } => (Float::F64, byte_order),
            Datatype::FixedPoint { .. } => return Err("has integers instead of floats".to_owned()),
            _ => return Err("has an HDF5 type that is not a float".to_owned()),
        };
        let cannot = |error| format!("cannot be read ({error})");
        let mut bytes = dataset.read_raw_bytes().map_err(cannot)?;
        if *order == ByteOrder::BigEndian {
            swap_bytes(&mut bytes, float.size());
        }
        float.numbers(&bytes, count)
    }

    fn locate(&self, network: Option<&'static Network>) -> Result<Located, Error> {
        names::locate(self, network)
    }
}
