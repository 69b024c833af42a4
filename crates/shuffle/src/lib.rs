//! Seeded shuffling. It selects the rows for validation and orders the rows in training.
//!
//! In: a seed, the number of a stream, and items. Out: the items in random order. The invariant: the
//! same seed and stream give the same orders on every machine and in every version, since caches and runs
//! are looked up by what determined them. Therefore the random numbers are ChaCha8's and the shuffle is
//! written out here, where no update of a library can change it.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A sequence of shuffles.
#[derive(Debug, Clone)]
pub struct Shuffler(ChaCha8Rng);

impl Shuffler {
    /// The sequence of a seed and a stream. The streams of a seed are independent of each other.
    pub fn new(seed: u64, stream: u64) -> Shuffler {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Shuffler(rng)
    }

    /// Shuffles the items with the Fisher–Yates shuffle. Every call takes the next random numbers of the
    /// sequence, one fewer than there are items.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.index(last + 1));
        }
    }

    /// A number below `len`, all with the same probability. Every call takes the next random number of the sequence.
    pub fn index(&mut self, len: usize) -> usize {
        // Multiply-shift: uniform to within 2⁻⁶⁴ · len.
        ((u128::from(self.0.next_u64()) * len as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shuffled(shuffler: &mut Shuffler) -> Vec<u32> {
        let mut items: Vec<u32> = (0..10).collect();
        shuffler.shuffle(&mut items);
        items
    }

    #[test]
    fn a_seed_gives_the_same_orders_for_ever() {
        let mut shuffler = Shuffler::new(0, 0);
        assert_eq!(shuffled(&mut shuffler), [6, 1, 8, 3, 2, 9, 0, 5, 4, 7]);
        assert_eq!(shuffled(&mut shuffler), [9, 4, 0, 5, 8, 2, 3, 6, 7, 1]);
        assert_eq!(shuffled(&mut Shuffler::new(1, 2)), [9, 4, 1, 0, 7, 5, 3, 2, 6, 8]);
    }

    #[test]
    fn every_item_is_kept_and_can_come_anywhere() {
        let mut shuffler = Shuffler::new(7, 0);
        let mut counts = [[0; 10]; 10];
        for _ in 0..1000 {
            let items = shuffled(&mut shuffler);
            for (place, &item) in items.iter().enumerate() {
                counts[place][item as usize] += 1;
            }
        }
        // Each of 100 counts has mean 100 and standard deviation 9.5.
        assert!(counts.as_flattened().iter().all(|count| (60..=140).contains(count)), "{counts:?}");
        assert!(counts.iter().all(|of_place| of_place.iter().sum::<i32>() == 1000));
    }
}
