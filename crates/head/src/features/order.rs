//! The order in which training rows are seen.
//!
//! The order is the same for every head, whatever its seed. So the order does not affect comparisons between
//! heads; heads that are trained together read each row once; and a head trained alone equals the one trained
//! among others bit for bit, unless rows are streamed.
//!
//! Rows that fit into the memory allowed are shuffled as a whole. Others are streamed and shuffled in
//! two levels: blocks of consecutive rows in random order, and the rows within a window of as many
//! blocks as fit. The disk is then read block by block, not row by row. Batches are cut from the
//! order of the whole epoch: one may begin in a window and end in the next.
//!
//! With one view of each image an epoch, the images are shuffled in this way, and each stands for its view whose turn it
//! is ([`Turns`]).
//!
//! Another order gives other heads: a change of it must raise [`fused_head::numerics`].

use shuffle::Shuffler;

use crate::features::rows::BLOCK_ROWS;

/// Smallest number of rows in a window. Fewer would hardly be shuffled.
const LEAST_WINDOW: usize = 2 * BLOCK_ROWS;

/// The random numbers that say with which view an image begins; the order itself takes those of stream 0.
const TURNS_STREAM: u64 = 1 << 33;

/// The windows that are in memory: as many as a batch can lie in, and at least the one being trained on and
/// the one being read.
pub(crate) fn windows_in_memory(window: usize, batch_size: usize) -> usize {
    // A batch that begins with the last row of a window lies in most.
    2 + batch_size.saturating_sub(2) / window
}

/// The most rows per window of `rows` rows of which as many windows as must be in memory fit into `room`
/// bytes; `None` if no window is small enough. `bytes` are those of a window.
pub(crate) fn largest_window(
    rows: usize,
    batch_size: usize,
    room: u64,
    bytes: impl Fn(usize) -> u64,
) -> Option<usize> {
    let fits = |&window: &usize| bytes_in_memory(window, batch_size, &bytes) <= room;
    windows_up_to(rows).rev().find(fits)
}

/// The window that takes the least memory, and the bytes of those that must be in memory.
pub(crate) fn least_window(
    rows: usize,
    batch_size: usize,
    bytes: impl Fn(usize) -> u64,
) -> (usize, u64) {
    let all = windows_up_to(rows.max(LEAST_WINDOW));
    let sized = all.map(|window| (window, bytes_in_memory(window, batch_size, &bytes)));
    sized.min_by_key(|&(_, bytes)| bytes).expect("there is a window of the fewest rows")
}

fn windows_up_to(rows: usize) -> impl DoubleEndedIterator<Item = usize> {
    (LEAST_WINDOW / BLOCK_ROWS..=rows / BLOCK_ROWS).map(|blocks| blocks * BLOCK_ROWS)
}

fn bytes_in_memory(window: usize, batch_size: usize, bytes: impl Fn(usize) -> u64) -> u64 {
    bytes(window).saturating_mul(windows_in_memory(window, batch_size) as u64)
}

/// The order of the rows, epoch by epoch.
#[derive(Debug)]
pub(crate) struct RowOrder {
    rows: Vec<usize>,
    /// Rows per window; `None` if all rows are shuffled as a whole.
    window: Option<usize>,
    shuffler: Shuffler,
    /// If each epoch has one view of each image. Then `rows` are the numbers of the images.
    turns: Option<Turns>,
}

/// The turns of images' views: view v of image i, whose row is v times the number of images plus i, is seen in the epochs
/// e, counted from 0, for which v is the image's first view plus e, modulo the number of views. In as many epochs as there
/// are views, every row comes once, and in each epoch all views are equally frequent.
#[derive(Debug)]
struct Turns {
    images: usize,
    views: usize,
    /// The first view of each image; of rows that are streamed, of each block of images, so that blocks of consecutive
    /// rows are read from the disk.
    first: Vec<u16>,
    /// Images of a block.
    block: usize,
    /// Epochs that have begun.
    epochs: usize,
    /// The rows of this epoch.
    rows: Vec<usize>,
}

impl Turns {
    fn new(images: usize, views: usize, block: usize) -> Turns {
        // The command that makes views has a limit of 1,000.
        let view = |number: usize| u16::try_from(number % views).unwrap_or(u16::MAX);
        let mut first: Vec<u16> = (0..images.div_ceil(block)).map(view).collect();
        Shuffler::new(0, TURNS_STREAM).shuffle(&mut first);
        Turns { images, views, first, block, epochs: 0, rows: Vec::new() }
    }

    /// Has the rows of the next epoch, whose images come in this order.
    fn begin(&mut self, order: &[usize]) {
        let Turns { images, views, ref first, block, epochs, .. } = *self;
        let view = |image: usize| (usize::from(first[image / block]) + epochs) % views;
        self.rows.clear();
        self.rows.extend(order.iter().map(|&image| view(image) * images + image));
        self.epochs += 1;
    }
}

impl RowOrder {
    /// The order of `rows` rows, in windows if they are streamed.
    pub(crate) fn new(rows: usize, window: Option<usize>) -> RowOrder {
        RowOrder::of_stream(rows, window, 0)
    }

    /// Likewise, by the random numbers of another stream, so that it has nothing to do with the order of training.
    pub(crate) fn of_stream(rows: usize, window: Option<usize>, stream: u64) -> RowOrder {
        let shuffler = Shuffler::new(0, stream);
        RowOrder { rows: (0..rows).collect(), window, shuffler, turns: None }
    }

