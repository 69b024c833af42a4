//! Which columns of a file hold the images and what is said of them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::image_list::{GROUP, LABEL, SPLIT};
use super::super::sheet::normalised;
use crate::name::{Names, escape};
use crate::parquet::{Field, Leaf, ParquetFile, Physical, Schema};
use crate::{ColumnNames, Error, TableError};

/// Usual names of the column of images, without spaces, `-` and `_`. The first name is preferred to the others.
const IMAGE: [&str; 2] = ["image", "img"];

const AN_IMAGE: &str = "a column of images, of bytes or of structs of bytes and path";
const A_LABEL: &str = "a column of labels, class numbers or texts";
const A_TEXT: &str = "a column of texts or integers";

/// The columns that are read, by the numbers of their leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Columns {
    pub(super) image: usize,
    pub(super) label: Option<usize>,
    pub(super) split: Option<usize>,
    pub(super) group: Option<usize>,
    /// The names of the classes, of which labels are the numbers; `None` if labels are their own names.
    pub(super) class_names: Option<Vec<String>>,
    /// The names of image, label, split and group; empty for one that is not there.
    names: [String; 4],
}

/// A column as `datasets` describes it.
struct Feature {
    kind: String,
    /// Of its classes.
    names: Vec<String>,
}

/// Whether a file has a column that may be one of images.
pub(super) fn has_images(schema: &Schema) -> bool {
    schema.fields.iter().any(|field| image_of(schema, field).is_some())
}

impl Columns {
    /// Finds the columns of a file.
    ///
    /// # Errors
    /// If there is none of images, two may be meant, or one that was asked for is not there or is of another
    /// kind.
    pub(super) fn find(file: &ParquetFile, config: &ColumnNames) -> Result<Columns, Error> {
        let finder = Finder { file, features: features(&file.schema) };
        let (image, image_name) = finder.image(config)?;
        let label = finder.label(config)?;
        let split = finder.text(&config.split, &SPLIT)?;
        let group = finder.text(&config.group, &GROUP)?;
        let class_names = match label {
            Some(field) if !file.schema.leaves[field.leaves.start].is_text => {
                finder.class_names(&field.name)?
            }
            _ => None,
        };
        let leaf = |field: Option<&Field>| field.map(|field| field.leaves.start);
        let name =
            |field: Option<&Field>| field.map_or_else(String::new, |field| field.name.clone());
        Ok(Columns {
            image,
            label: leaf(label),
            split: leaf(split),
            group: leaf(group),
            class_names,
            names: [image_name, name(label), name(split), name(group)],
        })
    }

    /// The names of the columns.
    pub(super) fn names(&self) -> &[String; 4] {
        &self.names
    }

    /// The leaves that are read, and the positions among them of image, label, split and group.
    pub(super) fn leaves(&self) -> (Vec<usize>, [Option<usize>; 4]) {
        let mut leaves = Vec::new();
        let all = [Some(self.image), self.label, self.split, self.group];
        let at = all.map(|leaf| Some(position(&mut leaves, leaf?)));
        (leaves, at)
    }

    /// The leaves of splits and of groups, and their positions among these.
    pub(super) fn of_splits(&self) -> (Vec<usize>, [Option<usize>; 2]) {
        let mut leaves = Vec::new();
        let at = [self.split, self.group].map(|leaf| Some(position(&mut leaves, leaf?)));
        (leaves, at)
    }

    /// Whether the labels of another file are numbers of the same classes. A file without labels has any.
    pub(super) fn has_classes_of(&self, other: &Columns) -> bool {
        let has_labels = self.label.is_some() && other.label.is_some();
        !has_labels || self.class_names == other.class_names
    }

    /// The error about a file whose classes are not those of this one.
    pub(super) fn other_classes(&self, file: &ParquetFile) -> Error {
        let found = format!(
            "the classes of the column '{}' are not those of the other files",
            escape(self.names[1].as_ref())
        );
        Finder { file, features: BTreeMap::new() }.wrong(found, "the same classes in all files")
    }

    /// The error about a file without a column of labels.
    pub(super) fn no_label(file: &ParquetFile) -> Error {
        Finder { file, features: BTreeMap::new() }.wrong(found(&file.schema), A_LABEL)
    }
}

/// The position of a leaf among others, to which it is added unless it is there: a column may have two meanings.
fn position(leaves: &mut Vec<usize>, leaf: usize) -> usize {
    leaves.iter().position(|&other| other == leaf).unwrap_or_else(|| {
        leaves.push(leaf);
        leaves.len() - 1
    })
}

