//! Rows of pooled features in memory, whole or as lists of their elements that are not 0, and how much
//! memory they take.

use feature_cache::Layout;
use fused_head::{Columns, Row};

/// Rows that are stored, shuffled and fetched together.
pub(crate) const BLOCK_ROWS: usize = 64;

/// The layout that suits rows of `row_len` numbers, of which `elements` of all `numbers` are not 0: dense if
/// these are more than a third, or if the numbers of columns do not fit into an int32.
pub(crate) fn suitable_layout(elements: u64, numbers: u64, row_len: usize) -> Layout {
    let fits = row_len <= 1 << 31;
    if elements > numbers / 3 || !fits { Layout::Dense } else { Layout::Csr }
}

/// Whether the columns of rows of this length are numbered in 16 bits.
pub(crate) fn has_narrow_columns(row_len: usize) -> bool {
    row_len <= 1 << 16
}

/// The memory that the rows of a split take, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// Number of rows.
    pub(crate) rows: usize,
    /// Bytes of all rows.
    pub(crate) all: u64,
    /// Bytes that say where rows begin, which are in memory even if the rows are not.
    pub(crate) pointers: u64,
    /// Bytes of the largest block of [`BLOCK_ROWS`] rows.
    largest_block: u64,
    layout: Layout,
}

impl Sizes {
    /// The sizes of `rows` rows; `elements` in all and `largest_block` in the largest block are not 0.
    pub(crate) fn new(
        layout: Layout,
        (rows, row_len): (usize, usize),
        elements: u64,
        largest_block: u64,
    ) -> Sizes {
        let column = if has_narrow_columns(row_len) { size_of::<u16>() } else { size_of::<u32>() };
        let element = (size_of::<f32>() + column) as u64;
        let pointers = |rows: usize| (rows + 1) as u64 * size_of::<u64>() as u64;
        let dense = |rows: usize| (rows * row_len * size_of::<f32>()) as u64;
        match layout {
            Layout::Dense => Sizes {
                rows,
                all: dense(rows),
                pointers: 0,
                largest_block: dense(BLOCK_ROWS),
                layout,
            },
            Layout::Csr => Sizes {
                rows,
                all: elements.saturating_mul(element),
                pointers: pointers(rows),
                largest_block: largest_block
                    .saturating_mul(element)
                    .saturating_add(pointers(BLOCK_ROWS)),
                layout,
            },
        }
    }

    /// The layout that the sizes are those of.
    pub(crate) fn layout(&self) -> Layout {
        self.layout
    }

    /// The most bytes that this many rows of whole blocks take, in any order of the blocks.
    pub(crate) fn at_most(&self, rows: usize) -> u64 {
        match self.layout {
            Layout::Dense => (self.largest_block / BLOCK_ROWS as u64).saturating_mul(rows as u64),
            // Where the last block is short, the rows after it lie across two blocks.
            Layout::Csr => self.largest_block.saturating_mul((rows / BLOCK_ROWS + 1) as u64),
        }
    }
}

/// The numbers of columns.
#[derive(Debug)]
pub(crate) enum Indices {
    U16(Vec<u16>),
    U32(Vec<u32>),
}

impl Indices {
    /// None, for rows of this length.
    fn for_row_len(row_len: usize) -> Indices {
        if has_narrow_columns(row_len) {
            Indices::U16(Vec::new())
        } else {
            Indices::U32(Vec::new())
        }
    }

    /// The bytes of `count` columns from `first` on.
    pub(crate) fn bytes(&self, first: usize, count: usize) -> &[u8] {
        match self {
            Indices::U16(columns) => bytemuck::cast_slice(&columns[first..][..count]),
            Indices::U32(columns) => bytemuck::cast_slice(&columns[first..][..count]),
        }
    }

    /// The bytes of `count` columns from `first` on, to be filled.
    fn bytes_mut(&mut self, first: usize, count: usize) -> &mut [u8] {
        match self {
            Indices::U16(columns) => {
                grow(columns, first + count);
                bytemuck::cast_slice_mut(&mut columns[first..][..count])
            }
            Indices::U32(columns) => {
                grow(columns, first + count);
                bytemuck::cast_slice_mut(&mut columns[first..][..count])
            }
        }
    }

    fn at(&self, first: usize, count: usize) -> Columns<'_> {
        match self {
            Indices::U16(columns) => Columns::U16(&columns[first..][..count]),
            Indices::U32(columns) => Columns::U32(&columns[first..][..count]),
        }
    }
}

/// Makes a buffer at least `len` long, and not longer in memory.
fn grow<T: Default + Clone>(buffer: &mut Vec<T>, len: usize) {
    if buffer.len() < len {
        buffer.reserve_exact(len - buffer.len());
        buffer.resize(len, T::default());
    }
}

