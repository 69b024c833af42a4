//! Reading the rows of one split.

use std::fs;

use durable::Digest;
use ndarray::ArrayView1;
use ndarray_npy::ViewNpyExt;
use recipe::TapShape;

use crate::layout::PartReader;
use crate::npy::{check_form, map};
use crate::spec::check_labels;
use crate::{Cache, Error, FileEntry, Ids, Images, Part, Split, SplitName};

/// A split of a finished cache.
#[derive(Debug)]
pub struct SplitReader<'a> {
    pub(super) cache: &'a Cache,
    pub(super) name: SplitName,
    pub(super) split: &'a Split,
    /// Those whose rows are joined, in that order.
    pub(super) arrays: Vec<TapReader<'a>>,
}

/// The features of one tap.
#[derive(Debug)]
pub(super) struct TapReader<'a> {
    pub(super) shape: &'a TapShape,
    pub(super) parts: &'a [Part],
    /// One for each of the parts.
    pub(super) readers: Vec<PartReader>,
}

impl<'a> SplitReader<'a> {
    /// The cache that it is a split of.
    pub fn cache(&self) -> &'a Cache {
        self.cache
    }

    /// The shapes of the taps whose rows are joined.
    pub fn shapes(&self) -> impl Iterator<Item = &TapShape> {
        self.arrays.iter().map(|array| array.shape)
    }

    /// Its name.
    pub fn name(&self) -> SplitName {
        self.name
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.split.rows
    }

    /// Number of images: rows that are not those of distorted copies. They come first.
    pub fn image_count(&self) -> usize {
        self.split.rows / self.cache.manifest.inputs.rows_per_image(self.name)
    }

    /// Numbers in a row, of all taps together.
    pub fn row_len(&self) -> usize {
        self.arrays.iter().map(TapReader::row_len).sum()
    }

    /// One digest for all of its features, whatever parts they lie in.
    pub fn features_digest(&self) -> Digest {
        let digests: Vec<String> = self.files().map(|file| file.digest.to_string()).collect();
        Digest::of(digests.join(" ").as_bytes())
    }

    /// Reads all of its features and checks their digests.
    ///
    /// # Errors
    /// If a file is damaged.
    pub fn verify_features(&self) -> Result<(), Error> {
        self.files().try_for_each(|file| file.check_digest(&self.cache.folder, |_| Ok(())))
    }

    /// The files with the features.
    fn files(&self) -> impl Iterator<Item = &FileEntry> {
        self.arrays.iter().flat_map(|array| array.parts).flat_map(|part| part.files.entries())
    }

    /// Tells the operating system that a row is not needed for now, so that it no longer counts as
    /// this program's memory. It can be read again.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn release_row(&self, row: usize) {
        for array in &self.arrays {
            let (part, row) = array.locate(row);
            part.release_row(row);
        }
    }

    /// Copies row `row` into `values`: tap after tap, each `[C, H, W]` or `[C]` in C order.
    ///
    /// # Errors
    /// If the arrays of the layout `csr` contradict each other in that row.
    ///
    /// # Panics
    /// If there is no such row, or `values` does not have the row's length.
    pub fn read_row(&self, row: usize, values: &mut [f32]) -> Result<(), Error> {
        assert_eq!(values.len(), self.row_len());
        let mut rest = values;
        for array in &self.arrays {
            let values;
            (values, rest) = rest.split_at_mut(array.row_len());
            let (part, row) = array.locate(row);
            part.read_row(row, values)?;
        }
        Ok(())
    }

    /// Reads the elements of row `row`, in either layout, into `columns` and `values`: the numbers whose bits
    /// are not all zero, and where in the row they stand, ascending.
    ///
    /// # Errors
    /// If the arrays of the layout `csr` contradict each other in that row.
    ///
    /// # Panics
    /// If there is no such row, or a row has more than 2³² numbers.
    pub fn read_elements(
        &self,
        row: usize,
        columns: &mut Vec<u32>,
        values: &mut Vec<f32>,
    ) -> Result<(), Error> {
        columns.clear();
        values.clear();
        let mut first = 0;
        for array in &self.arrays {
            let first_column = u32::try_from(first).expect("a row has at most 2³² numbers");
            let (part, row) = array.locate(row);
            part.read_elements(row, first_column, columns, values)?;
            first += array.row_len();
        }
        Ok(())
    }

    /// The labels, checked against their digest and the class list; `None` for an
    /// unlabelled split.
    ///
    /// # Errors
    /// If the file cannot be read, has another form, or a label is not an index into the classes.
    pub fn labels(&self) -> Result<Option<Vec<i64>>, Error> {
        let Some(entry) = &self.split.labels else { return Ok(None) };
        let path = self.cache.path(&entry.file)?;
        let map = map(&path)?;
        entry.expect_digest(path.clone(), Digest::of(&map))?;
        let wrong = |found: String| Error::WrongHeader {
            path: path.clone(),
            expected: format!("shape [{}], dtype <i8", self.split.rows),
            found,
        };
        check_form(&map).map_err(wrong)?;
        let view = ArrayView1::<i64>::view_npy(&map).map_err(|error| wrong(error.to_string()))?;
        if view.len() != self.split.rows {
            return Err(wrong(format!("shape {:?}", view.shape())));
        }
        let labels = view.to_vec();
        check_labels(labels.iter().copied(), self.cache.manifest.class_names.len(), || {
            path.clone()
        })?;
        Ok(Some(labels))
    }

    /// The labels of a split that must have some.
    ///
    /// # Errors
    /// As [`SplitReader::labels`], and if there are none.
    pub fn labels_required(&self) -> Result<Vec<i64>, Error> {
        let path = self.cache.folder.clone();
        self.labels()?.ok_or(Error::NoLabels { path, split: self.name })
    }

    /// The sample ids, row order.
    ///
    /// # Errors
    /// If the file cannot be read or has another number of lines than there are rows.
    pub fn ids(&self) -> Result<Ids, Error> {
        let path = self.cache.path(&self.split.ids.file)?;
        let text = fs::read_to_string(&path).map_err(durable::Error::at("read", &path))?;
        self.split.ids.expect_digest(path.clone(), Digest::of(text.as_bytes()))?;
        let ids = Ids::from_text(text);
        if ids.len() != self.split.rows {
            return Err(Error::WrongIdCount { path, expected: self.split.rows, found: ids.len() });
        }
        Ok(ids)
    }

    /// The digest of each row's image, checked against their file's; `None` if they are not known.
    ///
    /// # Errors
    /// If the file cannot be read, has another size, or is damaged.
    pub fn images(&self) -> Result<Option<Images>, Error> {
        // The number of rows is that of the manifest, which was checked against the file's size.
        self.split.images.as_ref().map(|file| Images::open(&self.cache.folder, file)).transpose()
    }
}

impl TapReader<'_> {
    fn row_len(&self) -> usize {
        self.shape.iter().product()
    }

    /// The part that holds a row of the split, and which of its rows that is.
    fn locate(&self, row: usize) -> (&PartReader, usize) {
        let index = self.parts.partition_point(|part| part.first_row + part.rows <= row);
        (&self.readers[index], row - self.parts[index].first_row)
    }
}
