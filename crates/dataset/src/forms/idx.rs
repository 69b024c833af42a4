//! MNIST's IDX format: a big-endian magic number, the dimensions, then bytes.
//!
//! Memory for the content that the header announces is allocated only if the file can hold that much.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use plural::counted;

use super::{DatasetFiles, Form, GivenFolder, SourceFile};
use crate::digests::Digests;
use crate::files::is_data;
use crate::folder::Folder;
use crate::gray::{self, GrayImages, GraySamples};
use crate::images::Group;
use crate::loading::Loading;
use crate::name::escape;
use crate::part::Part;
use crate::table::Loaded;
use crate::{Error, ImageStore, Notice, PackedError, TableError, digest, gzip};

/// Unsigned bytes in three dimensions: images, rows, columns.
const IMAGES_MAGIC: u32 = 0x0000_0803;
/// Unsigned bytes in one dimension.
const LABELS_MAGIC: u32 = 0x0000_0801;

/// Number of bytes of a file of another kind that an error shows.
const SHOWN: u64 = 12;

/// The files of a dataset.
#[derive(Debug)]
pub(crate) struct IdxFiles {
    train_images: PathBuf,
    train_labels: PathBuf,
    test: Option<TestFiles>,
    notices: Vec<Notice>,
}

#[derive(Debug)]
struct TestFiles {
    images: PathBuf,
    labels: Option<PathBuf>,
}

impl Form for IdxFiles {
    type Dataset = IdxFiles;
    const NAME: &str = "idx";
    const DESCRIPTION: &str =
        "MNIST's IDX files (train-images-idx3-ubyte and train-labels-idx1-ubyte, .gz or not)";
    const HAS_IMAGE_FILES: bool = false;

    fn mark(folder: &GivenFolder<'_>) -> Result<Option<String>, Error> {
        Ok(file(folder, "train-images", "idx3").map(|_| "IDX files".to_owned()))
    }

    fn open(folder: &GivenFolder<'_>) -> Result<Option<IdxFiles>, Error> {
        let Some(train_images) = file(folder, "train-images", "idx3") else { return Ok(None) };
        let train_labels = file(folder, "train-labels", "idx1").ok_or_else(|| {
            let beside = train_images.display().to_string();
            Error::MissingFile { path: folder.path.join("train-labels-idx1-ubyte"), beside }
        })?;
        let test = file(folder, "t10k-images", "idx3")
            .map(|images| TestFiles { images, labels: file(folder, "t10k-labels", "idx1") });
        let mut files = IdxFiles { train_images, train_labels, test, notices: Vec::new() };
        let used: HashSet<&OsStr> = files.paths().filter_map(Path::file_name).collect();
        let train = escape(files.train_images.file_name().unwrap_or_default().as_ref());
        files.notices = folder.notices(train, &used, is_data);
        Ok(Some(files))
    }

    fn images_in(folder: &GivenFolder<'_>) -> Result<Option<Vec<Group>>, Error> {
        let mut groups = Vec::new();
        for (part, stem) in [(Part::Train, "train"), (Part::Test, "t10k")] {
            let Some(images) = file(folder, &format!("{stem}-images"), "idx3") else { continue };
            let labels = file(folder, &format!("{stem}-labels"), "idx1");
            let samples = read(&images, labels.as_deref())?;
            groups.push(gray::group(&images, Some(part), samples));
        }
        Ok((!groups.is_empty()).then_some(groups))
    }

    fn images_of_file(path: &Path) -> Result<Option<Vec<Group>>, Error> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        if !name.contains("idx3-ubyte") {
            return Ok(None);
        }
        Ok(Some(vec![gray::group(path, None, read(path, None)?)]))
    }
}

impl DatasetFiles for IdxFiles {
    fn notices(&self) -> &[Notice] {
        &self.notices
    }

    fn has_test(&self) -> bool {
        self.test.is_some()
    }

    fn files(&self) -> usize {
        self.paths().count()
    }

    fn file(&self, index: usize) -> SourceFile<'_> {
        SourceFile::named(self.paths().nth(index).expect("there are as many files"))
    }

    fn digest(&self, digest: &mut blake3::Hasher, files: &Digests) {
        digest::add_files(digest, self, files);
    }

    fn load(&self, files: &Digests, loading: &Loading<'_>) -> Result<Loaded, Error> {
        let train = read(&self.train_images, Some(&self.train_labels))?;
        let test = self.test.as_ref().map(|TestFiles { images, labels }| {
            Ok((images.as_path(), read(images, labels.as_deref())?))
        });
        let loaded = gray::table(train, test.transpose()?, loading)?;
        digest::check_files(self, files)?;
        Ok(loaded)
    }
}

impl IdxFiles {
    fn paths(&self) -> impl Iterator<Item = &Path> {
        let test = self.test.iter().flat_map(|test| [Some(&test.images), test.labels.as_ref()]);
        let paths = [&self.train_images, &self.train_labels].into_iter().chain(test.flatten());
        paths.map(PathBuf::as_path)
    }
}

/// An IDX file by one of its possible names: `-idx3-ubyte` or `.idx3-ubyte`, `.gz` or not, in upper or lower case.
/// It may lie in a folder of its own name, as some archives unpack.
fn file(folder: &Folder, stem: &str, kind: &str) -> Option<PathBuf> {
    let names = ["-", "."].into_iter().flat_map(|separator| {
        ["", ".gz"].map(|ending| format!("{stem}{separator}{kind}-ubyte{ending}"))
    });
    names.into_iter().find_map(|name| folder.file(&name).or_else(|| folder.nested_file(&name)))
}

