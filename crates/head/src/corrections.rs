//! Corrections of the training images' labels: new labels, and images that are left out.
//!
//! In: a CSV file with the columns `id`, `action` and `label`, as the page of `vgg-head issues` saves it. The
//! invariant: features are never computed again for them. The rows of a corrected image, those of its distorted
//! copies too, get another label or are passed over whenever the training split is read.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use durable::Digest;
use feature_cache::SplitName;
use plural::counted;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::error::Error;
use crate::error::TableError;
use crate::features::cache::Features;
use crate::store::files::write_csv;
use crate::table::{self, class_named, for_each_row, listed};

/// Corrections of the labels of a cache's training images.
#[derive(Debug, Clone, PartialEq)]
pub struct Corrections {
    /// By the number of the image. An image whose label is confirmed is not among them.
    by_image: BTreeMap<usize, Correction>,
    /// Ids with the names of their new classes, `None` for images that are left out, by id.
    changes: Vec<(String, Option<String>)>,
    record: CorrectionsRecord,
}

/// What is done with an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Correction {
    /// It has this label, an index into the class names.
    Label(i64),
    /// It is left out.
    Drop,
}

/// What runs record of corrections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorrectionsRecord {
    /// A digest of the ids with their new labels. It does not depend on the file's order, nor on images whose labels
    /// stay as they are.
    pub digest: Digest,
    /// Number of images with another label.
    pub relabelled: usize,
    /// Number of images that are left out.
    pub dropped: usize,
}

impl Corrections {
    /// Reads corrections for the training images of `features` from a CSV file with the columns `id`, `action` and
    /// `label`. The action is `label`, with the name of the class as the label, `drop` or `fine`.
    ///
    /// `None` if the file changes nothing.
    ///
    /// # Errors
    /// If the file cannot be read, has other columns, names an id that is not that of exactly one training image, an
    /// id twice, an action or a class that is not there, or leaves a class without training images.
    pub fn read(path: &Path, features: Features<'_>) -> Result<Option<Corrections>, Error> {
        let bytes = table::read("--corrections", path, || {
            "a CSV file with the columns id, action and label, as the page of 'vgg-head issues' saves it"
                .to_owned()
        })?;
        let labels = features.labels(SplitName::Train)?;
        let images = features.images(SplitName::Train)?;
        let ids = features.ids(SplitName::Train)?;
        let names = features.class_names();
        let mut by_id: HashMap<&str, Vec<usize>> = HashMap::new();
        for (image, id) in ids.iter().take(images).enumerate() {
            by_id.entry(id).or_default().push(image);
        }
        let refused = |found| {
            Error::Table(TableError::Corrections {
                path: path.to_path_buf(),
                found,
                classes: listed(names),
            })
        };
        let by_image = parse(&bytes, &by_id, &labels, names).map_err(refused)?;
        if by_image.is_empty() {
            return Ok(None);
        }
        let dropped = by_image.values().filter(|&&it| it == Correction::Drop).count();
        check_classes(&by_image, &labels[..images], names).map_err(|found| {
            Error::Table(TableError::CorrectionsEmpty { path: path.to_path_buf(), found })
        })?;
        let ids: Vec<&str> = ids.iter().take(images).collect();
        let change = |(&image, correction): (&usize, &Correction)| {
            let name = match *correction {
                Correction::Label(label) => Some(names[label as usize].clone()),
                Correction::Drop => None,
            };
            (ids[image].to_owned(), name)
        };
        let mut changes: Vec<_> = by_image.iter().map(change).collect();
        changes.sort_unstable();
        let digest = Digest::of_value(&json!(changes));
        let relabelled = by_image.len() - dropped;
        let record = CorrectionsRecord { digest, relabelled, dropped };
        Ok(Some(Corrections { by_image, changes, record }))
    }

    /// What runs record of them.
    pub fn record(&self) -> &CorrectionsRecord {
        &self.record
    }

    /// The ids with the names of their new classes, `None` for images that are left out, by id.
    pub(crate) fn changes(&self) -> &[(String, Option<String>)] {
        &self.changes
    }

    /// Writes them as a file from which [`Corrections::read`] reads them again.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Error> {
        let row = |(id, name): &(String, Option<String>)| Row {
            id: id.clone(),
            action: if name.is_some() { "label" } else { "drop" },
            label: name.clone().unwrap_or_default(),
        };
        write_csv(path, self.changes.iter().map(row))
    }

    /// Whether the image with this number is left out.
    pub(crate) fn drops(&self, image: usize) -> bool {
        self.by_image.get(&image) == Some(&Correction::Drop)
    }

    /// Gives the rows of corrected images their new labels. `labels` are those of all rows, of which the first
    /// `images` are those of the images themselves, and as many follow for each distorted copy.
    pub(crate) fn apply(&self, images: usize, labels: &mut [i64]) {
        for (&image, correction) in &self.by_image {
            if let Correction::Label(label) = *correction {
                labels.iter_mut().skip(image).step_by(images).for_each(|row| *row = label);
            }
        }
    }
}

#[derive(Serialize)]
struct Row {
    id: String,
    action: &'static str,
    label: String,
}

