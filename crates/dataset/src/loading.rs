//! The reading of images that lie together in larger files.

use std::sync::atomic::{AtomicBool, Ordering};

use durable::Digest;
use rayon::prelude::*;

use crate::decode::scan;
use crate::faults::Faults;
use crate::{Decoding, Error};

/// Consecutive images that are read between two looks at whether to stop, by all threads.
const CHUNK: usize = 256;

/// How images are read for their digests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Loading<'a> {
    /// How they will be decoded, if their bytes are looked at for faults while they are in memory.
    pub(crate) scan: Option<Decoding>,
    /// Whether a stop was requested.
    pub(crate) stop: &'a AtomicBool,
}

/// An image that was read: its digest, and its fault if a look at its bytes found one.
pub(crate) type Looked = (Digest, Option<String>);

impl Loading<'_> {
    /// # Errors
    /// If a stop was requested.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.stop.load(Ordering::SeqCst) { Err(Error::Stopped) } else { Ok(()) }
    }

    /// The digest and the fault of an encoded image.
    pub(crate) fn look(&self, bytes: &[u8]) -> Looked {
        let fault = self.scan.and_then(|decoding| scan::fault_of(bytes, decoding));
        (Digest::of(bytes), fault.map(|fault| fault.reason()))
    }

    /// The digests of so many images, of which `look` gives each, and their faults.
    ///
    /// # Errors
    /// The first one of `look`, or if a stop was requested.
    pub(crate) fn look_at_all(
        &self,
        images: usize,
        look: impl Fn(usize) -> Result<Looked, Error> + Sync,
        faults: &mut Faults,
    ) -> Result<Vec<Digest>, Error> {
        let mut digests = Vec::with_capacity(images);
        for first in (0..images).step_by(CHUNK) {
            self.check()?;
            let chunk = first..images.min(first + CHUNK);
            let looked: Vec<Result<Looked, Error>> = chunk.into_par_iter().map(&look).collect();
            for looked in looked {
                let (digest, fault) = looked?;
                digests.push(digest);
                fault.into_iter().for_each(|reason| faults.insert(digest, reason));
            }
        }
        Ok(digests)
    }
}
