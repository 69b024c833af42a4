//! Rows of inputs as they are handed in, and the checks that keep the kernels within them.

use crate::{Error, HeadShape, sparse};

/// The inputs of one row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Row<'a> {
    /// All of them, `[inputs]`.
    Dense(&'a [f32]),
    /// Those that are not 0, as in a row of a compressed sparse matrix.
    Sparse {
        /// Their columns, ascending.
        columns: Columns<'a>,
        /// Their values, one per column.
        values: &'a [f32],
    },
}

/// The columns of a sparse row, in either width in which such matrices have them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Columns<'a> {
    /// Of matrices with at most 65,536 columns.
    U16(&'a [u16]),
    /// Of any others.
    U32(&'a [u32]),
}

impl Row<'_> {
    /// Calls `with` with the column and the value of each input that is there: of a sparse row, those that are not 0.
    pub fn for_each(self, mut with: impl FnMut(usize, f32)) {
        match self {
            Row::Dense(values) => {
                values.iter().enumerate().for_each(|(column, &value)| with(column, value));
            }
            Row::Sparse { columns: Columns::U16(columns), values } => {
                let pairs = columns.iter().zip(values);
                pairs.for_each(|(&column, &value)| with(usize::from(column), value));
            }
            Row::Sparse { columns: Columns::U32(columns), values } => {
                let pairs = columns.iter().zip(values);
                pairs.for_each(|(&column, &value)| with(column as usize, value));
            }
        }
    }
}

impl<'a> From<&'a [f32]> for Row<'a> {
    fn from(values: &'a [f32]) -> Row<'a> {
        Row::Dense(values)
    }
}

impl<'a> From<&'a [u16]> for Columns<'a> {
    fn from(columns: &'a [u16]) -> Columns<'a> {
        Columns::U16(columns)
    }
}

impl<'a> From<&'a [u32]> for Columns<'a> {
    fn from(columns: &'a [u32]) -> Columns<'a> {
        Columns::U32(columns)
    }
}

impl Columns<'_> {
    /// Whether each column is greater than the one before it, and all are less than `inputs`.
    pub fn ascend_below(self, inputs: usize) -> bool {
        match self {
            Columns::U16(columns) => sparse::ascend_below(columns, inputs),
            Columns::U32(columns) => sparse::ascend_below(columns, inputs),
        }
    }

    fn len(self) -> usize {
        match self {
            Columns::U16(columns) => columns.len(),
            Columns::U32(columns) => columns.len(),
        }
    }

    fn at(self, index: usize) -> u32 {
        match self {
            Columns::U16(columns) => u32::from(columns[index]),
            Columns::U32(columns) => columns[index],
        }
    }
}

/// Checks that there are rows and that the length of each fits the head's inputs. The columns of sparse
/// rows are checked by the threads that gather them: reading them here would take as long as that.
pub(crate) fn check_rows(shape: HeadShape, rows: &[Row<'_>]) -> Result<(), Error> {
    if rows.is_empty() {
        return Err(Error::NoRows);
    }
    rows.iter().enumerate().try_for_each(|(row, content)| check_row(shape.inputs, row, *content))
}

fn check_row(inputs: usize, row: usize, content: Row<'_>) -> Result<(), Error> {
    match content {
        Row::Dense(values) if values.len() != inputs => {
            Err(Error::RowLength { row, expected: inputs, actual: values.len() })
        }
        Row::Sparse { columns, values } if columns.len() != values.len() => {
            let (columns, values) = (columns.len(), values.len());
            Err(Error::SparseLength { row, columns, values })
        }
        // More columns than there are inputs cannot all differ.
        Row::Sparse { columns, .. } if columns.len() > inputs => {
            Err(column_error(inputs, row, columns))
        }
        _ => Ok(()),
    }
}

/// The first error in the columns of `rows`, which have one.
pub(crate) fn first_column_error(shape: HeadShape, rows: &[Row<'_>]) -> Error {
    let inputs = shape.inputs;
    let lists = rows.iter().enumerate().filter_map(|(row, content)| match *content {
        Row::Dense(_) => None,
        Row::Sparse { columns, .. } => Some((row, columns)),
    });
    let mut wrong = lists.filter(|(_, columns)| !columns.ascend_below(inputs));
    let (row, columns) = wrong.next().unwrap_or((0, Columns::U16(&[])));
    column_error(inputs, row, columns)
}

/// The error of columns that do not ascend, or else of the last one.
fn column_error(inputs: usize, row: usize, columns: Columns<'_>) -> Error {
    let pairs = (1..columns.len()).map(|index| (columns.at(index - 1), columns.at(index)));
    match pairs.clone().find(|(before, column)| before >= column) {
        Some((before, column)) => Error::ColumnOrder { row, column, before },
        None => {
            let column = columns.len().checked_sub(1).map_or(0, |last| columns.at(last));
            Error::Column { row, column, inputs }
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
