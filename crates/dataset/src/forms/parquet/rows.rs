//! The rows of a dataset's files: where their images lie, and what is said of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use durable::Digest;
use rayon::prelude::*;

use super::super::classes::Classes;
use super::super::sheet::{escaped, shown};
use super::columns::Columns;
use super::images::{Index, Location, Pages, ParquetImages};
use crate::alike::alike;
use crate::digests::Digests;
use crate::errors::Errors;
use crate::faults::Faults;
use crate::images::Group;
use crate::loading::Loading;
use crate::name::escape;
use crate::packed::Shard;
use crate::parquet::{ParquetFile, RowGroup, Section, Span, Value};
use crate::part::Part;
use crate::table::{Loaded, Samples, Table};
use crate::{Error, Notice, Position, SplitError, TableError};

/// Row groups that are read at a time, by all threads.
const GROUPS: usize = 64;

const AN_IMAGE: &str = "the bytes of an image; leave rows without one out with pandas (df[df['image'].notna()]), and \
                        write the others with to_parquet or push_to_hub of the library datasets";
const A_LABEL: &str = "a label; only rows of the split 'test' may be without";
const A_LABEL_AS_OTHERS: &str = "a label, since other test rows have one";
const NO_LABEL: &str = "no label, since other test rows have none";
const A_CLASS: &str = "the number of one of the classes that the file names, from 0 on";
const A_SPLIT: &str = "train, val or test";
const A_GROUP: &str = "a group, since the file has a column of groups";

/// The rows of all files, one after the other.
#[derive(Debug, Default)]
pub(super) struct Rows {
    index: Index,
    /// Of the images' bytes; none if they were not asked for.
    digests: Vec<Digest>,
    /// Of these images, as far as they were looked for and found.
    faults: Faults,
    labels: Texts,
    groups: Texts,
    /// `None` for a row that is left out.
    parts: Vec<Option<Part>>,
    class_names: Option<Vec<String>>,
    /// Of each file, the names of the columns of labels and of groups.
    names: Vec<[String; 2]>,
    has_groups: bool,
    /// What is wrong with files and with rows, which are left out.
    errors: Errors,
}

/// Texts of which many are equal, one for each row.
#[derive(Debug, Default)]
struct Texts {
    numbers: HashMap<String, u32>,
    /// The different texts, in the order in which they first come.
    texts: Vec<String>,
    /// The number of each row's text; `None` if it has none.
    rows: Vec<Option<u32>>,
}

/// The rows of a row group.
struct Read {
    sections: Vec<Section>,
    locations: Vec<Location>,
    digests: Vec<Digest>,
    faults: Faults,
    labels: Texts,
    splits: Option<Texts>,
    groups: Option<Texts>,
    /// The rows without an image, counted from the group's first, each with its error.
    without_image: BTreeMap<usize, Error>,
}

impl Texts {
    fn push(&mut self, text: Option<&str>) {
        let number = text.map(|text| match self.numbers.get(text) {
            Some(&number) => number,
            None => {
                let number = self.texts.len() as u32;
                self.texts.push(text.to_owned());
                self.numbers.insert(text.to_owned(), number);
                number
            }
        });
        self.rows.push(number);
    }

    fn append(&mut self, other: &Texts) {
        other
            .rows
            .iter()
            .for_each(|&row| self.push(row.map(|row| other.texts[row as usize].as_str())));
    }

    fn get(&self, row: usize) -> Option<&str> {
        self.rows[row].map(|number| self.texts[number as usize].as_str())
    }
}

impl Rows {
    /// Reads all rows of the files, whose columns these are. The images are read for their digests if `loading` is
    /// given. Files and rows that are wrong are left out with an error.
    ///
    /// # Errors
    /// If there are too many errors, or a stop was requested.
    pub(super) fn read(
        shards: &[Shard],
        columns: &[Columns],
        loading: Option<&Loading<'_>>,
    ) -> Result<Rows, Error> {
        let mut rows = Rows::default();
        for (number, (shard, columns)) in shards.iter().zip(columns).enumerate() {
            let read = rows.read_file(number as u32, shard, columns, loading);
            rows.errors.keep(read)?;
        }
        if u32::try_from(rows.index.locations.len()).is_err() {
            let path = shards[0].path.clone();
            return Err(Error::Split(SplitError::TooManyImages {
                path,
                images: rows.index.locations.len(),
            }));
        }
        rows.class_names = columns.iter().find_map(|columns| columns.class_names.clone());
        Ok(rows)
    }