    /// The order in which each epoch has one of `rows / images` views of each image. The rows of the images themselves
    /// come first, then those of their first copies, and so on.
    pub(crate) fn of_views(images: usize, rows: usize, window: Option<usize>) -> RowOrder {
        let block = if window.is_some() { BLOCK_ROWS } else { 1 };
        let turns = Turns::new(images, rows / images.max(1), block);
        RowOrder { turns: Some(turns), ..RowOrder::new(images, window) }
    }

    /// The order of this epoch.
    pub(crate) fn rows(&self) -> &[usize] {
        self.turns.as_ref().map_or(&self.rows, |turns| &turns.rows)
    }

    /// The order of the next epoch.
    pub(crate) fn next_epoch(&mut self) -> &[usize] {
        let rows = self.rows.len();
        if self.window.is_some() {
            let mut blocks: Vec<usize> = (0..rows.div_ceil(BLOCK_ROWS)).collect();
            self.shuffler.shuffle(&mut blocks);
            let of_block = |block: usize| block * BLOCK_ROWS..((block + 1) * BLOCK_ROWS).min(rows);
            self.rows.clear();
            self.rows.extend(blocks.into_iter().flat_map(of_block));
        }
        for window in self.rows.chunks_mut(self.window.unwrap_or(rows).max(1)) {
            self.shuffler.shuffle(window);
        }
        if let Some(turns) = &mut self.turns {
            turns.begin(&self.rows);
        }
        self.rows()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_comes_once_per_epoch() {
        for (rows, window) in
            [(1, None), (1000, None), (1000, Some(448)), (1000, Some(128)), (130, Some(128))]
        {
            let mut order = RowOrder::new(rows, window);
            let first = order.next_epoch().to_vec();
            let second = order.next_epoch().to_vec();
            for mut epoch in [first.clone(), second.clone()] {
                epoch.sort_unstable();
                assert_eq!(epoch, (0..rows).collect::<Vec<_>>());
            }
            assert!(rows == 1 || first != second);
        }
    }

    #[test]
    fn every_view_comes_once_in_as_many_epochs() {
        for (images, views, window) in [(200, 6, None), (200, 6, Some(128)), (1, 3, None)] {
            let mut order = RowOrder::of_views(images, images * views, window);
            let mut seen = vec![0; images * views];
            for epoch in 0..2 * views {
                let rows = order.next_epoch().to_vec();
                assert_eq!(rows, order.rows());
                let mut of_images: Vec<usize> = rows.iter().map(|row| row % images).collect();
                of_images.sort_unstable();
                assert_eq!(of_images, (0..images).collect::<Vec<_>>(), "epoch {epoch}");
                rows.iter().for_each(|&row| seen[row] += 1);
                if window.is_none() && images > 1 {
                    let mut of_view = vec![0; views];
                    rows.iter().for_each(|&row| of_view[row / images] += 1);
                    let of_views = of_view.iter().max().unwrap() - of_view.iter().min().unwrap();
                    assert!(of_views <= 1, "{of_view:?}");
                }
                if epoch + 1 == views {
                    assert!(seen.iter().all(|&times| times == 1), "{seen:?}");
                }
            }
            assert!(seen.iter().all(|&times| times == 2), "{seen:?}");
        }
    }

    /// Of streamed rows, blocks of images take turns, so that their rows lie together.
    #[test]
    fn blocks_of_streamed_images_have_one_view() {
        let mut order = RowOrder::of_views(640, 640 * 3, Some(128));
        for _ in 0..3 {
            let mut view_of_block = [None; 10];
            for &row in order.next_epoch() {
                let (view, image) = (row / 640, row % 640);
                assert_eq!(*view_of_block[image / BLOCK_ROWS].get_or_insert(view), view);
            }
            assert!(view_of_block.iter().any(|view| *view != view_of_block[0]));
        }
    }

    #[test]
    fn windows_that_hold_a_batch_stay_within_the_memory() {
        let window = |room, batch| largest_window(100_000, batch, room, |rows| rows as u64);
        assert_eq!(window(999, 64), Some(448), "half of what fits, in whole blocks");
        assert_eq!(window(256, 128), Some(128));
        assert_eq!(window(255, 1), None);
        assert_eq!(window(1000, 600), Some(320), "three that a large batch can lie in");
        assert_eq!(
            largest_window(200, 64, 999, |rows| rows as u64),
            Some(192),
            "no more than rows"
        );
        for batch in [1, 100, 128, 129, 130, 256, 1000] {
            let (least, bytes) = least_window(100_000, batch, |rows| rows as u64);
            assert!(window(bytes, batch) >= Some(least), "{batch}");
            assert_eq!(window(bytes - 1, batch), None, "{batch}");
        }
    }

    /// Wherever it begins, a batch lies in no more windows than are in memory.
    #[test]
    fn a_batch_lies_in_the_windows_in_memory() {
        for window in [128, 192] {
            for batch in [1, 2, 127, 128, 129, 130, 192, 194, 600] {
                let most = (0..window).map(|begin| (begin + batch - 1) / window + 1).max();
                assert_eq!(windows_in_memory(window, batch), most.unwrap().max(2), "{batch}");
            }
        }
    }

    #[test]
    fn a_window_holds_whole_blocks() {
        let mut order = RowOrder::new(1000, Some(256));
        let first = order.next_epoch()[..256].to_vec();
        let mut blocks: Vec<usize> = first.iter().map(|row| row / BLOCK_ROWS).collect();
        blocks.sort_unstable();
        blocks.dedup();
        assert!(blocks.len() <= 5, "four blocks, or five with the short last one: {blocks:?}");
        assert_ne!(first, (0..256).collect::<Vec<_>>());
    }
}
