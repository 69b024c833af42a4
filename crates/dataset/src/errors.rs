//! Errors of parts of a dataset that can be left out, so that one look finds all of them.

use crate::Error;

/// Number of errors after which no more are looked for.
pub(crate) const MOST_ERRORS: usize = 1000;

/// Errors that were found so far. A dataset with any is refused; it is nevertheless read to its end, without the rows
/// and files that they are about.
#[derive(Debug, Default)]
pub(crate) struct Errors(Vec<Error>);

impl Errors {
    /// The value of a result; `None` if it is an error, which is added.
    ///
    /// # Errors
    /// If a stop was requested, or all errors when there are [`MOST_ERRORS`].
    pub(crate) fn keep<T>(&mut self, result: Result<T, Error>) -> Result<Option<T>, Error> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) => self.add(error).map(|()| None),
        }
    }

    /// Adds an error.
    ///
    /// # Errors
    /// As [`Errors::keep`].
    pub(crate) fn add(&mut self, error: Error) -> Result<(), Error> {
        match error {
            Error::Stopped => return Err(Error::Stopped),
            Error::Several { errors } => self.0.extend(errors),
            error => self.0.push(error),
        }
        if self.0.len() < MOST_ERRORS {
            return Ok(());
        }
        Err(Error::Several { errors: std::mem::take(&mut self.0) })
    }

    /// Adds others.
    ///
    /// # Errors
    /// As [`Errors::keep`].
    pub(crate) fn extend(&mut self, others: Vec<Error>) -> Result<(), Error> {
        others.into_iter().try_for_each(|error| self.add(error))
    }

    /// The errors, in the order in which they were found.
    pub(crate) fn into_vec(self) -> Vec<Error> {
        self.0
    }

    /// # Errors
    /// If there are errors: the only one, or all of them together.
    pub(crate) fn check(self) -> Result<(), Error> {
        Error::all(self.0)
    }
}
