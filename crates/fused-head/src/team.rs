//! The threads of a trainer: they take items of a phase one by one, and meet at its end.
//!
//! A step takes a fraction of a millisecond, so the threads are kept from step to step. Between
//! steps they look for work for a moment, then sleep.

#![allow(unsafe_code)] // Lends a job that borrows to threads that live longer.

use std::{
    cell::UnsafeCell,
    hint, panic,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use kernel_support::sync::{Barrier, Counter, wait_until};

/// Turns of a spin loop before the thread offers its core to others: some 2 µs. Where two threads
/// share a core, longer turns at ten barriers per step are most of its time.
const SPINS: u32 = 1 << 6;

/// Turns in which a thread without a job offers its core to others, before it sleeps.
const YIELDS: u32 = 1 << 8;

/// Most threads among which a phase's items are shared out. Of a larger team, each thread would look for items that are
/// left in many shares.
const MOST_SHARES: usize = 8;

/// A barrier, and the numbers of the next items.
pub(crate) struct Team {
    size: usize,
    /// One for each thread's share of the items, or for all threads together.
    next: Box<[Counter]>,
    barrier: Barrier,
}

/// A thread of a team.
#[derive(Clone, Copy)]
pub(crate) struct Member<'a> {
    team: &'a Team,
    /// From 0, below the team's size.
    pub(crate) index: usize,
}

impl Team {
    pub(crate) fn new(size: usize) -> Team {
        let shares = if size <= MOST_SHARES { size } else { 1 };
        let next = (0..shares).map(|_| Counter::default()).collect();
        Team { size, next, barrier: Barrier::default() }
    }

    pub(crate) fn member(&self, index: usize) -> Member<'_> {
        Member { team: self, index }
    }
}

impl Member<'_> {
    /// Threads in the team.
    #[inline]
    pub(crate) fn team_size(&self) -> usize {
        self.team.size
    }

    /// The next of the phase's `items`, from 0; `None` when all are taken. No two threads get the
    /// same. A thread takes those of its own share first, which are the same in each step, so that what they work on
    /// stays in the caches of its core; then it takes what is left of the others'.
    #[inline]
    pub(crate) fn take(&self, items: usize) -> Option<usize> {
        let shares = self.team.next.len();
        (0..shares).find_map(|turn| {
            let share = (self.index + turn) % shares;
            let next = self.team.next[share].0.fetch_add(1, Ordering::Relaxed);
            let item = items * share / shares + next;
            (item < items * (share + 1) / shares).then_some(item)
        })
    }

    /// Ends the phase: waits for the other threads. What they wrote before can be read after.
    ///
    /// # Panics
    /// If another thread did.
    #[inline]
    pub(crate) fn wait(&self) {
        let team = self.team;
        let reset = || team.next.iter().for_each(|next| next.0.store(0, Ordering::Relaxed));
        team.barrier.wait(team.size, SPINS, reset, || ());
    }
}

