//! `gc`: caches and files that are not needed.

use std::collections::BTreeSet;

use extract::Error;
use feature_cache::{CacheKey, Found, Garbage, Why, find_garbage, keys_referred_to};
use terminal::{HumanBytes, println, say};

use super::size::size_of;
use super::{GcArgs, Only};

pub(super) fn gc(args: &GcArgs) -> Result<(), Error> {
    let referred_to = match args.only {
        Some(Only::Unfinished) => None,
        _ => Some(args.referred_to()?),
    };
    let Found { mut garbage, left_alone } = find_garbage(&args.out.out, referred_to.as_ref())?;
    if args.only == Some(Only::Unreferenced) {
        garbage.retain(|found| found.why == Why::Unreferenced);
    }
    for error in left_alone {
        say(format!("left alone: {error}"));
    }
    if garbage.is_empty() {
        say("nothing to remove");
        return Ok(());
    }
    let mut sizes = Vec::new();
    for Garbage { path, why } in &garbage {
        let size = size_of(path)?;
        println!("{}  {}  {why}", path.display(), HumanBytes(size));
        sizes.push(size);
    }
    if !args.yes {
        let bytes = HumanBytes(sizes.iter().sum());
        say(format!("{bytes} would be freed; add --yes to remove them"));
        return Ok(());
    }
    let mut freed = 0;
    for (found, size) in garbage.iter().zip(sizes) {
        match found.remove() {
            Ok(()) => freed += size,
            // Another process has begun to work there since it was listed.
            Err(error @ feature_cache::Error::Held { .. }) => say(format!("left alone: {error}")),
            Err(error) => return Err(error.into()),
        }
    }
    say(format!("{} freed", HumanBytes(freed)));
    Ok(())
}

impl GcArgs {
    /// Keys of the caches that runs, sweeps and cross-validations refer to.
    fn referred_to(&self) -> Result<BTreeSet<CacheKey>, Error> {
        let mut keys = BTreeSet::new();
        for root in [&self.runs, &self.sweeps] {
            if !root.exists() {
                say(format!("there is no folder {}: nothing in it needs a cache", root.display()));
            }
            keys.extend(keys_referred_to(root)?);
        }
        keys.extend(keys_referred_to(&self.cv)?);
        Ok(keys)
    }
}
