//! Parquet files with the encoded images in a column, as Hugging Face's library `datasets` writes them.
//!
//! ```text
//! data/train-00000-of-00002.parquet    image: struct of bytes and path, label: number of a class or text
//! data/train-00001-of-00002.parquet
//! data/validation-00000-of-00001.parquet    optional; also test-…
//! ```
//!
//! The files lie in the folder itself, in `data/`, in the only folder in it, or in `train/`, `validation/` and
//! `test/`; else a file's split is a word of its name, and if no file has one, all are for training. A column
//! of images may also hold plain bytes. Class numbers have the names that `datasets` notes in the file, else
//! classes are the labels of the training rows, in numerical order if all are numbers, else in the order of their
//! bytes. Where `datasets` has named the classes, -1 stands for no label.
//!
//! Nothing is unpacked: a first pass over the files makes an index, by which an image is read where it lies, or in
//! the page that it was compressed with. So no more than some pages are in memory.

mod columns;
mod files;
mod images;
mod rows;

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::{DatasetFiles, Form, GivenFolder, SourceFile};
use crate::digests::Digests;
use crate::errors::Errors;
use crate::files::{is_data, is_image};
use crate::folder::Folder;
use crate::images::Group;
use crate::loading::Loading;
use crate::name::escape;
use crate::packed::{Shard, Shards};
use crate::parquet::ParquetFile;
use crate::part::Part;
use crate::table::Loaded;
use crate::{Error, Notice, SourceConfig, digest};
use columns::{Columns, has_images};
pub(super) use files::is_parquet;
use files::{alone, check_counted, shards_in};
use rows::{Rows, Splits};

/// Files with images, of which the descriptions were read.
#[derive(Debug)]
pub(crate) struct ParquetSet {
    /// What was given as the dataset.
    path: PathBuf,
    shards: Shards,
    /// Of each file.
    columns: Vec<Columns>,
    has_val: bool,
    has_test: bool,
    notices: Vec<Notice>,
    errors: Vec<Error>,
}

impl Form for ParquetSet {
    type Dataset = ParquetSet;
    const NAME: &str = "parquet";
    const DESCRIPTION: &str = "Parquet files with a column of images, as Hugging Face's datasets writes them (train-00000-of-00002.parquet \
         with image and label), or their folder";
    const HAS_COLUMNS: bool = true;

    fn mark(folder: &GivenFolder<'_>) -> Result<Option<String>, Error> {
        let shards = images_among(folder)?;
        Ok(shards.first().map(|first| format!("{}, a Parquet file", escape(&first.name))))
    }

    fn open(folder: &GivenFolder<'_>) -> Result<Option<ParquetSet>, Error> {
        match images_among(folder)? {
            shards if shards.is_empty() => Ok(None),
            shards => ParquetSet::read(&folder.path, shards, folder.config).map(Some),
        }
    }

    fn open_file(path: &Path, config: &SourceConfig) -> Result<Option<ParquetSet>, Error> {
        match alone(path) {
            Some(shard) => ParquetSet::read(path, vec![shard], config).map(Some),
            None => Ok(None),
        }
    }

    fn images_in(folder: &GivenFolder<'_>) -> Result<Option<Vec<Group>>, Error> {
        // Images beside the files would go unseen.
        let has_images = folder.files.iter().any(|name| is_image(name));
        match images_among(folder)? {
            shards if shards.is_empty() || has_images => Ok(None),
            shards => groups(&folder.path, &shards).map(Some),
        }
    }

    fn images_of_file(path: &Path) -> Result<Option<Vec<Group>>, Error> {
        match alone(path) {
            Some(shard) => groups(path, &[shard]).map(Some),
            None => Ok(None),
        }
    }
}

impl DatasetFiles for ParquetSet {
    fn take_errors(&mut self) -> Vec<Error> {
        std::mem::take(&mut self.errors)
    }

    fn notices(&self) -> &[Notice] {
        &self.notices
    }

    fn has_val(&self) -> bool {
        self.has_val
    }

    fn has_test(&self) -> bool {
        self.has_test
    }

    fn files(&self) -> usize {
        self.shards.len()
    }

    fn file(&self, index: usize) -> SourceFile<'_> {
        self.shards.source_file(index)
    }

    /// Adds the columns that are read, and the names and bytes of the files.
    fn digest(&self, digest: &mut blake3::Hasher, files: &Digests) {
        digest.update(b"parquet");
        for columns in &self.columns {
            for name in columns.names() {
                digest.update(&(name.len() as u64).to_le_bytes());
                digest.update(name.as_bytes());
            }
        }
        digest::add_files(digest, self, files);
    }

    fn load(&self, _: &Digests, loading: &Loading<'_>) -> Result<Loaded, Error> {
        let rows = Rows::read(&self.shards, &self.columns, Some(loading))?;
        self.shards.check()?;
        rows.into_loaded(&self.path)
    }
}

