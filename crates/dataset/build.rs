//! Compiles the few lines of C between this crate and libjpeg-turbo's decoder.

use std::env;

fn main() {
    let source = "src/decode/jpeg.c";
    println!("cargo:rerun-if-changed={source}");
    // Where mozjpeg-sys has its headers.
    let include = env::var_os("DEP_JPEG_INCLUDE").expect("mozjpeg-sys names its headers' folders");
    cc::Build::new()
        .file(source)
        .includes(env::split_paths(&include))
        .warnings(true)
        .compile("dataset_jpeg");
}
