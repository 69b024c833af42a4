//! Heads of one shape, trained together.

use std::time::Duration;

use crate::{
    Error, HeadConfig, HeadShape, Parameters,
    buffer::Count,
    engine::{EVALUATION_ROWS, Engine, Learning},
    head::Head,
    isa::Isa,
    rows::{Row, check_labels, check_rows, first_column_error},
    soft::SoftTargets,
    workspace::Workspace,
};

/// Rows of a call, and their elements within a block of inputs, are numbered in 32 bits.
const BATCH_LIMIT: usize = 1 << 20;

/// Loss and hits of one head on a batch.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct StepResult {
    /// Cross-entropy, mean over the rows; of a training step with the head's label smoothing and class weights, and with
    /// the soft targets.
    /// NaN or infinite if the head has diverged.
    pub loss: f32,
    /// Rows whose most probable class is the label.
    pub hits: u32,
}

/// Heads of one shape in training, with their threads.
///
/// A head's results do not depend, to the bit, on the heads beside it or on the number of threads.
pub struct Trainer {
    shape: HeadShape,
    batch_size: usize,
    heads: Vec<Head>,
    engine: Engine,
    /// Steps done.
    steps: u64,
    results: Vec<StepResult>,
    #[cfg(test)]
    last_rows: usize,
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
    /// If a size is 0, a configuration has a number out of its range, or the initial parameters do not fit.
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
        shape.check()?;
        for (field, number) in [("batch_size", batch_size), ("threads", threads)] {
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
            config.check(head, &shape)?;
            if initial.shape() != shape {
                return Err(Error::OtherShape { head });
            }
        }
        let rows = batch_size.max(EVALUATION_ROWS);
        Ok(Trainer {
            shape,
            batch_size,
            heads: configs.iter().zip(initial).map(|(c, i)| Head::new(c.clone(), i)).collect(),
            engine: Engine::new(shape, configs.len(), rows, threads, isa, Workspace::new),
            steps: 0,
            results: vec![StepResult::default(); configs.len()],
            #[cfg(test)]
            last_rows: 0,
        })
    }

    /// Bytes of memory that a trainer of heads of this shape takes: their parameters with Adam's moments,
    /// and the rows and the activations of a batch. `u64::MAX` if no machine has as many.
    pub fn memory(shape: HeadShape, heads: usize, batch_size: usize, threads: usize) -> u64 {
        // No product of two of the sizes overflows below.
        let widths = shape.hidden.iter().map(|layer| layer.width);
        let sizes = [shape.inputs, shape.classes, heads, batch_size, threads];
        if sizes.into_iter().chain(widths).any(|size| size > 1 << 30) {
            return u64::MAX;
        }
        let mut head = Count::default();
        Head::zero(shape, HeadConfig::default(), true, &mut head);
        let heads_bytes = head.bytes.saturating_mul(heads as u64);
        let rows = batch_size.max(EVALUATION_ROWS);
        heads_bytes.saturating_add(Engine::memory(shape, heads, rows, threads))
    }

    /// The form and the sizes of the heads.
    pub fn shape(&self) -> HeadShape {
        self.shape
    }

    /// Number of heads.
    pub fn heads(&self) -> usize {
        self.heads.len()
    }

    /// The instruction set in use: `avx2` or `portable`.
    pub fn isa(&self) -> &'static str {
        self.engine.isa().name()
    }

    /// One step of every head on the same rows; a label and a row have the same position.
    /// `learning_rates` has one for each head. A sparse row has the same effect, to the bit, as the dense
    /// one of the same elements.
    ///
    /// A single row has no variance: its units normalise to 0, no gradient passes the normalisation, and
    /// the running variances stay as they are.
    ///
    /// # Errors
    /// If there is no row or more than a batch, or lengths, columns or labels do not fit. Then no head
    /// has changed.
    pub fn step(
        &mut self,
        rows: &[Row<'_>],
        labels: &[i64],
        learning_rates: &[f64],
    ) -> Result<&[StepResult], Error> {
        self.step_towards(rows, labels, None, learning_rates)
    }

    /// As [`Trainer::step`], with soft targets of the rows beside their labels. Hits are still those of the labels.
    ///
    /// # Errors
    /// As [`Trainer::step`], and if the soft targets do not fit the rows, a number of them is out of its range, or a
    /// head has mixup.
    pub fn step_towards(
        &mut self,
        rows: &[Row<'_>],
        labels: &[i64],
        soft: Option<SoftTargets<'_>>,
        learning_rates: &[f64],
    ) -> Result<&[StepResult], Error> {
        if rows.is_empty() || rows.len() > self.batch_size {
            return Err(Error::Rows { rows: rows.len(), batch_size: self.batch_size });
        }
        check_rows(self.shape, rows)?;
        check_labels(self.shape, rows.len(), labels)?;
        if let Some(soft) = &soft {
            soft.check(self.shape, rows.len())?;
            if let Some(head) = self.heads.iter().position(|head| head.config.mixup != 0.0) {
                return Err(Error::MixedSoftTargets { head });
            }
        }
        if learning_rates.len() != self.heads.len() {
            let (heads, rates) = (self.heads.len(), learning_rates.len());
            return Err(Error::LearningRateCount { heads, rates });
        }
        let learning = Learning { rates: learning_rates, step: self.steps + 1, soft };
        let run = self.engine.run(&self.heads, rows, labels, Some(learning), |_, _| {});
        run.map_err(|_| first_column_error(self.shape, rows))?;
        self.steps += 1;
        #[cfg(test)]
        (self.last_rows = rows.len());
        for (result, head) in self.results.iter_mut().zip(&mut self.heads) {
            let sums = head.result.as_slice();
            *result = StepResult { loss: sums[0] / rows.len() as f32, hits: sums[1] as u32 };
        }
        Ok(&self.results)
    }

    /// Cross-entropy, mean over all rows, and hits of every head: without dropout, label smoothing and class
    /// weights, and normalised by the running averages. Any number of rows.
    ///
    /// # Errors
    /// If there is no row, or lengths, columns or labels do not fit.
    pub fn evaluate(&mut self, rows: &[Row<'_>], labels: &[i64]) -> Result<Vec<StepResult>, Error> {
        check_rows(self.shape, rows)?;
        check_labels(self.shape, rows.len(), labels)?;
        let evaluated = self.engine.evaluate(&mut self.heads, rows, labels);
        evaluated.map_err(|_| first_column_error(self.shape, rows))
    }

    /// The logits of every head, `[rows, classes]` each: without dropout, normalised by the running
    /// averages. Any number of rows.
    ///
    /// # Errors
    /// If there is no row, or a row does not fit the heads' inputs.
    pub fn logits(&mut self, rows: &[Row<'_>]) -> Result<Vec<Vec<f32>>, Error> {
        check_rows(self.shape, rows)?;
        let logits = self.engine.logits(&self.heads, rows);
        logits.map_err(|_| first_column_error(self.shape, rows))
    }

    /// Stops a head: all further calls leave it out. It keeps its parameters, its results are 0, and it has no
    /// logits. The other heads go on as if it were there.
    ///
    /// # Panics
    /// If there is no such head.
    pub fn stop(&mut self, head: usize) {
        self.heads[head].result.as_slice().fill(0.0);
        self.engine.stop(head);
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
        self.engine.last_logits(self.last_rows)
    }

    /// Thread time since the last call, by the names of the phases, over all threads; waiting for other
    /// threads at the end of a phase included.
    pub fn profile(&mut self) -> Vec<(&'static str, Duration)> {
        self.engine.profile()
    }
}
