//! Reading a finished cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use durable::Digest;
use half::f16;
use half::slice::HalfFloatSliceExt;
use memmap2::{Mmap, UncheckedAdvice};
use ndarray::ArrayView1;
use ndarray_npy::ViewNpyExt;
use rayon::prelude::*;
use recipe::{Dtype, Tap, TapShape};
use serde_json::Value;

use crate::npy::{check_form, check_header, map};
use crate::spec::check_labels;
use crate::{CacheKey, Error, FileEntry, Ids, Inputs, Manifest, Part, Split, SplitName, files};

/// A finished cache: its manifest was read and checked, and every file it names is there with the
/// size it records.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
    manifest: Manifest,
    /// As the manifest has it.
    recipe: Value,
}

/// The extent of what [`Cache::verify`] checked.
#[derive(Debug, Clone, Copy)]
pub struct Verification {
    /// Files whose digests were computed.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
}

impl Cache {
    /// Opens the cache in `folder`: reads the manifest and checks its version and digest, the size
    /// of every file and the header of every array, but not the files' digests.
    ///
    /// # Errors
    /// If there is no manifest, or it does not agree with the files.
    pub fn open(folder: &Path) -> Result<Cache, Error> {
        let cache = Cache::read(folder)?;
        for file in cache.files()? {
            file.check_size()?;
        }
        for &split in cache.manifest.splits.keys() {
            cache.split_at(split, cache.taps())?;
        }
        Ok(cache)
    }