struct Finder<'a> {
    file: &'a ParquetFile,
    features: BTreeMap<String, Feature>,
}

impl<'a> Finder<'a> {
    /// The leaf that has the bytes of the images, and the name of its column.
    fn image(&self, config: &ColumnNames) -> Result<(usize, String), Error> {
        let schema = &self.file.schema;
        if let Some(name) = &config.path {
            let field = self.given(name, AN_IMAGE)?;
            let leaf = image_of(schema, field).ok_or_else(|| self.not(field, AN_IMAGE))?;
            return Ok((leaf, field.name.clone()));
        }
        let all: Vec<&Field> =
            schema.fields.iter().filter(|field| image_of(schema, field).is_some()).collect();
        let said = self.of_kind(&all, "Image");
        let found = [said, named(&all, &IMAGE[..1]), named(&all, &IMAGE), all];
        let found = found.into_iter().find(|found| !found.is_empty()).unwrap_or_default();
        match found[..] {
            [] => match named(&schema.fields.iter().collect::<Vec<_>>(), &IMAGE)[..] {
                [field, ..] => Err(self.not(field, AN_IMAGE)),
                [] => Err(self.wrong(self::found(schema), AN_IMAGE)),
            },
            [only] => {
                let leaf = image_of(schema, only).ok_or_else(|| self.not(only, AN_IMAGE))?;
                Ok((leaf, only.name.clone()))
            }
            [first, second, ..] => Err(self.both(first, second, AN_IMAGE)),
        }
    }