    /// Adds the rows of a file, up to the first group of them that cannot be read.
    fn read_file(
        &mut self,
        number: u32,
        shard: &Shard,
        columns: &Columns,
        loading: Option<&Loading<'_>>,
    ) -> Result<(), Error> {
        let file = ParquetFile::open(&shard.path)?;
        let (leaves, at) = columns.leaves();
        let groups = file.groups(&leaves)?;
        let mut starts = Vec::new();
        let mut in_file = 0;
        for group in &groups {
            starts.push(in_file);
            in_file += group.rows as usize;
        }
        let read =
            |(group, start): (&RowGroup, &usize)| read_group(&file, group, *start, at, loading);
        self.begin_file(shard, columns);
        for (groups, starts) in groups.chunks(GROUPS).zip(starts.chunks(GROUPS)) {
            let read: Vec<Result<Read, Error>> = groups.par_iter().zip(starts).map(read).collect();
            read.into_iter().try_for_each(|read| self.add(number, shard, columns, read?))?;
        }
        Ok(())
    }

    /// Begins a file, of which no rows are there yet.
    fn begin_file(&mut self, shard: &Shard, columns: &Columns) {
        let first = self.index.locations.len();
        self.index.files.push((shard.clone(), first));
        let [_, label, _, group] = columns.names().clone();
        self.names.push([label, group]);
    }

    /// Adds the rows of a row group of the file that was begun last.
    fn add(
        &mut self,
        number: u32,
        shard: &Shard,
        columns: &Columns,
        read: Read,
    ) -> Result<(), Error> {
        let [_, _, split, group] = columns.names();
        let (_, start) = self.index.place(self.index.locations.len());
        let sections = self.index.sections.len() as u32;
        self.index.sections.extend(read.sections.into_iter().map(|section| (number, section)));
        let moved =
            |location: Location| Location { section: location.section + sections, ..location };
        self.index.locations.extend(read.locations.into_iter().map(moved));
        self.digests.extend(read.digests);
        self.faults.extend(read.faults);
        self.labels.append(&read.labels);
        let mut without_image = read.without_image;
        for row in 0..read.labels.rows.len() {
            let wrong = |column: &str, found: Option<&str>, expected| {
                wrong(&shard.path, start + row, column, found, expected)
            };
            let part = match &read.splits {
                Some(splits) => {
                    let name = splits.get(row);
                    let part = name.and_then(|name| Part::named(name.as_ref()));
                    part.ok_or_else(|| wrong(split, name, A_SPLIT))
                }
                None => Ok(shard.part),
            };
            let of_group = read.groups.as_ref().map(|groups| groups.get(row));
            let part = match (without_image.remove(&row), of_group) {
                (Some(error), _) => Err(error),
                (None, Some(None)) => Err(wrong(group, None, A_GROUP)),
                (None, _) => part,
            };
            self.groups.push(of_group.flatten());
            self.parts.push(self.errors.keep(part)?);
        }
        self.has_groups |= read.groups.is_some();
        Ok(())
    }

