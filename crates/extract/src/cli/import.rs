//! `import-weights`: the weights file of this project from another program's.

use std::path::Path;

use backbone::{ImportConfig, Imported};
use extract::Error;
use terminal::{print_path, say};

use super::ImportArgs;

pub(super) fn import_weights(args: ImportArgs) -> Result<(), Error> {
    let config = ImportConfig { family: Some(args.family), network: args.network };
    let Imported { weights, report } = backbone::import_weights(&args.file, &config)?;
    let (network, id) = (weights.network().name, weights.id());
    let out = args.out.unwrap_or_else(|| {
        Path::new("artifacts/weights").join(format!("{network}-{}.safetensors", id.family))
    });
    if weights.write(&out)? {
        say(format!("{network}, family {}, digest {}", id.family, id.digest));
        say(report.to_string());
    } else {
        say("nothing to do: these weights are imported already");
    }
    print_path(&out);
    Ok(())
}
