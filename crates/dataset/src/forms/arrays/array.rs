//! An array in a `.npy` file or in an `.npz` archive: its header, its pixels or its labels.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use npy_header::{Header, HeaderError};
use zip::{CompressionMethod, ZipArchive};

use super::labels::is_labels;
use crate::loading::Loading;
use crate::name::escape;
use crate::{Error, ImageFault, PackedError, gzip};

/// Longest side of an image, in pixels.
const MAX_SIDE: u64 = 65_535;
/// Largest size of an image, in bytes.
const MAX_BYTES: u64 = 512 << 20;
/// Largest size of a compressed array that is held in memory, in bytes.
pub(super) const MAX_HELD: u64 = 4 << 30;
/// Number of bytes of an array that are read at a time.
const PIECE: usize = 1 << 20;

const IMAGES: &str = "uint8 of the shape [N, H, W], [N, H, W, 1] or [N, H, W, 3], in C order";
const ONE_IMAGE: &str = "[1, H, W, 3] of one RGB image (array[None]), or [N, H, 3, 1] of gray images that are 3 pixels wide";

/// A file with arrays.
pub(super) enum ArrayFile {
    /// An `.npz` archive: the names of its members, in the order of their numbers.
    Archive { path: PathBuf, names: Vec<String> },
    /// A folder of `.npy` files: their names.
    Folder { path: PathBuf, names: Vec<String> },
    /// A `.npy` file.
    Alone(PathBuf),
}

/// An array that was found.
#[derive(Debug)]
pub(super) struct Array {
    path: PathBuf,
    /// Its name, without an ending.
    name: String,
    /// Its number in the archive; `None` if the file is the array.
    member: Option<usize>,
}

/// What an array may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// So many images.
    Images(u64),
    /// So many labels.
    Labels(u64),
    Other,
}

/// The pixels of images of one size.
#[derive(Debug)]
pub(super) enum Pixels {
    /// In memory.
    Held(Vec<u8>),
    /// In a file, from this position on.
    InFile { file: File, start: u64 },
}

/// An array that was opened.
pub(super) struct Opened {
    /// The name of its elements, such as `|u1`.
    pub(super) descriptor: String,
    is_fortran: bool,
    pub(super) shape: Vec<u64>,
    pub(super) content: Content,
}

/// The elements of an array.
pub(super) enum Content {
    /// They begin at this position of the file.
    InFile { file: File, start: u64, bytes: u64 },
    /// They have to be decompressed, which `compressed` bytes allow up to a limit.
    Compressed { archive: ZipArchive<File>, member: usize, start: usize, compressed: u64 },
}

impl ArrayFile {
    /// Whether a file has the name of one with arrays.
    pub(super) fn is_one(path: &Path) -> bool {
        ArrayFile::is_archive(path) || has_ending(path, "npy")
    }

    pub(super) fn is_archive(path: &Path) -> bool {
        has_ending(path, "npz")
    }

