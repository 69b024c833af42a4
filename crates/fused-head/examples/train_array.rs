//! Trains heads on a `.npy` array for as long as it is told to, beside other programs.
//!
//! ```text
//! train_array --features F.npy --labels L.npy --threads 2 --heads 8
//! ```
//!
//! `F.npy` is float32 `[rows, inputs]`, `L.npy` int64 `[rows]`. After `ready`, each line of standard
//! input is a number of seconds, answered with the rows × heads trained a second in that time: the
//! fastai head, 128 wide, batch 64, p = 0.8, Adam. `bench/head.py` asks.

use std::collections::HashMap;
use std::error::Error;
use std::io::{BufRead, Write};
use std::time::{Duration, Instant};

use fused_head::{HeadConfig, HeadShape, Parameters, Row, Trainer};
use ndarray::{Array1, Array2};
use ndarray_npy::read_npy;

const BATCH: usize = 64;
const DROPOUT: [f32; 3] = [0.4, 0.4, 0.8];

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let options: HashMap<&str, &str> =
        words.chunks_exact(2).map(|pair| (pair[0].as_str(), pair[1].as_str())).collect();
    let option = |name: &str| options.get(name).ok_or_else(|| format!("{name} is missing"));
    let features: Array2<f32> = read_npy(option("--features")?)?;
    let labels: Array1<i64> = read_npy(option("--labels")?)?;
    let (heads, threads) = (option("--heads")?.parse()?, option("--threads")?.parse()?);

    let inputs = features.ncols();
    let classes = usize::try_from(labels.iter().max().copied().unwrap_or(0))? + 1;
    let shape = HeadShape::new(inputs, 128, classes);
    let configs: Vec<HeadConfig> = (0..heads)
        .map(|seed| HeadConfig { dropout: DROPOUT.to_vec(), seed, ..HeadConfig::default() })
        .collect();
    let initial: Vec<Parameters> = (0..heads).map(|seed| Parameters::glorot(shape, seed)).collect();
    let mut trainer = Trainer::new(shape, &configs, &initial, BATCH, threads)?;
    let learning_rates = vec![1e-3; configs.len()];

    // A step through the rows that is coprime to their number visits each once per epoch, in an
    // order as scattered as a random one.
    let rows = features.nrows();
    let stride = (rows as f64 * 0.618) as usize | 1;
    let stride = (stride..).step_by(2).find(|&stride| gcd(stride, rows) == 1).unwrap_or(1);
    let mut next = 0;
    let numbers = features.as_slice().ok_or("the features are not in C order")?;
    let mut train = |duration: Duration| -> Result<f64, Box<dyn Error>> {
        let (started, mut trained) = (Instant::now(), 0);
        while started.elapsed() < duration {
            let mut batch = Vec::with_capacity(BATCH);
            let mut batch_labels = Vec::with_capacity(BATCH);
            for _ in 0..BATCH {
                batch.push(Row::Dense(&numbers[next * inputs..][..inputs]));
                batch_labels.push(labels[next]);
                next = (next + stride) % rows;
            }
            trainer.step(&batch, &batch_labels, &learning_rates)?;
            trained += BATCH * configs.len();
        }
        Ok(trained as f64 / started.elapsed().as_secs_f64())
    };

    train(Duration::from_secs(1))?;
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        let seconds = Duration::from_secs_f64(line?.trim().parse()?);
        println!("{:.1}", train(seconds)?);
        std::io::stdout().flush()?;
    }
    Ok(())
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
