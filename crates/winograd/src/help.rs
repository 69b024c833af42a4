//! Help for a member that is held up: those that are done with their own work take parts of its.
//!
//! Threads that go apart have equal work, but a core that also serves others is slower for a while.
//! So a thread offers what can be shared without cost, the products of a block of tiles, and the
//! others, waiting for it at the end, look for such offers.

#![allow(unsafe_code)] // An offer lives on its owner's stack.

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

use crate::team::SPINS;

/// Parts of a round that a member takes, so many for each member, once there are helpers.
const SHARES: usize = 2;

/// Does some parts of a round, as the member of that number: `work(member, round, parts)`.
type Work<'a> = dyn Fn(usize, usize, Range<usize>) + 'a;

/// Rounds of work, one after the other, each of parts in any order.
pub(crate) struct Offer<'a> {
    work: &'a Work<'a>,
    rounds: usize,
    parts: usize,
    /// What a helper's time is counted for.
    layer: usize,
    cursor: Mutex<Cursor>,
    helpers: AtomicUsize,
    /// A member panicked: the round is never going to be complete.
    broken: AtomicBool,
}

/// How far an offer is.
#[derive(Default)]
struct Cursor {
    round: usize,
    /// Parts of the round that are taken, and done.
    taken: usize,
    done: usize,
}

/// The offers of a team, one place for each member.
#[derive(Default)]
pub(crate) struct Board(Vec<Mutex<Option<Place>>>);

/// A pointer to an offer that its owner takes away before it ends.
#[derive(Clone, Copy)]
struct Place(NonNull<Offer<'static>>);

// SAFETY: who makes an offer promises that other threads may do its work.
unsafe impl Send for Place {}

impl Board {
    pub(crate) fn new(members: usize) -> Board {
        Board((0..members).map(|_| Mutex::default()).collect())
    }

    /// Does all rounds, with the help of members that look for it.
    ///
    /// # Safety
    /// Other threads may call `work`, for different parts of a round at the same time.
    ///
    /// # Panics
    /// If a helper does.
    pub(crate) unsafe fn offer(
        &self,
        member: usize,
        layer: usize,
        (rounds, parts): (usize, usize),
        work: &Work<'_>,
    ) {
        let offer = Offer {
            work,
            rounds,
            parts,
            layer,
            cursor: Mutex::default(),
            helpers: AtomicUsize::new(0),
            broken: AtomicBool::new(false),
        };
        let place = &self.0[member];
        *lock(place) = Some(Place(NonNull::from(&offer).cast()));
        let owner = Owner { offer: &offer, place };
        offer.run(member);
        drop(owner);
        assert!(!offer.broken.load(Ordering::Acquire), "another thread panicked");
    }

    /// An offer of another member.
    pub(crate) fn look(&self, member: usize) -> Option<Helper<'_>> {
        let others = self.0.iter().enumerate().filter(|&(index, _)| index != member);
        for (_, place) in others {
            let place = lock(place);
            if let Some(Place(offer)) = *place {
                // SAFETY: the owner takes the offer from its place, for which it needs the lock, and
                // waits for the helpers, before the offer ends.
                return Some(Helper::new(unsafe { offer.as_ref() }, member));
            }
        }
        None
    }
}

impl Offer<'_> {
    /// Takes parts and does them until none are left.
    fn run(&self, member: usize) {
        while let Some((round, parts)) = self.take() {
            let count = parts.len();
            (self.work)(member, round, parts);
            lock(&self.cursor).done += count;
        }
    }

    /// The next parts: of the next round once those of the one before are done, all of them as long
    /// as nobody helps.
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
            let shares = match self.helpers.load(Ordering::Relaxed) {
                0 => 1,
                helpers => (helpers + 1) * SHARES,
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

/// The end of an offer, even if the owner panics.
struct Owner<'a, 'b> {
    offer: &'a Offer<'b>,
    place: &'a Mutex<Option<Place>>,
}

impl Drop for Owner<'_, '_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.offer.broken.store(true, Ordering::Release);
        }
        *lock(self.place) = None;
        wait_until(SPINS, || self.offer.helpers.load(Ordering::Acquire) == 0);
    }
}

/// A member that helps with an offer, which lasts as long.
pub(crate) struct Helper<'a> {
    offer: &'a Offer<'a>,
    member: usize,
}

impl<'a> Helper<'a> {
    /// For a caller that keeps the owner from taking its offer back.
    fn new(offer: &'a Offer<'a>, member: usize) -> Helper<'a> {
        offer.helpers.fetch_add(1, Ordering::Relaxed);
        Helper { offer, member }
    }

    /// Helps to the end, and tells the layer.
    pub(crate) fn help(self) -> usize {
        self.offer.run(self.member);
        self.offer.layer
    }
}

impl Drop for Helper<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.offer.broken.store(true, Ordering::Release);
        }
        self.offer.helpers.fetch_sub(1, Ordering::Release);
    }
}

/// No code panics while it holds a lock.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