    /// Reads and checks the manifest alone.
    fn read(folder: &Path) -> Result<Cache, Error> {
        let path = folder.join(files::MANIFEST);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::NoManifest { path: folder.to_path_buf() });
            }
            Err(error) => return Err(durable::Error::at("read", &path)(error).into()),
        };
        let text =
            String::from_utf8(text).map_err(|_| Error::ManifestChanged { path: path.clone() })?;
        let (manifest, recipe) = Manifest::from_text(&text, &path)?;
        Ok(Cache { folder: folder.to_path_buf(), manifest, recipe })
    }

    /// The finished cache of these inputs under `root`, if there is one; also one of format 1.1.
    ///
    /// # Errors
    /// If the cache in its folder cannot be opened, or is one of other inputs.
    pub fn find(root: &Path, inputs: &Inputs) -> Result<Option<Cache>, Error> {
        for key in [Some(inputs.key()), inputs.key_of_1_1()].into_iter().flatten() {
            let found = Cache::find_with(&root.join(inputs.folder_name_with(key)), key)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The finished cache in `folder`, which must have this key.
    fn find_with(folder: &Path, expected: CacheKey) -> Result<Option<Cache>, Error> {
        let cache = match Cache::open(folder) {
            Ok(cache) => cache,
            Err(Error::NoManifest { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        // The folder's name has only the key's beginning, and whoever has the folder can rename it.
        let found = cache.manifest.key;
        if found != expected {
            return Err(Error::OtherInputs { path: folder.to_path_buf(), found, expected });
        }
        Ok(Some(cache))
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The path of a file of `pooled/`, checked to be inside the cache's folder.
    ///
    /// # Errors
    /// If a link leads out of it.
    pub fn pooled_file(&self, name: &str) -> Result<PathBuf, Error> {
        files::inside(&self.folder, &format!("{}/{name}", files::POOLED))
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The manifest as it stands in the file, whatever its format, with members that this version does not
    /// know.
    ///
    /// # Errors
    /// If the file cannot be read again.
    pub fn manifest_json(&self) -> Result<Value, Error> {
        let path = self.folder.join(files::MANIFEST);
        let text = fs::read(&path).map_err(durable::Error::at("read", &path))?;
        serde_json::from_slice(&text).map_err(|source| Error::ManifestSyntax { path, source })
    }

    /// The recipe as the manifest has it, with members that this version does not know: the one to keep
    /// beside what is made of the features.
    pub fn recipe_as_written(&self) -> &Value {
        &self.recipe
    }

    /// Bytes of all files that the manifest names.
    pub fn bytes(&self) -> u64 {
        let files = |split: &Split| {
            let parts = split.features.values().flatten().map(|part| part.bytes);
            let files = split.labels.iter().chain([&split.ids]).map(|file| file.bytes);
            parts.chain(files).fold(0, u64::saturating_add)
        };
        self.manifest.splits.values().map(files).fold(0, u64::saturating_add)
    }

    /// The taps whose features it has, in the network's order.
    pub fn taps(&self) -> &[Tap] {
        &self.manifest.inputs.recipe.taps
    }

    /// The tap that is meant where none is named: the last.
    pub fn default_tap(&self) -> &Tap {
        self.taps().last().expect("a manifest without taps is refused")
    }

    /// The shape of a row of a tap: channels, height and width, or channels alone.
    ///
    /// # Errors
    /// If the cache does not have the tap.
    pub fn shape(&self, tap: &Tap) -> Result<&TapShape, Error> {
        self.manifest.shapes.get(tap).ok_or_else(|| {
            let present: Vec<String> = self.taps().iter().map(Tap::to_string).collect();
            let (path, tap, present) = (self.folder.clone(), tap.clone(), present.join(","));
            Error::NoTap { path, tap, present }
        })
    }

    /// Opens a split with the features of the default tap, which are mapped, not read.
    ///
    /// # Errors
    /// As [`Cache::split_at`].
    pub fn split(&self, name: SplitName) -> Result<SplitReader<'_>, Error> {
        self.split_at(name, std::slice::from_ref(self.default_tap()))
    }

    /// Opens a split whose rows are those of `taps`, joined in that order. The features are mapped, not
    /// read.
    ///
    /// # Errors
    /// If there is no such split or tap, or a feature file's header disagrees with the manifest.
    pub fn split_at(&self, name: SplitName, taps: &[Tap]) -> Result<SplitReader<'_>, Error> {
        let Some(split) = self.manifest.splits.get(&name) else {
            let present: Vec<_> = self.manifest.splits.keys().map(|split| split.as_str()).collect();
            return Err(Error::NoSplit {
                path: self.folder.clone(),
                split: name,
                present: present.join(", "),
            });
        };
        let mut arrays = Vec::new();
        for tap in taps {
            let shape = self.shape(tap)?;
            let mut array = MappedArray { shape, parts: &split.features[tap], maps: Vec::new() };
            for part in array.parts {
                array.maps.push(self.map_part(part, shape)?);
            }
            arrays.push(array);
        }
        Ok(SplitReader { cache: self, name, split, arrays })
    }

    fn map_part(&self, part: &Part, shape: &[usize]) -> Result<MappedPart, Error> {
        let path = self.path(&part.file)?;
        let map = map(&path)?;
        let shape: Vec<usize> = [part.rows].iter().chain(shape).copied().collect();
        let offset = check_header(&map, &path, &shape, self.dtype())?;
        Ok(MappedPart { first_row: part.first_row, rows: part.rows, map, offset })
    }

    fn dtype(&self) -> Dtype {
        self.manifest.inputs.recipe.dtype
    }

    /// Reads every file of the cache in `folder` and checks its size, header and digest, with all
    /// cores; `progress` is told the bytes done and those of all files.
    ///
    /// # Errors
    /// If there is no manifest or it is damaged; otherwise every damaged file.
    pub fn verify(
        folder: &Path,
        progress: impl Fn(u64, u64) + Sync,
    ) -> Result<Verification, Error> {
        let cache = Cache::read(folder)?;
        let files = cache.files()?;
        let (done, total) = (AtomicU64::new(0), cache.bytes());
        let progress = |bytes| progress(done.fetch_add(bytes, Ordering::Relaxed) + bytes, total);
        let check = |file: &ListedFile<'_>| {
            file.check_size()?;
            if let Some((part, shape)) = file.part {
                cache.map_part(part, shape)?;
            }
            file.check_digest(progress)
        };
        let mut problems: Vec<Error> =
            files.par_iter().filter_map(|file| check(file).err()).collect();
        match problems.len() {
            0 => {}
            1 => return Err(problems.remove(0)),
            _ => {
                let (path, files) = (folder.to_path_buf(), files.len());
                return Err(Error::Damaged { path, files, problems });
            }
        }
        for &split in cache.manifest.splits.keys() {
            let split = cache.split(split)?;
            split.ids()?;
            split.labels()?;
        }
        Ok(Verification { files: files.len(), bytes: total })
    }

    /// Every file that the manifest names.
    fn files(&self) -> Result<Vec<ListedFile<'_>>, Error> {
        let mut files = Vec::new();
        for split in self.manifest.splits.values() {
            for (tap, parts) in &split.features {
                let shape = self.shape(tap)?;
                for part in parts {
                    let &Part { ref file, bytes, digest, .. } = part;
                    let (path, part) = (self.path(file)?, Some((part, shape)));
                    files.push(ListedFile { path, bytes, digest, part });
                }
            }
            for &FileEntry { ref file, bytes, digest } in split.labels.iter().chain([&split.ids]) {
                files.push(ListedFile { path: self.path(file)?, bytes, digest, part: None });
            }
        }
        Ok(files)
    }

    fn path(&self, file: &str) -> Result<PathBuf, Error> {
        files::inside(&self.folder, file)
    }
}

/// A file, with its size and digest by the manifest.
struct ListedFile<'a> {
    path: PathBuf,
    bytes: u64,
    digest: Digest,
    /// The part of a tap's features that it holds, and the shape of a row; `None` if it does not hold features.
    part: Option<(&'a Part, &'a TapShape)>,
}

impl ListedFile<'_> {
    fn check_size(&self) -> Result<(), Error> {
        let path = self.path.clone();
        match fs::metadata(&path) {
            // Opening a named pipe would wait for ever.
            Ok(metadata) if !metadata.is_file() => Err(Error::MissingFile { path }),
            Ok(metadata) if metadata.len() == self.bytes => Ok(()),
            Ok(metadata) => {
                Err(Error::WrongSize { path, expected: self.bytes, found: metadata.len() })
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(Error::MissingFile { path })
            }
            Err(error) => Err(durable::Error::at("read", &path)(error).into()),
        }
    }

    fn check_digest(&self, progress: impl Fn(u64) + Sync) -> Result<(), Error> {
        let found = durable::digest_of_file(&self.path, progress)?;
        if found != self.digest {
            let (path, expected) = (self.path.clone(), self.digest);
            return Err(Error::WrongDigest { path, expected, found });
        }
        Ok(())
    }
}

