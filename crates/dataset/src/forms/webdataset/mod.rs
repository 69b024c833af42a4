//! WebDataset's tar archives: the files of one stem are a sample, wherever in the archive they lie.
//!
//! ```text
//! train-000.tar:  n01/0001.jpg  n01/0001.cls  n01/0002.png  n01/0002.json  …
//! val-000.tar     optional; also test-000.tar
//!
//! or   train/000.tar, val/000.tar, test/000.tar
//! ```
//!
//! A sample's key is the path of its files up to the first dot of the last part. Its image is the file that has
//! only an image's ending; its label is the text of the file `.cls`, or `label` or `cls` in that of `.json`. `--columns`
//! and `--group` name other members of the `.json`, whose label then goes before that of `.cls`.
//! Classes are the training labels, in numerical order if all are numbers, else in the order of their bytes.
//!
//! An archive belongs to the split whose folder it lies in, or that its name has as a word; without one it is for
//! training. The dataset is given as an archive, as a folder, or as a pattern such as `train-{000..150}.tar`.
//! Nothing is unpacked: a first pass over the headers makes an index, by which images are read where they lie.

mod described;
mod images;
mod pattern;

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use durable::Digest;
use tar::{Archive, EntryType};

use super::classes::{Classes, numbered};
use super::{DatasetFiles, Form, GivenFolder, SourceFile};
use crate::alike::alike;
use crate::digests::Digests;
use crate::errors::Errors;
use crate::faults::Faults;
use crate::files::{is_data, is_image};
use crate::folder::Folder;
use crate::images::Group;
use crate::loading::Loading;
use crate::name::escape;
use crate::packed::{Shard, Shards};
use crate::part::Part;
use crate::paths::Paths;
use crate::table::{Loaded, Samples, Table};
use crate::{Error, FormError, Notice, PackedError, SourceConfig, digest};

/// Largest number of bytes of a file `.cls`.
const MAX_LABEL: u64 = 1 << 16;
/// Largest number of bytes of a file `.json`.
const MAX_JSON: u64 = 1 << 20;
/// Largest number of bytes of an image's file.
const MAX_IMAGE: u64 = 512 << 20;
/// Size of the blocks of an archive, in bytes.
const BLOCK: u64 = 512;
/// Number of bytes after the end of an archive in which another one is looked for. Archives are padded to 10 KiB.
const MAX_PADDING: u64 = 1 << 20;

const A_NAME: &str = "a relative path without '..'";
const A_LABEL: &str = "a label in a file .cls, or as 'label' or 'cls' in a file .json";
const A_GROUP: &str = "the member that --group names, in a file .json";

use described::{Described, Members};
use images::{ArchiveImages, Location};
pub(crate) use pattern::{name_of, pattern_at};

/// Archives of samples, indexed.
#[derive(Debug)]
pub(crate) struct WebDataset {
    shards: Shards,
    table: Table<ArchiveImages>,
    members: Members,
    notices: Vec<Notice>,
    errors: Vec<Error>,
}

/// A sample of an archive.
struct Sample {
    key: PathBuf,
    /// Its name and where it lies; `None` if no image was found yet.
    image: Option<(PathBuf, Location)>,
    /// From a file `.cls`, which is preferred; `None` if there is none.
    class: Result<Option<String>, Error>,
    /// From a file `.json`. It may have any content if there is also a `.cls`.
    described: Result<Described, Error>,
}

/// The samples of one part.
#[derive(Default)]
struct Indexed {
    locations: Vec<Location>,
    names: Paths,
    /// `None` for a sample without a label.
    labels: Vec<Option<String>>,
    /// Empty texts if groups are not asked for.
    groups: Vec<String>,
}

impl Form for WebDataset {
    type Dataset = WebDataset;
    const NAME: &str = "webdataset";
    const DESCRIPTION: &str = "WebDataset's tar archives (train-000.tar with 0001.jpg, 0001.cls, …), a pattern such as \
         train-{000..150}.tar, or their folder";
    const HAS_COLUMNS: bool = true;

    fn mark(folder: &GivenFolder<'_>) -> Result<Option<String>, Error> {
        let shards = shards_alone_in(folder)?;
        Ok((!shards.is_empty()).then(|| "tar archives".to_owned()))
    }

