//! Rows of inputs as they are handed in, and the checks that keep the kernels within them.

use crate::{Error, HeadShape};

/// The inputs of one row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Row<'a> {
    /// All of them, `[inputs]`.
    Dense(&'a [f32]),
    /// Those that are not 0, as in a row of a compressed sparse matrix.
    Sparse {
        /// Their columns, ascending.
        columns: &'a [u32],
        /// Their values, one per column.
        values: &'a [f32],
    },
}

/// The rows of a call.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rows<'a> {
    Dense(&'a [&'a [f32]]),
    Any(&'a [Row<'a>]),
}

impl<'a> Rows<'a> {
    pub(crate) fn len(self) -> usize {
        match self {
            Rows::Dense(rows) => rows.len(),
            Rows::Any(rows) => rows.len(),
        }
    }

    #[inline]
    pub(crate) fn row(self, index: usize) -> Row<'a> {
        match self {
            Rows::Dense(rows) => Row::Dense(rows[index]),
            Rows::Any(rows) => rows[index],
        }
    }

    /// Parts of at most `len` rows, in order.
    pub(crate) fn chunks(self, len: usize) -> impl Iterator<Item = Rows<'a>> {
        (0..self.len()).step_by(len).map(move |start| {
            let range = start..self.len().min(start + len);
            match self {
                Rows::Dense(rows) => Rows::Dense(&rows[range]),
                Rows::Any(rows) => Rows::Any(&rows[range]),
            }
        })
    }
}

/// Checks that there are rows and that each has the head's inputs.
pub(crate) fn check_rows(shape: HeadShape, rows: Rows<'_>) -> Result<(), Error> {
    if rows.len() == 0 {
        return Err(Error::NoRows);
    }
    (0..rows.len()).try_for_each(|row| check_row(shape.inputs, row, rows.row(row)))
}

fn check_row(inputs: usize, row: usize, content: Row<'_>) -> Result<(), Error> {
    match content {
        Row::Dense(values) if values.len() != inputs => {
            Err(Error::RowLength { row, expected: inputs, actual: values.len() })
        }
        Row::Dense(_) => Ok(()),
        Row::Sparse { columns, values } => {
            if columns.len() != values.len() {
                let (columns, values) = (columns.len(), values.len());
                return Err(Error::SparseLength { row, columns, values });
            }
            if let Some(pair) = columns.windows(2).find(|pair| pair[0] >= pair[1]) {
                return Err(Error::ColumnOrder { row, column: pair[1], before: pair[0] });
            }
            match columns.last() {
                Some(&column) if column as usize >= inputs => {
                    Err(Error::Column { row, column, inputs })
                }
                _ => Ok(()),
            }
        }
    }
}

/// Checks that each of `rows` rows has a label, and that it is the number of a class.
pub(crate) fn check_labels(shape: HeadShape, rows: usize, labels: &[i64]) -> Result<(), Error> {
    if rows != labels.len() {
        return Err(Error::LabelCount { rows, labels: labels.len() });
    }
    let classes = shape.classes;
    let wrong = |&label: &i64| usize::try_from(label).map_or(true, |label| label >= classes);
    match labels.iter().position(wrong) {
        Some(row) => Err(Error::Label { row, label: labels[row], classes }),
        None => Ok(()),
    }
}
