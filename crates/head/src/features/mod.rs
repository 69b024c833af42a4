//! A cache's rows as heads take them: pooled, labelled, and in the order of training.
//!
//! This is the only module that reads a feature cache.

pub(crate) mod cache;
pub(crate) mod labelled;
pub(crate) mod order;
pub(crate) mod pooled;
pub(crate) mod row;
pub(crate) mod rows;
mod source;
pub(crate) mod stream;
mod view;