    fn open(folder: &GivenFolder<'_>) -> Result<Option<WebDataset>, Error> {
        let is_asked_for = folder.config.form.is_some();
        let shards = if is_asked_for { shards_in(folder)? } else { shards_alone_in(folder)? };
        let Some(first) = shards.first() else { return Ok(None) };
        let first = escape(&first.name);
        let used: HashSet<OsString> =
            shards.iter().filter_map(|shard| Some(shard.name.iter().next()?.to_owned())).collect();
        let mut read = WebDataset::read(shards, &folder.path, folder.config)?;
        let used = used.iter().map(OsString::as_os_str).collect();
        read.notices.extend(folder.notices(first, &used, is_data));
        Ok(Some(read))
    }

    fn open_file(path: &Path, config: &SourceConfig) -> Result<Option<WebDataset>, Error> {
        match given(path)? {
            Some(shards) => WebDataset::read(shards, path, config).map(Some),
            None => Ok(None),
        }
    }

    fn images_in(folder: &GivenFolder<'_>) -> Result<Option<Vec<Group>>, Error> {
        // Images beside archives would go unseen.
        let has_images = folder.files.iter().any(|name| is_image(name));
        match shards_alone_in(folder)? {
            shards if shards.is_empty() || has_images => Ok(None),
            shards => groups(shards, &folder.path).map(Some),
        }
    }

    fn images_of_file(path: &Path) -> Result<Option<Vec<Group>>, Error> {
        given(path)?.map(|shards| groups(shards, path)).transpose()
    }
}

impl DatasetFiles for WebDataset {
    fn take_errors(&mut self) -> Vec<Error> {
        std::mem::take(&mut self.errors)
    }

    fn notices(&self) -> &[Notice] {
        &self.notices
    }

    fn has_val(&self) -> bool {
        self.table.val.is_some()
    }

    fn has_test(&self) -> bool {
        self.table.test.is_some()
    }

    fn files(&self) -> usize {
        self.shards.len()
    }

    fn file(&self, index: usize) -> SourceFile<'_> {
        self.shards.source_file(index)
    }

    fn digest(&self, digest: &mut blake3::Hasher, files: &Digests) {
        digest.update(b"webdataset");
        self.members.digest(digest);
        digest::add_files(digest, self, files);
    }

    fn load(&self, _: &Digests, loading: &Loading<'_>) -> Result<Loaded, Error> {
        let mut digests: Vec<Digest> = Vec::new();
        let mut faults = Faults::default();
        for (_, samples) in self.table.parts() {
            digests.extend(samples.images.look(loading, &mut faults)?);
        }
        self.shards.check()?;
        let (table, digests) = (self.table.any(), Digests::Held(digests.into()));
        Ok(Loaded { table, digests, faults, errors: Vec::new() })
    }
}

impl WebDataset {
    fn read(shards: Vec<Shard>, origin: &Path, config: &SourceConfig) -> Result<WebDataset, Error> {
        let members = Members::of(&config.columns).map_err(|column| {
            let (path, form) = (origin.to_path_buf(), WebDataset::NAME);
            Error::Form(FormError::NoColumns { path, column, form })
        })?;
        let shards = Shards::new(shards);
        let Index { parts: [train, val, test], without_image, mut errors } =
            index(&shards, &members)?;
        if train.locations.is_empty() {
            errors.check()?;
            return Err(Error::NoImages { path: origin.to_path_buf() });
        }
        let classes = Classes::of(train.labels.iter().flatten().map(String::as_str));
        let is_labelled = test.labels.iter().any(Option::is_some);
        let mut samples = |indexed: Indexed, is_labelled: bool| {
            let (indexed, labels) = match is_labelled {
                true => indexed.numbered(&classes, &shards, &mut errors)?,
                false => (indexed, None),
            };
            let Indexed { locations, names, groups, .. } = indexed;
            let images = ArchiveImages { shards: shards.shared(), locations, names };
            let groups =
                members.group.is_some().then(|| numbered(groups.iter().map(String::as_str)));
            Ok::<_, Error>(Samples::new(images, labels).with_groups(groups))
        };
        let train = samples(train, true)?;
        let mut some = |indexed: Indexed, is_labelled| match indexed.locations.len() {
            0 => Ok(None),
            _ => samples(indexed, is_labelled).map(Some),
        };
        let (val, test) = (some(val, true)?, some(test, is_labelled)?);
        let without = Notice::NoImageIn { path: origin.to_path_buf(), samples: without_image };
        let notices = (without_image > 0).then_some(without).into_iter().collect();
        let table = Table { class_names: classes.into_names(), train, val, test };
        Ok(WebDataset { shards, table, members, notices, errors: errors.into_vec() })
    }
}

