//! Which Parquet files make a dataset, and which of its splits each is.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::super::image_list::image_folder;
use crate::folder::Folder;
use crate::packed::Shard;
use crate::part::Part;
use crate::{Error, PackedError};

/// A file that was given as the dataset; `None` if it has no name of this form.
pub(super) fn alone(path: &Path) -> Option<Shard> {
    let name = path.file_name().filter(|name| is_parquet(name))?;
    let part = part_of_file(name).unwrap_or(Part::Train);
    Some(Shard { path: path.to_path_buf(), name: PathBuf::from(name), part })
}

/// Whether a file has the name of a Parquet file, which is not a table of an image folder.
pub(in super::super) fn is_parquet(name: &OsStr) -> bool {
    let ending = Path::new(name).extension().unwrap_or_default();
    ending.eq_ignore_ascii_case("parquet") && !image_folder::is_metadata(name)
}

/// The files of the dataset in a folder, in the order of their names' bytes: directly in it, or in folders in it.
/// If some of the files in a folder have the name of a split, only these.
///
/// # Errors
/// If a file is missing among those whose names count them.
pub(super) fn shards_in(folder: &Folder) -> Result<Vec<Shard>, Error> {
    let direct = directly_in(folder);
    if !direct.is_empty() {
        return Ok(direct);
    }
    let mut shards = Vec::new();
    for name in &folder.folders {
        let Some(part) = part_named(name) else { continue };
        let inner = Folder::list(&folder.path.join(name))?;
        let files = inner.files.iter().filter(|file| is_parquet(file));
        shards.extend(files.map(|file| Shard {
            path: inner.path.join(file),
            name: Path::new(name).join(file),
            part,
        }));
    }
    if shards.is_empty() {
        let is_data = |name: &&OsString| *name == "data";
        let inner = match &folder.folders[..] {
            [only] if part_named(only).is_none() => Some(only),
            folders => folders.iter().find(is_data),
        };
        if let Some(name) = inner {
            shards = directly_in(&Folder::list(&folder.path.join(name))?);
            shards.iter_mut().for_each(|shard| shard.name = Path::new(name).join(&shard.name));
        }
    }
    Ok(shards)
}

/// The files directly in a folder.
fn directly_in(folder: &Folder) -> Vec<Shard> {
    let files = folder.files.iter().filter(|name| is_parquet(name));
    let files: Vec<(&OsString, Option<Part>)> =
        files.map(|name| (name, part_of_file(name))).collect();
    let are_named = files.iter().any(|(_, part)| part.is_some());
    let shard = |(name, part): (&OsString, Option<Part>)| Shard {
        path: folder.path.join(name),
        name: PathBuf::from(name),
        part: part.unwrap_or(Part::Train),
    };
    files.into_iter().filter(|(_, part)| !are_named || part.is_some()).map(shard).collect()
}

/// Checks that no file is missing among those whose names count them, as in `train-00000-of-00003.parquet`, and that
/// each number is that of one file.
pub(super) fn check_counted(shards: &[Shard]) -> Result<(), Error> {
    // By what the names begin with and how many files they count: the numbers of the files that there are.
    let mut counted: BTreeMap<(PathBuf, String, usize), BTreeMap<usize, &Shard>> = BTreeMap::new();
    for shard in shards {
        let Some((before, number, count)) = count_in(shard) else { continue };
        let key = (shard.path.with_file_name(""), before.to_owned(), count);
        if let Some(other) = counted.entry(key).or_default().insert(number, shard) {
            let both = [other.path.clone(), shard.path.clone()];
            return Err(Error::Packed(PackedError::SameNumber { both }));
        }
    }
    for ((folder, before, count), numbers) in counted {
        let missing = (0..count).find(|number| !numbers.contains_key(number));
        if let (Some(missing), Some((_, shard))) = (missing, numbers.first_key_value()) {
            let name = format!("{before}-{missing:05}-of-{count:05}.parquet");
            let beside = shard.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            return Err(Error::MissingFile { path: folder.join(name), beside });
        }
    }
    Ok(())
}

/// What a file's name counts: what is before, the file's number and the number of files.
fn count_in(shard: &Shard) -> Option<(&str, usize, usize)> {
    let stem = shard.path.file_stem()?.to_str()?;
    let (before, after) = stem.split_once("-of-")?;
    let (name, number) = before.rsplit_once('-')?;
    // A digest may follow.
    let count = after.split('-').next()?;
    let number_of = |digits: &str| {
        let is_number = digits.len() == 5 && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse().ok().filter(|_| is_number)
    };
    Some((name, number_of(number)?, number_of(count)?))
}

/// The split that a file belongs to by a word of its name; `None` if there is none.
fn part_of_file(name: &OsStr) -> Option<Part> {
    let stem = Path::new(name).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    stem.split(|sign: char| !sign.is_alphabetic()).find_map(|word| part_named(word.as_ref()))
}

/// The split of this name; `None` if there is none. Those that only `datasets` knows are among them.
fn part_named(name: &OsStr) -> Option<Part> {
    let is = |known: &str| name.eq_ignore_ascii_case(known);
    match Part::named(name) {
        None if is("dev") => Some(Part::Val),
        None if is("eval") || is("evaluation") => Some(Part::Test),
        part => part,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_split_and_the_number() {
        let part = |name: &str| alone(Path::new(name)).map(|shard| shard.part);
        for (name, expected) in [
            ("train-00000-of-00003.parquet", Some(Part::Train)),
            ("a/validation-00000-of-00001-1a2b.PARQUET", Some(Part::Val)),
            ("dev.parquet", Some(Part::Val)),
            ("mnist_test.parquet", Some(Part::Test)),
            ("latest.parquet", Some(Part::Train)),
            ("metadata.parquet", None),
            ("test.csv", None),
        ] {
            assert_eq!(part(name), expected, "{name}");
        }
        let shards = |names: &[&str]| -> Vec<Shard> {
            names.iter().filter_map(|name| alone(Path::new(name))).collect()
        };
        let all =
            ["x/train-00001-of-00002.parquet", "x/train-00000-of-00002-9f.parquet", "x/a.parquet"];
        assert!(check_counted(&shards(&all)).is_ok());
        let error = check_counted(&shards(&all[..1])).unwrap_err().to_string();
        assert!(
            error.contains("x/train-00000-of-00002.parquet is missing, and train-00001"),
            "{error}"
        );
        let twice = [&all[..], &["x/train-00000-of-00002.parquet"]].concat();
        let error = check_counted(&shards(&twice)).unwrap_err().to_string();
        let says = "x/train-00000-of-00002-9f.parquet and x/train-00000-of-00002.parquet have the same number";
        assert!(error.contains(says), "{error}");
    }
}
