//! Mixup (Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization"): each row of a batch is mixed with another
//! one of it, and so are their labels. As in the authors' program, a step has one λ from Beta(α, α) and one permutation
//! of its rows.
//!
//! A mixed row λ a + (1 − λ) b is a list of elements like its parts, so nothing changes after it. The loss is linear in
//! the labels: λ times that of a row's own label plus 1 − λ times that of its partner's.

#![allow(unsafe_code)] // Kernels on raw pointers.

use crate::{
    layout::{BLOCK, Layout},
    output::{Targets, exponentials, note},
    parameters::HeadConfig,
    random::{Dropout, Uniform},
    simd::{LANES, Vector},
    workspace::{RowLists, Workspace},
};

/// The largest α: λ is then a half but for a hundredth.
pub(crate) const LARGEST_ALPHA: f64 = 1000.0;

/// The first of the streams of random numbers, one for each step, far from those of initial weights.
const STREAMS: u64 = 1 << 63;

/// How the rows of one head are mixed in one step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Mix {
    /// λ: the weight of a row itself.
    pub(crate) own: f32,
    /// 1 − λ: the weight of its partner.
    pub(crate) others: f32,
    /// `[rows]`: the partner of each row, a permutation.
    partners: Vec<u32>,
}

impl Mix {
    /// The mixing of `rows` rows in a step, a function of the head's seed and the step; `None` if rows are not mixed.
    pub(crate) fn of(config: &HeadConfig, step: u64, rows: usize) -> Option<Mix> {
        let HeadConfig { mixup: alpha, seed, .. } = *config;
        if alpha == 0.0 {
            return None;
        }
        let mut random = Uniform::new(seed, STREAMS.wrapping_add(step));
        let own = beta(alpha, &mut random) as f32;
        let mut partners: Vec<u32> = (0..rows as u32).collect();
        for last in (1..rows).rev() {
            let other = (random.unit() * (last + 1) as f64) as usize;
            partners.swap(last, other);
        }
        Some(Mix { own, others: 1.0 - own, partners })
    }

    #[inline(always)]
    pub(crate) fn partner(&self, row: usize) -> usize {
        self.partners[row] as usize
    }
}

/// A number from Beta(α, α): a Gamma(α) over the sum of two of them. It is computed from their logarithms, since most of
/// them are too small for a number if α is small.
fn beta(alpha: f64, random: &mut Uniform) -> f64 {
    // Gamma(α) is Gamma(α + 1) times a uniform number to the power of 1 / α.
    let mut parts = || (log_gamma_variate(alpha + 1.0, random), log_uniform(random));
    let ((a, log_a), (b, log_b)) = (parts(), parts());
    1.0 / (1.0 + libm::exp((log_b - log_a) / alpha + (b - a)))
}

/// The logarithm of a number from Gamma(`shape`) of a shape above 1 (Marsaglia & Tsang 2000).
fn log_gamma_variate(shape: f64, random: &mut Uniform) -> f64 {
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = normal(random);
        let root = 1.0 + c * x;
        let cube = root * root * root;
        let log_u = log_uniform(random);
        if cube > 0.0 && log_u < 0.5 * x * x + d - d * cube + d * libm::log(cube) {
            return libm::log(d * cube);
        }
    }
}

/// A number from the standard normal distribution (Marsaglia & Bray 1964).
fn normal(random: &mut Uniform) -> f64 {
    loop {
        let [a, b] = [(); 2].map(|()| 2.0 * random.unit() - 1.0);
        let square = a * a + b * b;
        if square > 0.0 && square < 1.0 {
            return a * (-2.0 * libm::log(square) / square).sqrt();
        }
    }
}

/// The logarithm of a uniform number above 0.
fn log_uniform(random: &mut Uniform) -> f64 {
    libm::log(1.0 - random.unit())
}

