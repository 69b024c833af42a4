//! The threads of one call, which take the items of a phase one by one and meet at its end.
//!
//! The threads live as long as the call, so that the machine is idle between calls. Spawning them costs
//! some 20 µs each, against milliseconds for the smallest batch.

use std::{
    iter,
    ops::Range,
    panic,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use kernel_support::sync::{Barrier, Counter, wait_until};

use crate::run::{SPINS, work_stealing::Board};

/// A barrier, and the number of the next item.
#[derive(Default)]
pub(crate) struct Team {
    /// The number of threads; 0 until all of them have started.
    size: AtomicUsize,
    next: Counter,
    /// The number of threads that have asked for their order.
    order: Counter,
    /// The item at which each thread is, of those taken in order.
    at: Vec<Counter>,
    barrier: Barrier,
    board: Board,
}

/// A thread of a team.
#[derive(Clone, Copy)]
pub(crate) struct Worker<'a> {
    team: &'a Team,
    /// The team that may steal its work: its own or, for a thread by itself, the one that it left.
    mates: &'a Team,
    /// The index of the thread, below the requested number of threads.
    pub(crate) index: usize,
}

impl Team {
    /// A team of one thread, for code that is written for several.
    pub(crate) fn solo() -> Team {
        Team { size: AtomicUsize::new(1), ..Team::default() }
    }

