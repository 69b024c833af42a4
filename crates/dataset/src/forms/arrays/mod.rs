//! NumPy's arrays of images: an `.npz` file, as MedMNIST and Keras have them, or `.npy` files beside each other.
//!
//! ```text
//! train_images  uint8 [N, H, W] or [N, H, W, 1] gray, [N, H, W, 3] RGB      train_labels  integers [N] or [N, 1]
//! val_images    optional                                                     val_labels
//! test_images   optional                                                     test_labels   optional
//! ```
//!
//! Keras' names (`x_train`, `y_train`, …) and, for sets that are not split, `images` and `labels`, `x` and `y`,
//! `data` and `labels` and others ([`NAMES`]) are read as well. Whatever they are called, the only array of images and
//! the only one with a label for each of them are read, too, if an archive has one of each. A label is the number of a
//! class, or its name. Other arrays are ignored. Objects, which only executing a pickle would give, are refused, as are
//! images of floating-point numbers.
//!
//! Arrays that are not compressed are read image by image. Compressed ones are held in memory, or, if they have more
//! than 4 GiB, in a temporary file.

mod array;
mod labels;

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use durable::Digest;

use self::array::{Array, ArrayFile, Kind, MAX_HELD, Pixels};
use self::labels::Labels;
use super::classes::Classes;
use super::{DatasetFiles, Form, GivenFolder, SourceFile};
use crate::alike::alike;
use crate::digests::Digests;
use crate::faults::Faults;
use crate::files::{is_data, is_image};
use crate::folder::Folder;
use crate::images::Group;
use crate::loading::Loading;
use crate::name::escape;
use crate::part::Part;
use crate::table::{Loaded, Samples, Table};
use crate::{
    Decoding, Error, FormError, Image, ImageStore, Mode, Notice, PackedError, SourceConfig, digest,
};

/// The names of the arrays of images and of labels of each part, in lower case. The first set of names of which
/// the training images are there is the one that is read.
const NAMES: [[[&str; 2]; 3]; 7] = [
    [
        ["train_images", "train_labels"],
        ["val_images", "val_labels"],
        ["test_images", "test_labels"],
    ],
    [["x_train", "y_train"], ["x_val", "y_val"], ["x_test", "y_test"]],
    [["images", "labels"], ["", ""], ["", ""]],
    [["x", "y"], ["", ""], ["", ""]],
    [["data", "labels"], ["", ""], ["", ""]],
    [["data", "targets"], ["", ""], ["", ""]],
    [["arr_0", "arr_1"], ["", ""], ["", ""]],
];

/// Most arrays of an archive that are looked at for images and labels of other names, or described in an error.
const MAX_LOOKS: usize = 100;

/// A part with its images, and its labels if it has any.
type PartArrays = (Part, Array, Option<Array>);

/// Arrays of images that were found and not read.
#[derive(Debug)]
pub(crate) struct Arrays {
    /// The files, each once.
    files: Vec<PathBuf>,
    /// The parts with their images and labels.
    parts: Vec<PartArrays>,
    notices: Vec<Notice>,
}

/// The images of an array.
#[derive(Debug)]
pub(crate) struct ArrayImages {
    path: PathBuf,
    height: usize,
    width: usize,
    channels: usize,
    count: usize,
    pixels: Pixels,
}

impl Form for Arrays {
    type Dataset = Arrays;
    const NAME: &str = "arrays";
    const DESCRIPTION: &str = "NumPy's arrays of images (MedMNIST's .npz with train_images and train_labels, Keras' with x_train and \
         y_train, an .npz of any names with one array of images and one of labels, or .npy files of known names)";
    const HAS_IMAGE_FILES: bool = false;

    fn mark(_: &GivenFolder<'_>) -> Result<Option<String>, Error> {
        Ok(None)
    }

    /// A folder without folders, with a single .npz file or with .npy files of known names.
    fn open(folder: &GivenFolder<'_>) -> Result<Option<Arrays>, Error> {
        let Some(path) = file_in(folder)? else { return Ok(None) };
        let mut arrays = Arrays::read(&path)?;
        let used: HashSet<&OsStr> =
            arrays.files.iter().filter_map(|path| path.file_name()).collect();
        let first = escape(path.file_name().unwrap_or_default().as_ref());
        arrays.notices.extend(folder.notices(first, &used, is_data));
        Ok(Some(arrays))
    }

