//! The classes that the images of splits are of: those that are absent, and what no head can be trained on.

use std::path::Path;

use crate::{Error, Notice, SplitError};

/// The notices on the classes of labelled splits. `splits` are pairs of a split's name (`train`, `val`,
/// `test`) and its labels, which are indices into `class_names`; an empty split counts as absent.
pub fn class_notices<L: IntoIterator<Item = i64>>(
    class_names: &[String],
    splits: impl IntoIterator<Item = (&'static str, L)>,
) -> Vec<Notice> {
    let mut notices = Vec::new();
    for (split, labels) in splits {
        let mut labels = labels.into_iter().peekable();
        if labels.peek().is_none() {
            continue;
        }
        let mut is_absent = vec![true; class_names.len()];
        labels.for_each(|label| is_absent[label as usize] = false);
        let absent = class_names.iter().zip(is_absent).filter(|(_, is_absent)| *is_absent);
        let absent: Vec<String> = absent.map(|(name, _)| name.clone()).collect();
        if !absent.is_empty() {
            notices.push(Notice::AbsentClasses { split, absent, classes: class_names.len() });
        }
    }
    notices
}

/// The errors about the classes of a dataset's labelled splits: training images of a single class, and images of
/// other splits whose classes have no training images. None if there are no labelled training images.
///
/// `path` is that of the dataset. `splits` are the names of splits (`train`, `val`, `test`) with their labels, which
/// are indices into `class_names`, and their rows' ids. The training split comes first.
pub fn class_errors<L: IntoIterator<Item = i64>>(
    path: &Path,
    class_names: &[String],
    splits: impl IntoIterator<Item = (&'static str, L, impl Fn(usize) -> String)>,
) -> Vec<Error> {
    let mut errors = Vec::new();
    let mut is_trained: Option<Vec<bool>> = None;
    for (split, labels, id) in splits {
        let path = path.to_path_buf();
        match &is_trained {
            None if split != "train" => return errors,
            None => {
                let mut is_there = vec![false; class_names.len()];
                labels.into_iter().for_each(|label| is_there[label as usize] = true);
                let mut there =
                    class_names.iter().zip(&is_there).filter(|(_, is_there)| **is_there);
                if let (Some((class, _)), None) = (there.next(), there.next()) {
                    errors.push(Error::Split(SplitError::OneClass { path, class: class.clone() }));
                }
                is_trained = Some(is_there);
            }
            Some(is_trained) => {
                let mut is_there = vec![false; class_names.len()];
                let (mut images, mut first) = (0, None);
                for (row, label) in labels.into_iter().enumerate() {
                    if !is_trained[label as usize] {
                        is_there[label as usize] = true;
                        images += 1;
                        first.get_or_insert(row);
                    }
                }
                let classes = class_names.iter().zip(is_there).filter(|(_, is_there)| *is_there);
                let classes = classes.map(|(class, _)| class.clone()).collect();
                if let Some(first) = first.map(id) {
                    errors.push(Error::Split(SplitError::UntrainedClasses {
                        path,
                        split,
                        classes,
                        images,
                        first,
                    }));
                }
            }
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_needs_two_classes_and_training_images_of_all() {
        let names = ["ant", "bee", "cat"].map(str::to_owned);
        let errors = |splits: &[(&'static str, &[i64])]| -> Vec<String> {
            let id = |row: usize| format!("id {row}");
            let splits = splits.iter().map(|(split, labels)| (*split, labels.iter().copied(), id));
            class_errors(Path::new("set"), &names, splits).iter().map(Error::to_string).collect()
        };
        assert_eq!(errors(&[("train", &[0, 2]), ("val", &[2]), ("test", &[])]), [""; 0]);
        assert_eq!(errors(&[("test", &[0])]), [""; 0]);
        let found = errors(&[("train", &[1, 1]), ("val", &[1]), ("test", &[1, 2, 0, 2])]);
        let [one, untrained] = &found[..] else { panic!("{found:?}") };
        assert!(one.starts_with("all training images of set are of one class, 'bee'"), "{one}");
        let says = "set: test has 3 images of 2 classes without training images: ant, cat (the first is id 1)";
        assert!(untrained.starts_with(says), "{untrained}");
    }
}
