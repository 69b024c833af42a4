//! The threads of one call: they take items of a phase one by one, and meet at its end.
//!
//! The threads live as long as the call, so nothing runs between calls. Spawning them costs some
//! 20 µs each, against milliseconds for the smallest batch.

use std::{
    hint, iter, panic,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

/// Turns of a spin loop before the thread offers its core to others: some 50 µs, the usual
/// difference between threads that arrive together.
const SPINS: u32 = 1 << 10;

/// What the threads share. Alone on its cache lines.
#[derive(Default)]
#[repr(align(128))]
struct Counter(AtomicUsize);

/// A barrier, and the number of the next item.
#[derive(Default)]
pub(crate) struct Team {
    /// Members; 0 until all of them are there.
    size: AtomicUsize,
    next: Counter,
    arrived: Counter,
    phase: Counter,
    /// A member is gone for good.
    broken: AtomicBool,
}

/// A thread as a member of a team.
#[derive(Clone, Copy)]
pub(crate) struct Member<'a> {
    team: &'a Team,
    /// From 0, below the number of threads asked for.
    pub(crate) index: usize,
}

impl Team {
    /// A team of one, to run by itself what is written for several.
    pub(crate) fn solo() -> Team {
        Team { size: AtomicUsize::new(1), ..Team::default() }
    }

    /// Its only member, by the number that it has in a larger team.
    pub(crate) fn member(&self, index: usize) -> Member<'_> {
        Member { team: self, index }
    }

    /// Runs `work` on the calling thread and on up to `threads - 1` others, and returns when all
    /// are done. Where the system refuses a thread, the team is smaller.
    ///
    /// # Panics
    /// If a member does.
    pub(crate) fn run(threads: usize, work: impl Fn(Member<'_>) + Sync) {
        let team = Team::default();
        let as_member = |index| {
            let result = panic::catch_unwind(panic::AssertUnwindSafe(|| {
                wait_until(|| team.size.load(Ordering::Acquire) != 0);
                work(Member { team: &team, index });
            }));
            if let Err(payload) = result {
                // The others must not wait for this one.
                team.broken.store(true, Ordering::Release);
                panic::resume_unwind(payload);
            }
        };
        thread::scope(|scope| {
            let mut size = 1;
            while size < threads {
                let builder = thread::Builder::new().name(format!("winograd-{size}"));
                let index = size;
                if builder.spawn_scoped(scope, move || as_member(index)).is_err() {
                    break;
                }
                size += 1;
            }
            team.size.store(size, Ordering::Release);
            as_member(0);
        });
    }
}

impl Member<'_> {
    /// Threads in the team.
    pub(crate) fn team_size(&self) -> usize {
        self.team.size.load(Ordering::Relaxed)
    }

    /// The number of the phase's next item, from 0. No two members get the same.
    fn take(&self) -> usize {
        self.team.next.0.fetch_add(1, Ordering::Relaxed)
    }

    /// The phase's items that this member gets, of so many.
    pub(crate) fn items(&self, count: usize) -> impl Iterator<Item = usize> {
        iter::from_fn(move || Some(self.take()).filter(|&item| item < count))
    }

    /// Ends the phase: waits for the other members. What they wrote before can be read after.
    ///
    /// # Panics
    /// If another member did.
    pub(crate) fn wait(&self) {
        let team = self.team;
        let phase = team.phase.0.load(Ordering::Acquire);
        if team.arrived.0.fetch_add(1, Ordering::AcqRel) + 1 == self.team_size() {
            team.arrived.0.store(0, Ordering::Relaxed);
            team.next.0.store(0, Ordering::Relaxed);
            team.phase.0.store(phase.wrapping_add(1), Ordering::Release);
        } else {
            wait_until(|| {
                assert!(!team.broken.load(Ordering::Relaxed), "another thread panicked");
                team.phase.0.load(Ordering::Acquire) != phase
            });
        }
    }
}

/// Spins, then yields between looks, so that a machine with fewer free cores than threads gets on.
fn wait_until(done: impl Fn() -> bool) {
    let mut spins = 0;
    while !done() {
        if spins < SPINS {
            spins += 1;
            hint::spin_loop();
        } else {
            thread::yield_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn every_item_of_every_phase_is_taken_once() {
        for threads in 1..5 {
            let taken = Mutex::new(vec![[0; 10]; 50]);
            Team::run(threads, |member| {
                for phase in 0..50 {
                    for item in member.items(10) {
                        taken.lock().unwrap()[phase][item] += 1;
                    }
                    member.wait();
                }
            });
            assert_eq!(taken.into_inner().unwrap(), vec![[1; 10]; 50], "{threads} threads");
        }
    }

    #[test]
    #[should_panic(expected = "a scoped thread panicked")]
    fn a_panic_ends_the_run_instead_of_blocking_it() {
        Team::run(3, |member| {
            if member.index == 2 {
                panic!("as told");
            }
            // The others meet a panic of their own, but on this thread it is swallowed here.
            let _ = panic::catch_unwind(|| member.wait());
        });
    }
}
