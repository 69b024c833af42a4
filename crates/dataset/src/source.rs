//! From a folder to a dataset: what is there, its digest, and how it is split.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::entries::Entries;
use crate::folder::{ImageFolder, is_image};
use crate::name::escape;
use crate::split::{Purpose, count_classes, stratified};
use crate::{Dataset, Error, GrayImages, Images, Notice, Samples, Split, SplitConfig, idx, kaggle};

/// Begins what is digested, for all forms of datasets. To be raised whenever the same files, split by
/// the same [`SplitConfig`], come to give other rows, other labels, another order or other pixels.
const READING: &[u8] = b"dataset, reading 2";

/// A folder that holds a dataset, not yet decoded.
#[derive(Debug, Clone)]
pub struct Source {
    folder: PathBuf,
    files: Files,
    notices: Vec<Notice>,
}

#[derive(Debug, Clone)]
enum Files {
    /// IDX files; images and labels.
    Idx { train: [PathBuf; 2], test: Option<(PathBuf, Option<PathBuf>)> },
    /// Kaggle's `train.csv` and `test.csv`.
    Kaggle { train: PathBuf, test: Option<PathBuf> },
    /// Images in class folders.
    Folder(ImageFolder),
}

/// Images in memory and their labels.
type Gray = (GrayImages, Option<Vec<i64>>);

impl Source {
    /// Looks at what the folder holds.
    ///
    /// # Errors
    /// If there is no such folder, or it holds none or two of the known forms.
    pub fn find(folder: &Path) -> Result<Source, Error> {
        let path = folder.to_path_buf();
        if !folder.is_dir() {
            return Err(Error::MissingFolder { path });
        }
        let entries = Entries::of(folder)?;
        let images = idx_file(folder, "train-images", "idx3");
        let csv = Some(folder.join("train.csv")).filter(|path| path.is_file());
        let forms = [
            images.as_ref().map(|_| "IDX files".to_owned()),
            csv.as_ref().map(|_| "CSV files".to_owned()),
            entries.train().map(|train| format!("a folder {}/", escape(train.as_ref()))),
        ];
        if let [first, second, ..] = &*forms.into_iter().flatten().collect::<Vec<_>>() {
            return Err(Error::Ambiguous { path, both: [first.clone(), second.clone()] });
        }
        let files = match (images, csv) {
            (Some(images), _) => {
                let labels = idx_file(folder, "train-labels", "idx1").ok_or_else(|| {
                    let beside = images.display().to_string();
                    Error::MissingFile { path: folder.join("train-labels-idx1-ubyte"), beside }
                })?;
                let test = idx_file(folder, "t10k-images", "idx3")
                    .map(|images| (images, idx_file(folder, "t10k-labels", "idx1")));
                Files::Idx { train: [images, labels], test }
            }
            (None, Some(train)) => {
                let test = Some(folder.join("test.csv")).filter(|path| path.is_file());
                Files::Kaggle { train, test }
            }
            (None, None) => match ImageFolder::find(folder, &entries)? {
                Some(images) => Files::Folder(images),
                None => return Err(Error::UnknownForm { path }),
            },
        };
        let notices = match &files {
            Files::Folder(images) => images.notices.clone(),
            Files::Idx { .. } | Files::Kaggle { .. } => {
                let used: Vec<&OsStr> = files.paths().filter_map(|path| path.file_name()).collect();
                let names = entries.beside(&used, is_data);
                let beside = used.first().filter(|_| !names.is_empty()).map(|train| {
                    Notice::Beside { folder: path.clone(), train: escape(train.as_ref()), names }
                });
                entries.system.notice(folder).into_iter().chain(beside).collect()
            }
        };
        Ok(Source { folder: path, files, notices })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The dataset's name: the folder's.
    pub fn name(&self) -> String {
        let folder = self.folder.canonicalize().unwrap_or_else(|_| self.folder.clone());
        folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// What is to be said about the folder: what of it was passed over, and whether it may be another
    /// one that is meant.
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    /// What of a configuration matters to this source: one with validation images of its own gives
    /// no training image away, so its `val_fraction` is 0 whatever was asked for.
    pub fn applicable(&self, config: &SplitConfig) -> SplitConfig {
        match &self.files {
            Files::Folder(ImageFolder { val: Some(_), .. }) => {
                SplitConfig { val_fraction: 0.0, ..*config }
            }
            _ => *config,
        }
    }

    /// The BLAKE3 digest of the source files' names and bytes, in hexadecimal: of everything but
    /// the [`SplitConfig`] that [`Source::load`]'s result depends on, the way that files are read
    /// included. Images of a folder go by their splits and their paths within it.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn digest(&self) -> Result<String, Error> {
        let mut digest = blake3::Hasher::new();
        digest.update(READING);
        if let Files::Folder(folder) = &self.files {
            folder.digest(&mut digest)?;
        }
        for path in self.files.paths() {
            let mut file = blake3::Hasher::new();
            file.update_mmap_rayon(path)
                .map_err(|source| Error::Read { path: path.clone(), source })?;
            digest.update(path.file_name().unwrap_or_default().as_encoded_bytes());
            digest.update(&[0]);
            digest.update(file.finalize().as_bytes());
        }
        Ok(digest.finalize().to_hex().to_string())
    }

    /// Reads the files, but for images of a folder, and splits the images.
    ///
    /// # Errors
    /// If a file is not what its name says, or the split leaves nothing to train or validate on.
    pub fn load(&self, config: &SplitConfig) -> Result<Dataset, Error> {
        let config = &self.applicable(config);
        let (train, test, test_path) = match &self.files {
            Files::Folder(ImageFolder { class_names, train, val, test, .. }) => {
                return self.split(Some(class_names), train, val.as_ref(), test.as_ref(), config);
            }
            Files::Idx { train: [images, labels], test } => {
                let train = read_idx(images, Some(labels))?;
                let path = test.as_ref().map(|(images, _)| images.clone());
                let test = test.as_ref().map(|(images, labels)| read_idx(images, labels.as_ref()));
                (train, test.transpose()?, path)
            }
            Files::Kaggle { train, test } => {
                let path = test.clone();
                let test = test.as_ref().map(|test| kaggle::read(test, false));
                (kaggle::read(train, true)?, test.transpose()?, path)
            }
        };
        if let (Some((test, _)), Some(path)) = (&test, test_path) {
            let size = |images: &GrayImages| format!("{}x{}", images.height, images.width);
            let (found, expected) = (size(test), size(&train.0));
            if found != expected {
                return Err(Error::SizesDiffer { path, found, expected });
            }
        }
        let samples = |(images, labels)| Samples { images: Arc::new(Images::Gray(images)), labels };
        self.split(None, &samples(train), None, test.map(samples).as_ref(), config)
    }

    /// `class_names`: `None` if classes are numbers.
    fn split(
        &self,
        class_names: Option<&Vec<String>>,
        train: &Samples,
        val: Option<&Samples>,
        test: Option<&Samples>,
        config: &SplitConfig,
    ) -> Result<Dataset, Error> {
        let images = train.images.len();
        let labels = train.labels.as_deref();
        let cut = (images as f64 * config.val_fraction).round() as usize;
        let all: Vec<usize> = (0..images).collect();
        let (cut_rows, train_rows) =
            stratified(&all, labels, cut, config.seed, Purpose::Validation);
        let classes = count_classes(&train_rows, labels);
        let path = self.folder.clone();
        if cut_rows.is_empty() && config.val_fraction > 0.0 {
            let fraction = config.val_fraction;
            return Err(Error::EmptySplit { path, fraction, images, classes });
        }
        if let Some(limit) = config.limit.filter(|&limit| limit < classes) {
            return Err(Error::LimitTooSmall { path, limit, classes });
        }
        let class_names = match class_names {
            Some(names) => names.clone(),
            None => {
                let test_labels = test.and_then(|test| test.labels.as_deref());
                let most = [labels, test_labels].into_iter().flatten().flatten().max();
                (0..=most.copied().unwrap_or(0)).map(|class| class.to_string()).collect()
            }
        };
        let take = |samples: &Samples, rows: &[usize], purpose| {
            let labels = samples.labels.as_deref();
            let rows = match config.limit {
                Some(limit) => stratified(rows, labels, limit, config.seed, purpose).0,
                None => rows.to_vec(),
            };
            let labels = labels.map(|labels| rows.iter().map(|&row| labels[row]).collect());
            Split { images: samples.images.clone(), rows, labels }
        };
        let take_all = |samples: &Samples, purpose| {
            take(samples, &(0..samples.images.len()).collect::<Vec<_>>(), purpose)
        };
        let none = Split { images: train.images.clone(), rows: Vec::new(), labels: None };
        Ok(Dataset {
            class_names,
            train: take(train, &train_rows, Purpose::LimitTrain),
            val: match val {
                Some(val) => take_all(val, Purpose::LimitVal),
                None => take(train, &cut_rows, Purpose::LimitVal),
            },
            test: test.map_or(none, |test| take_all(test, Purpose::LimitTest)),
        })
    }
}

impl Files {
    /// The files of all images and labels, those of the training images first; none of a folder of
    /// images.
    fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        let paths: Vec<&PathBuf> = match self {
            Files::Idx { train, test } => {
                let test = test.iter().flat_map(|(images, labels)| [Some(images), labels.as_ref()]);
                train.iter().chain(test.flatten()).collect()
            }
            Files::Kaggle { train, test } => [train].into_iter().chain(test).collect(),
            Files::Folder(_) => Vec::new(),
        };
        paths.into_iter()
    }
}