impl ParquetSet {
    /// Reads the descriptions of the files, of which there is at least one. They were given as `path`, a folder or
    /// a file. Those that cannot be read, or have other columns, are left out with an error.
    ///
    /// # Errors
    /// If none is left.
    fn read(path: &Path, shards: Vec<Shard>, config: &SourceConfig) -> Result<ParquetSet, Error> {
        let mut errors = Errors::default();
        if !path.is_file() {
            errors.keep(check_counted(&shards))?;
        }
        let mut splits = Splits::default();
        let mut columns: Vec<Columns> = Vec::new();
        let mut add = |shard: &Shard| {
            let file = ParquetFile::open(&shard.path)?;
            let found = Columns::find(&file, &config.columns)?;
            if found.label.is_none() && shard.part != Part::Test {
                return Err(Columns::no_label(&file));
            }
            if let Some(first) = columns.iter().find(|first| !first.has_classes_of(&found)) {
                return Err(first.other_classes(&file));
            }
            splits.add(&file, shard, &found)?;
            columns.push(found);
            Ok(())
        };
        let mut good = Vec::new();
        for shard in shards {
            if errors.keep(add(&shard))?.is_some() {
                good.push(shard);
            }
        }
        if good.is_empty() {
            errors.check()?;
            return Err(Error::NoImages { path: path.to_path_buf() });
        }
        let shards = Shards::new(good);
        let (has_val, has_test) = (splits.has(Part::Val), splits.has(Part::Test));
        let mut notices = notices(path, &shards)?;
        notices.extend(splits.notice(path));
        let (path, errors) = (path.to_path_buf(), errors.into_vec());
        Ok(ParquetSet { path, shards, columns, has_val, has_test, notices, errors })
    }
}

/// The Parquet files in a folder, unless they hold no images and are beside folders that may.
fn images_among(folder: &Folder) -> Result<Vec<Shard>, Error> {
    let shards = shards_in(folder)?;
    let Some(first) = shards.first() else { return Ok(shards) };
    let is_alone = folder.folders.iter().all(|name| first.name.starts_with(name));
    // A damaged file is refused when its columns are looked for.
    let is_ours =
        is_alone || ParquetFile::open(&first.path).map_or(true, |file| has_images(&file.schema));
    Ok(if is_ours { shards } else { Vec::new() })
}

/// The notices on what lies beside the files, which were given as `path`: other data in their folders, or other
/// Parquet files beside one that was given itself.
fn notices(path: &Path, shards: &[Shard]) -> Result<Vec<Notice>, Error> {
    let is_alone = path.is_file();
    let given = (!is_alone).then(|| path.to_path_buf());
    let folders = shards.iter().filter_map(|shard| match shard.path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Some(PathBuf::from(".")),
        folder => folder.map(Path::to_path_buf),
    });
    let folders: BTreeSet<PathBuf> = given.into_iter().chain(folders).collect();
    let is_other = |name: &OsStr| is_parquet(name) || (!is_alone && is_data(name));
    let mut notices = Vec::new();
    for path in folders {
        let within = |shard: &Shard| match shard.path.strip_prefix(&path) {
            Ok(within) => within.iter().next().map(OsStr::to_owned),
            Err(_) => is_alone.then(|| shard.name.as_os_str().to_owned()),
        };
        let used: Vec<OsString> = shards.iter().filter_map(within).collect();
        let mut folder = Folder::list(&path)?;
        if is_alone {
            folder.folders.clear();
        }
        let first = used.first().map_or_else(String::new, |name| escape(name.as_ref()));
        let used = used.iter().map(OsString::as_os_str).collect();
        notices.extend(folder.notices(first, &used, is_other));
    }
    Ok(notices)
}

/// The images of files, to be classified.
fn groups(path: &Path, shards: &[Shard]) -> Result<Vec<Group>, Error> {
    let columns = |shard: &Shard| {
        Columns::find(&ParquetFile::open(&shard.path)?, &SourceConfig::default().columns)
    };
    let columns: Vec<Columns> = shards.iter().map(columns).collect::<Result<_, Error>>()?;
    Rows::read(shards, &columns, None)?.into_groups(path)
}