    /// Runs `work` on the calling thread and on up to `threads - 1` others, and returns when all are done.
    /// If the system refuses a thread, the team is smaller.
    ///
    /// # Panics
    /// If a thread of the team panics.
    pub(crate) fn run(threads: usize, work: impl Fn(Worker<'_>) + Sync) {
        let team = Team {
            board: Board::new(threads),
            at: (0..threads).map(|_| Counter::default()).collect(),
            ..Team::default()
        };
        let as_worker = |index| {
            let result = panic::catch_unwind(panic::AssertUnwindSafe(|| {
                wait_until(SPINS, || team.size.load(Ordering::Acquire) != 0);
                work(Worker { team: &team, mates: &team, index });
            }));
            if let Err(payload) = result {
                // The others must not wait for this thread.
                team.barrier.poison();
                panic::resume_unwind(payload);
            }
        };
        thread::scope(|scope| {
            let mut size = 1;
            while size < threads {
                let builder = thread::Builder::new().name(format!("winograd-{size}"));
                let index = size;
                if builder.spawn_scoped(scope, move || as_worker(index)).is_err() {
                    break;
                }
                size += 1;
            }
            team.size.store(size, Ordering::Release);
            as_worker(0);
        });
    }
}

impl<'a> Worker<'a> {
    /// This thread as the only one of another team.
    pub(crate) fn alone(&self, team: &'a Team) -> Worker<'a> {
        Worker { team, ..*self }
    }

    /// The number of threads in the team.
    pub(crate) fn team_size(&self) -> usize {
        self.team.size.load(Ordering::Relaxed)
    }

    /// The number of the phase's next item, counted from 0. Each number is returned once.
    fn take(&self) -> usize {
        self.team.next.0.fetch_add(1, Ordering::Relaxed)
    }

    /// The items of this phase, of `count` in all, that this thread gets.
    pub(crate) fn items(&self, count: usize) -> impl Iterator<Item = usize> {
        iter::from_fn(move || Some(self.take()).filter(|&item| item < count))
    }

    /// As [`items`](Self::items), and others can [wait](Self::wait_for_items) for items before the phase
    /// ends. An item counts as done when the thread asks for the next one.
    pub(crate) fn items_in_order(&self, count: usize) -> impl Iterator<Item = usize> {
        iter::from_fn(move || {
            let item = self.take();
            let at = if item < count { item } else { usize::MAX };
            self.team.at[self.index].0.store(at, Ordering::Release);
            (item < count).then_some(item)
        })
    }

    /// Waits until all threads are done with the items before `end`, whose results can then be read.
    ///
    /// # Panics
    /// If another thread panicked.
    pub(crate) fn wait_for_items(&self, end: usize) {
        let threads = &self.team.at[..self.team_size()];
        let barrier = &self.team.barrier;
        barrier.wait_until(SPINS, || threads.iter().all(|at| at.0.load(Ordering::Acquire) >= end));
    }

    /// The number of threads that have called this before in the phase.
    pub(crate) fn order(&self) -> usize {
        self.team.order.0.fetch_add(1, Ordering::Relaxed)
    }

    /// Ends the phase: waits for the other threads, whose results can then be read.
    ///
    /// # Panics
    /// If another thread panicked.
    pub(crate) fn wait(&self) {
        self.wait_while(|| ());
    }

    /// As [`wait`](Self::wait), and takes over parts of the others' work meanwhile. It calls `lap(None)`
    /// after it has waited, and `lap` with the layer after it has done parts of a layer.
    ///
    /// # Panics
    /// If another thread panicked.
    pub(crate) fn wait_and_steal(&self, mut lap: impl FnMut(Option<usize>)) {
        self.wait_while(|| {
            if let Some(thief) = self.team.board.find(self.index) {
                lap(None);
                lap(Some(thief.steal()));
            }
        });
    }

    fn wait_while(&self, meanwhile: impl FnMut()) {
        let team = self.team;
        let reset = || {
            for counter in team.at.iter().chain([&team.next, &team.order]) {
                counter.0.store(0, Ordering::Relaxed);
            }
        };
        team.barrier.wait(self.team_size(), SPINS, reset, meanwhile);
    }

    /// Does rounds of work, one after the other, by calls of `work(thread, round, parts)`. The parts of a
    /// round are done in any order, also by threads that [wait](Self::wait_and_steal) for this one.
    ///
    /// # Safety
    /// Other threads may call `work`, for different parts of a round at the same time.
    ///
    /// # Panics
    /// If a thread that steals parts panics.
    #[allow(unsafe_code)] // Passes the promise on.
    pub(crate) unsafe fn share(
        &self,
        layer: usize,
        (rounds, parts): (usize, usize),
        work: &dyn Fn(usize, usize, Range<usize>),
    ) {
        // SAFETY: the caller's promise.
        unsafe { self.mates.board.share(self.index, layer, (rounds, parts), work) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        sync::{Mutex, atomic::AtomicBool},
        time::Duration,
    };

    #[test]
    fn every_item_of_every_phase_is_taken_once() {
        for threads in 1..5 {
            let taken = Mutex::new(vec![[0; 10]; 50]);
            Team::run(threads, |worker| {
                for phase in 0..50 {
                    for item in worker.items(10) {
                        taken.lock().unwrap()[phase][item] += 1;
                    }
                    worker.wait();
                }
            });
            assert_eq!(taken.into_inner().unwrap(), vec![[1; 10]; 50], "{threads} threads");
        }
    }

    #[test]
    fn items_that_were_waited_for_are_done() {
        for threads in 1..5 {
            let items: [AtomicBool; 10] = Default::default();
            Team::run(threads, |worker| {
                for phase in 0..50 {
                    for item in worker.items_in_order(items.len()) {
                        thread::sleep(Duration::from_micros((item as u64 + phase) % 3 * 50));
                        assert!(!items[item].swap(true, Ordering::Relaxed), "taken twice");
                    }
                    let end = (worker.order() + 1) * items.len() / worker.team_size();
                    worker.wait_for_items(end);
                    assert!(items[..end].iter().all(|item| item.load(Ordering::Relaxed)));
                    worker.wait();
                    for item in worker.items(items.len()) {
                        items[item].store(false, Ordering::Relaxed);
                    }
                    worker.wait();
                }
            });
        }
    }

    /// Shares rounds repeatedly until `done`, while the other threads steal parts of them.
    fn share(threads: usize, work: impl Fn(usize, usize, Range<usize>) + Sync, done: &AtomicBool) {
        Team::run(threads, |worker| {
            let solo = Team::solo();
            let alone = worker.alone(&solo);
            while worker.index == 0 && !done.load(Ordering::Relaxed) {
                // SAFETY: the tests' work may be done by any thread.
                #[allow(unsafe_code)]
                unsafe {
                    alone.share(7, (ROUNDS, PARTS), &work);
                }
            }
            let mut layers = Vec::new();
            worker.wait_and_steal(|layer| layers.push(layer));
            assert!(layers.chunks(2).all(|pair| pair == [None, Some(7)]), "{layers:?}");
        });
    }

    const ROUNDS: usize = 20;
    const PARTS: usize = 13;

    #[test]
    fn those_that_wait_steal_and_no_part_is_done_twice_or_too_early() {
        for threads in 2..5 {
            let (stolen, parts_done) = (AtomicBool::new(false), Mutex::new((0, [false; PARTS])));
            let work = |thread: usize, round: usize, parts: Range<usize>| {
                let mut done = parts_done.lock().unwrap();
                if done.1 == [true; PARTS] {
                    *done = ((done.0 + 1) % ROUNDS, [false; PARTS]);
                }
                assert_eq!(round, done.0, "a round begins before the one before has ended");
                for part in parts {
                    assert!(!std::mem::replace(&mut done.1[part], true));
                }
                stolen.fetch_or(thread != 0, Ordering::Relaxed);
            };
            share(threads, work, &stolen);
            assert_eq!(parts_done.into_inner().unwrap(), (ROUNDS - 1, [true; PARTS]));
        }
    }

    #[test]
    #[should_panic(expected = "another thread panicked")]
    fn a_thiefs_panic_ends_the_run() {
        share(3, |thread, _, _| assert_eq!(thread, 0, "as told"), &AtomicBool::new(false));
    }

    #[test]
    #[should_panic(expected = "as told")]
    fn an_owners_panic_ends_the_run() {
        let stolen = AtomicBool::new(false);
        let work = |thread, _, _| {
            assert!(thread != 0 || !stolen.load(Ordering::Relaxed), "as told");
            stolen.fetch_or(thread != 0, Ordering::Relaxed);
        };
        share(3, work, &AtomicBool::new(false));
    }

    #[test]
    #[should_panic(expected = "a scoped thread panicked")]
    fn a_panic_ends_the_run_instead_of_blocking_it() {
        Team::run(3, |worker| {
            if worker.index == 2 {
                panic!("as told");
            }
            // The other threads panic because of this one, whose panic is caught here.
            let _ = panic::catch_unwind(|| worker.wait());
        });
    }
}