    /// The archive at `path`, or the folder of a `.npy` file.
    pub(super) fn open(path: &Path) -> Result<ArrayFile, Error> {
        if ArrayFile::is_archive(path) {
            let archive = open_archive(path)?;
            let name = |index| match archive.name_for_index(index) {
                Some(Ok(name)) => name.into_owned(),
                _ => String::new(),
            };
            let names = (0..archive.len()).map(name).collect();
            return Ok(ArrayFile::Archive { path: path.to_path_buf(), names });
        }
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let read = |source| Error::Read { path: folder.to_path_buf(), source };
        let mut names = Vec::new();
        for entry in fs::read_dir(folder).map_err(read)? {
            let name = PathBuf::from(entry.map_err(read)?.file_name());
            if let Some(name) = name.to_str().filter(|_| has_ending(&name, "npy")) {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        Ok(ArrayFile::Folder { path: folder.to_path_buf(), names })
    }

    /// The array of this name, in upper or lower case; `None` if there is none.
    ///
    /// # Errors
    /// If there are two.
    pub(super) fn array(&self, name: &str) -> Result<Option<Array>, Error> {
        let (path, names) = match self {
            ArrayFile::Archive { path, names } | ArrayFile::Folder { path, names } => (path, names),
            ArrayFile::Alone(path) => {
                let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                return Ok(Some(Array { path: path.clone(), name, member: None }));
            }
        };
        let same = |(_, found): &(usize, &String)| stem_of(found).eq_ignore_ascii_case(name);
        let mut found = names.iter().enumerate().filter(same);
        let (Some((index, found)), None) = (found.next(), found.next()) else {
            let mut found = names.iter().enumerate().filter(same);
            return match found.nth(1) {
                Some((index, found)) => {
                    let (path, name) = (path.clone(), stem_of(found).to_owned());
                    let array = Array { path, name, member: Some(index) };
                    Err(array.wrong("is there twice".into(), "one of each name"))
                }
                None => Ok(None),
            };
        };
        let name = stem_of(found).to_owned();
        Ok(Some(match self {
            ArrayFile::Folder { .. } => Array { path: path.join(found), name, member: None },
            _ => Array { path: path.clone(), name, member: Some(index) },
        }))
    }

    /// All arrays.
    pub(super) fn arrays(&self) -> Vec<Array> {
        match self {
            ArrayFile::Archive { path, names } => {
                let of = |(index, name): (usize, &String)| {
                    let (path, name) = (path.clone(), stem_of(name).to_owned());
                    Array { path, name, member: Some(index) }
                };
                names.iter().enumerate().map(of).collect()
            }
            ArrayFile::Folder { path, names } => {
                let of = |name: &String| {
                    let (path, name) = (path.join(name), stem_of(name).to_owned());
                    Array { path, name, member: None }
                };
                names.iter().map(of).collect()
            }
            ArrayFile::Alone(_) => Vec::new(),
        }
    }
}

impl Array {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Its name as text of one line.
    pub(super) fn name(&self) -> String {
        escape(self.name.as_ref())
    }

    /// What its header says: its name with type and shape, for messages, and whether it has images or labels.
    pub(super) fn look(&self) -> (String, Kind) {
        let Ok(Opened { descriptor, shape, .. }) = self.open("") else {
            return (format!("{} (no plain array)", self.name()), Kind::Other);
        };
        let kind = match (&*descriptor, &shape[..]) {
            ("|u1", &[count, _, _] | &[count, _, _, 1 | 3]) => Kind::Images(count),
            (descriptor, &[count] | &[count, 1]) if is_labels(descriptor) => Kind::Labels(count),
            _ => Kind::Other,
        };
        (format!("{} ({} {shape:?})", self.name(), named(&descriptor)), kind)
    }

    /// The error about an array that is of another kind than expected.
    pub(super) fn wrong(&self, found: String, expected: &'static str) -> Error {
        let (path, array) = (self.path.clone(), self.name());
        Error::Packed(PackedError::Array { path, array, found, expected })
    }

    /// The shape `[N, H, W, C]` of images, and their pixels. Those of a compressed array of more than `most_held`
    /// bytes are decompressed into a temporary file. An array without labels beside it may be a single image.
    pub(super) fn pixels(
        &self,
        has_labels: bool,
        most_held: u64,
        loading: &Loading<'_>,
    ) -> Result<([usize; 4], Pixels), Error> {
        let opened = self.open(IMAGES)?;
        if opened.descriptor != "|u1" {
            let found = format!("has elements of the type {}", named(&opened.descriptor));
            return Err(self.wrong(found, IMAGES));
        }
        let shape = match opened.shape[..] {
            [_, _, 3] if !has_labels => {
                let found = format!("has the shape {:?}, which one RGB image has", opened.shape);
                return Err(self.wrong(found, ONE_IMAGE));
            }
            [n, h, w] => [n, h, w, 1],
            [n, h, w, c @ (1 | 3)] => [n, h, w, c],
            _ => {
                let found = format!("has the shape {:?}", opened.shape);
                return Err(self.wrong(found, IMAGES));
            }
        };
        let [_, height, width, channels] = shape;
        if height > MAX_SIDE || width > MAX_SIDE || height * width * channels > MAX_BYTES {
            let [height, width] = [height, width].map(|side| side as usize);
            return Err(Error::image(&self.path, ImageFault::Size { width, height }));
        }
        let bytes = self.check_len(&opened, 1, gzip::most_decompressed)?;
        let pixels = match opened.content {
            Content::InFile { file, start, .. } => Pixels::InFile { file, start },
            content if bytes <= most_held => Pixels::Held(self.read(content, bytes)?),
            content => self.in_temporary_file(content, bytes, loading)?,
        };
        Ok((shape.map(|len| len as usize), pixels))
    }

    /// The number of bytes of an array whose elements have `size` bytes, all of which must be there. `most` is the
    /// number of bytes that so many compressed ones may have.
    pub(super) fn check_len(
        &self,
        opened: &Opened,
        size: u64,
        most: fn(u64) -> u64,
    ) -> Result<u64, Error> {
        if opened.is_fortran {
            return Err(
                self.wrong("is in Fortran order".into(), "C order; np.ascontiguousarray makes it")
            );
        }
        let product = opened.shape.iter().try_fold(size, |product, &n| product.checked_mul(n));
        let Some(expected) = product else {
            return Err(self.wrong(format!("has the shape {:?}", opened.shape), "fewer elements"));
        };
        match &opened.content {
            Content::InFile { bytes, .. } if *bytes != expected => {
                let found = format!("has {bytes} bytes of elements instead of {expected}");
                Err(self.wrong(found, "a whole file: fetch it again"))
            }
            Content::Compressed { compressed, .. } if expected > most(*compressed) => {
                let found = format!("has {expected} bytes, from {compressed} compressed ones");
                let expected = "at most 64 times as many; save it with np.savez, which does not compress, so that \
                                it is read image by image";
                Err(self.wrong(found, expected))
            }
            _ => Ok(expected),
        }
    }

    /// All bytes of the elements, of which there are so many.
    pub(super) fn read(&self, content: Content, bytes: u64) -> Result<Vec<u8>, Error> {
        let mut elements = Vec::new();
        self.for_each_piece(content, bytes, |piece| {
            elements.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(elements)
    }

    /// The elements, of which there are so many bytes, decompressed into a file that is gone when it is closed.
    ///
    /// # Errors
    /// If they cannot be decompressed, there is no room, or a stop was requested.
    fn in_temporary_file(
        &self,
        content: Content,
        bytes: u64,
        loading: &Loading<'_>,
    ) -> Result<Pixels, Error> {
        let folder = std::env::temp_dir();
        let failed = |source| {
            let (path, folder) = (self.path.clone(), folder.clone());
            Error::Packed(PackedError::NoTemporaryFile { path, folder, needed: bytes, source })
        };
        if fs4::available_space(&folder).map_err(failed)? < bytes {
            return Err(failed(ErrorKind::StorageFull.into()));
        }
        let mut file = tempfile::tempfile_in(&folder).map_err(failed)?;
        self.for_each_piece(content, bytes, |piece| {
            loading.check()?;
            file.write_all(piece).map_err(failed)
        })?;
        Ok(Pixels::InFile { file, start: 0 })
    }

    /// Calls `take` with all bytes of the elements, of which there are so many, one piece after the other.
    pub(super) fn for_each_piece(
        &self,
        content: Content,
        bytes: u64,
        mut take: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut done = 0;
        let mut read_all = |reader: &mut dyn Read| {
            let mut piece = vec![0; PIECE];
            loop {
                let len = reader.read(&mut piece).map_err(|error| self.read_fault(error))?;
                done += len as u64;
                if len == 0 || done > bytes {
                    return Ok(());
                }
                take(&piece[..len])?;
            }
        };
        match content {
            Content::InFile { mut file, start, .. } => {
                file.seek(SeekFrom::Start(start)).map_err(|error| self.read_fault(error))?;
                read_all(&mut file.take(bytes))?;
            }
            Content::Compressed { mut archive, member, start, .. } => {
                let file = archive.by_index(member);
                let mut file = file.map_err(|error| self.archive_fault(error))?;
                std::io::copy(&mut (&mut file).take(start as u64), &mut std::io::sink())
                    .map_err(|error| self.read_fault(error))?;
                read_all(&mut file)?;
            }
        }
        if done != bytes {
            let found = format!("has {done} bytes of elements instead of {bytes}");
            return Err(self.wrong(found, "a whole file: fetch it again"));
        }
        Ok(())
    }

    pub(super) fn open(&self, expected: &'static str) -> Result<Opened, Error> {
        let mut file = File::open(&self.path).map_err(|error| self.read_fault(error))?;
        let Some(member) = self.member else {
            let header = self.header(&mut file, expected)?;
            let size = file.metadata().map_err(|error| self.read_fault(error))?.len();
            let start = header.start as u64;
            let bytes = size.saturating_sub(start);
            return self.opened(header, Content::InFile { file, start, bytes }, expected);
        };
        let mut archive = open_archive(&self.path)?;
        let (header, content) = {
            let mut found = archive.by_index(member).map_err(|error| self.archive_fault(error))?;
            let (size, compressed) = (found.size(), found.compressed_size());
            let is_stored = found.compression() == CompressionMethod::Stored;
            let at = found.data_start().filter(|_| is_stored && size == compressed);
            let header = self.header(&mut found, expected)?;
            let bytes = size.saturating_sub(header.start as u64);
            (header, (at, bytes, compressed))
        };
        let start = header.start;
        let content = match content {
            (Some(at), bytes, _) => Content::InFile { file, start: at + start as u64, bytes },
            (None, _, compressed) => Content::Compressed { archive, member, start, compressed },
        };
        if let Content::InFile { file, start, bytes } = &content {
            let size = file.metadata().map_err(|error| self.read_fault(error))?.len();
            if start.checked_add(*bytes).is_none_or(|end| end > size) {
                return Err(self.wrong("is truncated".into(), "a whole file: fetch it again"));
            }
        }
        self.opened(header, content, expected)
    }

    fn header(&self, file: &mut impl Read, expected: &'static str) -> Result<Header, Error> {
        Header::read(file).map_err(|error| match error {
            HeaderError::Read(error) => self.read_fault(error),
            HeaderError::Malformed(found) => self.wrong(format!("has {found}"), expected),
        })
    }

    fn opened(
        &self,
        header: Header,
        content: Content,
        expected: &'static str,
    ) -> Result<Opened, Error> {
        let Header { descr, is_fortran, shape, .. } = header;
        let descriptor = descr.unwrap_or_else(|| "a record".to_owned());
        if descriptor.contains('O') {
            let found = "has Python objects, which only executing a pickle would give".into();
            return Err(self.wrong(found, expected));
        }
        Ok(Opened { descriptor, is_fortran, shape, content })
    }

    fn read_fault(&self, source: std::io::Error) -> Error {
        match source.kind() {
            // What the decompressor says of damaged bytes.
            ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::UnexpectedEof => {
                Error::Packed(PackedError::DamagedArchive {
                    path: self.path.clone(),
                    source: source.into(),
                })
            }
            _ => Error::Read { path: self.path.clone(), source },
        }
    }

    fn archive_fault(&self, source: zip::result::ZipError) -> Error {
        archive_fault(&self.path, source)
    }
}

impl Pixels {
    /// The pixels of an image, which has `len` bytes.
    pub(super) fn get(
        &self,
        path: &Path,
        index: usize,
        len: usize,
    ) -> Result<Cow<'_, [u8]>, Error> {
        match self {
            Pixels::Held(pixels) => Ok(Cow::Borrowed(&pixels[index * len..][..len])),
            Pixels::InFile { file, start } => {
                let mut pixels = vec![0; len];
                let at = start + index as u64 * len as u64;
                match file.read_exact_at(&mut pixels, at) {
                    Ok(()) => Ok(Cow::Owned(pixels)),
                    Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                        Err(Error::Changed { path: path.to_path_buf() })
                    }
                    Err(source) => Err(Error::Read { path: path.to_path_buf(), source }),
                }
            }
        }
    }
}

/// An element type by the name that NumPy shows.
pub(super) fn named(descriptor: &str) -> String {
    let (kind, size) = descriptor.split_at_checked(2).unwrap_or((descriptor, ""));
    let bits = size.parse().ok().and_then(|bytes: u32| bytes.checked_mul(8));
    match (kind.chars().nth(1), bits) {
        (Some('f'), Some(bits)) => format!("float{bits}"),
        (Some('i'), Some(bits)) => format!("int{bits}"),
        (Some('u'), Some(bits)) => format!("uint{bits}"),
        (Some('b'), _) => "bool".to_owned(),
        (Some('U' | 'S'), _) => "text".to_owned(),
        _ => escape(descriptor.as_ref()),
    }
}

fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|found| found.eq_ignore_ascii_case(ending))
}

