//! From labels that are texts to classes with numbers.

use std::collections::{BTreeSet, HashMap};

use crate::name::escape;

/// The classes of training labels, in numerical order if all of them are numbers, else in the order of their
/// bytes.
#[derive(Debug)]
pub(super) struct Classes {
    numbers: HashMap<String, u32>,
    names: Vec<String>,
}

impl Classes {
    /// The classes of these labels.
    pub(super) fn of<'a>(labels: impl IntoIterator<Item = &'a str>) -> Classes {
        let classes = in_order(labels.into_iter().collect());
        let names = classes.iter().map(|class| escape(class.as_ref())).collect();
        let numbers = classes.into_iter().map(str::to_owned).zip(0..).collect();
        Classes { numbers, names }
    }

    /// The number of the class of this label; `None` if there is no such class.
    pub(super) fn number(&self, label: &str) -> Option<u32> {
        self.numbers.get(label).copied()
    }

    /// The labels of which there are classes, in their order.
    pub(super) fn labels(&self) -> impl Iterator<Item = &str> {
        let mut labels: Vec<(&str, u32)> =
            self.numbers.iter().map(|(label, number)| (label.as_str(), *number)).collect();
        labels.sort_unstable_by_key(|(_, number)| *number);
        labels.into_iter().map(|(label, _)| label)
    }

    /// The names of the classes, in the order of their numbers.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// The same names.
    pub(super) fn into_names(self) -> Vec<String> {
        self.names
    }
}

/// Numbers for texts, from 0 on in the order in which they first come.
pub(super) fn numbered<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<u32> {
    let mut numbers: HashMap<&str, u32> = HashMap::new();
    let number = |text| {
        let next = numbers.len() as u32;
        *numbers.entry(text).or_insert(next)
    };
    texts.into_iter().map(number).collect()
}

/// Classes in the order of their labels.
fn in_order(classes: BTreeSet<&str>) -> Vec<&str> {
    let number = |class: &str| class.parse().ok().filter(|number: &f64| number.is_finite());
    let mut classes: Vec<&str> = classes.into_iter().collect();
    if classes.iter().all(|class| number(class).is_some()) {
        // The sort is stable, so different texts of one number stay in the order of their bytes.
        classes.sort_by(|a, b| number(a).partial_cmp(&number(b)).expect("the numbers are finite"));
    }
    classes
}
