//! Rows × heads per second in training, and a profile by phase.
//!
//! ```text
//! cargo run -p fused-head --example head_bench -- --inputs 4608 --hidden 128 --heads 8 --density 0.08
//! ```
//!
//! `--norm 9` normalises the inputs over channels of 9 positions. `--npy FILE` takes a float32 array `[rows, inputs]` that NumPy saved. Otherwise the data are
//! synthetic: 50,000 rows (`--rows`), visited in random order, of which a fraction
//! `--density` of the elements is not 0, as after a ReLU. Which columns are how dense is uneven
//! with `--uneven 1`: like channels of a network, some are never active. The rate of a dense product
//! that would do the same work is compared with the machine's peak, measured in the same run as
//! multiply-adds on registers.

use std::{
    env,
    error::Error,
    hint::black_box,
    num::NonZeroUsize,
    str::FromStr,
    thread,
    time::{Duration, Instant},
};

use fused_head::{HeadConfig, HeadShape, HiddenLayer, HiddenLayers, Parameters, Row, Trainer};

fn main() -> Result<(), Box<dyn Error>> {
    let npy: String = option("npy", String::new());
    let array = if npy.is_empty() { None } else { Some(read_npy(&npy)?) };
    let inputs = array.as_ref().map_or_else(|| option("inputs", 4608), |(_, inputs)| *inputs);
    let hidden: String = option("hidden", "128".to_owned());
    let mut shape = HeadShape::new(inputs, layers(&hidden)?, option("classes", 10));
    // Positions of each channel, over which the inputs are normalised.
    shape.input_norm = NonZeroUsize::new(option("norm", 0));
    let batch: usize = option("batch", 64);
    let heads: usize = option("heads", 1);
    let threads: usize = option("threads", 2);
    let mut rows: usize = option("rows", 50_000);
    let mut density: f64 = option("density", 0.08);
    let uneven = option("uneven", 0) != 0;
    let p: f32 = option("p", 0.8);
    let seconds: f64 = option("seconds", 3.0);

    let mut random = Random(1);
    let data = match array {
        Some((data, inputs)) => {
            rows = data.len() / inputs;
            density = data.iter().filter(|&&x| x != 0.0).count() as f64 / data.len() as f64;
            data
        }
        None => synthetic(rows, shape.inputs, density, uneven, &mut random),
    };
    let labels: Vec<i64> = (0..rows).map(|_| random.below(shape.classes) as i64).collect();
    // fast.ai's: half of p before all dense layers but the last.
    let mut dropout = vec![p / 2.0; shape.dense_layers()];
    dropout[shape.hidden.len()] = p;
    let configs: Vec<_> = (0..heads)
        .map(|head| HeadConfig {
            dropout: dropout.clone(),
            seed: head as u64,
            ..HeadConfig::default()
        })
        .collect();
    let initial: Vec<_> = configs.iter().map(|c| Parameters::glorot(shape, c.seed)).collect();
    let mut trainer = Trainer::new(shape, &configs, &initial, batch, threads)?;
    drop(initial);

    let mut order: Vec<usize> = (0..rows).collect();
    let rates = vec![1e-3; heads];
    let (mut rates_of_epochs, mut profile) = (Vec::new(), Vec::new());
    // The first round is a warm-up: pages, and columns that are seen for the first time.
    for round in 0..4 {
        let limit = Duration::from_secs_f64(seconds / 4.0);
        trainer.profile();
        let (started, mut done) = (Instant::now(), 0);
        'round: loop {
            for last in (1..rows).rev() {
                order.swap(last, random.below(last + 1));
            }
            for batch in order.chunks(batch) {
                let row_of = |&row: &usize| Row::Dense(&data[row * shape.inputs..][..shape.inputs]);
                let rows: Vec<Row<'_>> = batch.iter().map(row_of).collect();
                let labels: Vec<i64> = batch.iter().map(|&row| labels[row]).collect();
                trainer.step(&rows, &labels, &rates)?;
                done += batch.len();
                if started.elapsed() > limit {
                    break 'round;
                }
            }
        }
        if round > 0 {
            rates_of_epochs.push((done * heads) as f64 / started.elapsed().as_secs_f64());
            profile.push((trainer.profile(), done));
        }
    }
    rates_of_epochs.sort_by(f64::total_cmp);
    let rate = rates_of_epochs[1];
    println!(
        "{} inputs, {hidden} hidden, {} classes, batch {batch}, {heads} heads, {threads} threads, {}, \
         density {density:.3}, p {p}: {rate:.0} rows x heads/s (median; {:.0} to {:.0})",
        shape.inputs,
        shape.classes,
        trainer.isa(),
        rates_of_epochs[0],
        rates_of_epochs[2],
    );
    let peak = peak(threads);
    let dense = dense_flops(shape) * rate;
    println!(
        "as much as a dense product at {:.0} GFLOP/s; multiply-adds on registers reach {:.0}: {:.0} %",
        dense / 1e9,
        peak / 1e9,
        100.0 * dense / peak
    );
    let (times, done) = profile.pop().ok_or("no round was measured")?;
    let total: f64 = times.iter().map(|(_, time)| time.as_secs_f64()).sum();
    println!("{:>30} {:>8} {:>24}", "part", "share", "thread µs / head / batch");
    for (name, time) in times {
        let time = time.as_secs_f64();
        let micros = time * 1e6 / (done as f64 / batch as f64 * heads as f64);
        println!("{name:>30} {:>7.1} % {micros:>22.1}", 100.0 * time / total);
    }
    Ok(())
}

