//! The replacement of `faults.rs` without the feature `faults`: no faults are injected.

use std::io;

use crate::operation::Operation;

#[inline]
pub(crate) fn before(_: Operation) -> io::Result<()> {
    Ok(())
}

#[inline]
pub(crate) fn before_write(len: usize) -> io::Result<usize> {
    Ok(len)
}

#[inline]
pub(crate) fn sync(flush: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    before(Operation::Sync)?;
    flush()
}