/// Whether a file is named like one that holds images or labels.
fn is_data(name: &OsStr) -> bool {
    let name = name.to_ascii_lowercase();
    let text = name.to_string_lossy();
    is_image(&name) || text.ends_with(".csv") || text.contains("-ubyte")
}

fn read_idx(images_path: &Path, labels_path: Option<&PathBuf>) -> Result<Gray, Error> {
    let images = idx::read_images(images_path)?;
    let labels = labels_path.map(|path| idx::read_labels(path)).transpose()?;
    if let (Some(labels), Some(labels_path)) = (&labels, labels_path)
        && labels.len() != images.len()
    {
        return Err(Error::CountsDiffer {
            images_path: images_path.to_path_buf(),
            labels_path: labels_path.clone(),
            images: images.len(),
            labels: labels.len(),
        });
    }
    Ok((images, labels))
}

/// An IDX file by the names under which it is found: `-idx3-ubyte` or `.idx3-ubyte`, `.gz` or not.
fn idx_file(folder: &Path, stem: &str, kind: &str) -> Option<PathBuf> {
    let names = ["-", "."].into_iter().flat_map(|separator| {
        ["", ".gz"].map(|ending| format!("{stem}{separator}{kind}-ubyte{ending}"))
    });
    names.map(|name| folder.join(name)).find(|path| path.is_file())
}