    fn open_file(path: &Path, _: &SourceConfig) -> Result<Option<Arrays>, Error> {
        if !ArrayFile::is_one(path) {
            return Ok(None);
        }
        Arrays::read(path).map(Some)
    }

    fn images_in(folder: &GivenFolder<'_>) -> Result<Option<Vec<Group>>, Error> {
        // Images beside arrays would go unseen.
        let has_images = folder.files.iter().any(|name| is_image(name));
        match file_in(folder)? {
            Some(path) if !has_images => Arrays::images_of_file(&path),
            _ => Ok(None),
        }
    }

    /// The images of all parts, with or without labels; of a .npy file that has no known name, its images.
    fn images_of_file(path: &Path) -> Result<Option<Vec<Group>>, Error> {
        if !ArrayFile::is_one(path) {
            return Ok(None);
        }
        let parts = match parts_of(path)? {
            Some(parts) => parts,
            None if ArrayFile::is_archive(path) => match the_only_ones(path)? {
                Some((images, labels)) => vec![(Part::Train, images, labels)],
                None => return Err(no_arrays(path)),
            },
            None => match ArrayFile::Alone(path.to_path_buf()).array("")? {
                Some(images) => vec![(Part::Train, images, None)],
                None => return Err(no_arrays(path)),
            },
        };
        let is_split = parts.len() > 1;
        let group = |(part, array, labels): PartArrays| {
            let loading = Loading { scan: None, stop: &AtomicBool::new(false) };
            let (images, labels) = read(&array, labels.as_ref(), &loading)?;
            let classes = match &labels {
                Some(labels) => ArrayClasses::of([labels], labels),
                None => ArrayClasses::Numbers(0),
            };
            // All of these labels are classes.
            let number = |label: u32| classes.number(labels.as_ref()?, label).ok();
            let numbers = labels.as_ref().map(|labels| &labels.numbers);
            Ok(Group {
                origin: array.path().to_path_buf(),
                part: is_split.then_some(part),
                labels: numbers.map(|numbers| numbers.iter().map(|&label| number(label)).collect()),
                class_names: classes.names(),
                images: Arc::new(images),
            })
        };
        parts.into_iter().map(group).collect::<Result<_, Error>>().map(Some)
    }
}

impl DatasetFiles for Arrays {
    fn notices(&self) -> &[Notice] {
        &self.notices
    }

    fn has_test(&self) -> bool {
        self.parts.iter().any(|(part, ..)| *part == Part::Test)
    }

    fn has_val(&self) -> bool {
        self.parts.iter().any(|(part, ..)| *part == Part::Val)
    }

    fn files(&self) -> usize {
        self.files.len()
    }

    fn file(&self, index: usize) -> SourceFile<'_> {
        SourceFile::named(&self.files[index])
    }

    fn digest(&self, digest: &mut blake3::Hasher, files: &Digests) {
        digest::add_files(digest, self, files);
    }

    fn load(&self, files: &Digests, loading: &Loading<'_>) -> Result<Loaded, Error> {
        let mut digests = Vec::new();
        let mut of_parts = Vec::new();
        for (_, array, labels) in &self.parts {
            let (images, labels) = read(array, labels.as_ref(), loading)?;
            digests.extend(digests_of(&images, loading)?);
            of_parts.push((images, labels));
        }
        let of_train = of_parts[0].1.as_ref().expect("training images have labels");
        let all = of_parts.iter().filter_map(|(_, labels)| labels.as_ref());
        let classes = ArrayClasses::of(all, of_train);
        let mut parts = [Part::Train, Part::Val, Part::Test].map(|_| None);
        for ((part, _, array), (images, labels)) in self.parts.iter().zip(of_parts) {
            let labels = match (labels, array) {
                (Some(labels), Some(array)) => Some(classes.of_images(&labels, array)?),
                _ => None,
            };
            parts[*part as usize] = Some(Samples::new(images, labels));
        }
        digest::check_files(self, files)?;
        let [train, val, test] = parts;
        let table = Table {
            class_names: classes.names(),
            train: train.expect("there are training images").into_any(),
            val: val.map(Samples::into_any),
            test: test.map(Samples::into_any),
        };
        let (digests, faults) = (Digests::Held(digests.into()), Faults::default());
        Ok(Loaded { table, digests, faults, errors: Vec::new() })
    }
}

