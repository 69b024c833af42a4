//! `export`: a model as one file.

use std::path::PathBuf;

use classify::{Comparison, Error, OnnxInput};
use terminal::{print_path, say};

use super::{ExportArgs, ModelForm, cores};

/// The programs that may have ONNX Runtime: the one of 'just setup numpy', and the one on the path.
const PYTHONS: [&str; 2] = ["artifacts/venv/bin/python", "python3"];

pub(super) fn run(args: &ExportArgs) -> Result<(), Error> {
    let input = match (args.any_size, args.head_only) {
        (true, _) => OnnxInput::ImagesOfAnySize,
        (_, true) => OnnxInput::Features,
        _ => OnnxInput::Images,
    };
    match args.format {
        ModelForm::Safetensors => {
            for (given, flag) in [(args.any_size, "--any-size"), (args.head_only, "--head-only")] {
                if given {
                    return Err(Error::NotOnnx { flag });
                }
            }
            args.model.read()?.write(&args.out)?;
        }
        ModelForm::Onnx => {
            let model = args.model.read()?;
            let pythons = PYTHONS.map(PathBuf::from);
            say(match model.write_onnx(&args.out, input, &pythons, cores())? {
                Comparison::Agrees { version, inputs, difference } => format!(
                    "ONNX Runtime {version} has the results of our forward pass: for {inputs} inputs, \
                     probabilities differ by at most {difference:.0e}"
                ),
                Comparison::NotDone { reason } => {
                    format!("not compared with our forward pass: {reason}")
                }
            });
        }
    }
    print_path(&args.out);
    Ok(())
}
