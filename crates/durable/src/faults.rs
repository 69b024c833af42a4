//! Fault injection for tests: one operation of this thread fails as it would on a failing disk.
//!
//! Every change to a file calls this module first. Without the feature `faults`, `no_faults.rs` takes its
//! place and does nothing.

use std::cell::Cell;
use std::io;

use crate::operation::Operation;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A write takes only half of the bytes and reports that, as POSIX allows.
    ShortWrite,
    /// A signal interrupts a write (EINTR).
    Interruption,
    /// The disk stays full (ENOSPC). The first write that fails still writes half of its bytes.
    FullDisk,
    /// The device fails once (EIO). If a flush fails, the bytes written since the last flush are lost,
    /// and the next flush succeeds, as on Linux.
    DeviceError,
    /// All further operations fail, and bytes that were not flushed are lost.
    PowerCut,
}

impl Fault {
    /// All kinds of faults.
    pub const ALL: [Fault; 5] = [
        Fault::ShortWrite,
        Fault::Interruption,
        Fault::FullDisk,
        Fault::DeviceError,
        Fault::PowerCut,
    ];

    /// Whether the operation must succeed nevertheless.
    pub fn is_harmless(self) -> bool {
        matches!(self, Fault::ShortWrite | Fault::Interruption)
    }

    fn concerns(self, operation: Operation) -> bool {
        match self {
            // The standard library itself repeats other operations that a signal interrupts.
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
    /// The number of operations that it could strike and that still succeed.
    spared: usize,
    /// The number of times that it has struck.
    strikes: usize,
}

thread_local! {
    static PLAN: Cell<Option<Plan>> = const { Cell::new(None) };
}

/// Runs `action` and lets `fault` strike at operation number `index`, counted from 0, among those that it
/// can strike. Returns the result of `action`, and whether there was such an operation.
pub fn inject<T>(fault: Fault, index: usize, action: impl FnOnce() -> T) -> (T, bool) {
    PLAN.set(Some(Plan { fault, spared: index, strikes: 0 }));
    let done = action();
    let plan = PLAN.take();
    (done, plan.is_some_and(|plan| plan.strikes > 0))
}

/// The fault that strikes this operation, and whether this is its first strike; `None` if there is none.
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
        // The standard library itself writes the rest after a short write.
        Some((fault, _)) if !fault.is_harmless() => Err(fault.error()),
        _ => Ok(()),
    }
}

/// Flushes unless a fault strikes. While faults are injected, nothing is really flushed: it would take most
/// of a test's time, and only a real power cut would show the difference.
pub(crate) fn sync(flush: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    before(Operation::Sync)?;
    if PLAN.get().is_some() { Ok(()) } else { flush() }
}

/// The number of bytes, of `len`, that a write takes.
pub(crate) fn before_write(len: usize) -> io::Result<usize> {
    match strike(Operation::Write) {
        None => Ok(len),
        Some((Fault::ShortWrite, _)) => Ok(len.div_ceil(2)),
        Some((Fault::FullDisk, true)) if len > 1 => Ok(len / 2),
        Some((fault, _)) => Err(fault.error()),
    }
}
