//! Paths on standard output, including those that are not UTF-8.

use std::io::IsTerminal;
use std::path::Path;

use crate::print::print_bytes;

/// Writes a path, byte for byte, and a line break to standard output, so that a script can take it
/// from there. (A path with a line break in it takes several lines; in JSON it is one string.)
/// On a terminal, control characters are written out.
pub fn print_path(path: &Path) {
    if std::io::stdout().is_terminal() {
        return crate::println!("{}", path.display());
    }
    print_bytes(&[path.as_os_str().as_encoded_bytes(), b"\n"].concat());
}