fn read(images_path: &Path, labels_path: Option<&Path>) -> Result<GraySamples, Error> {
    let images = read_images(images_path)?;
    let labels = labels_path.map(read_labels).transpose()?;
    if let (Some(labels), Some(labels_path)) = (&labels, labels_path)
        && labels.len() != images.len()
    {
        return Err(Error::Packed(PackedError::CountsDiffer {
            images_path: images_path.to_path_buf(),
            labels_path: labels_path.to_path_buf(),
            images: images.len(),
            labels: labels.len(),
        }));
    }
    Ok(GraySamples::new(images, labels))
}

/// Reads an image file, compressed if its name ends with `.gz`.
fn read_images(path: &Path) -> Result<GrayImages, Error> {
    let mut reader = Reader::open(path)?;
    let [count, height, width] = reader.header(IMAGES_MAGIC, "images")?;
    let what = format!("{} of {height}x{width}", counted(count, "image"));
    let pixels = reader.body(&[count, height, width], 16, what)?;
    if pixels.is_empty() {
        return Err(Error::NoImages { path: path.to_path_buf() });
    }
    Ok(GrayImages { height: height as usize, width: width as usize, pixels })
}

/// Reads a label file, compressed if its name ends with `.gz`.
fn read_labels(path: &Path) -> Result<Vec<u32>, Error> {
    let mut reader = Reader::open(path)?;
    let [count] = reader.header(LABELS_MAGIC, "labels")?;
    let labels = reader.body(&[count], 8, counted(count, "label"))?;
    Ok(labels.into_iter().map(u32::from).collect())
}

struct Reader<'a> {
    path: &'a Path,
    bytes: Box<dyn Read>,
    /// Size of the file.
    size: u64,
    compressed: bool,
}

impl<'a> Reader<'a> {
    fn open(path: &'a Path) -> Result<Reader<'a>, Error> {
        let at = |source| Error::Read { path: path.to_path_buf(), source };
        let mut file = File::open(path).map_err(at)?;
        let size = file.metadata().map_err(at)?.len();
        let compressed = path.extension().is_some_and(|it| it.eq_ignore_ascii_case("gz"));
        if compressed {
            let mut start = Vec::new();
            (&mut file).take(SHOWN).read_to_end(&mut start).map_err(at)?;
            if !start.starts_with(&gzip::MAGIC) {
                let start = start.escape_ascii().to_string();
                return Err(Error::Table(TableError::NotGzip { path: path.to_path_buf(), start }));
            }
            file.rewind().map_err(at)?;
        }
        let bytes: Box<dyn Read> =
            if compressed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
        Ok(Reader { path, bytes, size, compressed })
    }

    fn header<const N: usize>(
        &mut self,
        magic: u32,
        what: &'static str,
    ) -> Result<[u32; N], Error> {
        let found = self.number(0, what)?;
        if found != magic {
            let path = self.path.to_path_buf();
            return Err(Error::Packed(PackedError::WrongMagic {
                path,
                found,
                expected: magic,
                what,
            }));
        }
        let mut dimensions = [0; N];
        for (index, dimension) in dimensions.iter_mut().enumerate() {
            *dimension = self.number(4 + 4 * index as u64, what)?;
        }
        Ok(dimensions)
    }

    fn number(&mut self, offset: u64, what: &str) -> Result<u32, Error> {
        let mut bytes = Vec::with_capacity(4);
        self.read(4, &mut bytes)?;
        match *bytes.as_slice() {
            [a, b, c, d] => Ok(u32::from_be_bytes([a, b, c, d])),
            _ => Err(Error::Packed(PackedError::WrongLength {
                path: self.path.to_path_buf(),
                found: offset + bytes.len() as u64,
                expected: offset + 4,
                what: format!("{what}, but ends within the header; at least"),
            })),
        }
    }

    /// Everything after the header, whose length the dimensions give.
    fn body(&mut self, dimensions: &[u32], header: u64, what: String) -> Result<Vec<u8>, Error> {
        let expected = dimensions.iter().fold(1u64, |product, &n| product.saturating_mul(n.into()));
        let path = self.path.to_path_buf();
        let total = header.saturating_add(expected);
        if !self.compressed && self.size != total {
            return Err(Error::Packed(PackedError::WrongLength {
                path,
                found: self.size,
                expected: total,
                what,
            }));
        }
        if self.compressed && total > gzip::most_decompressed(self.size) {
            return Err(Error::Packed(PackedError::TooCompressed {
                path,
                size: self.size,
                expected: total,
                what,
            }));
        }
        // One byte more than announced, to notice if the file has more.
        let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or(usize::MAX) + 1);
        self.read(expected + 1, &mut bytes)?;
        let found = header + bytes.len() as u64;
        if found != total {
            return Err(Error::Packed(PackedError::WrongLength {
                path,
                found,
                expected: total,
                what,
            }));
        }
        Ok(bytes)
    }

    fn read(&mut self, limit: u64, into: &mut Vec<u8>) -> Result<(), Error> {
        let read = self.bytes.by_ref().take(limit).read_to_end(into);
        read.map_err(|source| Error::Read { path: self.path.to_path_buf(), source })?;
        Ok(())
    }
}
