//! Parts of messages that depend on what was found.

use std::fmt;
use std::path::Path;

use plural::counted;

use crate::Error;
use crate::errors::MOST_ERRORS;
use crate::name::Names;
use crate::notice::Endings;

/// What a folder holds, for a message: nothing if it holds nothing.
pub(super) struct Found<'a>(pub(super) &'a [String]);

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        write!(f, " (there are {})", Names(self.0))
    }
}

/// The list that names a file first, for a message.
pub(super) struct OfList<'a>(pub(super) &'a Option<Box<Path>>);

impl fmt::Display for OfList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(list) => write!(f, " of {}", list.display()),
            None => Ok(()),
        }
    }
}

/// The names of a file's arrays, for a message.
pub(super) struct Arrays<'a>(pub(super) &'a [String]);

impl fmt::Display for Arrays<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("no arrays"),
            names => write!(f, "the arrays {}", Names(names)),
        }
    }
}

/// The files that a class folder holds instead of images.
pub(super) struct ButOthers<'a>(pub(super) &'a [(String, usize)]);

impl fmt::Display for ButOthers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => Ok(()),
            others => write!(f, ", but files that end with {}", Endings(others)),
        }
    }
}

/// Two names that look the same.
pub(super) struct Alike<'a>(pub(super) &'a Option<Box<[String; 2]>>);

impl fmt::Display for Alike<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_deref() {
            Some([found, known]) => write!(
                f,
                ". The two names look alike: this one is '{found}', and that of the training class is '{known}'; \
                 rename one of them"
            ),
            None => Ok(()),
        }
    }
}

/// A fraction as its user would write it: 0.2, or 1/6 where digits have no end.
pub(super) struct Fraction(pub(super) f64);

impl fmt::Display for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fraction(fraction) = *self;
        let digits = fraction.to_string();
        let parts = (2..100u32).find_map(|below| {
            let above =
                (1..below).find(|&above| f64::from(above) / f64::from(below) == fraction)?;
            Some((above, below))
        });
        match parts {
            Some((above, below)) if digits.len() > 8 => write!(f, "{above}/{below}"),
            _ => f.write_str(&digits),
        }
    }
}

/// The hint to name one of two forms.
pub(super) struct OrForm<'a>(pub(super) &'a [&'static str]);

impl fmt::Display for OrForm<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [first, second] => write!(f, ", or give --form {first} or --form {second}"),
            _ => Ok(()),
        }
    }
}

/// The number of errors, as the beginning of a message that lists them.
pub(super) struct Faults(pub(super) usize);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            MOST_ERRORS.. => write!(f, "the dataset has {} faults or more; the first are", self.0),
            faults => write!(f, "the dataset has {}", counted(faults, "fault")),
        }
    }
}

/// Errors with their causes, a line each.
pub(super) struct Lines<'a>(pub(super) &'a [Error]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for error in self.0 {
            write!(f, "\n  {error}")?;
            let mut cause = std::error::Error::source(error);
            while let Some(error) = cause {
                write!(f, ": {error}")?;
                cause = error.source();
            }
        }
        Ok(())
    }
}
