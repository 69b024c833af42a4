//! The on-disk contract between feature extraction and head training.