/// The inputs of a block of a row, those that are 0 included, mixed if the rows are. Those after the last input are 0.
///
/// # Safety
/// `lists` has the lists of all rows of the batch.
#[inline(always)]
pub(crate) unsafe fn fill_block(
    row: usize,
    block: usize,
    mix: Option<&Mix>,
    lists: &RowLists,
    inputs: &mut [f32; BLOCK],
) {
    inputs.fill(0.0);
    let mut add = |row: usize, weight: f32| {
        // SAFETY: the row's list has these elements, whose columns lie in the block.
        unsafe {
            for index in lists.elements(row, block..block + 1) {
                let column = *lists.indices.pointer().add(index) as usize - block * BLOCK;
                *inputs.as_mut_ptr().add(column) += *lists.values.pointer().add(index) * weight;
            }
        }
    };
    match mix {
        None => add(row, 1.0),
        Some(mix) => {
            add(row, mix.own);
            add(mix.partner(row), mix.others);
        }
    }
}

/// Makes the list of a mixed row after dropout from the lists of the batch.
///
/// # Safety
/// The instruction set of `S` is present, `from` has the lists of all rows of the batch, `row` is one of `to`, and
/// nobody else uses it.
#[inline(always)]
pub(crate) unsafe fn mix_inputs<S: Vector>(
    layout: &Layout,
    row: usize,
    mix: &Mix,
    dropout: &Dropout,
    from: &RowLists,
    to: &RowLists,
) {
    let dropout = dropout.row(row);
    let mut inputs = [0.0; BLOCK];
    // Kernels write whole vectors that begin at any element.
    let mut values = [0.0; BLOCK + LANES];
    let mut indices = [0; BLOCK + LANES];
    // SAFETY: a row's list has room for all inputs and a vector more, and so have those of a block.
    unsafe {
        let mut kept = 0;
        for block in 0..layout.blocks {
            let first = kept;
            fill_block(row, block, Some(mix), from, &mut inputs);
            let mut count = 0;
            for k in (0..BLOCK).step_by(LANES) {
                let vector = S::load(inputs.as_ptr().add(k));
                let (values, indices) = (values.as_mut_ptr(), indices.as_mut_ptr());
                let column = (block * BLOCK + k) as u32;
                count += vector.compress(column, values.add(count), indices.add(count));
            }
            let mut index = 0;
            while index < count {
                let source = (values.as_ptr().add(index), indices.as_ptr().add(index));
                let at = row * to.stride + kept;
                let target = (to.values.pointer().add(at), to.indices.pointer().add(at));
                kept += S::filter(&dropout, LANES.min(count - index), source, target);
                index += LANES;
            }
            to.set_block(row, block, first..kept);
        }
    }
}

