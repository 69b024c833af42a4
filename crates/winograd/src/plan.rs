//! Planning: [`layers`] makes the choices on which the numbers depend, [`schedule`] those on which only the
//! speed depends.

pub(crate) mod layers;
pub(crate) mod schedule;
