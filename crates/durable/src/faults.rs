//! Faults on demand, for tests: one operation of this thread fails as a disk makes it fail.
//!
//! Every change to a file asks here first. Without the feature `faults`, nobody is asked.

use std::cell::Cell;
use std::io;

use crate::operation::Operation;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A write takes half of the bytes and says so (as POSIX allows).
    ShortWrite,
    /// A signal interrupts a write (EINTR).
    Interruption,
    /// The disk is full from here on (ENOSPC); the first write to meet it still gets half of its
    /// bytes down.
    FullDisk,
    /// The device fails once (EIO). If it is a flush, what was written since the last one is lost,
    /// and the next flush finds nothing to complain of, as on Linux.
    DeviceError,
    /// From here on nothing is done any more, and what files had not flushed is lost.
    PowerCut,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 5] = [
        Fault::ShortWrite,
        Fault::Interruption,
        Fault::FullDisk,
        Fault::DeviceError,
        Fault::PowerCut,
    ];

    /// Whether the operation must come off all the same.
    pub fn is_harmless(self) -> bool {
        matches!(self, Fault::ShortWrite | Fault::Interruption)
    }

    fn concerns(self, operation: Operation) -> bool {
        match self {
            // Where else a signal can interrupt, the standard library tries again by itself.
            Fault::ShortWrite | Fault::Interruption => operation == Operation::Write,
            Fault::FullDisk => operation != Operation::Remove,
            Fault::DeviceError | Fault::PowerCut => true,
        }
    }

    fn error(self) -> io::Error {
        io::Error::from_raw_os_error(match self {
            Fault::Interruption => 4,
            Fault::FullDisk => 28,
            Fault::ShortWrite | Fault::DeviceError | Fault::PowerCut => 5,
        })
    }
}

#[derive(Debug, Clone, Copy)]
struct Plan {
    fault: Fault,
    /// Operations that it concerns and that still come off.
    spared: usize,
    /// How often it has struck.
    strikes: usize,
}

thread_local! {
    static PLAN: Cell<Option<Plan>> = const { Cell::new(None) };
}

/// Runs `action` while `fault` strikes at the operation number `index`, counted from 0, of those
/// that it can strike. Returns what `action` did, and whether there were so many.
pub fn inject<T>(fault: Fault, index: usize, action: impl FnOnce() -> T) -> (T, bool) {
    PLAN.set(Some(Plan { fault, spared: index, strikes: 0 }));
    let done = action();
    let plan = PLAN.take();
    (done, plan.is_some_and(|plan| plan.strikes > 0))
}

/// The fault that strikes this operation, and whether it is its first strike.
fn strike(operation: Operation) -> Option<(Fault, bool)> {
    let mut plan = PLAN.get().filter(|plan| plan.fault.concerns(operation))?;
    let first = plan.strikes == 0;
    let struck = match plan.spared.checked_sub(1) {
        Some(spared) => {
            plan.spared = spared;
            false
        }
        None => first || matches!(plan.fault, Fault::FullDisk | Fault::PowerCut),
    };
    plan.strikes += usize::from(struck);
    PLAN.set(Some(plan));
    struck.then_some((plan.fault, first))
}

/// Whether a power cut has happened.
pub(crate) fn power_is_out() -> bool {
    PLAN.get().is_some_and(|plan| plan.fault == Fault::PowerCut && plan.strikes > 0)
}

pub(crate) fn before(operation: Operation) -> io::Result<()> {
    match strike(operation) {
        // The standard library writes the rest by itself.
        Some((fault, _)) if !fault.is_harmless() => Err(fault.error()),
        _ => Ok(()),
    }
}

/// Flushes, if the flush is not to fail. While faults are injected, nothing is flushed in earnest:
/// that would show after a power cut only, and take most of a test's time.
pub(crate) fn sync(flush: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    before(Operation::Sync)?;
    if PLAN.get().is_some() { Ok(()) } else { flush() }
}

/// How many of `len` bytes a write takes.
pub(crate) fn before_write(len: usize) -> io::Result<usize> {
    match strike(Operation::Write) {
        None => Ok(len),
        Some((Fault::ShortWrite, _)) => Ok(len.div_ceil(2)),
        Some((Fault::FullDisk, true)) if len > 1 => Ok(len / 2),
        Some((fault, _)) => Err(fault.error()),
    }
}
