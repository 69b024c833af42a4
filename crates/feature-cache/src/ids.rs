//! Sample ids in a single text, so that ten million ids take as much memory as their file, and not as ten
//! million `String`s.

use crate::Error;

/// One sample id per row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ids {
    /// The content of `ids.txt`: one line per row.
    text: String,
    len: usize,
}

impl Ids {
    /// Makes the text from ids in row order.
    ///
    /// # Errors
    /// If one contains a line break.
    pub fn new<S: AsRef<str>>(ids: impl IntoIterator<Item = S>) -> Result<Ids, Error> {
        let mut all = Ids::default();
        for id in ids {
            let id = id.as_ref();
            check_id(id, all.len)?;
            all.text.push_str(id);
            all.text.push('\n');
            all.len += 1;
        }
        Ok(all)
    }

    pub(crate) fn from_text(text: String) -> Ids {
        let len = text.lines().count();
        Ids { text, len }
    }

    /// Number of ids.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The ids in row order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.text.lines()
    }
}

/// Checks that the id of a row is one line.
///
/// # Errors
/// If it contains a line break.
pub(crate) fn check_id(id: &str, row: usize) -> Result<(), Error> {
    match id.contains(['\n', '\r']) {
        true => Err(Error::BadId { row, id: id.to_owned() }),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_back_in_row_order() {
        let ids = Ids::new(["b", "", "a b,\"c\""]).unwrap();
        assert_eq!(ids.len(), 3);
        assert_eq!(ids.iter().collect::<Vec<_>>(), ["b", "", "a b,\"c\""]);
        assert_eq!(Ids::from_text(ids.text.clone()), ids);
        assert!(Ids::from_text(String::new()).is_empty());
    }

    #[test]
    fn an_id_of_two_lines_is_refused() {
        for id in ["two\nlines", "two\rlines"] {
            let error = Ids::new(["one", id]).unwrap_err().to_string();
            assert!(error.contains(&format!("{id:?} of row 1")), "{error}");
        }
    }
}
