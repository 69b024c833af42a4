//! Tests of datasets of every form, of what of them is train, val and test, and of images' pixels.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

mod arrays;
mod common;
mod corpus;
mod decoding;
mod digests;
mod digit_csvs;
mod image_digests;
mod orientation;
mod other_libraries;
mod shrunk;
mod splits;
mod webdataset;
