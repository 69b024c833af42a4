//! Runs and sweeps on disk.

pub(crate) mod calibration;
pub(crate) mod evaluation;
pub(crate) mod files;
pub(crate) mod format;
pub(crate) mod id;
pub(crate) mod kind;
pub(crate) mod parameters;
pub(crate) mod run;
pub(crate) mod sweep;