impl Indexed {
    /// The samples with the numbers of their labels. Those without a label, or with one of no class, are left out with
    /// an error.
    ///
    /// # Errors
    /// If there are too many errors.
    fn numbered(
        self,
        classes: &Classes,
        shards: &[Shard],
        errors: &mut Errors,
    ) -> Result<(Indexed, Option<Vec<u32>>), Error> {
        let mut kept = Indexed::default();
        let mut numbers = Vec::with_capacity(self.labels.len());
        let samples = self.locations.into_iter().zip(self.names.iter());
        for (((location, name), label), group) in samples.zip(self.labels).zip(self.groups) {
            let path = &shards[location.file as usize].path;
            let number = match &label {
                None => Err(member_fault(path, name, "has no label beside it".to_owned(), A_LABEL)),
                Some(label) => classes.number(label).ok_or_else(|| {
                    let (path, alike) = (path.clone(), alike(label, classes.labels()));
                    let (member, label) = (escape(name), escape(label.as_ref()));
                    Error::Packed(PackedError::UntrainedMember { path, member, label, alike })
                }),
            };
            if let Some(number) = errors.keep(number)? {
                numbers.push(number);
                kept.locations.push(location);
                kept.names.push(name);
                kept.groups.push(group);
            }
        }
        Ok((kept, Some(numbers)))
    }
}

/// The samples of all archives.
struct Index {
    /// Those of train, val and test.
    parts: [Indexed; 3],
    /// Number of samples without an image.
    without_image: usize,
    /// What is wrong with archives, and with files of which the samples are left out.
    errors: Errors,
}

/// Indexes the archives, but for what is wrong with them.
///
/// # Errors
/// If there are too many errors.
fn index(shards: &[Shard], members: &Members) -> Result<Index, Error> {
    let (mut parts, mut without_image): ([Indexed; 3], usize) = Default::default();
    let mut errors = Errors::default();
    for (number, Shard { path, part, .. }) in shards.iter().enumerate() {
        let samples = samples_in(path, number as u32, members, &mut errors);
        let part = &mut parts[*part as usize];
        for sample in errors.keep(samples)?.unwrap_or_default() {
            let Some((name, location)) = sample.image else {
                without_image += 1;
                continue;
            };
            let described = match (&sample.class, sample.described) {
                // Beside a label, a file .json may say anything else.
                (Ok(Some(_)), Err(_)) if !members.are_named() => Ok(Described::default()),
                (_, described) => described,
            };
            let (Some(class), Some(described)) =
                (errors.keep(sample.class)?, errors.keep(described)?)
            else {
                continue;
            };
            if members.group.is_some() && described.group.is_none() {
                let found = "has no group beside it".to_owned();
                errors.add(member_fault(path, &name, found, A_GROUP))?;
                continue;
            }
            let labels = [class, described.label];
            let [first, second] = match members.label {
                None => labels,
                Some(_) => [labels[1].clone(), None],
            };
            part.locations.push(location);
            part.names.push(&name);
            part.labels.push(first.or(second));
            part.groups.push(described.group.unwrap_or_default());
        }
    }
    Ok(Index { parts, without_image, errors })
}

