//! Nearest neighbours by cosine, found exactly, by blocked matrix products on all threads.

use std::ops::Range;

use ndarray::ArrayView2;
use rayon::prelude::*;

/// Queries that a thread compares with a block at a time. With a block of [`BLOCK`] rows, the products of a thread
/// take a megabyte.
const QUERIES: usize = 256;
/// Rows of a block that are compared at a time.
const BLOCK: usize = 1024;

/// Rows of length 1, `[rows, width]`.
#[derive(Debug, Clone)]
pub(crate) struct UnitRows {
    width: usize,
    numbers: Vec<f32>,
}

/// A row that is near to a query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Neighbour {
    /// The number of the row.
    pub(crate) row: usize,
    /// The cosine of the angle between both, -1 to 1.
    pub(crate) cosine: f32,
}

/// A search for the nearest rows of each of several queries, to which blocks of rows are shown one after another.
#[derive(Debug)]
pub(crate) struct Search<'q> {
    queries: &'q UnitRows,
    k: usize,
    /// The number that the first query has as a row, if the queries are rows themselves.
    first_query: Option<usize>,
    /// Of each query, the nearest first; among equals, the row that was shown first.
    found: Vec<Vec<Neighbour>>,
}

impl UnitRows {
    /// Scales rows, `[rows, width]`, to the length 1. A row of zeros stays one.
    ///
    /// # Panics
    /// If `width` is 0.
    pub(crate) fn new(width: usize, mut numbers: Vec<f32>) -> UnitRows {
        for row in numbers.chunks_exact_mut(width) {
            let square: f64 = row.iter().map(|&number| f64::from(number).powi(2)).sum();
            if square > 0.0 {
                let scale = 1.0 / square.sqrt();
                row.iter_mut().for_each(|number| *number = (f64::from(*number) * scale) as f32);
            }
        }
        UnitRows { width, numbers }
    }

    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.numbers.len() / self.width
    }

    /// `count` rows from `first` on as a matrix.
    fn matrix(&self, first: usize, count: usize) -> ArrayView2<'_, f32> {
        let numbers = &self.numbers[first * self.width..][..count * self.width];
        ArrayView2::from_shape((count, self.width), numbers).expect("the rows have this width")
    }
}

impl<'q> Search<'q> {
    /// A search for the `k` nearest rows of each query.
    pub(crate) fn new(queries: &'q UnitRows, k: usize) -> Search<'q> {
        let found = vec![Vec::new(); queries.len()];
        Search { queries, k, first_query: None, found }
    }

    /// The same search, where the queries are rows themselves, from the row `first` on: none is its own neighbour.
    pub(crate) fn among_themselves(self, first: usize) -> Search<'q> {
        Search { first_query: Some(first), ..self }
    }

    /// Compares all queries with rows, of which the first has the number `first`. Rows are to be shown by ascending
    /// number.
    ///
    /// # Panics
    /// If they have another width than the queries.
    pub(crate) fn compare(&mut self, first: usize, rows: &UnitRows) {
        self.compare_some(first, rows, 0..rows.len());
    }

    /// As [`Search::compare`], with the rows of this part alone.
    fn compare_some(&mut self, first: usize, rows: &UnitRows, part: Range<usize>) {
        let Search { queries, k, first_query, found } = self;
        let (queries, k, first_query) = (*queries, *k, *first_query);
        assert_eq!(queries.width, rows.width);
        if k == 0 {
            return;
        }
        found.par_chunks_mut(QUERIES).enumerate().for_each(|(chunk, found)| {
            let first_of_chunk = chunk * QUERIES;
            let of_chunk = queries.matrix(first_of_chunk, found.len());
            for start in part.clone().step_by(BLOCK) {
                let count = BLOCK.min(part.end - start);
                let cosines = of_chunk.dot(&rows.matrix(start, count).t());
                for (query, (found, cosines)) in
                    found.iter_mut().zip(cosines.outer_iter()).enumerate()
                {
                    let own = first_query.map(|number| number + first_of_chunk + query);
                    for (row, &cosine) in (first + start..).zip(cosines) {
                        let is_near = found.len() < k || found[k - 1].cosine < cosine;
                        if is_near && Some(row) != own {
                            insert(found, Neighbour { row, cosine }, k);
                        }
                    }
                }
            }
        });
    }

    /// The nearest rows of each query, the nearest first; fewer than `k` if fewer rows were shown.
    pub(crate) fn finish(self) -> Vec<Vec<Neighbour>> {
        self.found
    }
}