    /// The dataset of the rows, which were given as `path`. Those whose label is wrong or missing are left out with an
    /// error.
    ///
    /// # Errors
    /// If there are no rows for training, or too many errors.
    pub(super) fn into_loaded(mut self, path: &Path) -> Result<Loaded, Error> {
        let mut errors = std::mem::take(&mut self.errors);
        let [train, val, test] = self.rows_of_parts();
        if self.parts.is_empty() {
            errors.check()?;
            return Err(Error::NoImages { path: path.to_path_buf() });
        }
        if train.is_empty() {
            errors.check()?;
            return Err(Error::Table(TableError::NoTrainingRows { path: path.to_path_buf() }));
        }
        let classes = Classes::of(train.iter().filter_map(|&row| self.label(row)));
        let mut labelled = |rows: Vec<u32>| {
            let (mut kept, mut labels) =
                (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
            for row in rows {
                if let Some(label) = errors.keep(self.class_of(row, &classes))? {
                    kept.push(row);
                    labels.push(label);
                }
            }
            Ok::<_, Error>((kept, Some(labels)))
        };
        let (train, train_labels) = labelled(train)?;
        let (val, val_labels) = labelled(val)?;
        let is_labelled = test.first().is_some_and(|&row| self.label(row).is_some());
        let (test, others): (Vec<u32>, Vec<u32>) =
            test.into_iter().partition(|&row| self.label(row).is_some() == is_labelled);
        let (test, test_labels) = if is_labelled { labelled(test)? } else { (test, None) };
        let expected = if is_labelled { A_LABEL_AS_OTHERS } else { NO_LABEL };
        others.iter().try_for_each(|&row| errors.add(self.wrong_label(row, expected)))?;
        let groups = self.has_groups.then(|| {
            // Rows of a file without groups are groups of their own.
            let alone = self.groups.texts.len() as u32;
            train.iter().map(|&row| self.groups.rows[row as usize].unwrap_or(alone + row)).collect()
        });
        let rows = [&train, &val, &test].into_iter().flatten();
        let digests = rows.map(|&row| self.digests[row as usize]).collect();
        let class_names = match self.class_names {
            Some(names) => names,
            None => classes.into_names(),
        };
        let (index, pages) = (Arc::new(self.index), Arc::new(Pages::default()));
        let samples = |rows, labels| {
            Samples::new(ParquetImages::new(index.clone(), pages.clone(), rows), labels).into_any()
        };
        let train = Samples {
            groups: groups.map(|groups: Vec<u32>| groups.into()),
            ..samples(train, train_labels)
        };
        let table = Table {
            class_names,
            train,
            val: (!val.is_empty()).then(|| samples(val, val_labels)),
            test: (!test.is_empty()).then(|| samples(test, test_labels)),
        };
        let (faults, errors) = (self.faults, errors.into_vec());
        Ok(Loaded { table, digests: Digests::Held(digests), faults, errors })
    }

    /// The images of the rows, to be classified.
    pub(super) fn into_groups(mut self, path: &Path) -> Result<Vec<Group>, Error> {
        std::mem::take(&mut self.errors).check()?;
        let of_parts = self.rows_of_parts();
        if self.parts.is_empty() {
            return Err(Error::NoImages { path: path.to_path_buf() });
        }
        let classes = Classes::of((0..self.parts.len() as u32).filter_map(|row| self.label(row)));
        let number = |&row: &u32| match self.label(row) {
            Some(_) => self.class_of(row, &classes).map(Some),
            None => Ok(None),
        };
        let labels = |rows: &Vec<u32>| rows.iter().map(number).collect::<Result<Vec<_>, Error>>();
        let labels = of_parts.iter().map(labels).collect::<Result<Vec<_>, Error>>()?;
        let class_names = match self.class_names {
            Some(names) => names,
            None => classes.into_names(),
        };
        let (index, pages) = (Arc::new(self.index), Arc::new(Pages::default()));
        let groups = [Part::Train, Part::Val, Part::Test].into_iter().zip(of_parts).zip(labels);
        let groups = groups.filter(|((_, rows), _)| !rows.is_empty());
        Ok(groups
            .map(|((part, rows), labels)| Group {
                origin: path.to_path_buf(),
                part: Some(part),
                images: Arc::new(ParquetImages::new(index.clone(), pages.clone(), rows)),
                class_names: class_names.clone(),
                labels: labels.iter().any(Option::is_some).then_some(labels),
            })
            .collect())
    }

    /// The rows of train, val and test.
    fn rows_of_parts(&self) -> [Vec<u32>; 3] {
        let mut rows = [Vec::new(), Vec::new(), Vec::new()];
        for (row, &part) in self.parts.iter().enumerate() {
            part.into_iter().for_each(|part| rows[part as usize].push(row as u32));
        }
        rows
    }

    /// The label of a row; `None` if it has none.
    fn label(&self, row: u32) -> Option<&str> {
        let label = self.labels.get(row as usize)?;
        let is_none = label.is_empty() || (self.class_names.is_some() && label == "-1");
        (!is_none).then_some(label)
    }

    /// The number of a row's class.
    fn class_of(&self, row: u32, classes: &Classes) -> Result<u32, Error> {
        let Some(label) = self.label(row) else { return Err(self.wrong_label(row, A_LABEL)) };
        match &self.class_names {
            Some(names) => {
                let number =
                    label.parse().ok().filter(|&number: &u32| (number as usize) < names.len());
                number.ok_or_else(|| self.wrong_label(row, A_CLASS))
            }
            None => classes.number(label).ok_or_else(|| self.untrained_label(row, label, classes)),
        }
    }

    fn untrained_label(&self, row: u32, label: &str, classes: &Classes) -> Error {
        let (file, at) = self.index.place(row as usize);
        Error::Table(TableError::UntrainedLabel {
            path: self.index.shard(file).path.clone(),
            at: Position::Row(at),
            column: self.names[file][0].as_str().into(),
            found: escape(label.as_ref()),
            alike: alike(label, classes.labels()),
        })
    }

    fn wrong_label(&self, row: u32, expected: &'static str) -> Error {
        let (file, at) = self.index.place(row as usize);
        let label = self.labels.get(row as usize);
        let [column, _] = &self.names[file];
        wrong(&self.index.shard(file).path, at, column, label, expected)
    }
}

/// Which splits a dataset has, and which of its groups are in several of them.
#[derive(Debug, Default)]
pub(super) struct Splits {
    has: [bool; 3],
    of_groups: BTreeMap<String, Part>,
    divided: BTreeSet<String>,
}

impl Splits {
    /// Adds those of a file, for which only its columns of splits and of groups are read.
    ///
    /// # Errors
    /// If they cannot be read.
    pub(super) fn add(
        &mut self,
        file: &ParquetFile,
        shard: &Shard,
        columns: &Columns,
    ) -> Result<(), Error> {
        if columns.split.is_none() {
            self.has[shard.part as usize] = true;
        }
        let (leaves, [split, group]) = columns.of_splits();
        if leaves.is_empty() {
            return Ok(());
        }
        let mut start = 0;
        for row_group in file.groups(&leaves)? {
            let splits = texts(file, &row_group, start, split)?;
            let groups = texts(file, &row_group, start, group)?;
            for row in 0..row_group.rows as usize {
                let part = match &splits {
                    Some(splits) => splits.get(row).and_then(|name| Part::named(name.as_ref())),
                    None => Some(shard.part),
                };
                // Another name is refused when all rows are read.
                let Some(part) = part else { continue };
                self.has[part as usize] = true;
                let group = groups.as_ref().and_then(|groups| groups.get(row));
                let Some(group) = group.filter(|group| !group.is_empty()) else { continue };
                match self.of_groups.get(group) {
                    Some(other) if *other == part => {}
                    Some(_) => {
                        self.divided.insert(group.to_owned());
                    }
                    None => {
                        self.of_groups.insert(group.to_owned(), part);
                    }
                }
            }
            start += row_group.rows as usize;
        }
        Ok(())
    }