/// The samples of an archive, in the order in which they come. Files that may not be in one are left out with an error.
///
/// # Errors
/// If the archive cannot be read to its end, or there are too many errors.
fn samples_in(
    path: &Path,
    number: u32,
    members: &Members,
    errors: &mut Errors,
) -> Result<Vec<Sample>, Error> {
    let read = |source| Error::Read { path: path.to_path_buf(), source };
    let damaged = |source: std::io::Error| {
        Error::Packed(PackedError::DamagedArchive {
            path: path.to_path_buf(),
            source: source.into(),
        })
    };
    let file = File::open(path).map_err(read)?;
    let size = file.metadata().map_err(read)?.len();
    let mut archive = Archive::new(&file);
    let mut end = 0;
    let mut samples: Vec<Sample> = Vec::new();
    // The numbers of the samples by their keys.
    let mut by_key: HashMap<PathBuf, usize> = HashMap::new();
    for entry in archive.entries_with_seek().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let after = entry.raw_file_position().saturating_add(entry.size());
        end = after.div_ceil(BLOCK).saturating_mul(BLOCK);
        let name = PathBuf::from(OsStr::from_bytes(&entry.path_bytes()));
        let kind = entry.header().entry_type();
        // The header for all files after it, in which 'git archive' notes a commit, says nothing of images.
        let is_described = matches!(kind, EntryType::Directory | EntryType::XGlobalHeader);
        if is_described || is_hidden(&name) {
            continue;
        }
        let is_inside = name
            .components()
            .all(|component| matches!(component, Component::Normal(_) | Component::CurDir));
        if !is_inside || name.as_os_str().as_bytes().contains(&0) {
            let found = "has a name that leads elsewhere".to_owned();
            errors.add(member_fault(path, &name, found, A_NAME))?;
            continue;
        }
        if !matches!(kind, EntryType::Regular | EntryType::Continuous) {
            let found = "is a link, a device or a sparse file".to_owned();
            errors.add(member_fault(path, &name, found, "plain files"))?;
            continue;
        }
        let location =
            Location { file: number, start: entry.raw_file_position(), len: entry.size() };
        if location.start.checked_add(location.len).is_none_or(|end| end > size) {
            let found = "ends after the archive does".to_owned();
            return Err(member_fault(path, &name, found, "a whole archive: fetch it again"));
        }
        let Some((key, ending)) = key_of(&name) else { continue };
        let next = samples.len();
        let sample = *by_key.entry(key.clone()).or_insert(next);
        if sample == next {
            let (class, described) = (Ok(None), Ok(Described::default()));
            samples.push(Sample { key, image: None, class, described });
        }
        let sample = &mut samples[sample];
        let twice = |what: &str| {
            let found = format!("is the second {what} of the sample {}", escape(&sample.key));
            member_fault(path, &name, found, "one")
        };
        if is_image(Path::new("image").with_extension(&ending).as_os_str()) && !ending.contains('.')
        {
            if sample.image.is_some() {
                errors.add(twice("image"))?;
            } else if location.len > MAX_IMAGE {
                let found = format!("has {} bytes", location.len);
                errors.add(member_fault(path, &name, found, "an image of at most 512 MiB"))?;
            } else {
                sample.image = Some((name, location));
            }
        } else if ending == "cls" || ending == "json" {
            let is_class = ending == "cls";
            let is_second = match is_class {
                true => !matches!(sample.class, Ok(None)),
                false => !matches!(&sample.described, Ok(described) if described.is_empty()),
            };
            if is_second {
                errors.add(twice("label"))?;
                continue;
            }
            let most = if is_class { MAX_LABEL } else { MAX_JSON };
            let mut text = Vec::new();
            (&mut entry).take(most + 1).read_to_end(&mut text).map_err(damaged)?;
            let text = match text.len() as u64 > most {
                true => Err(format!("has more than {most} bytes")),
                false => Ok(text),
            };
            let fault = |found| member_fault(path, &name, found, A_LABEL);
            if is_class {
                sample.class = text.and_then(|text| label_of(&text)).map_err(fault);
            } else {
                sample.described = text.and_then(|text| members.find(&text)).map_err(fault);
            }
        }
    }
    check_end(&file, end, size).map_err(read)?.map_err(|found| {
        Error::Packed(PackedError::DamagedArchive {
            path: path.to_path_buf(),
            source: found.into(),
        })
    })?;
    Ok(samples)
}

/// Checks that an archive whose last file ends at `end` is whole: a block of zeros follows, and nothing but zeros
/// after it.
fn check_end(file: &File, end: u64, size: u64) -> std::io::Result<Result<(), &'static str>> {
    if end.saturating_add(BLOCK) > size {
        return Ok(Err("it ends without the block of zeros that ends an archive"));
    }
    let mut rest = Vec::new();
    let mut file = file;
    file.seek(SeekFrom::Start(end))?;
    file.take(MAX_PADDING).read_to_end(&mut rest)?;
    Ok(if rest.iter().all(|&byte| byte == 0) {
        Ok(())
    } else {
        Err("another archive follows its end; give each as a file of its own")
    })
}

fn member_fault(path: &Path, member: &Path, found: String, expected: &'static str) -> Error {
    Error::Packed(PackedError::Member {
        path: path.to_path_buf(),
        member: escape(member),
        found,
        expected,
    })
}

/// The label in a file `.cls`.
fn label_of(text: &[u8]) -> Result<Option<String>, String> {
    match std::str::from_utf8(text.trim_ascii()) {
        Ok("") => Err("is empty".to_owned()),
        Ok(label) => Ok(Some(label.to_owned())),
        Err(_) => Err("is not text in UTF-8".to_owned()),
    }
}

/// A sample's key, and the ending of its file in lower case: what comes before and after the first dot of the last
/// part of the path. `None` if there is no dot.
fn key_of(name: &Path) -> Option<(PathBuf, String)> {
    let last = name.file_name()?.as_bytes();
    let dot = last.iter().position(|&byte| byte == b'.')?;
    let ending = String::from_utf8_lossy(&last[dot + 1..]).to_lowercase();
    Some((name.with_file_name(OsStr::from_bytes(&last[..dot])), ending))
}