/// Puts a neighbour after those that are at least as near, and keeps the nearest `k`.
fn insert(found: &mut Vec<Neighbour>, neighbour: Neighbour, k: usize) {
    let at = found.partition_point(|other| other.cosine >= neighbour.cosine);
    found.insert(at, neighbour);
    found.truncate(k);
}

/// The `k` nearest other rows of each row. `progress` is told how many rows all were compared with.
pub(crate) fn nearest_of_each(
    rows: &UnitRows,
    k: usize,
    mut progress: impl FnMut(usize),
) -> Vec<Vec<Neighbour>> {
    let mut search = Search::new(rows, k).among_themselves(0);
    progress(0);
    for first in (0..rows.len()).step_by(BLOCK) {
        let end = rows.len().min(first + BLOCK);
        search.compare_some(0, rows, first..end);
        progress(end);
    }
    search.finish()
}

#[cfg(test)]
mod tests {
    use shuffle::Shuffler;

    use super::*;

    fn random(rows: usize, width: usize, seed: u64) -> Vec<f32> {
        let mut shuffler = Shuffler::new(seed, 0);
        (0..rows * width).map(|_| shuffler.index(2001) as f32 / 1000.0 - 0.7).collect()
    }

    /// The definition, in double precision: the cosine of each pair, sorted.
    fn by_definition(
        queries: &[f32],
        rows: &[f32],
        width: usize,
        own: bool,
    ) -> Vec<Vec<(usize, f64)>> {
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
        };
        let of_query = |(query, a): (usize, &[f32])| {
            let others = rows.chunks(width).enumerate().filter(|(row, _)| !own || *row != query);
            let mut cosines: Vec<(usize, f64)> =
                others.map(|(row, b)| (row, dot(a, b) / (dot(a, a) * dot(b, b)).sqrt())).collect();
            cosines.sort_by(|a, b| b.1.total_cmp(&a.1));
            cosines
        };
        queries.chunks(width).enumerate().map(of_query).collect()
    }

    fn assert_same(found: &[Vec<Neighbour>], expected: &[Vec<(usize, f64)>], k: usize) {
        assert_eq!(found.len(), expected.len());
        for (query, (found, expected)) in found.iter().zip(expected).enumerate() {
            assert_eq!(found.len(), k.min(expected.len()), "{query}");
            for (neighbour, &(_, cosine)) in found.iter().zip(expected) {
                assert!((f64::from(neighbour.cosine) - cosine).abs() < 1e-6, "{query}");
                let own = expected.iter().find(|(row, _)| *row == neighbour.row).unwrap();
                assert!((own.1 - cosine).abs() < 1e-6, "{query}: another row");
            }
        }
    }

    /// More queries and rows than a thread takes at a time, and blocks of several sizes.
    #[test]
    fn neighbours_are_those_of_the_definition() {
        let width = 7;
        let (queries, rows) = (random(300, width, 1), random(2100, width, 2));
        let expected = by_definition(&queries, &rows, width, false);
        let unit = UnitRows::new(width, queries);
        for block in [2100, 100, 1300] {
            let mut search = Search::new(&unit, 5);
            for (index, part) in rows.chunks(block * width).enumerate() {
                search.compare(index * block, &UnitRows::new(width, part.to_vec()));
            }
            assert_same(&search.finish(), &expected, 5);
        }
        let own = by_definition(&rows, &rows, width, true);
        assert_same(&nearest_of_each(&UnitRows::new(width, rows), 3, |_| ()), &own, 3);
    }

    #[test]
    fn equals_come_in_the_order_of_rows_and_zeros_are_near_to_nothing() {
        let rows = UnitRows::new(2, vec![1.0, 0.0, 2.0, 0.0, 3.0, 0.0, 0.0, 0.0, -1.0, 0.0]);
        let found = nearest_of_each(&rows, 9, |_| ());
        let numbers: Vec<usize> = found[1].iter().map(|neighbour| neighbour.row).collect();
        assert_eq!(numbers, [0, 2, 3, 4]);
        let cosines: Vec<f32> = found[1].iter().map(|neighbour| neighbour.cosine).collect();
        assert_eq!(cosines, [1.0, 1.0, 0.0, -1.0]);
        assert!(nearest_of_each(&rows, 0, |_| ()).iter().all(Vec::is_empty));
    }
}
