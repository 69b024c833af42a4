//! From a folder to a dataset: what is there, its digest, and how it is split.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::split::{Purpose, stratified};
use crate::{Dataset, Error, GrayImages, Samples, Split, SplitConfig, idx, kaggle};

/// A folder that holds a dataset, not yet decoded.
#[derive(Debug, Clone)]
pub struct Source {
    folder: PathBuf,
    files: Files,
}

#[derive(Debug, Clone)]
enum Files {
    /// IDX files; images and labels.
    Idx { train: [PathBuf; 2], test: Option<(PathBuf, Option<PathBuf>)> },
    /// Kaggle's `train.csv` and `test.csv`.
    Kaggle { train: PathBuf, test: Option<PathBuf> },
}

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
        let images = idx_file(folder, "train-images", "idx3");
        let csv = Some(folder.join("train.csv")).filter(|path| path.is_file());
        let files = match (images, csv) {
            (Some(_), Some(_)) => return Err(Error::Ambiguous { path }),
            (None, None) => return Err(Error::UnknownForm { path }),
            (Some(images), None) => {
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
        };
        Ok(Source { folder: path, files })
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

    /// The BLAKE3 digest of the source files' names and bytes, in hexadecimal: of everything but
    /// the [`SplitConfig`] that [`Source::load`]'s result depends on.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn digest(&self) -> Result<String, Error> {
        let mut digest = blake3::Hasher::new();
        let paths: Vec<&PathBuf> = match &self.files {
            Files::Idx { train, test } => {
                let test = test.iter().flat_map(|(images, labels)| [Some(images), labels.as_ref()]);
                train.iter().chain(test.flatten()).collect()
            }
            Files::Kaggle { train, test } => [train].into_iter().chain(test).collect(),
        };
        for path in paths {
            let mut file = blake3::Hasher::new();
            file.update_mmap_rayon(path)
                .map_err(|source| Error::Read { path: path.clone(), source })?;
            digest.update(path.file_name().unwrap_or_default().as_encoded_bytes());
            digest.update(&[0]);
            digest.update(file.finalize().as_bytes());
        }
        Ok(digest.finalize().to_hex().to_string())
    }

    /// Reads the files and splits the images.
    ///
    /// # Errors
    /// If a file is not what its name says, or the split leaves nothing to train or validate on.
    pub fn load(&self, config: &SplitConfig) -> Result<Dataset, Error> {
        let (train, test, test_path) = match &self.files {
            Files::Idx { train: [images, labels], test } => {
                let train = read_idx(images, Some(labels))?;
                let path = test.as_ref().map(|(images, _)| images.clone());
                let test = test.as_ref().map(|(images, labels)| read_idx(images, labels.as_ref()));
                (train, test.transpose()?.unwrap_or_default(), path)
            }
            Files::Kaggle { train, test } => {
                let samples = kaggle::read(train, true)?;
                let path = test.clone();
                let test = test.as_ref().map(|test| kaggle::read(test, false)).transpose()?;
                (samples, test.unwrap_or_default(), path)
            }
        };
        if let Some(path) = test_path {
            let size = |images: &GrayImages| format!("{}x{}", images.height, images.width);
            let (found, expected) = (size(&test.images), size(&train.images));
            if found != expected {
                return Err(Error::SizesDiffer { path, found, expected });
            }
        }
        self.split(train, test, config)
    }

    fn split(&self, train: Samples, test: Samples, config: &SplitConfig) -> Result<Dataset, Error> {
        let images = train.images.len();
        let labels = train.labels.as_deref();
        let val = (images as f64 * config.val_fraction).round() as usize;
        let all: Vec<usize> = (0..images).collect();
        let (val_rows, train_rows) =
            stratified(&all, labels, val, config.seed, Purpose::Validation);
        if train_rows.is_empty() || (val_rows.is_empty() && config.val_fraction > 0.0) {
            return Err(Error::EmptySplit {
                path: self.folder.clone(),
                fraction: config.val_fraction,
                images,
                train: train_rows.len(),
                val: val_rows.len(),
            });
        }
        let classes = [labels, test.labels.as_deref()].into_iter().flatten().flatten().max();
        let class_names = (0..=classes.copied().unwrap_or(0)).map(|class| class.to_string());
        let take = |images: &Arc<GrayImages>, rows, labels: Option<&[i64]>, purpose| {
            let rows = match config.limit {
                Some(limit) => stratified(rows, labels, limit, config.seed, purpose).0,
                None => rows.to_vec(),
            };
            let labels = labels.map(|labels| rows.iter().map(|&row| labels[row]).collect());
            Split { images: images.clone(), rows, labels }
        };
        let train_images = Arc::new(train.images);
        let test_rows: Vec<usize> = (0..test.images.len()).collect();
        let test_labels = test.labels.as_deref();
        Ok(Dataset {
            class_names: class_names.collect(),
            train: take(&train_images, &train_rows, labels, Purpose::LimitTrain),
            val: take(&train_images, &val_rows, labels, Purpose::LimitVal),
            test: take(&Arc::new(test.images), &test_rows, test_labels, Purpose::LimitTest),
        })
    }
}

fn read_idx(images_path: &Path, labels_path: Option<&PathBuf>) -> Result<Samples, Error> {
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
    Ok(Samples { images, labels })
}

/// An IDX file by the names under which it is found: `-idx3-ubyte` or `.idx3-ubyte`, `.gz` or not.
fn idx_file(folder: &Path, stem: &str, kind: &str) -> Option<PathBuf> {
    let names = ["-", "."].into_iter().flat_map(|separator| {
        ["", ".gz"].map(|ending| format!("{stem}{separator}{kind}-ubyte{ending}"))
    });
    names.map(|name| folder.join(name)).find(|path| path.is_file())
}
