//! Heads of one shape, trained together.

#![allow(unsafe_code)] // Calls kernels.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use crate::{
    Error, HeadConfig, HeadShape, Parameters,
    adam::Adam,
    head::Head,
    isa::{Isa, Kernels},
    layout::Layout,
    phase::{self, Context, Update},
    random::Dropout,
    team::{Member, Pool, Team},
    workspace::{RowLists, Workspace},
};

/// Least rows per forward pass when nothing is learned.
const EVALUATION_ROWS: usize = 64;

/// Rows of a call, and their elements within a block of inputs, are numbered in 32 bits.
const BATCH_LIMIT: usize = 1 << 20;

/// Loss and hits of one head on a batch.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct StepResult {
    /// Cross-entropy, mean over the rows. NaN or infinite if the head has diverged.
    pub loss: f32,
    /// Rows whose most probable class is the label.
    pub hits: u32,
}

/// Heads of one shape in training, with their threads.
///
/// A head's results do not depend, to the bit, on the heads beside it or on the number of threads.
pub struct Trainer {
    shape: HeadShape,
    layout: Layout,
    batch_size: usize,
    heads: Vec<Head>,
    kernels: Kernels,
    isa: Isa,
    pool: Pool,
    /// The rows of a call.
    gathered: RowLists,
    /// One per thread, or one for all if there are fewer heads than threads.
    workspaces: Vec<Workspace>,
    /// Steps done.
    steps: u64,
    results: Vec<StepResult>,
    #[cfg(test)]
    last_rows: usize,
    /// Nanoseconds in the gathering and in each phase.
    clock: [AtomicU64; 1 + phase::TRAINING.len()],
}

impl std::fmt::Debug for Trainer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trainer")
            .field("shape", &self.shape)
            .field("heads", &self.heads.len())
            .field("steps", &self.steps)
            .finish_non_exhaustive()
    }
}

impl Trainer {
    /// A trainer of heads with these initial parameters, in steps of at most `batch_size` rows.
    ///
    /// # Errors
    /// If a size is 0, a fraction dropped is not in `[0, 1)`, or the initial parameters do not fit.
    pub fn new(
        shape: HeadShape,
        configs: &[HeadConfig],
        initial: &[Parameters],
        batch_size: usize,
        threads: usize,
    ) -> Result<Trainer, Error> {
        Trainer::with_isa(shape, configs, initial, batch_size, threads, Isa::detect())
    }

    pub(crate) fn with_isa(
        shape: HeadShape,
        configs: &[HeadConfig],
        initial: &[Parameters],
        batch_size: usize,
        threads: usize,
        isa: Isa,
    ) -> Result<Trainer, Error> {
        for (field, number) in [
            ("inputs", shape.inputs),
            ("hidden", shape.hidden),
            ("classes", shape.classes),
            ("batch_size", batch_size),
            ("threads", threads),
        ] {
            if number == 0 {
                return Err(Error::Zero { field });
            }
        }
        if batch_size > BATCH_LIMIT {
            return Err(Error::BatchSize { batch_size, limit: BATCH_LIMIT });
        }
        if configs.is_empty() {
            return Err(Error::NoHeads);
        }
        if configs.len() != initial.len() {
            return Err(Error::InitialCount { heads: configs.len(), initial: initial.len() });
        }
        for (head, (config, initial)) in configs.iter().zip(initial).enumerate() {
            for (layer, &fraction) in config.dropout.iter().enumerate() {
                if !(0.0..1.0).contains(&fraction) {
                    return Err(Error::Dropout { head, layer, fraction });
                }
            }
            if initial.shape() != shape {
                return Err(Error::InitialShape { head });
            }
        }
        let layout = Layout::new(shape);
        let pool = Pool::new(threads);
        let rows = batch_size.max(EVALUATION_ROWS);
        let workspaces = if configs.len() < pool.size() { 1 } else { pool.size() };
        Ok(Trainer {
            shape,
            layout,
            batch_size,
            heads: configs.iter().zip(initial).map(|(&c, i)| Head::new(c, i)).collect(),
            kernels: isa.kernels(),
            isa,
            pool,
            gathered: RowLists::new(&layout, rows),
            workspaces: (0..workspaces).map(|_| Workspace::new(&layout, rows)).collect(),
            steps: 0,
            results: vec![StepResult::default(); configs.len()],
            #[cfg(test)]
            last_rows: 0,
            clock: Default::default(),
        })
    }

    /// The sizes of the heads' layers.
    pub fn shape(&self) -> HeadShape {
        self.shape
    }

    /// Number of heads.
    pub fn heads(&self) -> usize {
        self.heads.len()
    }

