//! Threads, kernels and memory that run batches of rows through heads: what training and inference
//! share.

#![allow(unsafe_code)] // Calls kernels.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    StepResult,
    adam::Adam,
    buffer::{Allocator, Count},
    head::Head,
    isa::{Isa, Kernels},
    item::{self, Context, Update},
    layout::Layout,
    mixup::Mix,
    narrow,
    output::Targets,
    phase::Phase,
    random::Dropout,
    rows::Row,
    shape::HeadShape,
    soft::SoftTargets,
    team::{Member, Pool, Team},
    workspace::{RowLists, Workspace},
};

/// Least rows per forward pass when nothing is learned.
pub(crate) const EVALUATION_ROWS: usize = 64;

/// Runs batches through heads of one shape.
///
/// A head's results do not depend, to the bit, on the heads beside it or on the number of threads;
/// without learning, a row's logits do not depend on the other rows either.
pub(crate) struct Engine {
    layout: Layout,
    /// Those of a training step, and those without learning.
    training: Vec<Phase>,
    inference: Vec<Phase>,
    kernels: Kernels,
    isa: Isa,
    pool: Pool,
    /// The rows of a call.
    gathered: RowLists,
    /// One per thread, or one for all if there are fewer heads than threads.
    workspaces: Vec<Workspace>,
    /// The heads that are run: those that were not stopped.
    running: Vec<usize>,
    /// Whether the heads have what is done to inputs that are normalised, in inference.
    are_normalised: bool,
    /// Nanoseconds in the gathering and in each phase.
    clock: [AtomicU64; 1 + Phase::COUNT],
}

/// Some row's columns do not ascend or are not inputs; nothing was computed.
#[derive(Debug)]
pub(crate) struct InvalidColumns;

/// The learning part of a step.
#[derive(Clone, Copy)]
pub(crate) struct Learning<'a> {
    /// One per head.
    pub(crate) rates: &'a [f64],
    /// Number of the step, from 1.
    pub(crate) step: u64,
    /// The probabilities towards which rows are trained, beside their labels.
    pub(crate) soft: Option<SoftTargets<'a>>,
}

impl Engine {
    /// An engine for `heads` heads, with workspaces for `rows` rows that `workspace` makes.
    pub(crate) fn new(
        shape: HeadShape,
        heads: usize,
        rows: usize,
        threads: usize,
        isa: Isa,
        workspace: fn(&HeadShape, usize, &mut Allocator) -> Workspace,
    ) -> Engine {
        let layout = Layout::new(shape);
        let pool = Pool::new(threads);
        let workspaces = workspaces(heads, pool.size());
        Engine {
            layout,
            training: Phase::of_training(&layout),
            inference: Phase::of_inference(&layout),
            kernels: isa.kernels(),
            isa,
            pool,
            gathered: RowLists::new(&layout, rows, &mut Allocator),
            workspaces: (0..workspaces).map(|_| workspace(&shape, rows, &mut Allocator)).collect(),
            running: (0..heads).collect(),
            are_normalised: false,
            clock: Default::default(),
        }
    }

    /// Bytes of memory that an engine for learning takes.
    pub(crate) fn memory(shape: HeadShape, heads: usize, rows: usize, threads: usize) -> u64 {
        let (mut gathered, mut workspace) = (Count::default(), Count::default());
        RowLists::new(&Layout::new(shape), rows, &mut gathered);
        Workspace::new(&shape, rows, &mut workspace);
        let workspaces = workspaces(heads, threads) as u64;
        workspace.bytes.saturating_mul(workspaces).saturating_add(gathered.bytes)
    }

    /// Leaves a head out of all further calls.
    pub(crate) fn stop(&mut self, head: usize) {
        self.running.retain(|&running| running != head);
    }

    pub(crate) fn isa(&self) -> Isa {
        self.isa
    }

    /// Rows that fit into a workspace.
    fn rows(&self) -> usize {
        self.workspaces[0].rows
    }

