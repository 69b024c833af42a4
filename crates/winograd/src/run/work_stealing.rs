//! Work stealing at the end of a layer: threads that finish early take over parts of a slower thread's
//! remaining work.
//!
//! Threads that go apart have equal work, but a core that also runs other programs is slower for a while.
//! Therefore a thread offers the part of its work that can be shared without cost: the products of a block
//! of tiles. Threads that wait for it at the end look for such jobs.

#![allow(unsafe_code)] // A job lives on its owner's stack.

use std::{
    ops::Range,
    ptr::NonNull,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use kernel_support::sync::wait_until;

use crate::run::SPINS;

/// Number of shares per thread. If there are thieves, a thread takes at a time the rest of a round, divided
/// by this number times the number of threads.
const SHARES: usize = 2;

/// A function `work(thread, round, parts)` that does some parts of a round on the thread of that number.
type Work<'a> = dyn Fn(usize, usize, Range<usize>) + 'a;

/// Rounds of work, which are done one after the other. The parts of a round are done in any order.
pub(crate) struct Job<'a> {
    work: &'a Work<'a>,
    rounds: usize,
    parts: usize,
    /// The layer that a thief's time is counted for.
    layer: usize,
    cursor: Mutex<Cursor>,
    thieves: AtomicUsize,
    /// A thread panicked, so that the round will not be complete.
    broken: AtomicBool,
}

/// The progress of a job.
#[derive(Default)]
struct Cursor {
    round: usize,
    /// The numbers of parts of the round that are taken and that are done.
    taken: usize,
    done: usize,
}

/// The shared jobs of a team, one slot per thread.
#[derive(Default)]
pub(crate) struct Board(Vec<Mutex<Option<Slot>>>);

/// A pointer to a job, which the job's owner removes before the job ends.
#[derive(Clone, Copy)]
struct Slot(NonNull<Job<'static>>);

// SAFETY: the maker of a job promises that other threads may do its work.
unsafe impl Send for Slot {}

impl Board {
    pub(crate) fn new(threads: usize) -> Board {
        Board((0..threads).map(|_| Mutex::default()).collect())
    }

    /// Does all rounds, together with threads that steal parts of them.
    ///
    /// # Safety
    /// Other threads may call `work`, for different parts of a round at the same time.
    ///
    /// # Panics
    /// If a thief panics.
    pub(crate) unsafe fn share(
        &self,
        thread: usize,
        layer: usize,
        (rounds, parts): (usize, usize),
        work: &Work<'_>,
    ) {
        let job = Job {
            work,
            rounds,
            parts,
            layer,
            cursor: Mutex::default(),
            thieves: AtomicUsize::new(0),
            broken: AtomicBool::new(false),
        };
        let slot = &self.0[thread];
        *lock(slot) = Some(Slot(NonNull::from(&job).cast()));
        let owner = Owner { job: &job, slot };
        job.run(thread);
        drop(owner);
        assert!(!job.broken.load(Ordering::Acquire), "another thread panicked");
    }

    /// A job of another thread; `None` if there is none.
    pub(crate) fn find(&self, thread: usize) -> Option<Thief<'_>> {
        let others = self.0.iter().enumerate().filter(|&(index, _)| index != thread);
        for (_, slot) in others {
            let slot = lock(slot);
            if let Some(Slot(job)) = *slot {
                // SAFETY: the owner takes the job from its slot, for which it needs the lock, and
                // waits for the thieves, before the job ends.
                return Some(Thief::new(unsafe { job.as_ref() }, thread));
            }
        }
        None
    }
}

impl Job<'_> {
    /// Takes parts and does them until none are left.
    fn run(&self, thread: usize) {
        while let Some((round, parts)) = self.take() {
            let count = parts.len();
            (self.work)(thread, round, parts);
            lock(&self.cursor).done += count;
        }
    }

    /// The next parts. A round begins when all parts of the one before are done. If there are no thieves,
    /// these are all parts of the round.
    fn take(&self) -> Option<(usize, Range<usize>)> {
        let mut taken = None;
        wait_until(SPINS, || {
            let mut cursor = lock(&self.cursor);
            if cursor.taken == self.parts && cursor.round + 1 < self.rounds {
                if cursor.done < self.parts {
                    return self.broken.load(Ordering::Relaxed);
                }
                *cursor = Cursor { round: cursor.round + 1, ..Cursor::default() };
            }
            let shares = match self.thieves.load(Ordering::Relaxed) {
                0 => 1,
                thieves => (thieves + 1) * SHARES,
            };
            let start = cursor.taken;
            cursor.taken = self.parts.min(start + self.parts.div_ceil(shares));
            taken =
                Some((cursor.round, start..cursor.taken)).filter(|(_, parts)| !parts.is_empty());
            true
        });
        taken
    }
}

/// A guard that ends a job, even if the owner panics.
struct Owner<'a, 'b> {
    job: &'a Job<'b>,
    slot: &'a Mutex<Option<Slot>>,
}

impl Drop for Owner<'_, '_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.job.broken.store(true, Ordering::Release);
        }
        *lock(self.slot) = None;
        wait_until(SPINS, || self.job.thieves.load(Ordering::Acquire) == 0);
    }
}

/// A thread that does parts of another thread's job. The job lasts until it is dropped.
pub(crate) struct Thief<'a> {
    job: &'a Job<'a>,
    thread: usize,
}

impl<'a> Thief<'a> {
    /// Joins a job. The caller prevents the owner from removing the job meanwhile.
    fn new(job: &'a Job<'a>, thread: usize) -> Thief<'a> {
        job.thieves.fetch_add(1, Ordering::Relaxed);
        Thief { job, thread }
    }

    /// Takes parts until none are left, and returns the layer.
    pub(crate) fn steal(self) -> usize {
        self.job.run(self.thread);
        self.job.layer
    }
}

impl Drop for Thief<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.job.broken.store(true, Ordering::Release);
        }
        self.job.thieves.fetch_sub(1, Ordering::Release);
    }
}

/// No code panics while it holds a lock.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
