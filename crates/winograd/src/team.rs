//! The threads of one call: they take items of a phase one by one, and meet at its end.
//!
//! The threads live as long as the call, so nothing runs between calls. Spawning them costs some
//! 20 µs each, against milliseconds for the smallest batch.

use std::{
    iter,
    ops::Range,
    panic,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use kernel_support::sync::{Barrier, Counter, wait_until};

use crate::help::Board;

/// Turns of a spin loop before a waiting thread offers its core to others: some 50 µs, the usual
/// difference between threads that arrive together.
pub(crate) const SPINS: u32 = 1 << 10;

/// A barrier, and the number of the next item.
#[derive(Default)]
pub(crate) struct Team {
    /// Members; 0 until all of them are there.
    size: AtomicUsize,
    next: Counter,
    /// Members that asked for their order.
    order: Counter,
    /// For each member, the item that it is at, of those taken in order.
    at: Vec<Counter>,
    barrier: Barrier,
    board: Board,
}

/// A thread as a member of a team.
#[derive(Clone, Copy)]
pub(crate) struct Member<'a> {
    team: &'a Team,
    /// Those that may help: the team, or, for a member by itself, the one that it left.
    mates: &'a Team,
    /// From 0, below the number of threads asked for.
    pub(crate) index: usize,
}

impl Team {
    /// A team of one, to run by itself what is written for several.
    pub(crate) fn solo() -> Team {
        Team { size: AtomicUsize::new(1), ..Team::default() }
    }