    /// The instruction set in use: `avx2` or `portable`.
    pub fn isa(&self) -> &'static str {
        self.isa.name()
    }

    /// One step of every head on the same rows, each `[inputs]` long; a label and a row have the
    /// same position. `learning_rates` has one for each head.
    ///
    /// Of a single row there is no variance: its units normalise to 0, no gradient passes the
    /// normalisation, and the running variances stay as they are.
    ///
    /// # Errors
    /// If there is no row or more than a batch, or lengths or labels do not fit.
    pub fn step(
        &mut self,
        rows: &[&[f32]],
        labels: &[i64],
        learning_rates: &[f64],
    ) -> Result<&[StepResult], Error> {
        if rows.is_empty() || rows.len() > self.batch_size {
            return Err(Error::Rows { rows: rows.len(), batch_size: self.batch_size });
        }
        self.check_rows(rows)?;
        self.check_labels(rows, labels)?;
        if learning_rates.len() != self.heads.len() {
            let (heads, rates) = (self.heads.len(), learning_rates.len());
            return Err(Error::LearningRateCount { heads, rates });
        }
        self.steps += 1;
        #[cfg(test)]
        (self.last_rows = rows.len());
        self.run(rows, labels, Some(learning_rates), |_, _| {});
        for (result, head) in self.results.iter_mut().zip(&mut self.heads) {
            let sums = head.result.as_slice();
            *result = StepResult { loss: sums[0] / rows.len() as f32, hits: sums[1] as u32 };
        }
        Ok(&self.results)
    }

    /// Loss, mean over all rows, and hits of every head: without dropout, normalised by the running
    /// averages. Any number of rows.
    ///
    /// # Errors
    /// If there is no row, or lengths or labels do not fit.
    pub fn evaluate(&mut self, rows: &[&[f32]], labels: &[i64]) -> Result<Vec<StepResult>, Error> {
        if rows.is_empty() {
            return Err(Error::NoRows);
        }
        self.check_rows(rows)?;
        self.check_labels(rows, labels)?;
        let mut sums = vec![(0.0, 0); self.heads.len()];
        let chunk = self.workspaces[0].rows;
        for (rows, labels) in rows.chunks(chunk).zip(labels.chunks(chunk)) {
            self.run(rows, labels, None, |_, _| {});
            for (sum, head) in sums.iter_mut().zip(&mut self.heads) {
                let result = head.result.as_slice();
                sum.0 += f64::from(result[0]);
                sum.1 += result[1] as u32;
            }
        }
        let mean = |sum: f64| (sum / rows.len() as f64) as f32;
        Ok(sums.into_iter().map(|(loss, hits)| StepResult { loss: mean(loss), hits }).collect())
    }

    /// The logits of every head, `[rows, classes]` each: without dropout, normalised by the running
    /// averages. Any number of rows.
    ///
    /// # Errors
    /// If there is no row, or a row's length does not fit.
    pub fn logits(&mut self, rows: &[&[f32]]) -> Result<Vec<Vec<f32>>, Error> {
        if rows.is_empty() {
            return Err(Error::NoRows);
        }
        self.check_rows(rows)?;
        let classes = self.shape.classes;
        let mut logits: Vec<std::sync::Mutex<Vec<f32>>> = Vec::new();
        logits.resize_with(self.heads.len(), Default::default);
        let outputs = self.layout.outputs;
        for rows in rows.chunks(self.workspaces[0].rows) {
            self.run(rows, &[], None, |head, workspace| {
                let mut logits = logits[head].lock().expect("nobody panics with it");
                for row in 0..rows.len() {
                    let row = workspace.logits.pointer().wrapping_add(row * outputs);
                    // SAFETY: rows of the batch, whose logits are done.
                    logits.extend(unsafe { std::slice::from_raw_parts(row, classes) });
                }
            });
        }
        let taken = logits.into_iter().map(|logits| logits.into_inner());
        Ok(taken.map(|logits| logits.expect("nobody panics with it")).collect())
    }

    /// The parameters of a head as they are now.
    ///
    /// # Panics
    /// If there is no such head.
    pub fn parameters(&mut self, head: usize) -> Parameters {
        self.heads[head].export(self.shape, |trained| &mut trained.value)
    }

    /// Adam's first moments.
    #[cfg(test)]
    pub(crate) fn moments(&mut self, head: usize) -> Parameters {
        self.heads[head].export(self.shape, |trained| &mut trained.m)
    }

    /// Adam's second moments.
    #[cfg(test)]
    pub(crate) fn second_moments(&mut self, head: usize) -> Parameters {
        self.heads[head].export(self.shape, |trained| &mut trained.v)
    }

    /// The logits of the last step, of the first workspace's last head.
    #[cfg(test)]
    pub(crate) fn last_logits(&mut self) -> Vec<f32> {
        let rows = self.last_rows;
        let logits = self.workspaces[0].logits.as_slice().chunks(self.layout.outputs);
        logits.take(rows).flat_map(|row| row[..self.shape.classes].to_vec()).collect()
    }

    /// Where the time went since the last call: each part's name and the thread time spent in it
    /// (with waiting for the other threads at its end), over all threads.
    pub fn profile(&mut self) -> Vec<(&'static str, Duration)> {
        let names = std::iter::once("gather rows").chain(phase::TRAINING.map(phase::Phase::name));
        let times = self.clock.iter_mut().map(|time| std::mem::take(time.get_mut()));
        names.zip(times.map(Duration::from_nanos)).collect()
    }

    fn check_rows(&self, rows: &[&[f32]]) -> Result<(), Error> {
        let expected = self.shape.inputs;
        match rows.iter().position(|row| row.len() != expected) {
            Some(row) => Err(Error::RowLength { row, expected, actual: rows[row].len() }),
            None => Ok(()),
        }
    }

    fn check_labels(&self, rows: &[&[f32]], labels: &[i64]) -> Result<(), Error> {
        if rows.len() != labels.len() {
            return Err(Error::LabelCount { rows: rows.len(), labels: labels.len() });
        }
        let classes = self.shape.classes;
        let wrong = |&label: &i64| usize::try_from(label).map_or(true, |label| label >= classes);
        match labels.iter().position(wrong) {
            Some(row) => Err(Error::Label { row, label: labels[row], classes }),
            None => Ok(()),
        }
    }

    /// Runs a batch through every head, with learning if there are learning rates. Then each head's
    /// sum of losses and hits is in its `result`; `done` sees its workspace.
    ///
    /// The rows fit the workspaces, and rows and labels are checked.
    fn run(
        &mut self,
        rows: &[&[f32]],
        labels: &[i64],
        learning_rates: Option<&[f64]>,
        done: impl Fn(usize, &Workspace) + Sync,
    ) {
        let Trainer { layout, heads, kernels, pool, gathered, workspaces, steps, clock, .. } = self;
        let (layout, heads, gathered) = (&*layout, &**heads, &*gathered);
        let (workspaces, clock) = (&**workspaces, &*clock);
        let (kernels, step) = (*kernels, *steps);
        let phases = match learning_rates {
            Some(_) => &phase::TRAINING[..],
            None => &phase::INFERENCE[..],
        };
        // One head of this batch, by a team.
        let run_head = |index: usize, workspace: &Workspace, member: Member<'_>| {
            let head = &heads[index];
            let update = learning_rates.map(|rates| Update {
                adam: Adam::new(rates[index], step),
                dropout: std::array::from_fn(|layer| {
                    Dropout::new(head.config.dropout[layer], head.config.seed, step, layer)
                }),
            });
            let context = Context { head, workspace, gathered, rows: rows.len(), labels, update };
            let mut started = Instant::now();
            for &phase in phases {
                let items = context.items(phase, member.team_size());
                if items == 0 {
                    continue;
                }
                while let Some(item) = member.take(items) {
                    // SAFETY: the kernels are those of this machine; the sizes are those of the
                    // trainer's layout; the team takes each item once, and it alone has this head
                    // and this workspace now.
                    unsafe { (kernels.run_item)(&context, phase, item, items) };
                }
                member.wait();
                let now = Instant::now();
                add(&clock[1 + phase as usize], now - started);
                started = now;
            }
            if member.index == 0 {
                let mut sums = (0.0, 0.0);
                if !labels.is_empty() {
                    for row in 0..rows.len() {
                        // SAFETY: rows of the workspace, which this team has.
                        unsafe {
                            sums.0 += f64::from(*workspace.losses.pointer().add(row));
                            sums.1 += *workspace.hits.pointer().add(row);
                        }
                    }
                }
                let result = head.result.pointer();
                // SAFETY: two floats, of which the first member is in charge.
                unsafe {
                    *result = sums.0 as f32;
                    *result.add(1) = sums.1;
                }
                done(index, workspace);
            }
            // The first member may still read the workspace.
            member.wait();
        };
        let threads = pool.size();
        // As many heads as possible whole on one thread each, the others by all threads together.
        let whole = heads.len() / threads * threads;
        pool.run(&|member| {
            let started = Instant::now();
            while let Some(item) = member.take(rows.len().div_ceil(phase::ROWS)) {
                let first = item * phase::ROWS;
                for (offset, values) in rows[first..].iter().take(phase::ROWS).enumerate() {
                    // SAFETY: the kernels are those of this machine; the rows were checked, there
                    // is room for them, and each item is taken once.
                    unsafe { (kernels.gather)(layout, values, first + offset, gathered) };
                }
            }
            member.wait();
            add(&clock[0], started.elapsed());
            if whole > 0 {
                let alone = Team::new(1);
                while let Some(head) = member.take(whole) {
                    run_head(head, &workspaces[member.index], alone.member(0));
                }
                member.wait();
            }
            for head in whole..heads.len() {
                run_head(head, &workspaces[0], member);
            }
        });
    }
}

fn add(time: &AtomicU64, elapsed: Duration) {
    time.fetch_add(elapsed.as_nanos() as u64, Ordering::Relaxed);
}
