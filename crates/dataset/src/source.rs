//! From a path to a dataset: its form, its digest, and its split images.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use durable::Digest;

use crate::digests::Digests;
use crate::folder::Folder;
use crate::forms::{DatasetFiles, Entry, FORMS, GivenFolder, Opened, name_of_pattern, pattern_at};
use crate::loading::Loading;
use crate::{
    Dataset, Decoding, Error, Faults, FileDigests, FormError, Notice, SourceConfig, SplitConfig,
    Unsplit, digest, unknown,
};

/// A dataset of a known form, not yet decoded.
#[derive(Debug, Clone)]
pub struct Source {
    path: PathBuf,
    form: &'static Entry,
    dataset: Arc<dyn DatasetFiles>,
    /// Computed when they are first needed.
    digests: OnceLock<SourceDigests>,
}

/// The digests of a dataset and of its files.
#[derive(Debug, Clone)]
struct SourceDigests {
    dataset: Digest,
    /// In the dataset's order.
    files: Digests,
}

impl Source {
    /// Recognises the dataset at `path`, which is a folder or the main file of a form of dataset.
    ///
    /// # Errors
    /// If there is nothing at the path, or it matches none of the known forms or two of them.
    pub fn find(path: &Path) -> Result<Source, Error> {
        Source::find_with(path, &SourceConfig::default())
    }

    /// The dataset at `path`, read as `config` says.
    ///
    /// # Errors
    /// As [`Source::find`], or if the dataset is not of the form that `config` names, or if it names columns or a folder
    /// of images and the dataset is of a form that has none.
    pub fn find_with(path: &Path, config: &SourceConfig) -> Result<Source, Error> {
        let (source, errors) = Source::find_despite_errors(path, config)?;
        Error::all(errors)?;
        Ok(source)
    }

    /// The same of a dataset of which rows or files are wrong: it is without them, and the errors are about them.
    ///
    /// # Errors
    /// If nothing can be looked at for other reasons than [`Source::find_with`] has about rows and files.
    pub fn find_despite_errors(
        path: &Path,
        config: &SourceConfig,
    ) -> Result<(Source, Vec<Error>), Error> {
        if let Some(images) = config.images.as_ref().filter(|images| !images.is_dir()) {
            return Err(Error::Form(FormError::NoImagesFolder { images: images.clone() }));
        }
        let form = if let Some(name) = &config.form {
            find_form(path, name, config)?
        } else if path.is_file() || pattern_at(path).is_some() {
            first(|form| (form.open_file)(path, config))?
        } else {
            find_in_folder(path, config)?
        };
        let path = path.to_path_buf();
        match form {
            Some((form, (dataset, errors))) => {
                if let Some((_, column)) = config.columns.named().next()
                    && !form.has_columns
                {
                    let column = column.to_owned();
                    return Err(Error::Form(FormError::NoColumns {
                        path,
                        column,
                        form: form.name,
                    }));
                }
                if let Some(images) = config.images.clone().filter(|_| !form.takes_images_folder) {
                    return Err(Error::Form(FormError::NotAList { path, images, form: form.name }));
                }
                Ok((Source { path, form, dataset, digests: OnceLock::new() }, errors))
            }
            None => Err(unknown::error(&path)),
        }
    }

