//! How many distorted copies the images of each split have.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Number of distorted copies of each image, by the split that it is in; not all are 0.
///
/// In files, it is the number itself if only training images have copies, and else an object with the splits whose images
/// have some. Readers that know only the number refuse the object, since they would take copies for images.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "WrittenCounts", into = "WrittenCounts")]
pub struct ViewCounts {
    /// Of training images, to be trained on.
    pub train: u32,
    /// Of validation images, to be averaged.
    pub val: u32,
    /// Of test images, likewise.
    pub test: u32,
}

/// [`ViewCounts`] in files.
#[derive(Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "a number of distorted copies, or one for each of train, val and test"
)]
enum WrittenCounts {
    Train(u32),
    Splits {
        #[serde(default, skip_serializing_if = "is_none")]
        train: u32,
        #[serde(default, skip_serializing_if = "is_none")]
        val: u32,
        #[serde(default, skip_serializing_if = "is_none")]
        test: u32,
    },
}

impl From<WrittenCounts> for ViewCounts {
    fn from(written: WrittenCounts) -> ViewCounts {
        match written {
            WrittenCounts::Train(train) => ViewCounts::of_training(train),
            WrittenCounts::Splits { train, val, test } => ViewCounts { train, val, test },
        }
    }
}

impl From<ViewCounts> for WrittenCounts {
    fn from(counts: ViewCounts) -> WrittenCounts {
        match counts {
            ViewCounts { train, val: 0, test: 0 } => WrittenCounts::Train(train),
            ViewCounts { train, val, test } => WrittenCounts::Splits { train, val, test },
        }
    }
}

impl ViewCounts {
    /// Copies of training images alone.
    pub fn of_training(train: u32) -> ViewCounts {
        ViewCounts { train, val: 0, test: 0 }
    }

    /// Whether no image has a copy.
    pub fn are_none(self) -> bool {
        self == ViewCounts::default()
    }
}

impl fmt::Display for ViewCounts {
    /// Writes the copies of each image in words: "5 of each training image, 10 of each test image".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ViewCounts { train, val, test } = *self;
        let all = [(train, "training"), (val, "validation"), (test, "test")];
        let some = all.iter().filter(|(count, _)| *count > 0);
        let words: Vec<String> =
            some.map(|(count, split)| format!("{count} of each {split} image")).collect();
        f.write_str(&words.join(", "))
    }
}

fn is_none(count: &u32) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys of caches without copies of other images than those for training may never change.
    #[test]
    fn copies_of_training_images_alone_are_a_number() {
        for (counts, json, words) in [
            (ViewCounts::of_training(5), "5", "5 of each training image"),
            (
                ViewCounts { train: 5, val: 0, test: 10 },
                r#"{"train":5,"test":10}"#,
                "5 of each training image, 10 of each test image",
            ),
            (
                ViewCounts { train: 0, val: 1, test: 0 },
                r#"{"val":1}"#,
                "1 of each validation image",
            ),
        ] {
            assert_eq!(serde_json::to_string(&counts).unwrap(), json);
            assert_eq!(serde_json::from_str::<ViewCounts>(json).unwrap(), counts);
            assert_eq!(counts.to_string(), words);
        }
        assert!(serde_json::from_str::<ViewCounts>("{}").unwrap().are_none());
        let error = serde_json::from_str::<ViewCounts>(r#""many""#).unwrap_err().to_string();
        assert!(error.contains("a number of distorted copies, or one for each of"), "{error}");
    }
}