/// Rows in memory, by their position. Their buffers stay when they are cleared.
#[derive(Debug)]
pub(crate) enum Rows {
    Dense {
        row_len: usize,
        rows: usize,
        numbers: Vec<f32>,
    },
    Sparse {
        /// Where among the elements each row starts, and where the last one ends.
        starts: Vec<usize>,
        columns: Indices,
        values: Vec<f32>,
    },
}

impl Rows {
    /// No rows.
    pub(crate) fn new(layout: Layout, row_len: usize) -> Rows {
        match layout {
            Layout::Dense => Rows::Dense { row_len, rows: 0, numbers: Vec::new() },
            Layout::Csr => Rows::Sparse {
                starts: vec![0],
                columns: Indices::for_row_len(row_len),
                values: Vec::new(),
            },
        }
    }

    /// No rows, with room for this many of this many bytes in all, so that they are not moved while they are
    /// added. The room is pages of zeros, which take no memory before rows are written to them.
    pub(crate) fn with_room(layout: Layout, row_len: usize, rows: usize, bytes: u64) -> Rows {
        let elements = |size: usize| usize::try_from(bytes).unwrap_or(0) / size;
        let mut empty = Rows::new(layout, row_len);
        match &mut empty {
            Rows::Dense { numbers, .. } => *numbers = vec![0.0; elements(size_of::<f32>())],
            Rows::Sparse { starts, columns, values } => {
                starts.reserve_exact(rows);
                let elements = match columns {
                    Indices::U16(columns) => {
                        *columns = vec![0; elements(size_of::<f32>() + size_of::<u16>())];
                        columns.len()
                    }
                    Indices::U32(columns) => {
                        *columns = vec![0; elements(size_of::<f32>() + size_of::<u32>())];
                        columns.len()
                    }
                };
                *values = vec![0.0; elements];
            }
        }
        empty
    }

    pub(crate) fn clear(&mut self) {
        match self {
            Rows::Dense { rows, .. } => *rows = 0,
            Rows::Sparse { starts, .. } => starts.truncate(1),
        }
    }

    /// Elements of the sparse rows.
    ///
    /// # Panics
    /// If the rows are dense.
    pub(crate) fn elements(&self) -> usize {
        let Rows::Sparse { starts, .. } = self else { panic!("the rows are dense") };
        starts.last().copied().unwrap_or(0)
    }

    /// The row at a position.
    ///
    /// # Panics
    /// If there is none.
    pub(crate) fn row(&self, index: usize) -> Row<'_> {
        match self {
            Rows::Dense { row_len, numbers, .. } => {
                Row::Dense(&numbers[index * row_len..][..*row_len])
            }
            Rows::Sparse { starts, columns, values } => {
                let (first, count) = (starts[index], starts[index + 1] - starts[index]);
                Row::Sparse { columns: columns.at(first, count), values: &values[first..][..count] }
            }
        }
    }

    /// Adds dense rows, whose numbers the caller fills: `[rows, row_len]`.
    ///
    /// # Panics
    /// If the rows are sparse.
    pub(crate) fn add_dense(&mut self, added: usize) -> &mut [f32] {
        let Rows::Dense { row_len, rows, numbers } = self else { panic!("the rows are sparse") };
        let first = *rows * *row_len;
        *rows += added;
        grow(numbers, *rows * *row_len);
        &mut numbers[first..*rows * *row_len]
    }

    /// Adds sparse rows of these lengths, whose columns and values the caller fills, both as bytes.
    ///
    /// # Panics
    /// If the rows are dense.
    pub(crate) fn add_sparse(
        &mut self,
        lengths: impl Iterator<Item = usize>,
    ) -> (&mut [u8], &mut [u8]) {
        let Rows::Sparse { starts, columns, values } = self else { panic!("the rows are dense") };
        let first = starts.last().copied().unwrap_or(0);
        let mut end = first;
        for length in lengths {
            end += length;
            starts.push(end);
        }
        grow(values, end);
        let columns = columns.bytes_mut(first, end - first);
        (columns, bytemuck::cast_slice_mut(&mut values[first..end]))
    }

    /// Adds a sparse row: the elements of `row` that are not 0.
    ///
    /// # Panics
    /// If the rows are dense.
    pub(crate) fn compress(&mut self, row: &[f32]) {
        /// Writes the elements from `first` on, and returns where they end.
        fn write<T: Clone + Default>(
            row: &[f32],
            first: usize,
            columns: &mut Vec<T>,
            values: &mut Vec<f32>,
            number: impl Fn(usize) -> T,
        ) -> usize {
            let room = first + row.len();
            columns.resize(room.max(columns.len()), T::default());
            values.resize(room.max(values.len()), 0.0);
            let mut end = first;
            for (column, &value) in row.iter().enumerate() {
                // Without a branch, which nobody could predict: a 0 is written over.
                columns[end] = number(column);
                values[end] = value;
                end += usize::from(value != 0.0);
            }
            end
        }
        let Rows::Sparse { starts, columns, values } = self else { panic!("the rows are dense") };
        let first = starts.last().copied().unwrap_or(0);
        // The length of the rows says that their columns fit.
        let end = match columns {
            Indices::U16(columns) => write(row, first, columns, values, |column| column as u16),
            Indices::U32(columns) => write(row, first, columns, values, |column| column as u32),
        };
        starts.push(end);
    }

    /// Adds the rows of others, which are sparse as well.
    pub(crate) fn append(&mut self, others: &Rows) {
        let Rows::Sparse { starts, columns, values } = others else { panic!("the rows are dense") };
        let count = others.elements();
        let lengths = starts.windows(2).map(|pair| pair[1] - pair[0]);
        let (to_columns, to_values) = self.add_sparse(lengths);
        to_columns.copy_from_slice(columns.bytes(0, count));
        to_values.copy_from_slice(bytemuck::cast_slice(&values[..count]));
    }

    /// The arrays of sparse rows: the bytes of the values and of the columns.
    ///
    /// # Panics
    /// If the rows are dense.
    pub(crate) fn arrays(&self) -> [&[u8]; 2] {
        let Rows::Sparse { columns, values, .. } = self else { panic!("the rows are dense") };
        let count = self.elements();
        [bytemuck::cast_slice(&values[..count]), columns.bytes(0, count)]
    }
}

