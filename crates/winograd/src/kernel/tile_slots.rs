//! The slots that the tiles of a block occupy in the frequency domain.
//!
//! Tiles are numbered image by image, row by row. Without [Strassen's algorithm](crate::kernel::strassen)
//! the slots are in this order. With it, each two consecutive tiles of an image are a pair, an upper and a
//! lower one; the last tile of an image with an odd number of tiles is a single one. The order of the slots
//! is: the upper tiles of the pairs, the single tiles, the lower tiles of the pairs, and empty slots in
//! place of the lower tiles that single tiles do not have. So the products need not treat single tiles
//! separately.
//!
//! ```text
//! tiles of two images    0 1 2 3 4   5 6 7 8 9
//! slots                  0 2 5 7 | 4 9 | 1 3 6 8 | _ _
//! ```

use std::ops::Range;

/// The numbering and pairing of the tiles of some images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pairing {
    /// The number of tiles of an image.
    pub(crate) per_image: usize,
    /// Whether tiles of an image are multiplied in pairs.
    pub(crate) paired: bool,
}

/// A block of tiles, which begins and ends between pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TileSlots {
    pairing: Pairing,
    first: usize,
    end: usize,
}

impl Pairing {
    /// The number of pairs and single tiles of an image. Each of them is a row of the products.
    pub(crate) fn rows(self) -> usize {
        if self.paired { self.per_image.div_ceil(2) } else { self.per_image }
    }

    /// The number of slots for this number of rows.
    pub(crate) fn slots(self, rows: usize) -> usize {
        if self.paired { 2 * rows } else { rows }
    }

    /// The first tile of a row.
    fn tile(self, row: usize) -> usize {
        let (image, rest) = (row / self.rows(), row % self.rows());
        image * self.per_image + if self.paired { 2 * rest } else { rest }
    }

    /// The number of pairs that begin before a tile, and the number of single tiles before it.
    fn before(self, tile: usize) -> (usize, usize) {
        if !self.paired {
            return (0, tile);
        }
        let (image, rest) = (tile / self.per_image, tile % self.per_image);
        let single = image * (self.per_image % 2);
        (image * (self.per_image / 2) + rest / 2, single)
    }

    /// Block `index` of `blocks` blocks of nearly equal size, into which the tiles are divided. The tiles
    /// begin and end between pairs.
    pub(crate) fn block(self, tiles: &Range<usize>, index: usize, blocks: usize) -> TileSlots {
        let row = |tile: usize| {
            let (pairs, singles) = self.before(tile);
            pairs + singles
        };
        let (first, end) = (row(tiles.start), row(tiles.end));
        let tile = |index: usize| self.tile(first + index * (end - first) / blocks);
        TileSlots { pairing: self, first: tile(index), end: tile(index + 1) }
    }
}

impl TileSlots {
    /// The tiles of the block.
    pub(crate) fn tiles(&self) -> Range<usize> {
        self.first..self.end
    }

    /// The numbers of pairs and of single tiles.
    pub(crate) fn pairs_and_singles(&self) -> (usize, usize) {
        let (first, end) = (self.pairing.before(self.first), self.pairing.before(self.end));
        (end.0 - first.0, end.1 - first.1)
    }

    /// The number of rows of the products, one for each pair and for each single tile.
    pub(crate) fn rows(&self) -> usize {
        let (pairs, singles) = self.pairs_and_singles();
        pairs + singles
    }

    /// The number of slots of the block, including those without a tile.
    pub(crate) fn len(&self) -> usize {
        self.pairing.slots(self.rows())
    }

    /// The slot of a tile of the block.
    #[inline(always)]
    pub(crate) fn of(&self, tile: usize) -> usize {
        let Pairing { per_image, paired } = self.pairing;
        if !paired {
            return tile - self.first;
        }
        let (first_pair, first_single) = self.pairing.before(self.first);
        let (image, rest) = (tile / per_image, tile % per_image);
        let (pairs, singles) = self.pairs_and_singles();
        if rest + 1 == per_image && per_image % 2 == 1 {
            return pairs + image * (per_image % 2) - first_single;
        }
        let pair = image * (per_image / 2) + rest / 2 - first_pair;
        if rest.is_multiple_of(2) { pair } else { pairs + singles + pair }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(pairing: Pairing, tiles: Range<usize>) -> Vec<usize> {
        let block = pairing.block(&tiles, 0, 1);
        assert_eq!(block.tiles(), tiles);
        tiles.map(|tile| block.of(tile)).collect()
    }

    #[test]
    fn tiles_keep_their_order() {
        let pairing = Pairing { per_image: 5, paired: false };
        assert_eq!(slots(pairing, 3..9), [0, 1, 2, 3, 4, 5]);
        assert_eq!(pairing.block(&(3..9), 0, 1).pairs_and_singles(), (0, 6));
    }

    #[test]
    fn upper_tiles_of_pairs_single_tiles_lower_tiles() {
        let pairing = Pairing { per_image: 5, paired: true };
        assert_eq!(slots(pairing, 0..10), [0, 6, 1, 7, 4, 2, 8, 3, 9, 5]);
        // A block that begins in the middle of an image.
        assert_eq!(slots(pairing, 2..7), [0, 3, 2, 1, 4]);
        assert_eq!(pairing.block(&(2..7), 0, 1).len(), 6);
    }

    #[test]
    fn blocks_end_between_pairs_and_use_no_slot_twice() {
        for per_image in 1..8 {
            let pairing = Pairing { per_image, paired: true };
            for images in 1..4 {
                let tiles = 0..images * per_image;
                for blocks in 1..6 {
                    let mut next = 0;
                    for index in 0..blocks {
                        let block = pairing.block(&tiles, index, blocks);
                        assert_eq!(block.tiles().start, next);
                        next = block.tiles().end;
                        assert!((next % per_image).is_multiple_of(2));
                        let (pairs, singles) = block.pairs_and_singles();
                        assert_eq!(block.tiles().len(), 2 * pairs + singles);
                        let mut taken: Vec<_> = block.tiles().map(|tile| block.of(tile)).collect();
                        taken.sort_unstable();
                        let expected: Vec<_> = (0..2 * pairs + singles).collect();
                        assert_eq!(taken, expected, "{per_image} tiles per image");
                    }
                    assert_eq!(next, tiles.end);
                }
            }
        }
    }
}