    /// Runs `work` on the calling thread and on up to `threads - 1` others, and returns when all
    /// are done. Where the system refuses a thread, the team is smaller.
    ///
    /// # Panics
    /// If a member does.
    pub(crate) fn run(threads: usize, work: impl Fn(Member<'_>) + Sync) {
        let team = Team {
            board: Board::new(threads),
            at: (0..threads).map(|_| Counter::default()).collect(),
            ..Team::default()
        };
        let as_member = |index| {
            let result = panic::catch_unwind(panic::AssertUnwindSafe(|| {
                wait_until(SPINS, || team.size.load(Ordering::Acquire) != 0);
                work(Member { team: &team, mates: &team, index });
            }));
            if let Err(payload) = result {
                // The others must not wait for this one.
                team.barrier.poison();
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

impl<'a> Member<'a> {
    /// The same thread as the only member of a team of one.
    pub(crate) fn alone(&self, team: &'a Team) -> Member<'a> {
        Member { team, ..*self }
    }

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

    /// The same, so that others can [wait](Self::wait_for_items) for items before the phase ends. An
    /// item is done when the next one is asked for.
    pub(crate) fn items_in_order(&self, count: usize) -> impl Iterator<Item = usize> {
        iter::from_fn(move || {
            let item = self.take();
            let at = if item < count { item } else { usize::MAX };
            self.team.at[self.index].0.store(at, Ordering::Release);
            (item < count).then_some(item)
        })
    }

    /// Waits until all members are done with the items before `end`. What they wrote can be read.
    ///
    /// # Panics
    /// If another member did.
    pub(crate) fn wait_for_items(&self, end: usize) {
        let members = &self.team.at[..self.team_size()];
        let barrier = &self.team.barrier;
        barrier.wait_until(SPINS, || members.iter().all(|at| at.0.load(Ordering::Acquire) >= end));
    }

    /// How many members have asked this before in the phase.
    pub(crate) fn order(&self) -> usize {
        self.team.order.0.fetch_add(1, Ordering::Relaxed)
    }

    /// Ends the phase: waits for the other members. What they wrote before can be read after.
    ///
    /// # Panics
    /// If another member did.
    pub(crate) fn wait(&self) {
        self.wait_while(|| ());
    }

    /// [`wait`](Self::wait), and helps the others meanwhile. Calls `lap` when it has waited so far,
    /// and with the layer when it has helped with one.
    ///
    /// # Panics
    /// If another member did.
    pub(crate) fn wait_and_help(&self, mut lap: impl FnMut(Option<usize>)) {
        self.wait_while(|| {
            if let Some(helper) = self.team.board.look(self.index) {
                lap(None);
                lap(Some(helper.help()));
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

    /// Does rounds of work, one after the other, each of parts in any order, with the help of members
    /// that [wait](Self::wait_and_help) for this one: `work(member, round, parts)`.
    ///
    /// # Safety
    /// Other threads may call `work`, for different parts of a round at the same time.
    ///
    /// # Panics
    /// If a helper does.
    #[allow(unsafe_code)] // Passes the promise on.
    pub(crate) unsafe fn offer(
        &self,
        layer: usize,
        (rounds, parts): (usize, usize),
        work: &dyn Fn(usize, usize, Range<usize>),
    ) {
        // SAFETY: the caller's promise.
        unsafe { self.mates.board.offer(self.index, layer, (rounds, parts), work) }
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
    fn items_that_were_waited_for_are_done() {
        for threads in 1..5 {
            let items: [AtomicBool; 10] = Default::default();
            Team::run(threads, |member| {
                for phase in 0..50 {
                    for item in member.items_in_order(items.len()) {
                        thread::sleep(Duration::from_micros((item as u64 + phase) % 3 * 50));
                        assert!(!items[item].swap(true, Ordering::Relaxed), "taken twice");
                    }
                    let end = (member.order() + 1) * items.len() / member.team_size();
                    member.wait_for_items(end);
                    assert!(items[..end].iter().all(|item| item.load(Ordering::Relaxed)));
                    member.wait();
                    for item in member.items(items.len()) {
                        items[item].store(false, Ordering::Relaxed);
                    }
                    member.wait();
                }
            });
        }
    }

    /// Offers rounds again and again until `done`; the other members help.
    fn offer(threads: usize, work: impl Fn(usize, usize, Range<usize>) + Sync, done: &AtomicBool) {
        Team::run(threads, |member| {
            let solo = Team::solo();
            let alone = member.alone(&solo);
            while member.index == 0 && !done.load(Ordering::Relaxed) {
                // SAFETY: the tests' work may be done by any thread.
                #[allow(unsafe_code)]
                unsafe {
                    alone.offer(7, (ROUNDS, PARTS), &work);
                }
            }
            let mut layers = Vec::new();
            member.wait_and_help(|layer| layers.push(layer));
            assert!(layers.chunks(2).all(|pair| pair == [None, Some(7)]), "{layers:?}");
        });
    }

    const ROUNDS: usize = 20;
    const PARTS: usize = 13;

    #[test]
    fn those_that_wait_help_and_no_part_is_done_twice_or_too_early() {
        for threads in 2..5 {
            let (helped, parts_done) = (AtomicBool::new(false), Mutex::new((0, [false; PARTS])));
            let work = |member: usize, round: usize, parts: Range<usize>| {
                let mut done = parts_done.lock().unwrap();
                if done.1 == [true; PARTS] {
                    *done = ((done.0 + 1) % ROUNDS, [false; PARTS]);
                }
                assert_eq!(round, done.0, "a round begins before the one before has ended");
                for part in parts {
                    assert!(!std::mem::replace(&mut done.1[part], true));
                }
                helped.fetch_or(member != 0, Ordering::Relaxed);
            };
            offer(threads, work, &helped);
            assert_eq!(parts_done.into_inner().unwrap(), (ROUNDS - 1, [true; PARTS]));
        }
    }

    #[test]
    #[should_panic(expected = "another thread panicked")]
    fn a_helpers_panic_ends_the_run() {
        offer(3, |member, _, _| assert_eq!(member, 0, "as told"), &AtomicBool::new(false));
    }

    #[test]
    #[should_panic(expected = "as told")]
    fn an_owners_panic_ends_the_run() {
        let helped = AtomicBool::new(false);
        let work = |member, _, _| {
            assert!(member != 0 || !helped.load(Ordering::Relaxed), "as told");
            helped.fetch_or(member != 0, Ordering::Relaxed);
        };
        offer(3, work, &AtomicBool::new(false));
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