/// A split of a finished cache.
#[derive(Debug)]
pub struct SplitReader<'a> {
    cache: &'a Cache,
    name: SplitName,
    split: &'a Split,
    /// Those whose rows are joined, in that order.
    arrays: Vec<MappedArray<'a>>,
}

/// The features of one tap.
#[derive(Debug)]
struct MappedArray<'a> {
    shape: &'a TapShape,
    parts: &'a [Part],
    /// One for each of the parts.
    maps: Vec<MappedPart>,
}

#[derive(Debug)]
struct MappedPart {
    first_row: usize,
    rows: usize,
    map: Mmap,
    /// Where in the map the first element lies.
    offset: usize,
}

impl<'a> SplitReader<'a> {
    /// The cache that it is a split of.
    pub fn cache(&self) -> &'a Cache {
        self.cache
    }

    /// The shapes of the taps whose rows are joined.
    pub fn shapes(&self) -> impl Iterator<Item = &TapShape> {
        self.arrays.iter().map(|array| array.shape)
    }

    /// Its name.
    pub fn name(&self) -> SplitName {
        self.name
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.split.rows
    }

    /// Numbers in a row, of all taps together.
    pub fn row_len(&self) -> usize {
        self.arrays.iter().map(MappedArray::row_len).sum()
    }

    /// One digest for all of its features, whatever parts they lie in.
    pub fn features_digest(&self) -> Digest {
        let parts = self.arrays.iter().flat_map(|array| array.parts);
        let digests: Vec<String> = parts.map(|part| part.digest.to_string()).collect();
        Digest::of(digests.join(" ").as_bytes())
    }

    /// Reads all of its features and checks their digests.
    ///
    /// # Errors
    /// If a file is damaged.
    pub fn verify_features(&self) -> Result<(), Error> {
        for part in self.arrays.iter().flat_map(|array| array.parts) {
            let &Part { ref file, bytes, digest, .. } = part;
            let file = ListedFile { path: self.cache.path(file)?, bytes, digest, part: None };
            file.check_digest(|_| ())?;
        }
        Ok(())
    }

    /// Tells the operating system that a row is not needed for now, so that it no longer counts as
    /// this program's memory. It can be read again.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn release_row(&self, row: usize) {
        for array in &self.arrays {
            let (map, start, len) = array.locate(row, self.cache.dtype());
            release(map, start, len);
        }
    }

    /// Copies row `row` into `values`: tap after tap, each `[C, H, W]` or `[C]` in C order.
    ///
    /// # Panics
    /// If there is no such row, or `values` does not have the row's length.
    pub fn read_row(&self, row: usize, values: &mut [f32]) {
        assert_eq!(values.len(), self.row_len());
        let mut rest = values;
        for array in &self.arrays {
            let values;
            (values, rest) = rest.split_at_mut(array.row_len());
            array.read_row(row, self.cache.dtype(), values);
        }
    }

    /// The labels, checked against their digest and the class list; `None` for an
    /// unlabelled split.
    ///
    /// # Errors
    /// If the file cannot be read, has another form, or a label is not an index into the classes.
    pub fn labels(&self) -> Result<Option<Vec<i64>>, Error> {
        let Some(entry) = &self.split.labels else { return Ok(None) };
        let path = self.cache.path(&entry.file)?;
        let map = map(&path)?;
        check_digest(path.clone(), entry.digest, Digest::of(&map))?;
        let wrong = |found: String| Error::WrongHeader {
            path: path.clone(),
            expected: format!("shape [{}], dtype <i8", self.split.rows),
            found,
        };
        check_form(&map).map_err(wrong)?;
        let view = ArrayView1::<i64>::view_npy(&map).map_err(|error| wrong(error.to_string()))?;
        if view.len() != self.split.rows {
            return Err(wrong(format!("shape {:?}", view.shape())));
        }
        let labels = view.to_vec();
        check_labels(&labels, self.cache.manifest.class_names.len(), || path.clone())?;
        Ok(Some(labels))
    }

    /// The labels of a split that must have some.
    ///
    /// # Errors
    /// As [`SplitReader::labels`], and if there are none.
    pub fn labels_required(&self) -> Result<Vec<i64>, Error> {
        let path = self.cache.folder.clone();
        self.labels()?.ok_or(Error::NoLabels { path, split: self.name })
    }

    /// The sample ids, row order.
    ///
    /// # Errors
    /// If the file cannot be read or has another number of lines than there are rows.
    pub fn ids(&self) -> Result<Ids, Error> {
        let path = self.cache.path(&self.split.ids.file)?;
        let text = fs::read_to_string(&path).map_err(durable::Error::at("read", &path))?;
        check_digest(path.clone(), self.split.ids.digest, Digest::of(text.as_bytes()))?;
        let ids = Ids::from_text(text);
        if ids.len() != self.split.rows {
            return Err(Error::WrongIdCount { path, expected: self.split.rows, found: ids.len() });
        }
        Ok(ids)
    }
}