impl Arrays {
    fn read(path: &Path) -> Result<Arrays, Error> {
        let mut notices = Vec::new();
        let parts = match parts_of(path)? {
            Some(parts) => parts,
            None => match the_only_ones(path)? {
                Some((images, Some(labels))) => {
                    let (path, names) = (path.to_path_buf(), [images.name(), labels.name()]);
                    notices.push(Notice::OtherArrays { path, names });
                    vec![(Part::Train, images, Some(labels))]
                }
                _ => return Err(no_arrays(path)),
            },
        };
        for (part, images, labels) in &parts {
            if labels.is_none() && *part != Part::Test {
                return Err(images.wrong("has no labels beside it".into(), "an array of labels"));
            }
        }
        let mut files: Vec<PathBuf> = Vec::new();
        for array in parts.iter().flat_map(|(_, images, labels)| [Some(images), labels.as_ref()]) {
            let Some(array) = array else { continue };
            if !files.iter().any(|file| file == array.path()) {
                files.push(array.path().to_path_buf());
            }
        }
        Ok(Arrays { files, parts, notices })
    }
}

/// The file of arrays in a folder without folders: the only .npz file, or the .npy file of the training images.
fn file_in(folder: &Folder) -> Result<Option<PathBuf>, Error> {
    if !folder.folders.is_empty() {
        return Ok(None);
    }
    let files = folder.files.iter().map(|name| folder.path.join(name));
    let files: Vec<PathBuf> =
        files.filter(|path| path.is_file() && ArrayFile::is_one(path)).collect();
    let mut archives = files.iter().filter(|path| ArrayFile::is_archive(path));
    match (archives.next(), archives.next()) {
        (Some(first), Some(second)) => {
            let both = [first.clone(), second.clone()];
            Err(Error::Form(FormError::TwoFiles { path: folder.path.clone(), both }))
        }
        (Some(only), None) => Ok(Some(only.clone())),
        _ => Ok(files.into_iter().find(|path| {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
            NAMES.iter().any(|[[images, _], ..]| stem == *images)
        })),
    }
}

/// The parts of the arrays in a file or beside it; `None` if no training images are among them.
fn parts_of(path: &Path) -> Result<Option<Vec<PartArrays>>, Error> {
    let file = ArrayFile::open(path)?;
    for names in NAMES {
        let Some(train) = file.array(names[0][0])? else { continue };
        let mut parts = vec![(Part::Train, train, file.array(names[0][1])?)];
        for (part, [images, labels]) in [(Part::Val, names[1]), (Part::Test, names[2])] {
            if let Some(images) = file.array(images)? {
                parts.push((part, images, file.array(labels)?));
            }
        }
        // The arrays beside a file that was given are read only if it is one of them.
        let is_given = |array: &Array| array.path().file_name() == path.file_name();
        let is_one = |(_, images, labels): &PartArrays| {
            is_given(images) || labels.as_ref().is_some_and(is_given)
        };
        if parts.iter().any(is_one) {
            return Ok(Some(parts));
        }
    }
    Ok(None)
}

/// The only array of images of an archive, and the only one with as many labels; `None` if there is no such array of
/// images, or a second one, or if there are several of labels.
fn the_only_ones(path: &Path) -> Result<Option<(Array, Option<Array>)>, Error> {
    if !ArrayFile::is_archive(path) {
        return Ok(None);
    }
    let arrays = ArrayFile::open(path)?.arrays();
    if arrays.len() > MAX_LOOKS {
        return Ok(None);
    }
    let (mut images, mut labels) = (Vec::new(), Vec::new());
    for array in arrays {
        match array.look().1 {
            Kind::Images(count) => images.push((array, count)),
            Kind::Labels(count) => labels.push((array, count)),
            Kind::Other => {}
        }
    }
    let (Some((image, count)), None) = (images.pop(), images.pop()) else { return Ok(None) };
    let mut labels = labels.into_iter().filter(|(_, labels)| *labels == count);
    Ok(match (labels.next(), labels.next()) {
        (labels, None) => Some((image, labels.map(|(labels, _)| labels))),
        (_, Some(_)) => None,
    })
}

fn no_arrays(path: &Path) -> Error {
    let arrays = ArrayFile::open(path).map(|file| file.arrays()).unwrap_or_default();
    let names = arrays.iter().enumerate().map(|(index, array)| match index < MAX_LOOKS {
        true => array.look().0,
        false => array.name(),
    });
    let known = NAMES.map(|[[images, labels], ..]| format!("{images} and {labels}")).join(", ");
    let (path, found) = (path.to_path_buf(), names.collect());
    Error::Packed(PackedError::NoArrays { path, found, known })
}