    /// The column of labels; `None` if there is none.
    fn label(&self, config: &ColumnNames) -> Result<Option<&'a Field>, Error> {
        let schema = &self.file.schema;
        if let Some(name) = &config.label {
            let field = self.given(name, A_LABEL)?;
            return if is_label(schema, field) {
                Ok(Some(field))
            } else {
                Err(self.not(field, A_LABEL))
            };
        }
        let fields: Vec<&Field> = schema.fields.iter().collect();
        let usual = [named(&fields, &LABEL[..1]), named(&fields, &LABEL)];
        if let Some(field) = usual.iter().flatten().find(|field| !is_label(schema, field)) {
            return Err(self.not(field, A_LABEL));
        }
        let [preferred, usual] = usual;
        let found = [preferred, self.of_kind(&fields, "ClassLabel"), usual];
        match found.into_iter().find(|found| !found.is_empty()).unwrap_or_default()[..] {
            [] => Ok(None),
            [only] if is_label(schema, only) => Ok(Some(only)),
            [only] => Err(self.not(only, A_LABEL)),
            [first, second, ..] => Err(self.both(first, second, A_LABEL)),
        }
    }

    /// A column of texts or integers that was named, or has a usual name; `None` if there is none.
    fn text(&self, name: &Option<String>, usual: &[&str]) -> Result<Option<&'a Field>, Error> {
        let schema = &self.file.schema;
        if let Some(name) = name {
            let field = self.given(name, A_TEXT)?;
            return if is_label(schema, field) {
                Ok(Some(field))
            } else {
                Err(self.not(field, A_TEXT))
            };
        }
        let fields: Vec<&Field> =
            schema.fields.iter().filter(|field| is_label(schema, field)).collect();
        match named(&fields, usual)[..] {
            [] => Ok(None),
            [only] => Ok(Some(only)),
            [first, second, ..] => Err(self.both(first, second, A_TEXT)),
        }
    }

    /// The column that a user has named.
    fn given(&self, name: &str, expected: &'static str) -> Result<&'a Field, Error> {
        let fields = &self.file.schema.fields;
        let exact = fields.iter().find(|field| field.name == name);
        let wanted = normalised(name.as_bytes());
        let alike = || fields.iter().find(|field| normalised(field.name.as_bytes()) == wanted);
        exact.or_else(alike).ok_or_else(|| {
            let found = format!("there is no column '{name}' ({})", found(&self.file.schema));
            self.wrong(found, expected)
        })
    }

    /// The columns that `datasets` says to be of this kind.
    fn of_kind(&self, fields: &[&'a Field], kind: &str) -> Vec<&'a Field> {
        let is_said = |field: &&Field| {
            self.features.get(&field.name).is_some_and(|feature| feature.kind == kind)
        };
        fields.iter().copied().filter(|field| is_said(field)).collect()
    }

    /// The names of the classes of a column of numbers; `None` if it has none.
    fn class_names(&self, column: &str) -> Result<Option<Vec<String>>, Error> {
        let names = self.features.get(column).map(|feature| &feature.names);
        let Some(names) = names.filter(|names| !names.is_empty()) else { return Ok(None) };
        let mut sorted: Vec<&String> = names.iter().collect();
        sorted.sort_unstable();
        if let Some(same) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            let found = format!(
                "two classes of the column '{}' are called '{}'",
                escape(column.as_ref()),
                escape(same[0].as_ref())
            );
            return Err(self.wrong(found, "a name for each class"));
        }
        Ok(Some(names.iter().map(|name| escape(name.as_ref())).collect()))
    }

    fn both(&self, first: &Field, second: &Field, expected: &'static str) -> Error {
        let [first, second] = [first, second].map(|field| escape(field.name.as_ref()));
        self.wrong(format!("both '{first}' and '{second}' may be meant"), expected)
    }

    /// The error about a column of another kind than expected.
    fn not(&self, field: &Field, expected: &'static str) -> Error {
        let schema = &self.file.schema;
        let leaves = &schema.leaves[field.leaves.clone()];
        let what = match leaves {
            leaves if leaves.iter().any(|leaf| leaf.is_repeated) => "holds lists",
            _ if !field.is_leaf => "holds structs",
            [Leaf { is_text: true, .. }] => "holds texts",
            [Leaf { physical: Physical::Bytes, .. }] => "holds bytes",
            [Leaf { physical: Physical::Int32 | Physical::Int64, .. }] => "holds integers",
            [Leaf { physical: Physical::Other(kind), .. }] => {
                let found = format!("the column '{}' is one {kind}", escape(field.name.as_ref()));
                return self.wrong(found, expected);
            }
            _ => "holds nothing",
        };
        self.wrong(format!("the column '{}' {what}", escape(field.name.as_ref())), expected)
    }

    fn wrong(&self, found: String, expected: &'static str) -> Error {
        let path = self.file.path().to_path_buf();
        let advice = match expected {
            AN_IMAGE => "; name it with --columns path=NAME",
            A_LABEL => "; name it with --columns label=NAME",
            _ => "",
        };
        Error::Table(TableError::ColumnNames { path, found, expected, advice: advice.to_owned() })
    }
}

/// The leaf of a column that has the bytes of images; `None` if it is not a column of images.
fn image_of(schema: &Schema, field: &Field) -> Option<usize> {
    let holds_bytes =
        |leaf: &Leaf| leaf.physical == Physical::Bytes && !leaf.is_text && !leaf.is_repeated;
    let mut leaves = field.leaves.clone();
    if field.is_leaf {
        return leaves.find(|&leaf| holds_bytes(&schema.leaves[leaf]));
    }
    leaves.find(|&leaf| {
        let leaf = &schema.leaves[leaf];
        holds_bytes(leaf) && leaf.depth == 2 && leaf.name == "bytes"
    })
}

/// Whether a column holds texts or integers, one in each row.
fn is_label(schema: &Schema, field: &Field) -> bool {
    match &schema.leaves[field.leaves.clone()] {
        [leaf] if field.is_leaf && !leaf.is_repeated => {
            leaf.is_text || matches!(leaf.physical, Physical::Int32 | Physical::Int64)
        }
        _ => false,
    }
}

/// The columns with one of these names. Upper and lower case, spaces, `-` and `_` do not matter.
fn named<'a>(fields: &[&'a Field], names: &[&str]) -> Vec<&'a Field> {
    let is_named = |field: &&Field| names.contains(&normalised(field.name.as_bytes()).as_str());
    fields.iter().copied().filter(|field| is_named(field)).collect()
}

/// The names of the columns, for errors.
fn found(schema: &Schema) -> String {
    let names: Vec<String> =
        schema.fields.iter().map(|field| escape(field.name.as_ref())).collect();
    match names[..] {
        [] => "there are no columns".to_owned(),
        _ => format!("found the columns {}", Names(&names)),
    }
}

/// The columns as `datasets` describes them; none if it did not write the file.
fn features(schema: &Schema) -> BTreeMap<String, Feature> {
    let note = schema.huggingface.as_deref().unwrap_or_default();
    let note: Value = serde_json::from_str(note).unwrap_or_default();
    let Some(features) = note["info"]["features"].as_object() else { return BTreeMap::new() };
    let feature = |(name, feature): (&String, &Value)| {
        let kind = feature["_type"].as_str()?.to_owned();
        let names = feature["names"].as_array().map(Vec::as_slice).unwrap_or_default();
        let names: Option<Vec<String>> =
            names.iter().map(|name| name.as_str().map(str::to_owned)).collect();
        Some((name.clone(), Feature { kind, names: names.unwrap_or_default() }))
    };
    features.iter().filter_map(feature).collect()
}