/// Loss and hit of a mixed row, whose own label and partner's are `labels`, and the gradient of its logits. It is a hit
/// if the most probable class is the label of the larger part.
///
/// # Safety
/// That of [`cross_entropy_of_targets`](crate::output::cross_entropy_of_targets), for both labels.
pub(crate) unsafe fn cross_entropy(
    workspace: &Workspace,
    row: usize,
    (outputs, classes): (usize, usize),
    labels: [usize; 2],
    mix: &Mix,
    targets: &Targets<'_>,
) {
    // SAFETY: the caller's promise.
    let (logits, gradients) = unsafe {
        let logits = workspace.logits.pointer().add(row * outputs);
        let gradients = workspace.logits_grad.pointer().add(row * outputs);
        (
            std::slice::from_raw_parts(logits, classes),
            std::slice::from_raw_parts_mut(gradients, classes),
        )
    };
    let found = exponentials(logits, gradients);
    let log = found.sum.ln();
    let parts = [mix.own, mix.others];
    // How much each class's own cross-entropy adds to the loss.
    let share = |class: usize| {
        let of_labels = labels.iter().zip(parts).filter(|(label, _)| **label == class);
        let of_labels: f32 = of_labels.map(|(_, part)| part).sum();
        targets.weight(class) * (targets.label * of_labels + targets.every)
    };
    let (mut loss, mut shares) = (0.0, 0.0);
    for (class, &logit) in logits.iter().enumerate() {
        let share = share(class);
        // A class without a share may have a logit that is minus infinity.
        if share != 0.0 {
            loss += share * (log - (logit - found.largest));
            shares += share;
        }
    }
    let factor = shares / found.sum;
    for (class, gradient) in gradients.iter_mut().enumerate() {
        *gradient = (*gradient * factor - share(class)) * targets.scale;
    }
    let larger = if mix.own >= mix.others { labels[0] } else { labels[1] };
    // SAFETY: the caller's promise.
    unsafe { note(workspace, row, loss, found.best == larger) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mix(alpha: f64, seed: u64, step: u64, rows: usize) -> Mix {
        Mix::of(&HeadConfig { mixup: alpha, seed, ..HeadConfig::default() }, step, rows).unwrap()
    }

    /// The distributions whose functions are elementary: uniform, arcsine, and that of x (1 − x).
    #[test]
    fn weights_are_from_beta_distributions() {
        let arcsine = |x: f64| x.sqrt().asin() / std::f64::consts::FRAC_PI_2;
        let functions: [(f64, &dyn Fn(f64) -> f64); 3] =
            [(1.0, &|x| x), (0.5, &arcsine), (2.0, &|x| x * x * (3.0 - 2.0 * x))];
        let count = 20_000;
        for (alpha, function) in functions {
            let mut weights: Vec<f64> =
                (0..count).map(|step| f64::from(mix(alpha, 3, step, 1).own)).collect();
            weights.sort_by(f64::total_cmp);
            // Kolmogorov's distance; one sample in a thousand has a larger one.
            let distance = weights.iter().enumerate().fold(0.0, |most: f64, (rank, &weight)| {
                most.max((function(weight) - (rank as f64 + 0.5) / count as f64).abs())
            });
            assert!(distance < 1.95 / (count as f64).sqrt(), "{alpha}: {distance}");
        }
        // The variance is 1 / (4 (2 α + 1)), whatever α is.
        for alpha in [1e-300, 0.01, 0.2, 7.0, LARGEST_ALPHA] {
            let weights = (0..count).map(|step| f64::from(mix(alpha, 4, step, 1).own));
            let (mut sum, mut squares) = (0.0, 0.0);
            for weight in weights {
                assert!((0.0..=1.0).contains(&weight), "{alpha}: {weight}");
                sum += weight;
                squares += (weight - 0.5).powi(2);
            }
            let expected = 0.25 / (2.0 * alpha + 1.0);
            let variance = squares / count as f64;
            assert!((variance / expected - 1.0).abs() < 0.06, "{alpha}: {variance} {expected}");
            let limit = 4.0 * (expected / count as f64).sqrt();
            assert!((sum / count as f64 - 0.5).abs() < limit, "{alpha}: {}", sum / count as f64);
        }
    }

    /// Every row is the partner of one row, and of each with the same probability.
    #[test]
    fn partners_are_a_permutation() {
        let (rows, steps) = (6, 6000);
        let mut counts = vec![0u32; rows * rows];
        for step in 0..steps {
            let mix = mix(0.4, 9, step, rows);
            let mut seen = vec![false; rows];
            for row in 0..rows {
                let partner = mix.partner(row);
                assert!(!std::mem::replace(&mut seen[partner], true));
                counts[row * rows + partner] += 1;
            }
        }
        // Five standard deviations.
        let (expected, limit) = (steps as f64 / 6.0, 5.0 * (steps as f64 * 5.0 / 36.0).sqrt());
        for count in counts {
            assert!((f64::from(count) - expected).abs() < limit, "{count}");
        }
    }

    #[test]
    fn seed_and_step_say_how_rows_are_mixed() {
        let of = |seed, step| mix(0.4, seed, step, 64);
        assert_eq!(of(1, 5), of(1, 5));
        let others = [of(1, 5), of(1, 6), of(2, 5), of(2, 6)];
        for (index, a) in others.iter().enumerate() {
            for b in &others[..index] {
                assert!(a.own != b.own && a.partners != b.partners);
            }
        }
        assert!(Mix::of(&HeadConfig::default(), 1, 3).is_none());
    }
}
