//! Waiting for threads that will soon be done, and the barrier between two phases of work.

use std::{
    hint,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

/// A number that threads share. It is alone on two cache lines, since the processor fetches them in pairs.
#[derive(Default)]
#[repr(align(128))]
pub struct Counter(pub AtomicUsize);

/// Waits until `done` returns true. It calls `done` `spins` times in a spin loop, then yields the core
/// between calls, so that a machine with fewer free cores than threads makes progress.
pub fn wait_until(spins: u32, mut done: impl FnMut() -> bool) {
    let mut looks = 0;
    while !done() {
        if looks < spins {
            looks += 1;
            hint::spin_loop();
        } else {
            thread::yield_now();
        }
    }
}

/// A barrier at which all threads meet at the end of a phase.
#[derive(Default)]
pub struct Barrier {
    arrived: Counter,
    phase: Counter,
    /// A thread has panicked and will not arrive.
    poisoned: AtomicBool,
}

impl Barrier {
    /// Waits until all `threads` have arrived. Afterwards each of them can read what the others wrote
    /// before. The last to arrive calls `reset` before the others continue. While they wait, the others
    /// call `meanwhile` repeatedly; after `spins` times they also yield their core.
    ///
    /// # Panics
    /// If the barrier is [poisoned](Self::poison).
    #[inline]
    pub fn wait(
        &self,
        threads: usize,
        spins: u32,
        reset: impl FnOnce(),
        mut meanwhile: impl FnMut(),
    ) {
        let phase = self.phase.0.load(Ordering::Acquire);
        if self.arrived.0.fetch_add(1, Ordering::AcqRel) + 1 == threads {
            self.arrived.0.store(0, Ordering::Relaxed);
            reset();
            self.phase.0.store(phase.wrapping_add(1), Ordering::Release);
        } else {
            self.wait_until(spins, || {
                meanwhile();
                self.phase.0.load(Ordering::Acquire) != phase
            });
        }
    }

    /// As [`wait_until`], for a condition that another thread of the barrier fulfils.
    ///
    /// # Panics
    /// If the barrier is [poisoned](Self::poison).
    #[inline]
    pub fn wait_until(&self, spins: u32, mut done: impl FnMut() -> bool) {
        wait_until(spins, || {
            assert!(!self.is_poisoned(), "another thread panicked");
            done()
        });
    }

    /// Tells the other threads that this one has panicked and will not arrive.
    pub fn poison(&self) {
        self.poisoned.store(true, Ordering::Release);
    }

    /// Whether a thread has panicked.
    pub fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic;

    #[test]
    fn nobody_passes_before_all_have_arrived() {
        for spins in [0, 1 << 10] {
            let (barrier, count, resets) =
                (Barrier::default(), AtomicUsize::new(0), AtomicUsize::new(0));
            thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        for phase in 1..=50 {
                            count.fetch_add(1, Ordering::Relaxed);
                            let reset = || {
                                resets.fetch_add(1, Ordering::Relaxed);
                            };
                            barrier.wait(3, spins, reset, || ());
                            assert_eq!(count.load(Ordering::Relaxed), 3 * phase);
                            barrier.wait(3, spins, || (), || ());
                        }
                    });
                }
            });
            assert_eq!(resets.into_inner(), 50);
        }
    }

    #[test]
    fn a_poisoned_barrier_ends_the_waiting() {
        let barrier = Barrier::default();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                panic::catch_unwind(panic::AssertUnwindSafe(|| barrier.wait(2, 8, || (), || ())))
            });
            barrier.poison();
            assert!(waiting.join().expect("the panic is caught").is_err());
        });
    }
}