/// A job without its lifetime: see [`Pool::run`].
type Job = *const (dyn Fn(Member<'static>) + Sync);

struct Shared {
    team: Team,
    /// Written by the pool's owner between rounds, read by the workers within one.
    job: UnsafeCell<Option<Job>>,
    /// Number of the round; it changes under the lock.
    round: AtomicUsize,
    /// Workers that are done with the round.
    finished: AtomicUsize,
    stop: AtomicBool,
    /// Workers asleep.
    sleepers: Mutex<usize>,
    wake: Condvar,
}

// SAFETY: `job` is the only part that is not `Sync`; it is written only while no worker is in a
// round, and the change of `round` publishes it.
unsafe impl Sync for Shared {}
// SAFETY: the job pointed to is `Sync`, so it may be used from any thread.
unsafe impl Send for Shared {}

/// Threads that wait for jobs. The calling thread is one of them.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    workers: Vec<thread::JoinHandle<()>>,
}

impl Pool {
    /// A pool of `threads`; of fewer, where the system refuses a thread.
    pub(crate) fn new(threads: usize) -> Pool {
        // The team's size must be known to the workers, so they wait for this lock.
        let gate: Arc<Mutex<Option<Arc<Shared>>>> = Arc::new(Mutex::new(None));
        let mut guard = gate.lock().unwrap_or_else(PoisonError::into_inner);
        let mut workers = Vec::new();
        for index in 1..threads {
            let gate = Arc::clone(&gate);
            let builder = thread::Builder::new().name(format!("fused-head-{index}"));
            let spawned = builder.spawn(move || {
                let gate = gate.lock().unwrap_or_else(PoisonError::into_inner).clone();
                work(&gate.expect("set before the lock was given up"), index);
            });
            let Ok(worker) = spawned else { break };
            workers.push(worker);
        }
        let shared = Arc::new(Shared {
            team: Team::new(workers.len() + 1),
            job: UnsafeCell::new(None),
            round: AtomicUsize::new(0),
            finished: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            sleepers: Mutex::new(0),
            wake: Condvar::new(),
        });
        *guard = Some(Arc::clone(&shared));
        drop(guard);
        Pool { shared, workers }
    }

    /// Threads, the calling one among them.
    pub(crate) fn size(&self) -> usize {
        self.workers.len() + 1
    }

    /// Runs `job` once on every thread and returns when all are done.
    ///
    /// # Panics
    /// If a thread does, now or in an earlier call.
    pub(crate) fn run(&mut self, job: &(dyn Fn(Member<'_>) + Sync)) {
        let shared = &*self.shared;
        assert!(!shared.team.barrier.is_poisoned(), "a thread panicked earlier");
        // SAFETY: only the lifetimes change. The workers use the job within this round alone, and
        // this function leaves, also by a panic, only after all of them have finished it.
        let erased = unsafe {
            std::mem::transmute::<*const (dyn Fn(Member<'_>) + Sync), Job>(std::ptr::from_ref(job))
        };
        // SAFETY: no round is on, so no worker reads it.
        unsafe { *shared.job.get() = Some(erased) };
        shared.finished.store(0, Ordering::Relaxed);
        self.next_round();
        let own = guarded(&shared.team, || job(shared.team.member(0)));
        wait_until(SPINS, || shared.finished.load(Ordering::Acquire) == self.workers.len());
        if let Err(payload) = own {
            panic::resume_unwind(payload);
        }
        assert!(!shared.team.barrier.is_poisoned(), "a thread panicked");
    }

    fn next_round(&self) {
        let sleepers = self.shared.sleepers.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.round.fetch_add(1, Ordering::Release);
        if *sleepers > 0 {
            self.shared.wake.notify_all();
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.next_round();
        for worker in self.workers.drain(..) {
            // Its panic, if any, was reported by `run`.
            let _ = worker.join();
        }
    }
}

/// A panic of one thread must not leave the others waiting for it.
fn guarded(team: &Team, work: impl FnOnce()) -> thread::Result<()> {
    let result = panic::catch_unwind(panic::AssertUnwindSafe(work));
    if result.is_err() {
        team.barrier.poison();
    }
    result
}

/// A worker's life.
fn work(shared: &Shared, index: usize) {
    let mut round = 0;
    loop {
        let mut looks = 0;
        while shared.round.load(Ordering::Acquire) == round {
            looks += 1;
            if looks < SPINS {
                hint::spin_loop();
            } else if looks < SPINS + YIELDS {
                thread::yield_now();
            } else {
                let mut sleepers = shared.sleepers.lock().unwrap_or_else(PoisonError::into_inner);
                *sleepers += 1;
                while shared.round.load(Ordering::Acquire) == round {
                    sleepers = shared.wake.wait(sleepers).unwrap_or_else(PoisonError::into_inner);
                }
                *sleepers -= 1;
            }
        }
        round = round.wrapping_add(1);
        if shared.stop.load(Ordering::Relaxed) {
            return;
        }
        let _ = guarded(&shared.team, || {
            // SAFETY: the round is on, so the job is there and its borrows live (see `run`).
            let job = unsafe { &*(*shared.job.get()).expect("a round has a job") };
            // SAFETY: the same change of lifetimes, of the team: the job may not keep the member,
            // as it was written for any lifetime.
            let team = unsafe { &*std::ptr::from_ref(&shared.team) };
            job(team.member(index));
        });
        shared.finished.fetch_add(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_of_every_phase_is_taken_once() {
        for threads in [1, 2, 3, 4, MOST_SHARES + 1] {
            let mut pool = Pool::new(threads);
            for round in 0..20 {
                let taken = Mutex::new(vec![[0; 10]; 20]);
                pool.run(&|member| {
                    for phase in 0..20 {
                        while let Some(item) = member.take(10) {
                            taken.lock().unwrap()[phase][item] += 1;
                        }
                        member.wait();
                    }
                });
                assert_eq!(taken.into_inner().unwrap(), vec![[1; 10]; 20], "{threads} threads");
                if round % 7 == 0 {
                    // Long enough for the workers to fall asleep.
                    thread::sleep(std::time::Duration::from_millis(5));
                }
            }
        }
    }

    #[test]
    fn a_panic_ends_the_run_instead_of_blocking_it() {
        for culprit in 0..3 {
            let mut pool = Pool::new(3);
            let run = panic::AssertUnwindSafe(|| {
                pool.run(&|member| {
                    if member.index == culprit {
                        panic!("as told");
                    }
                    member.wait();
                });
            });
            assert!(panic::catch_unwind(run).is_err());
        }
    }
}
