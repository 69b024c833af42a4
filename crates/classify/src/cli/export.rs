//! `export`: a model as one file.

use classify::Error;
use terminal::print_path;

use super::ExportArgs;

pub(super) fn run(args: &ExportArgs) -> Result<(), Error> {
    args.model.read()?.write(&args.out)?;
    print_path(&args.out);
    Ok(())
}