/// Whether a file is hidden, as those that a Mac adds to archives.
fn is_hidden(name: &Path) -> bool {
    name.file_name().is_some_and(|name| name.as_bytes().starts_with(b"."))
}

/// Whether a file has the name of an archive.
pub(super) fn is_archive(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("tar"))
}

/// The archives directly in a folder, or else those in the folders of its splits, in the order of their names'
/// bytes.
fn shards_in(folder: &Folder) -> Result<Vec<Shard>, Error> {
    let shard = |path: PathBuf| {
        let name = PathBuf::from(path.file_name().unwrap_or_default());
        Shard { part: part_of(&path), path, name }
    };
    let shards: Vec<Shard> = archives_in(folder).map(shard).collect();
    if shards.is_empty() { shards_in_splits(folder) } else { Ok(shards) }
}

/// The archives in a folder that may be nothing else than a dataset of them: directly in it if there are no folders, else
/// in those of its splits. Archives beside class folders are not the dataset.
fn shards_alone_in(folder: &Folder) -> Result<Vec<Shard>, Error> {
    if folder.folders.is_empty() { shards_in(folder) } else { shards_in_splits(folder) }
}

/// The archives in the folders of splits in a folder.
fn shards_in_splits(folder: &Folder) -> Result<Vec<Shard>, Error> {
    let mut shards = Vec::new();
    for name in &folder.folders {
        let Some(part) = Part::named(name) else { continue };
        let inner = Folder::list(&folder.path.join(name))?;
        shards.extend(archives_in(&inner).map(|path| {
            let name = Path::new(name).join(path.file_name().unwrap_or_default());
            Shard { path, name, part }
        }));
    }
    Ok(shards)
}

/// The archives directly in a folder.
fn archives_in(folder: &Folder) -> impl Iterator<Item = PathBuf> {
    let files = folder.files.iter().map(|name| folder.path.join(name));
    files.filter(|path| is_archive(path) && path.is_file())
}

/// The archive at `path`, or those that the pattern at `path` names; `None` if it is neither.
fn given(path: &Path) -> Result<Option<Vec<Shard>>, Error> {
    let paths = match pattern_at(path) {
        Some(pattern) => pattern::archives_of(pattern)?,
        None if is_archive(path) => vec![path.to_path_buf()],
        None => return Ok(None),
    };
    // Archives in several folders may have the same names.
    let folder_of = |path: &Path| path.parent().unwrap_or(Path::new("")).to_path_buf();
    let mut folder = folder_of(path);
    while !paths.iter().all(|path| path.starts_with(&folder)) {
        folder = folder_of(&folder);
    }
    let shard = |path: PathBuf| {
        let name = path.strip_prefix(&folder).unwrap_or(&path).to_path_buf();
        Shard { part: part_of_name(&name), path, name }
    };
    Ok(Some(paths.into_iter().map(shard).collect()))
}

/// The part that an archive belongs to by its path within the dataset: a folder of it, or a word of its name.
fn part_of_name(name: &Path) -> Part {
    let folders = name.parent().into_iter().flat_map(Path::iter);
    folders.filter_map(Part::named).next_back().unwrap_or_else(|| part_of(name))
}

/// The part that an archive belongs to by a word of its name.
fn part_of(path: &Path) -> Part {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut words = stem.split(|sign: char| !sign.is_alphabetic());
    words.find_map(|word| Part::named(word.as_ref())).unwrap_or(Part::Train)
}

/// The images of archives, to be classified.
fn groups(shards: Vec<Shard>, origin: &Path) -> Result<Vec<Group>, Error> {
    let Index { parts, errors, .. } = index(&shards, &Members::default())?;
    errors.check()?;
    let shards: Arc<[Shard]> = shards.into();
    let groups = [Part::Train, Part::Val, Part::Test].into_iter().zip(parts);
    let groups: Vec<Group> = groups
        .filter(|(_, indexed)| !indexed.locations.is_empty())
        .map(|(part, Indexed { locations, names, labels, .. })| {
            let classes = Classes::of(labels.iter().flatten().map(String::as_str));
            let has_labels = labels.iter().any(Option::is_some);
            let number = |label: &Option<String>| classes.number(label.as_deref()?);
            let numbers = labels.iter().map(number).collect();
            Group {
                origin: origin.to_path_buf(),
                part: Some(part),
                images: Arc::new(ArchiveImages { shards: shards.clone(), locations, names }),
                labels: has_labels.then_some(numbers),
                class_names: classes.into_names(),
            }
        })
        .collect();
    if groups.is_empty() {
        return Err(Error::NoImages { path: origin.to_path_buf() });
    }
    Ok(groups)
}