/// Checks that every class that has images keeps some, or returns which does not.
fn check_classes(
    by_image: &BTreeMap<usize, Correction>,
    labels: &[i64],
    names: &[String],
) -> Result<(), String> {
    let mut before = vec![0usize; names.len()];
    let mut after = vec![0usize; names.len()];
    for (image, &label) in labels.iter().enumerate() {
        before[label as usize] += 1;
        match by_image.get(&image) {
            None => after[label as usize] += 1,
            Some(&Correction::Label(label)) => after[label as usize] += 1,
            Some(Correction::Drop) => {}
        }
    }
    let emptied = (0..names.len()).find(|&class| before[class] > 0 && after[class] == 0);
    match emptied {
        None => Ok(()),
        Some(class) => {
            let images = counted(before[class], "training image");
            Err(format!("none of the {images} of class '{}' keeps its label", names[class]))
        }
    }
}

/// The corrections that change something, or the fault.
fn parse(
    bytes: &[u8],
    by_id: &HashMap<&str, Vec<usize>>,
    labels: &[i64],
    names: &[String],
) -> Result<BTreeMap<usize, Correction>, String> {
    let mut lines: HashMap<usize, u64> = HashMap::new();
    let mut by_image = BTreeMap::new();
    for_each_row(bytes, ["id", "action", "label"], |line, [id, action, name]| {
        let image = match by_id.get(id).map(Vec::as_slice) {
            Some(&[image]) => image,
            Some(several) => {
                let count = several.len();
                return Err(format!("the id '{id}' is that of {count} training images"));
            }
            None => return Err(format!("no training image has the id '{id}'")),
        };
        if let Some(first) = lines.insert(image, line) {
            return Err(format!("the id '{id}' is there twice, first in line {first}"));
        }
        let correction = match action.trim() {
            "fine" => return Ok(()),
            "drop" => Correction::Drop,
            "label" => {
                let name = name.trim();
                let class = class_named(names, name);
                let class =
                    class.ok_or_else(|| format!("there is no class '{name}' for the id '{id}'"))?;
                if labels[image] == class as i64 {
                    return Ok(());
                }
                Correction::Label(class as i64)
            }
            action => {
                return Err(format!(
                    "the action '{action}' of the id '{id}' is not label, drop or fine"
                ));
            }
        };
        by_image.insert(image, correction);
        Ok(())
    })?;
    Ok(by_image)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<BTreeMap<usize, Correction>, String> {
        let ids = ["a", "b,c", "twin", "twin", "e"];
        let mut by_id: HashMap<&str, Vec<usize>> = HashMap::new();
        for (image, id) in ids.into_iter().enumerate() {
            by_id.entry(id).or_default().push(image);
        }
        let names = ["cat", "dog", "a%20owl"].map(str::to_owned);
        parse(text.as_bytes(), &by_id, &[0, 1, 1, 1, 2], &names)
    }

    #[test]
    fn corrections_are_read_by_id() {
        let text = "label,action,id,why\na owl,label,a,it hoots\n,drop,\"b,c\",\ncat,fine,e,\n";
        let expected = [(0, Correction::Label(2)), (1, Correction::Drop)];
        assert_eq!(parsed(text), Ok(BTreeMap::from(expected)));
        // A label that the image has already changes nothing.
        assert_eq!(parsed("id,action,label\na,label,cat\n"), Ok(BTreeMap::new()));
    }

    #[test]
    fn every_fault_of_a_file_is_named() {
        for (text, says) in [
            ("", "line 1: there is no column 'id' in ''"),
            ("id;action;label\n", "no column 'id'"),
            ("id,label\na,cat\n", "no column 'action' in 'id,label'"),
            ("id,action,label\nx,drop,\n", "line 2: no training image has the id 'x'"),
            ("id,action,label\ntwin,drop,\n", "line 2: the id 'twin' is that of 2 training"),
            ("id,action,label\na,label,cow\n", "line 2: there is no class 'cow' for the id 'a'"),
            ("id,action,label\na,label,\n", "there is no class ''"),
            ("id,action,label\na,fix,cat\n", "line 2: the action 'fix' of the id 'a' is not"),
            (
                "id,action,label\na,fine,\na,drop,\n",
                "line 3: the id 'a' is there twice, first in line 2",
            ),
            ("id,action,label\na,drop\n", "line: 2"),
        ] {
            let found = parsed(text).unwrap_err();
            assert!(found.contains(says), "{text:?}: {found}");
        }
    }

    #[test]
    fn every_class_keeps_images() {
        let names = ["cat", "dog", "owl"].map(str::to_owned);
        let check = |corrections: &[(usize, Correction)]| {
            check_classes(&BTreeMap::from_iter(corrections.iter().copied()), &[0, 0, 1], &names)
        };
        // A class that had no images has none after it, either.
        assert_eq!(check(&[(0, Correction::Drop)]), Ok(()));
        assert_eq!(check(&[(2, Correction::Label(0)), (0, Correction::Label(1))]), Ok(()));
        let found = check(&[(0, Correction::Drop), (1, Correction::Label(2))]).unwrap_err();
        assert_eq!(found, "none of the 2 training images of class 'cat' keeps its label");
    }

    #[test]
    fn copies_get_the_label_of_their_image() {
        let by_image = BTreeMap::from([(1, Correction::Label(7)), (2, Correction::Drop)]);
        let record = CorrectionsRecord { digest: Digest::of(b""), relabelled: 1, dropped: 1 };
        let corrections = Corrections { by_image, changes: Vec::new(), record };
        let mut labels = [0, 1, 2, 0, 1, 2];
        corrections.apply(3, &mut labels);
        assert_eq!(labels, [0, 7, 2, 0, 7, 2]);
        assert!(corrections.drops(2) && !corrections.drops(1));
    }
}
