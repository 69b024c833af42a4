//! The choices that decide the numbers, [`layers`], and those that decide only the speed, [`schedule`].

pub(crate) mod layers;
pub(crate) mod schedule;
