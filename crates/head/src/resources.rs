//! Threads and memory.

use std::fmt;

use bytesize::ByteSize;

use crate::memory::half_of_free_memory;

/// The threads and the memory that training may take. A head is the same to the bit for any number of threads. It
/// depends on the memory only if that is too small for the features: streamed rows are shuffled within windows,
/// whose size depends on the memory that the heads of a pass leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resources {
    /// Threads that compute.
    pub threads: usize,
    /// Memory that features and heads may take; features beyond it are streamed from the disk.
    pub memory: Memory,
}

/// Memory that features and heads may take, in bytes, and where the number comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// Given by the user.
    Given(u64),
    /// Half of what is free.
    HalfOfFree(u64),
}

impl Memory {
    /// Half of the free memory, within the limits of control groups.
    pub fn half_of_free() -> Memory {
        Memory::HalfOfFree(half_of_free_memory())
    }

    /// The bytes.
    pub fn bytes(self) -> u64 {
        match self {
            Memory::Given(bytes) | Memory::HalfOfFree(bytes) => bytes,
        }
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Memory::Given(bytes) => {
                let bytes = format!("{:.2}", ByteSize(bytes).display().iec());
                write!(f, "--memory={}", bytes.replace(' ', ""))
            }
            Memory::HalfOfFree(bytes) => {
                let bytes = ByteSize(bytes).display().iec();
                write!(f, "half of the memory that is free ({bytes:.2})")
            }
        }
    }
}