impl MappedArray<'_> {
    fn row_len(&self) -> usize {
        self.shape.iter().product()
    }

    /// The map that holds a row, and where in it the row begins and how long it is, in bytes.
    fn locate(&self, row: usize, dtype: Dtype) -> (&Mmap, usize, usize) {
        let part = self.maps.partition_point(|part| part.first_row + part.rows <= row);
        let part = &self.maps[part];
        let row_bytes = self.row_len() * dtype.bytes();
        (&part.map, part.offset + (row - part.first_row) * row_bytes, row_bytes)
    }

    fn read_row(&self, row: usize, dtype: Dtype, values: &mut [f32]) {
        let (map, start, len) = self.locate(row, dtype);
        let bytes = &map[start..start + len];
        match dtype {
            Dtype::F32 => {
                for (value, bytes) in values.iter_mut().zip(bytes.as_chunks().0) {
                    *value = f32::from_le_bytes(*bytes);
                }
            }
            Dtype::F16 => {
                let halves: Vec<f16> =
                    bytes.as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes)).collect();
                halves.convert_to_f32_slice(values);
            }
        }
    }
}

/// Tells the operating system that bytes of a read-only map of a file are not needed for now, so that
/// they no longer count as this program's memory. They can be read again.
fn release(map: &Mmap, start: usize, len: usize) {
    // Where a page is touched, Linux maps those around it, too: all of a large folio, of up to 2 MiB.
    const BLOCK: usize = 2 << 20;
    let base = map.as_ptr().addr();
    let end = ((base + start + len).next_multiple_of(BLOCK) - base).min(map.len());
    let start = ((base + start) / BLOCK * BLOCK).max(base) - base;
    #[allow(unsafe_code)]
    // SAFETY: the map is a read-only one of a file; dropped pages are read again from it.
    let advised =
        unsafe { map.unchecked_advise_range(UncheckedAdvice::DontNeed, start, end - start) };
    // Advice: without it, the pages stay until memory is short.
    let _ = advised;
}

fn check_digest(path: PathBuf, expected: Digest, found: Digest) -> Result<(), Error> {
    if found == expected { Ok(()) } else { Err(Error::WrongDigest { path, expected, found }) }
}

/// The folder of the newest finished cache under `root`.
///
/// # Errors
/// If there is none, or the folder cannot be listed.
pub fn newest(root: &Path) -> Result<PathBuf, Error> {
    let newest = durable::newest(root, files::MANIFEST)?;
    newest.ok_or_else(|| Error::NoCaches { root: root.to_path_buf() })
}

/// Whether a folder holds a finished cache.
pub fn is_finished(folder: &Path) -> bool {
    folder.join(files::MANIFEST).exists()
}