    pub(super) fn has(&self, part: Part) -> bool {
        self.has[part as usize]
    }

    /// The notice on groups that are in several splits of the dataset at `path`; `None` if there are none.
    pub(super) fn notice(&self, path: &Path) -> Option<Notice> {
        let groups: Vec<String> = self.divided.iter().map(|group| escape(group.as_ref())).collect();
        (!groups.is_empty()).then(|| Notice::DividedGroups { list: path.to_path_buf(), groups })
    }
}

/// Reads the rows of a row group, of which the first is the row `start` of its file. `at` are the positions among
/// the group's columns of image, label, split and group.
fn read_group(
    file: &ParquetFile,
    group: &RowGroup,
    start: usize,
    at: [Option<usize>; 4],
    loading: Option<&Loading<'_>>,
) -> Result<Read, Error> {
    let [image, label, split, of_group] = at;
    let (mut locations, mut digests, mut faults) = (Vec::new(), Vec::new(), Faults::default());
    let image = image.unwrap_or_default();
    let mut without_image = BTreeMap::new();
    let sections = file.for_each_value(group, image, |value| {
        let bytes = match value {
            Some(Value::Bytes { bytes, section, span }) => {
                locations.push(Location { section, span });
                Some(bytes)
            }
            _ => {
                let (row, column) = (locations.len(), file.name_of_column(group, image));
                let error = wrong(file.path(), start + row, &column, None, AN_IMAGE);
                without_image.insert(row, error);
                locations.push(Location { section: 0, span: Span::default() });
                None
            }
        };
        if let Some(loading) = loading {
            loading.check()?;
            let (digest, fault) =
                bytes.map_or_else(|| (Digest::of(&[]), None), |bytes| loading.look(bytes));
            digests.push(digest);
            fault.into_iter().for_each(|reason| faults.insert(digest, reason));
        }
        Ok(())
    })?;
    let unlabelled = || Texts { rows: vec![None; locations.len()], ..Texts::default() };
    let labels = texts(file, group, start, label)?.unwrap_or_else(unlabelled);
    let splits = texts(file, group, start, split)?;
    let groups = texts(file, group, start, of_group)?;
    Ok(Read { sections, locations, digests, faults, labels, splits, groups, without_image })
}

/// A column of texts or integers of a row group, of which the first row is the row `start` of its file; `None` if it is
/// not there.
fn texts(
    file: &ParquetFile,
    group: &RowGroup,
    start: usize,
    column: Option<usize>,
) -> Result<Option<Texts>, Error> {
    let Some(column) = column else { return Ok(None) };
    let mut texts = Texts::default();
    file.for_each_value(group, column, |value| {
        match value {
            Some(Value::Bytes { bytes, .. }) => {
                let text = std::str::from_utf8(bytes).map_err(|_| {
                    let (row, column) =
                        (start + texts.rows.len(), file.name_of_column(group, column));
                    wrong(file.path(), row, &column, Some(&escaped(bytes)), "text in UTF-8")
                })?;
                texts.push(Some(text.trim()));
            }
            Some(Value::Integer(number)) => texts.push(Some(&number.to_string())),
            None => texts.push(None),
        }
        Ok(())
    })?;
    Ok(Some(texts))
}

/// The error about a value of a row.
fn wrong(
    path: &Path,
    row: usize,
    column: &str,
    found: Option<&str>,
    expected: &'static str,
) -> Error {
    let found = match found {
        Some(found) => shown(&escape(found.as_ref())),
        None => "null".to_owned(),
    };
    let (path, at, column) = (path.to_path_buf(), Position::Row(row), escape(column.as_ref()));
    Error::Table(TableError::Field { path, at, column: column.into(), found, expected })
}
