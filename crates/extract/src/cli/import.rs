//! `import-weights`: makes a weights file of this project from another program's.

use std::path::Path;

use backbone::{FORMS, ImportConfig, Imported, Weights};
use durable::Digest;
use extract::Error;
use terminal::{print_path, println, say};

use super::ImportArgs;

pub(super) fn import_weights(args: ImportArgs) -> Result<(), Error> {
    let Some(file) = args.file else {
        list_forms();
        return Ok(());
    };
    let config = ImportConfig { family: args.family, network: args.network };
    let Imported { weights, report } = backbone::import_weights(&file, &config)?;
    let (network, id) = (weights.network().name, weights.id());
    let out = match args.out {
        Some(out) => out,
        None => {
            let path =
                Path::new("artifacts/weights").join(format!("{network}-{}.safetensors", id.family));
            refuse_others(&path, id.digest)?;
            path
        }
    };
    if weights.write(&out)? {
        say(format!("family {}, digest {}", id.family, id.digest));
        say(report.to_string());
    } else {
        say("nothing to do: these weights are imported already");
    }
    print_path(&out);
    Ok(())
}

/// Prints the forms of files that are read.
fn list_forms() {
    println!("Files of VGG11, VGG13, VGG16 and VGG19 that are read; BatchNorm is folded in:");
    for form in &FORMS {
        let endings: Vec<String> = form.endings.iter().map(|it| format!(".{it}")).collect();
        println!("\n{} ({})\n    {}", form.name, endings.join(", "), form.description);
    }
    println!(
        "\nOxford's weights and torchvision's IMAGENET1K_V1 for VGG16 are recognised; of others, say the \
         family with --family"
    );
}

/// Refuses to replace other weights at the default path, since later extractions would use the new ones
/// silently. A file of a newer version is left alone. A damaged one is replaced.
fn refuse_others(path: &Path, given: Digest) -> Result<(), Error> {
    match Weights::read(path) {
        Ok(there) if there.id().digest != given => {
            let (path, found) = (path.to_path_buf(), there.id().digest);
            Err(Error::OtherWeightsThere { path, found, given })
        }
        Err(error @ backbone::Error::OtherFormat { .. }) => Err(error.into()),
        _ => Ok(()),
    }
}