/// The name of an array: that of its file or member without the ending.
fn stem_of(name: &str) -> &str {
    match name.rsplit_once('.') {
        Some((stem, ending)) if ending.eq_ignore_ascii_case("npy") => stem,
        _ => name,
    }
}

fn open_archive(path: &Path) -> Result<ZipArchive<File>, Error> {
    let file =
        File::open(path).map_err(|source| Error::Read { path: path.to_path_buf(), source })?;
    ZipArchive::new(file).map_err(|error| archive_fault(path, error))
}

fn archive_fault(path: &Path, error: zip::result::ZipError) -> Error {
    let path = path.to_path_buf();
    match error {
        zip::result::ZipError::Io(source) if source.kind() != ErrorKind::UnexpectedEof => {
            Error::Read { path, source }
        }
        error => Error::Packed(PackedError::DamagedArchive { path, source: error.into() }),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::sync::atomic::{AtomicBool, Ordering};

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    /// Images of which a few bytes are held in memory at most, as if there were far more.
    #[test]
    fn large_compressed_arrays_are_read_from_a_temporary_file() {
        let next = |state: &u32| Some(state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
        let states = std::iter::successors(Some(1), next).take(3 << 20);
        let pixels: Vec<u8> = states.map(|state| (state >> 24) as u8).collect();
        let header = "{'descr': '|u1', 'fortran_order': False, 'shape': (3, 1024, 1024), }\n";
        let len = (header.len() as u16).to_le_bytes();
        let npy = [b"\x93NUMPY\x01\0", &len[..], header.as_bytes(), &pixels].concat();
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        zip.start_file("images.npy", options).unwrap();
        zip.write_all(&npy).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        fs::write(&path, zip.finish().unwrap().into_inner()).unwrap();

        let array = ArrayFile::open(&path).unwrap().array("images").unwrap().unwrap();
        let stop = AtomicBool::new(false);
        let loading = Loading { scan: None, stop: &stop };
        let (shape, found) = array.pixels(true, 3 << 20, &loading).unwrap();
        assert_eq!(shape, [3, 1024, 1024, 1]);
        assert!(matches!(found, Pixels::Held(_)));
        let (_, found) = array.pixels(true, (3 << 20) - 1, &loading).unwrap();
        assert!(matches!(found, Pixels::InFile { .. }));
        for index in [2, 0, 1] {
            let image = found.get(&path, index, 1 << 20).unwrap();
            assert!(image[..] == pixels[index << 20..][..1 << 20], "{index}");
        }
        stop.store(true, Ordering::SeqCst);
        assert!(matches!(array.pixels(true, 0, &loading), Err(Error::Stopped)));
    }
}