/// The classes of all labels of a dataset.
enum ArrayClasses {
    /// The numbers below this one.
    Numbers(u32),
    /// The texts of the training labels.
    Texts(Classes),
}

impl ArrayClasses {
    fn of<'a>(all: impl IntoIterator<Item = &'a Labels>, train: &Labels) -> ArrayClasses {
        if let Some(texts) = &train.texts {
            return ArrayClasses::Texts(Classes::of(texts.iter().map(String::as_str)));
        }
        let numbers = all.into_iter().filter(|labels| labels.texts.is_none());
        let largest = numbers.flat_map(|labels| labels.numbers.iter()).max();
        ArrayClasses::Numbers(largest.map_or(0, |largest| largest + 1))
    }

    /// The number of the class that is `label` among these labels, or its text, of which there is no class.
    fn number(&self, labels: &Labels, label: u32) -> Result<u32, String> {
        let text = labels.texts.as_ref().map(|texts| &texts[label as usize]);
        match (self, text) {
            (ArrayClasses::Numbers(_), None) => Ok(label),
            (ArrayClasses::Texts(classes), Some(text)) => {
                classes.number(text).ok_or_else(|| text.clone())
            }
            (_, text) => Err(text.cloned().unwrap_or_else(|| label.to_string())),
        }
    }

    /// The classes of all images that have the labels of an array.
    ///
    /// # Errors
    /// If one of them is no class.
    fn of_images(&self, labels: &Labels, array: &Array) -> Result<Vec<u32>, Error> {
        let number = |(row, &label): (usize, &u32)| {
            self.number(labels, label).map_err(|text| {
                let alike = match self {
                    ArrayClasses::Texts(classes) => alike(&text, classes.labels()),
                    ArrayClasses::Numbers(_) => None,
                };
                let (path, array) = (array.path().to_path_buf(), array.name());
                let label = escape(text.as_ref());
                Error::Packed(PackedError::UntrainedLabel { path, array, row, label, alike })
            })
        };
        labels.numbers.iter().enumerate().map(number).collect()
    }

    fn names(&self) -> Vec<String> {
        match self {
            ArrayClasses::Numbers(count) => (0..*count).map(|class| class.to_string()).collect(),
            ArrayClasses::Texts(classes) => classes.names().to_vec(),
        }
    }
}

/// The images of an array, and their labels.
fn read(
    images: &Array,
    labels: Option<&Array>,
    loading: &Loading<'_>,
) -> Result<(ArrayImages, Option<Labels>), Error> {
    let (shape, pixels) = images.pixels(labels.is_some(), MAX_HELD, loading)?;
    let [count, height, width, channels] = shape;
    if count == 0 || height == 0 || width == 0 {
        return Err(Error::NoImages { path: images.path().to_path_buf() });
    }
    let path = images.path().to_path_buf();
    let labels = labels.map(|array| array.labels(&path, count)).transpose()?;
    Ok((ArrayImages { path, height, width, channels, count, pixels }, labels))
}

fn digests_of(images: &ArrayImages, loading: &Loading<'_>) -> Result<Vec<Digest>, Error> {
    let look = |index| {
        let image = images.image(index, None, Decoding::default())?;
        Ok((digest::of_pixels(&image), None))
    };
    loading.look_at_all(images.count, look, &mut Faults::default())
}

impl ImageStore for ArrayImages {
    fn len(&self) -> usize {
        self.count
    }

    fn image(
        &self,
        index: usize,
        digest: Option<&Digest>,
        _: Decoding,
    ) -> Result<Image<'_>, Error> {
        let ArrayImages { height, width, channels, .. } = *self;
        let len = height * width * channels;
        let pixels = self.pixels.get(&self.path, index, len)?;
        let mode = Mode::of_channels(channels);
        let image = Image { height, width, channels, pixels, mode };
        // Pixels in memory are those that were digested.
        let may_differ = matches!(self.pixels, Pixels::InFile { .. });
        if may_differ && digest.is_some_and(|digest| digest::of_pixels(&image) != *digest) {
            return Err(Error::Changed { path: self.path.clone() });
        }
        Ok(image)
    }

    /// The number of the image in its array, counted from 0.
    fn id(&self, index: usize) -> String {
        index.to_string()
    }
}
