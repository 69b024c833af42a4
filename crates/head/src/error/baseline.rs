use std::path::PathBuf;

use plural::counted;

use crate::resources::Memory;

/// A baseline that cannot be computed from these features with these options.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    /// More neighbours are asked for than there are rows.
    #[error(
        "--k={k}: {} has {} for training; name at most as many neighbours",
        path.display(), counted(*rows, "row")
    )]
    TooManyNeighbours {
        /// The cache.
        path: PathBuf,
        /// The number of neighbours.
        k: usize,
        /// Training rows.
        rows: usize,
    },
    /// There are too many rows and too many numbers in a row for ridge regression in closed form.
    #[error(
        "{} has {} of {width} numbers for training, and ridge regression solves for at most {most} of either; extract \
         with a pooled tap, such as --taps=conv5_3:avg, or with a smaller --size, or train a head ('vgg-head train')",
        path.display(), counted(*rows, "row")
    )]
    RidgeTooLarge {
        /// The cache.
        path: PathBuf,
        /// Training rows.
        rows: usize,
        /// Numbers in a row of pooled features.
        width: usize,
        /// The most of either.
        most: usize,
    },
    /// The matrices of ridge regression do not fit into memory.
    #[error(
        "{}: ridge regression solves {size} equations, whose matrices take {needed} bytes, and {memory} has no room \
         for them; allow more memory, --memory={needed}, or extract with a pooled tap, such as --taps=conv5_3:avg",
        path.display()
    )]
    RidgeMemory {
        /// The cache.
        path: PathBuf,
        /// Number of equations.
        size: usize,
        /// Bytes of the matrices.
        needed: u64,
        /// The memory allowed.
        memory: Memory,
    },
    /// The equations of ridge regression cannot be solved to the precision of double numbers.
    #[error(
        "--alpha={alpha} is too small for these features: the equations have no stable solution; try a larger one"
    )]
    RidgeSingular {
        /// The regularisation.
        alpha: f64,
    },
}