    /// Loss, mean over all rows, and hits of every head: without dropout, normalised by the running
    /// averages. The workspaces have room for losses; the rows' lengths and the labels are checked, and
    /// there are some.
    pub(crate) fn evaluate(
        &mut self,
        heads: &mut [Head],
        rows: &[Row<'_>],
        labels: &[i64],
    ) -> Result<Vec<StepResult>, InvalidColumns> {
        let mut sums = vec![(0.0, 0); heads.len()];
        let chunk = self.rows();
        for (rows, labels) in rows.chunks(chunk).zip(labels.chunks(chunk)) {
            self.run(heads, rows, labels, None, |_, _| {})?;
            for (sum, head) in sums.iter_mut().zip(&mut *heads) {
                let result = head.result.as_slice();
                sum.0 += f64::from(result[0]);
                sum.1 += result[1] as u32;
            }
        }
        let mean = |sum: f64| (sum / rows.len() as f64) as f32;
        Ok(sums.into_iter().map(|(loss, hits)| StepResult { loss: mean(loss), hits }).collect())
    }

    /// The logits of every head, `[rows, classes]` each: without dropout, normalised by the running
    /// averages. The rows' lengths are checked.
    pub(crate) fn logits(
        &mut self,
        heads: &[Head],
        rows: &[Row<'_>],
    ) -> Result<Vec<Vec<f32>>, InvalidColumns> {
        let Layout { outputs, classes, .. } = self.layout;
        let mut logits: Vec<Mutex<Vec<f32>>> = Vec::new();
        logits.resize_with(heads.len(), Default::default);
        for rows in rows.chunks(self.rows()) {
            self.run(heads, rows, &[], None, |head, workspace| {
                let mut logits = logits[head].lock().expect("nobody panics with it");
                for row in 0..rows.len() {
                    let row = workspace.logits.pointer().wrapping_add(row * outputs);
                    // SAFETY: rows of the batch, whose logits are done.
                    logits.extend(unsafe { std::slice::from_raw_parts(row, classes) });
                }
            })?;
        }
        let taken = logits.into_iter().map(|logits| logits.into_inner());
        Ok(taken.map(|logits| logits.expect("nobody panics with it")).collect())
    }

    /// The logits of the last step, of the first workspace's last head.
    #[cfg(test)]
    pub(crate) fn last_logits(&mut self, rows: usize) -> Vec<f32> {
        let Layout { outputs, classes, .. } = self.layout;
        let logits = self.workspaces[0].logits.as_slice().chunks(outputs);
        logits.take(rows).flat_map(|row| row[..classes].to_vec()).collect()
    }

    /// See [`crate::Trainer::profile`].
    pub(crate) fn profile(&mut self) -> Vec<(&'static str, Duration)> {
        let mut time =
            |number: usize| Duration::from_nanos(std::mem::take(self.clock[number].get_mut()));
        let gathering = ("gather rows", time(0));
        let phases = self.training.iter().map(|phase| (phase.name(), time(1 + phase.number())));
        std::iter::once(gathering).chain(phases).collect()
    }

    /// Runs a batch through every head that was not stopped, with learning if `learning` is given. Then each head's
    /// sum of losses and hits is in its `result`; `done` sees its workspace.
    ///
    /// The rows fit the workspaces, and the rows' lengths and the labels are checked.
    pub(crate) fn run(
        &mut self,
        heads: &[Head],
        rows: &[Row<'_>],
        labels: &[i64],
        learning: Option<Learning<'_>>,
        done: impl Fn(usize, &Workspace) + Sync,
    ) -> Result<(), InvalidColumns> {
        let normalises = learning.is_some() || !self.are_normalised;
        let Engine { layout, kernels, pool, gathered, workspaces, running, clock, .. } = self;
        let phases = match learning {
            Some(_) => self.training.as_slice(),
            None => self.inference.as_slice(),
        };
        let (layout, gathered, workspaces, clock) = (&*layout, &*gathered, &**workspaces, &*clock);
        let running = running.as_slice();
        let kernels = *kernels;
        let mix = |head: &Head| Mix::of(&head.config, learning?.step, rows.len());
        let mixes: Vec<Option<Mix>> = heads.iter().map(mix).collect();
        // One head of this batch, by a team.
        let run_head = |index: usize, workspace: &Workspace, member: Member<'_>| {
            let head = &heads[index];
            let update = learning.map(|Learning { rates, step, soft }| Update {
                adam: Adam::new(rates[index], step, head.config.weight_decay),
                dropout: std::array::from_fn(|layer| {
                    let fraction = head.config.dropout.get(layer).copied().unwrap_or(0.0);
                    Dropout::new(fraction, head.config.seed, step, layer)
                }),
                targets: match &soft {
                    Some(soft) => {
                        Some(Targets::with_soft(&head.config, layout.classes, labels, soft))
                    }
                    None => Targets::of(&head.config, layout.classes, labels),
                },
                soft,
                mix: mixes[index].as_ref(),
            });
            let count = rows.len();
            let context =
                Context { head, workspace, gathered, rows: count, labels, update, normalises };
            let mut started = Instant::now();
            for &phase in phases {
                let items = context.items(phase, member.team_size());
                if items == 0 {
                    continue;
                }
                while let Some(item) = member.take(items) {
                    // SAFETY: the kernels are those of this machine; the sizes are those of the
                    // engine's layout; the team takes each item once, and it alone has this head
                    // and this workspace now.
                    unsafe { (kernels.run_item)(&context, phase, item, items) };
                }
                member.wait();
                let now = Instant::now();
                add(&clock[1 + phase.number()], now - started);
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
                if let Some(targets) = update.and_then(|update| update.targets) {
                    // The caller divides by the number of rows.
                    sums.0 *= rows.len() as f64 / targets.batch_weight;
                }
                let result = head.result.pointer();
                // SAFETY: two floats, which only the team's first thread writes.
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
        let whole = running.len() / threads * threads;
        let gathers = if layout.is_narrow() {
            narrow::shares(layout, threads)
        } else {
            rows.len().div_ceil(item::ROWS)
        };
        let invalid = AtomicBool::new(false);
        pool.run(&|member| {
            let started = Instant::now();
            while let Some(item) = member.take(gathers) {
                let (of_item, blocks) = if layout.is_narrow() {
                    (0..rows.len(), narrow::blocks_of_share(layout, item, gathers))
                } else {
                    let first = item * item::ROWS;
                    (first..rows.len().min(first + item::ROWS), 0..layout.blocks)
                };
                for index in of_item.clone() {
                    let next = rows[..of_item.end].get(index + 1).copied();
                    let (row, blocks) = (rows[index], blocks.clone());
                    // SAFETY: the kernels are those of this machine; the rows' lengths were checked,
                    // there is room for them, and each item is taken once.
                    let valid =
                        unsafe { (kernels.gather)(layout, row, next, index, blocks, gathered) };
                    if !valid {
                        invalid.store(true, Ordering::Relaxed);
                    }
                }
            }
            member.wait();
            add(&clock[0], started.elapsed());
            // Every thread sees the same, since all have met.
            if invalid.load(Ordering::Relaxed) {
                return;
            }
            if whole > 0 {
                let alone = Team::new(1);
                while let Some(item) = member.take(whole) {
                    run_head(running[item], &workspaces[member.index], alone.member(0));
                }
                member.wait();
            }
            for &head in &running[whole..] {
                run_head(head, &workspaces[0], member);
            }
        });
        if invalid.into_inner() {
            return Err(InvalidColumns);
        }
        self.are_normalised = learning.is_none();
        Ok(())
    }
}

/// The number of workspaces: one per thread, or one for all if there are fewer heads than threads.
fn workspaces(heads: usize, threads: usize) -> usize {
    if heads < threads { 1 } else { threads }
}

fn add(time: &AtomicU64, elapsed: Duration) {
    time.fetch_add(elapsed.as_nanos() as u64, Ordering::Relaxed);
}
