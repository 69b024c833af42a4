//! The division of a cache's rows among several writers.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One of the equal parts into which the rows of every split are divided, each with a writer of its own. It
/// is written `0-of-2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Fields")]
pub struct Shard {
    index: usize,
    of: usize,
}

/// A [`Shard`] as a record has it, which may be any two numbers.
#[derive(Deserialize)]
struct Fields {
    index: usize,
    of: usize,
}

impl TryFrom<Fields> for Shard {
    type Error = String;

    fn try_from(Fields { index, of }: Fields) -> Result<Shard, String> {
        Shard::new(index, of).ok_or_else(|| format!("there is no part {index} of {of}"))
    }
}

impl Shard {
    /// All rows, for one writer.
    pub const WHOLE: Shard = Shard { index: 0, of: 1 };

    /// Part `index`, counted from 0, of `of` parts; `None` if there is no such part.
    pub fn new(index: usize, of: usize) -> Option<Shard> {
        (index < of).then_some(Shard { index, of })
    }

    /// Its number, counted from 0.
    pub fn index(self) -> usize {
        self.index
    }

    /// The number of parts.
    pub fn of(self) -> usize {
        self.of
    }

    /// Whether there is no other part.
    pub fn is_whole(self) -> bool {
        self.of == 1
    }

    /// Every part of the same division, in row order.
    pub fn all(self) -> impl Iterator<Item = Shard> {
        (0..self.of).map(move |index| Shard { index, ..self })
    }

    /// Those of a split's rows that are in this part.
    pub fn rows(self, rows: usize) -> Range<usize> {
        let bound = |index: usize| (rows as u128 * index as u128 / self.of as u128) as usize;
        bound(self.index)..bound(self.index + 1)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-of-{}", self.index, self.of)
    }
}

impl FromStr for Shard {
    type Err = String;

    /// Reads `INDEX-of-COUNT`.
    fn from_str(text: &str) -> Result<Shard, String> {
        let numbers = text.split_once("-of-");
        let numbers = numbers.and_then(|(index, of)| Some((index.parse().ok()?, of.parse().ok()?)));
        let shard = numbers.and_then(|(index, of)| Shard::new(index, of));
        shard.filter(|shard| shard.to_string() == text).ok_or_else(|| {
            format!("'{text}' is not a part; expected 0-of-2 for the first of two, and so on")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_all_rows_once_and_in_order() {
        for of in 1..9 {
            for rows in [0, 1, 2, 7, 8, 100, usize::MAX] {
                let parts: Vec<_> = Shard::new(0, of).unwrap().all().collect();
                assert_eq!(parts.len(), of);
                let mut next = 0;
                for part in parts {
                    let found = part.rows(rows);
                    assert_eq!(found.start, next);
                    assert!(found.len().abs_diff(rows / of) <= 1, "{part} of {rows} rows");
                    next = found.end;
                }
                assert_eq!(next, rows);
            }
        }
        assert_eq!(Shard::WHOLE.rows(7), 0..7);
    }

    #[test]
    fn a_part_is_read_as_it_is_written() {
        let part = Shard::new(1, 3).unwrap();
        assert_eq!(part.to_string(), "1-of-3");
        assert_eq!("1-of-3".parse(), Ok(part));
        for bad in ["", "1", "3-of-3", "0-of-0", "-1-of-3", "01-of-3", "+1-of-3", "1-of-3 "] {
            assert!(bad.parse::<Shard>().is_err(), "{bad:?}");
        }
        assert_eq!(Shard::new(0, 0), None);
    }
}
