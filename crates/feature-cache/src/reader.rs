//! Reading a finished cache.

mod split;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;
use recipe::{Dtype, Tap, TapShape};
use serde_json::Value;

use crate::layout::PartReader;
use crate::{
    CacheKey, Error, FileEntry, Inputs, Layout, Manifest, Part, PartFiles, Split, SplitName, files,
};

use split::TapReader;

pub use split::SplitReader;

/// A finished cache. Its manifest was checked, and every file that it names is there with the recorded size.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
    manifest: Manifest,
    /// The recipe as it is in the manifest.
    recipe: Value,
}

/// The files that [`Cache::verify`] checked.
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
        for file in cache.files() {
            file.check_size(folder)?;
        }
        for &split in cache.manifest.splits.keys() {
            cache.split_at(split, cache.taps())?;
        }
        Ok(cache)
    }

    /// Reads and checks the manifest alone.
    pub(crate) fn read(folder: &Path) -> Result<Cache, Error> {
        let path = folder.join(files::MANIFEST);
        let text = match files::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let (path, found) = (folder.to_path_buf(), without_manifest(folder));
                return Err(Error::NoManifest { path, found });
            }
            Err(error) => return Err(durable::Error::at("read", &path)(error).into()),
        };
        let text =
            String::from_utf8(text).map_err(|_| Error::ManifestChanged { path: path.clone() })?;
        let (manifest, recipe) = Manifest::from_text(&text, &path)?;
        Ok(Cache { folder: folder.to_path_buf(), manifest, recipe })
    }

    /// The finished cache of these inputs and this layout under `root`, if there is one; also one of format
    /// 1.1.
    ///
    /// # Errors
    /// If the cache in its folder cannot be opened, or is one of other inputs or of another layout.
    pub fn find(root: &Path, inputs: &Inputs, layout: Layout) -> Result<Option<Cache>, Error> {
        // That version had only one layout.
        let key_of_1_1 = inputs.key_of_1_1().filter(|_| layout == Layout::Dense);
        for key in [Some(inputs.key()), key_of_1_1].into_iter().flatten() {
            let folder = root.join(inputs.folder_name_with(key, layout));
            let found = Cache::find_with(&folder, key, layout)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The finished cache in `folder`, which must have this key and this layout.
    fn find_with(
        folder: &Path,
        expected: CacheKey,
        layout: Layout,
    ) -> Result<Option<Cache>, Error> {
        let cache = match Cache::open(folder) {
            Ok(cache) => cache,
            Err(Error::NoManifest { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        // The folder's name has only the beginning of the key, and the folder may have been renamed.
        let found = cache.manifest.key;
        if found != expected {
            return Err(Error::OtherInputs { path: folder.to_path_buf(), found, expected });
        }
        if cache.layout() != layout {
            let (path, found, expected) = (folder.to_path_buf(), cache.layout(), layout);
            return Err(Error::OtherLayout { path, found, expected });
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

    /// The manifest as it is in the file, in its own format and with members that this version does not know.
    ///
    /// # Errors
    /// If the file cannot be read again.
    pub fn manifest_json(&self) -> Result<Value, Error> {
        let path = self.folder.join(files::MANIFEST);
        let text = files::read(&path).map_err(durable::Error::at("read", &path))?;
        serde_json::from_slice(&text).map_err(|source| Error::ManifestSyntax { path, source })
    }

    /// The recipe as it is in the manifest, with members that this version does not know. Runs and sweeps record
    /// it in this form.
    pub fn recipe_as_written(&self) -> &Value {
        &self.recipe
    }

    /// The total size of all files that the manifest names, in bytes.
    pub fn bytes(&self) -> u64 {
        self.files().map(|file| file.bytes).fold(0, u64::saturating_add)
    }

    /// The form in which features are stored.
    pub fn layout(&self) -> Layout {
        self.manifest.layout
    }

    /// The taps whose features it has, in the network's order.
    pub fn taps(&self) -> &[Tap] {
        &self.manifest.inputs.recipe.taps
    }

    /// The tap that is used if none is named, which is the last.
    pub fn default_tap(&self) -> &Tap {
        self.taps().last().expect("a manifest without taps is refused")
    }

    /// The shape of a row of a tap: `[C, H, W]`, or `[C]` if it is pooled.
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
            let parts = &split.features[tap];
            let open = |part| self.open_part(part, shape);
            let readers = parts.iter().map(open).collect::<Result<_, Error>>()?;
            arrays.push(TapReader { shape, parts, readers });
        }
        Ok(SplitReader { cache: self, name, split, arrays })
    }

    fn open_part(&self, part: &Part, shape: &TapShape) -> Result<PartReader, Error> {
        PartReader::open(&self.folder, part, shape, self.dtype())
    }

    fn dtype(&self) -> Dtype {
        self.manifest.inputs.recipe.dtype
    }

    /// Reads every file of the cache in `folder` and checks its size, header and digest, and of the layout
    /// `csr` that its arrays agree, with all cores; `progress` is told the bytes done and those of all files.
    ///
    /// # Errors
    /// If there is no manifest or it is damaged; otherwise every damaged file.
    pub fn verify(
        folder: &Path,
        progress: impl Fn(u64, u64) + Sync,
    ) -> Result<Verification, Error> {
        let cache = Cache::read(folder)?;
        let files: Vec<&FileEntry> = cache.files().collect();
        let (done, total) = (AtomicU64::new(0), cache.bytes());
        let progress = |bytes| {
            progress(done.fetch_add(bytes, Ordering::Relaxed) + bytes, total);
            Ok(())
        };
        let check = |file: &&FileEntry| {
            file.check_size(folder)?;
            // A header that contradicts the manifest says more than a digest.
            let damaged = file.check_digest(folder, progress);
            damaged.map_err(|error| cache.header_fault(file).unwrap_or(error))
        };
        let problems = files.par_iter().filter_map(|file| check(file).err()).collect();
        cache.all_sound(files.len(), problems)?;
        let parts: Vec<(&Part, &TapShape)> = cache.parts().collect();
        let check =
            |(part, shape): &(&Part, &TapShape)| cache.open_part(part, shape)?.check(&|_| Ok(()));
        let problems = parts.par_iter().filter_map(|part| check(part).err()).collect();
        cache.all_sound(files.len(), problems)?;
        for &split in cache.manifest.splits.keys() {
            let split = cache.split(split)?;
            split.ids()?;
            split.labels()?;
        }
        Ok(Verification { files: files.len(), bytes: total })
    }

    /// The fault of the header of a dense array; `None` if it has none, or the file is another.
    fn header_fault(&self, file: &FileEntry) -> Option<Error> {
        let is_of = |part: &Part| matches!(&part.files, PartFiles::Dense(array) if array == file);
        let (part, shape) = self.parts().find(|(part, _)| is_of(part))?;
        self.open_part(part, shape).err()
    }

    /// The error of the problems that were found, if any were.
    fn all_sound(&self, files: usize, mut problems: Vec<Error>) -> Result<(), Error> {
        match problems.len() {
            0 => Ok(()),
            1 => Err(problems.remove(0)),
            _ => Err(Error::Damaged { path: self.folder.clone(), files, problems }),
        }
    }

    /// Every file that the manifest names.
    fn files(&self) -> impl Iterator<Item = &FileEntry> {
        let skipped = self.manifest.skipped.iter().map(|skipped| &skipped.table);
        self.manifest.splits.values().flat_map(Split::entries).chain(skipped)
    }

    /// Every part of every tap's features, with the shape of a row.
    fn parts(&self) -> impl Iterator<Item = (&Part, &TapShape)> {
        let features = self.manifest.splits.values().flat_map(|split| &split.features);
        // A manifest whose taps differ from those of its shapes is refused.
        features
            .flat_map(|(tap, parts)| parts.iter().map(|part| (part, &self.manifest.shapes[tap])))
    }

    fn path(&self, file: &str) -> Result<PathBuf, Error> {
        files::inside(&self.folder, file)
    }
}

/// The folder of the newest finished cache under `root`.
///
/// # Errors
/// If there is none, or the folder cannot be listed.
pub fn newest(root: &Path) -> Result<PathBuf, Error> {
    let newest = durable::newest(root, files::MANIFEST)?;
    newest.ok_or_else(|| Error::NoCaches { root: root.to_path_buf() })
}

/// What a folder without a manifest is, and what to do, for an error.
fn without_manifest(folder: &Path) -> String {
    const LISTED: usize = 3;
    if !folder.exists() {
        return "there is no such folder; 'just status' lists the caches".to_owned();
    }
    let caches: Vec<PathBuf> = durable::folders(folder).unwrap_or_default();
    let caches = caches.iter().filter(|folder| is_finished(folder));
    let caches: Vec<String> =
        caches.take(LISTED).map(|cache| cache.display().to_string()).collect();
    if caches.is_empty() {
        "it has no manifest.json; give the same 'vgg-extract run' command again to finish it, or name \
         another folder"
            .to_owned()
    } else {
        format!("it holds caches; name one of them, such as {}", caches.join(", "))
    }
}

/// Whether a folder holds a finished cache.
pub fn is_finished(folder: &Path) -> bool {
    folder.join(files::MANIFEST).exists()
}