    /// The name of the dataset's form.
    pub fn form(&self) -> &'static str {
        self.form.name
    }

    /// The path of the folder or file, as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The dataset's name: the folder's, or the file's without its ending.
    pub fn name(&self) -> String {
        if let Some(pattern) = pattern_at(&self.path) {
            return name_of_pattern(pattern);
        }
        let path = self.path.canonicalize().unwrap_or_else(|_| self.path.clone());
        let name = if path.is_file() { path.file_stem() } else { path.file_name() };
        name.unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Facts about the dataset's files that its user may not be aware of: files that are passed over, and
    /// signs that another folder is meant.
    pub fn notices(&self) -> &[Notice] {
        self.dataset.notices()
    }

    /// Whether images are in image files, which may record an orientation, rather than plain arrays of pixels,
    /// as those of IDX files and of Kaggle's CSV files.
    pub fn has_image_files(&self) -> bool {
        self.form.has_image_files
    }

    /// The configuration that applies to this source. A source with validation or test images of its own takes none
    /// from the training images, so its `val_fraction` or `test_fraction` is always 0.
    pub fn applicable(&self, config: &SplitConfig) -> SplitConfig {
        let unless = |has_own, fraction| if has_own { 0.0 } else { fraction };
        SplitConfig {
            val_fraction: unless(self.dataset.has_val(), config.val_fraction),
            test_fraction: unless(self.dataset.has_test(), config.test_fraction),
            ..*config
        }
    }

    /// The notices on fractions that were asked for and [do not apply](Source::applicable).
    pub fn unused_fractions(&self, val: Option<f64>, test: Option<f64>) -> Vec<Notice> {
        let is_unused = |has_own: bool, fraction: Option<f64>| {
            has_own && fraction.is_some_and(|fraction| fraction > 0.0)
        };
        let (flag, images) = ("--val-fraction", "validation");
        let val = is_unused(self.dataset.has_val(), val)
            .then_some(Notice::UnusedFraction { flag, images });
        let (flag, images) = ("--test-fraction", "test");
        let test = is_unused(self.dataset.has_test(), test)
            .then_some(Notice::UnusedFraction { flag, images });
        val.into_iter().chain(test).collect()
    }

    /// The BLAKE3 digest of everything on which the result of [`Source::load`] depends, except for the
    /// [`SplitConfig`]: the names and bytes of the files, and the rules by which they are read. The names of
    /// images in files of their own are their splits and their paths within the dataset. The files are read
    /// once, whether for this or for [`Source::load`].
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn digest(&self) -> Result<Digest, Error> {
        self.digest_with(&mut FileDigests::none(), &AtomicBool::new(false))
    }

    /// The same digest, for which only those files are read whose digests are not remembered. The
    /// others are remembered then. When `stop` becomes true, no more files are read.
    ///
    /// # Errors
    /// If a file cannot be read, or a stop was requested. The digests that are known by then are remembered.
    pub fn digest_with(&self, files: &mut FileDigests, stop: &AtomicBool) -> Result<Digest, Error> {
        Ok(self.digests(files, stop)?.dataset)
    }

    fn digests(&self, files: &mut FileDigests, stop: &AtomicBool) -> Result<&SourceDigests, Error> {
        if let Some(digests) = self.digests.get() {
            return Ok(digests);
        }
        let files = files.of_files(&*self.dataset, stop)?;
        let mut dataset = digest::of_dataset();
        self.dataset.digest(&mut dataset, &files);
        let dataset = dataset.finalize().into();
        Ok(self.digests.get_or_init(|| SourceDigests { dataset, files }))
    }

    /// Reads the images, but for those that have a file each, which are decoded when they are asked for.
    ///
    /// # Errors
    /// If a file is not what its name says or has changed since it was digested.
    pub fn read(&self) -> Result<Unsplit, Error> {
        self.read_with(None, &AtomicBool::new(false))
    }

    /// The same, where the images that lie together in larger files are looked at for faults while they are read, if
    /// `scan` says how they will be decoded. When `stop` becomes true, no more images are read.
    ///
    /// # Errors
    /// As [`Source::read`], or if a stop was requested.
    pub fn read_with(&self, scan: Option<Decoding>, stop: &AtomicBool) -> Result<Unsplit, Error> {
        let (unsplit, errors) = self.read_despite_errors(scan, stop)?;
        Error::all(errors)?;
        Ok(unsplit)
    }

    /// The same without the rows that are wrong; the errors are about them.
    ///
    /// # Errors
    /// If a file cannot be read at all, or a stop was requested.
    pub fn read_despite_errors(
        &self,
        scan: Option<Decoding>,
        stop: &AtomicBool,
    ) -> Result<(Unsplit, Vec<Error>), Error> {
        let digests = self.digests(&mut FileDigests::none(), stop)?;
        let mut loaded = self.dataset.load(&digests.files, &Loading { scan, stop })?;
        let errors = std::mem::take(&mut loaded.errors);
        Ok((Unsplit::new(self.path.clone(), loaded), errors))
    }

    /// [Reads](Source::read) the images and splits them.
    ///
    /// # Errors
    /// As [`Source::read`], and if the split leaves nothing to train, validate or test on.
    pub fn load(&self, config: &SplitConfig) -> Result<Dataset, Error> {
        self.read()?.split(&self.applicable(config), &Faults::default())
    }
}

/// A dataset with its form and with what is wrong with it; `None` if there is none of a known form.
type Found = Result<Option<(&'static Entry, (Arc<dyn DatasetFiles>, Vec<Error>))>, Error>;

/// The dataset at `path`, of the form of this name; `None` if it is not of that form.
fn find_form(path: &Path, name: &str, config: &SourceConfig) -> Found {
    let form = FORMS.iter().find(|form| form.name == name);
    let form = form.ok_or_else(|| Error::Form(FormError::NoSuchForm { name: name.to_owned() }))?;
    let opened = if path.is_file() || pattern_at(path).is_some() {
        (form.open_file)(path, config)?
    } else {
        (form.open)(&GivenFolder::new(folder_at(path)?, config))?
    };
    match opened {
        Some(dataset) => Ok(Some((form, dataset))),
        None => Err(Error::Form(FormError::NotOfForm {
            path: path.to_path_buf(),
            form: form.name,
            description: form.description,
        })),
    }
}

/// The dataset in the folder at `path`; `None` if it has none of the known forms.
fn find_in_folder(path: &Path, config: &SourceConfig) -> Found {
    let folder = GivenFolder::new(folder_at(path)?, config);
    let mut marked = Vec::new();
    for form in &FORMS {
        if let Some(mark) = (form.mark)(&folder)? {
            marked.push((form, mark));
        }
    }
    match &marked[..] {
        [(first, mark), (second, other), ..] => {
            let both = [mark.clone(), other.clone()];
            let forms = [first.name, second.name].into();
            Err(Error::Form(FormError::Ambiguous { path: path.to_path_buf(), both, forms }))
        }
        [(form, _)] => Ok((form.open)(&folder)?.map(|dataset| (*form, dataset))),
        [] => first(|form| (form.open)(&folder)),
    }
}

fn folder_at(path: &Path) -> Result<Folder, Error> {
    if !path.is_dir() {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        return Err(Error::Form(FormError::MissingFolder { path }));
    }
    Folder::list(path)
}

/// The dataset that the first matching form opens; `None` if no form matches.
fn first(open: impl Fn(&Entry) -> Opened) -> Found {
    let opened = |form| Some(open(form).transpose()?.map(|dataset| (form, dataset)));
    FORMS.iter().find_map(opened).transpose()
}