/// Some of a split's rows in memory, in any order.
#[derive(Debug)]
pub(crate) struct SomeRows {
    /// The positions in `rows`, where rows ascend by their number, in the order that was asked for.
    positions: Vec<u32>,
    pub(crate) rows: Rows,
}

impl SomeRows {
    /// No rows, in memory that `rows` has.
    pub(crate) fn new(rows: Rows) -> SomeRows {
        SomeRows { positions: Vec::new(), rows }
    }

    /// Removes the rows, and orders those of these numbers, which are then to be added by ascending number:
    /// returns their indices in `numbers` in that order.
    pub(crate) fn begin(&mut self, numbers: &[usize]) -> Vec<u32> {
        self.rows.clear();
        let mut ascending: Vec<u32> = (0..numbers.len() as u32).collect();
        ascending.sort_unstable_by_key(|&index| numbers[index as usize]);
        self.positions.clear();
        self.positions.resize(numbers.len(), 0);
        for (position, &index) in ascending.iter().enumerate() {
            self.positions[index as usize] = position as u32;
        }
        ascending
    }

    /// The row at an index in the order that was asked for.
    ///
    /// # Panics
    /// If there is none.
    pub(crate) fn row(&self, index: usize) -> Row<'_> {
        self.rows.row(self.positions[index] as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of both widths of columns, of which the last and the first element may be other than 0.
    #[test]
    fn compressed_rows_have_the_elements_that_are_not_0() {
        for row_len in [9, 1 << 16, (1 << 16) + 1] {
            let mut rows = Rows::new(Layout::Csr, row_len);
            let ends = [0, row_len / 2, row_len - 1];
            let row = |number: usize| {
                let mut row = vec![0.0; row_len];
                row[1] = -0.0;
                ends[..number].iter().for_each(|&column| row[column] = -(column as f32) - 1.0);
                row
            };
            for _ in 0..2 {
                rows.clear();
                let mut others = Rows::new(Layout::Csr, row_len);
                (0..3).for_each(|number| rows.compress(&row(number)));
                others.compress(&row(3));
                rows.append(&others);
                for number in 0..4 {
                    let Row::Sparse { columns, values } = rows.row(number) else { panic!("dense") };
                    let expected: Vec<u32> = ends[..number].iter().map(|&end| end as u32).collect();
                    let columns: Vec<u32> = match columns {
                        Columns::U16(columns) => {
                            columns.iter().map(|&column| column.into()).collect()
                        }
                        Columns::U32(columns) => columns.to_vec(),
                    };
                    assert_eq!(columns, expected);
                    let negated: Vec<f32> =
                        expected.iter().map(|&end| -(end as f32) - 1.0).collect();
                    assert_eq!(values, negated);
                }
                let [values, columns] = rows.arrays();
                let width = if row_len > 1 << 16 { 4 } else { 2 };
                assert_eq!((rows.elements(), values.len(), columns.len()), (6, 24, 6 * width));
            }
        }
    }

    #[test]
    fn more_than_a_third_is_dense() {
        let layouts = [(0, 0), (1, 3), (2, 3), (100, 300), (101, 300), (u64::MAX, u64::MAX)]
            .map(|(elements, numbers)| suitable_layout(elements, numbers, 3));
        use Layout::{Csr, Dense};
        assert_eq!(layouts, [Csr, Csr, Dense, Csr, Dense, Dense]);
        let longest = 1 << 31;
        assert_eq!(
            [longest, longest + 1].map(|row_len| suitable_layout(0, 9, row_len)),
            [Csr, Dense]
        );
    }
}
