//! Trains heads on a `.npy` array for as long as it is told to, or to a low loss, beside other programs.
//!
//! ```text
//! train_array --features F.npy --labels L.npy --threads 2 --heads 8 [--arch linear]
//! ```
//!
//! `F.npy` is float32 `[rows, inputs]`, `L.npy` int64 `[rows]`. After `ready`, each line of standard
//! input that is a number of seconds is answered with the rows × heads trained a second in that time: the
//! fastai head, 128 wide, batch 64, p = 0.8, Adam; or softmax regression without dropout, whose rows are given as
//! lists of their elements that are not 0, as `vgg-head` keeps them. A line `fit EPOCHS` is answered with the seconds
//! that it takes to train heads from their first step on for so many epochs, with a learning rate that goes down to 0 as
//! a cosine, and with the first one's cross-entropy, mean over all rows, after that. `bench/head.py` asks.

use std::collections::HashMap;
use std::error::Error;
use std::f64::consts::PI;
use std::io::{BufRead, Write};
use std::time::{Duration, Instant};

use fused_head::{Columns, HeadConfig, HeadShape, HiddenLayers, Parameters, Row, Trainer};
use ndarray::{Array1, Array2};
use ndarray_npy::read_npy;

const BATCH: usize = 64;
const DROPOUT: [f32; 3] = [0.4, 0.4, 0.8];
const LEARNING_RATE: f64 = 1e-3;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let options: HashMap<&str, &str> =
        words.chunks_exact(2).map(|pair| (pair[0].as_str(), pair[1].as_str())).collect();
    let option = |name: &str| options.get(name).ok_or_else(|| format!("{name} is missing"));
    let features: Array2<f32> = read_npy(option("--features")?)?;
    let labels: Array1<i64> = read_npy(option("--labels")?)?;
    let (heads, threads) = (option("--heads")?.parse()?, option("--threads")?.parse()?);
    let is_linear = options.get("--arch") == Some(&"linear");

    let inputs = features.ncols();
    let classes = usize::try_from(labels.iter().max().copied().unwrap_or(0))? + 1;
    let hidden = if is_linear { HiddenLayers::NONE } else { HiddenLayers::two(128) };
    let dropout = if is_linear { Vec::new() } else { DROPOUT.to_vec() };
    let shape = HeadShape::new(inputs, hidden, classes);
    let numbers = features.as_slice().ok_or("the features are not in C order")?;
    let lists = is_linear.then(|| Lists::of(numbers, inputs));
    let rows: Vec<Row<'_>> = match &lists {
        Some(lists) => (0..features.nrows()).map(|row| lists.row(row)).collect(),
        None => numbers.chunks_exact(inputs).map(Row::Dense).collect(),
    };
    let labels = labels.as_slice().ok_or("the labels are not in C order")?;
    let new_trainer = || -> Result<Trainer, fused_head::Error> {
        let config = |seed| HeadConfig { dropout: dropout.clone(), seed, ..HeadConfig::default() };
        let configs: Vec<HeadConfig> = (0..heads).map(config).collect();
        let initial: Vec<Parameters> =
            (0..heads).map(|seed| Parameters::glorot(shape, seed)).collect();
        Trainer::new(shape, &configs, &initial, BATCH, threads)
    };
    let mut running = Running { rows: &rows, labels, next: 0 };
    let mut trainer = new_trainer()?;

    running.train_for(&mut trainer, Duration::from_secs(1))?;
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        match line.trim().strip_prefix("fit ") {
            Some(epochs) => {
                let epochs = epochs.parse()?;
                // It is made in the time, as the peers' are.
                let started = Instant::now();
                let mut trainer = new_trainer()?;
                running.fit(&mut trainer, epochs)?;
                let seconds = started.elapsed().as_secs_f64();
                println!("{seconds:.4} {:.6}", trainer.evaluate(&rows, labels)?[0].loss);
            }
            None => {
                let seconds = Duration::from_secs_f64(line.trim().parse()?);
                println!("{:.1}", running.train_for(&mut trainer, seconds)?);
            }
        }
        std::io::stdout().flush()?;
    }
    Ok(())
}

/// Rows as lists of their elements that are not 0.
struct Lists {
    /// Where each row starts, and where the last ends.
    starts: Vec<usize>,
    columns: Vec<u16>,
    values: Vec<f32>,
}

impl Lists {
    fn of(numbers: &[f32], inputs: usize) -> Lists {
        let mut lists = Lists { starts: vec![0], columns: Vec::new(), values: Vec::new() };
        for row in numbers.chunks_exact(inputs) {
            for (column, &value) in (0..).zip(row).filter(|(_, value)| **value != 0.0) {
                lists.columns.push(column);
                lists.values.push(value);
            }
            lists.starts.push(lists.values.len());
        }
        lists
    }

    fn row(&self, row: usize) -> Row<'_> {
        let elements = self.starts[row]..self.starts[row + 1];
        let columns = Columns::U16(&self.columns[elements.clone()]);
        Row::Sparse { columns, values: &self.values[elements] }
    }
}

/// The rows in the order of training.
struct Running<'a> {
    rows: &'a [Row<'a>],
    labels: &'a [i64],
    next: usize,
}

impl Running<'_> {
    /// A step on the next `count` rows, with this learning rate.
    fn step(
        &mut self,
        trainer: &mut Trainer,
        count: usize,
        rate: f64,
    ) -> Result<(), Box<dyn Error>> {
        // A step through the rows that is coprime to their number visits each once per epoch, in an
        // order as scattered as a random one.
        let all = self.rows.len();
        let stride = (all as f64 * 0.618) as usize | 1;
        let stride = (stride..).step_by(2).find(|&stride| gcd(stride, all) == 1).unwrap_or(1);
        let (mut batch, mut labels) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for _ in 0..count {
            batch.push(self.rows[self.next]);
            labels.push(self.labels[self.next]);
            self.next = (self.next + stride) % all;
        }
        trainer.step(&batch, &labels, &vec![rate; trainer.heads()])?;
        Ok(())
    }

    /// Trains for so long; the rows × heads per second.
    fn train_for(
        &mut self,
        trainer: &mut Trainer,
        duration: Duration,
    ) -> Result<f64, Box<dyn Error>> {
        let (started, mut trained) = (Instant::now(), 0);
        while started.elapsed() < duration {
            self.step(trainer, BATCH, LEARNING_RATE)?;
            trained += BATCH * trainer.heads();
        }
        Ok(trained as f64 / started.elapsed().as_secs_f64())
    }

    /// Trains for so many epochs, with a learning rate that goes down to 0 as a cosine.
    fn fit(&mut self, trainer: &mut Trainer, epochs: usize) -> Result<(), Box<dyn Error>> {
        let all = self.rows.len();
        let steps = epochs * all.div_ceil(BATCH);
        for step in 0..steps {
            let done = step % all.div_ceil(BATCH) * BATCH;
            let rate = LEARNING_RATE * 0.5 * (1.0 + (PI * step as f64 / steps as f64).cos());
            self.step(trainer, BATCH.min(all - done), rate)?;
        }
        Ok(())
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
