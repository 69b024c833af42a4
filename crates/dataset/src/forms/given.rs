//! A folder that was given as a dataset, and what several forms look for in it.

use std::cell::OnceCell;
use std::ops::Deref;

use super::image_list::{competition, image_folder};
use crate::folder::Folder;
use crate::{Error, SourceConfig};

/// A folder that was given as a dataset, to be read as the configuration says. Tables in it that make it one of
/// certain forms are looked for once, when that is first asked for: a look may list a folder of all images.
#[derive(Debug)]
pub(crate) struct GivenFolder<'a> {
    folder: Folder,
    pub(crate) config: &'a SourceConfig,
    labels: OnceCell<Option<competition::Labels>>,
    metadata: OnceCell<Vec<image_folder::Metadata>>,
}

impl<'a> GivenFolder<'a> {
    pub(crate) fn new(folder: Folder, config: &'a SourceConfig) -> GivenFolder<'a> {
        GivenFolder { folder, config, labels: OnceCell::new(), metadata: OnceCell::new() }
    }

    /// The labels of a competition; `None` if the folder is not that of one.
    pub(super) fn labels(&self) -> Result<Option<&competition::Labels>, Error> {
        if self.labels.get().is_none() {
            let labels = competition::labels_in(self, self.config)?;
            return Ok(self.labels.get_or_init(|| labels).as_ref());
        }
        Ok(self.labels.get().and_then(Option::as_ref))
    }

    /// The tables of an image folder; none if it is not one.
    pub(super) fn metadata(&self) -> Result<&[image_folder::Metadata], Error> {
        if self.metadata.get().is_none() {
            let metadata = image_folder::metadata_in(self, self.config)?;
            return Ok(self.metadata.get_or_init(|| metadata));
        }
        Ok(self.metadata.get().map_or(&[], Vec::as_slice))
    }
}

impl Deref for GivenFolder<'_> {
    type Target = Folder;

    fn deref(&self) -> &Folder {
        &self.folder
    }
}