/// Multiplications and additions for a row, without any for zeros saved: forwards, weights'
/// gradients, and the activations' but the first.
fn dense_flops(shape: HeadShape) -> f64 {
    let weights = |(inputs, outputs): (usize, usize)| inputs * outputs;
    let all: usize = shape.dense_sizes().map(weights).sum();
    let first = shape.dense_sizes().next().map_or(0, weights);
    2.0 * (3 * all - first) as f64
}

/// Hidden layers as `--hidden` has them: one width for two layers, several separated by slashes, or `none`.
fn layers(text: &str) -> Result<HiddenLayers, Box<dyn Error>> {
    if text == "none" {
        return Ok(HiddenLayers::NONE);
    }
    let widths: Vec<usize> = text.split('/').map(str::parse).collect::<Result<_, _>>()?;
    match widths.as_slice() {
        [width] => Ok(HiddenLayers::two(*width)),
        widths => {
            let layers: Vec<_> = widths.iter().map(|&width| HiddenLayer::new(width)).collect();
            Ok(HiddenLayers::new(&layers)?)
        }
    }
}

/// A float32 array of two dimensions in C order, and its second dimension.
fn read_npy(path: &str) -> Result<(Vec<f32>, usize), Box<dyn Error>> {
    let bytes = std::fs::read(path)?;
    let header_len = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..10 + header_len])?;
    let shape = header.split_once("'shape': (").and_then(|(_, shape)| shape.split_once(')'));
    let (shape, _) = shape.ok_or("no shape")?;
    let (_, inputs) = shape.split_once(',').ok_or("not two dimensions")?;
    if !header.contains("<f4") || header.contains("True") {
        return Err("not float32 in C order".into());
    }
    let numbers = bytes[10 + header_len..].as_chunks::<4>().0;
    let values = numbers.iter().map(|&number| f32::from_le_bytes(number)).collect();
    Ok((values, inputs.trim().parse()?))
}

/// Rows after a ReLU.
fn synthetic(
    rows: usize,
    inputs: usize,
    density: f64,
    uneven: bool,
    random: &mut Random,
) -> Vec<f32> {
    // The share of rows in which a column is active: density on average, from 0 up.
    let columns: Vec<f64> = (0..inputs)
        .map(|_| if uneven { (density * 4.0 * random.unit().powi(3)).min(1.0) } else { density })
        .collect();
    let mut data = vec![0.0; rows * inputs];
    for row in data.chunks_exact_mut(inputs) {
        for (value, &density) in row.iter_mut().zip(&columns) {
            let unit = random.unit();
            if unit < density {
                *value = (10.0 * unit / density) as f32 + 0.01;
            }
        }
    }
    data
}

/// Multiply-adds on registers, in FLOP/s over all threads.
fn peak(threads: usize) -> f64 {
    let rate = || {
        let mut best = 0.0f64;
        for _ in 0..5 {
            let started = Instant::now();
            let rounds = 2_000_000;
            let sum = multiply_adds(black_box(rounds), black_box(1.000_000_1));
            black_box(sum);
            best = best.max((rounds * 96 * 2) as f64 / started.elapsed().as_secs_f64());
        }
        best
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(rate)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap_or(0.0)).sum()
    })
}

fn multiply_adds(rounds: usize, factor: f32) -> f32 {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        #[allow(unsafe_code)]
        // SAFETY: the instructions are there.
        return unsafe { multiply_adds_fma(rounds, factor) };
    }
    let mut sums = [factor; 96];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = *sum * factor + 1e-9;
        }
    }
    sums.iter().sum()
}

/// # Safety
/// The instructions of the attribute are there.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
#[allow(unsafe_code)]
unsafe fn multiply_adds_fma(rounds: usize, factor: f32) -> f32 {
    use std::arch::x86_64::*;
    let (factor, step) = (_mm256_set1_ps(factor), _mm256_set1_ps(1e-9));
    let mut sums = [factor; 12];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm256_fmadd_ps(*sum, factor, step);
        }
    }
    let sum = sums.into_iter().fold(step, |a, b| _mm256_add_ps(a, b));
    _mm256_cvtss_f32(sum)
}

/// `--name value`, or the default.
fn option<T: FromStr>(name: &str, default: T) -> T {
    let flag = format!("--{name}");
    let value = env::args().skip_while(|argument| *argument != flag).nth(1);
    value.and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In `[0, 1)`.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn below(&mut self, limit: usize) -> usize {
        ((u128::from(self.next()) * limit as u128) >> 64) as usize
    }
}
