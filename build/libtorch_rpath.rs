//! Build script of every crate whose programs or tests link libtorch with the feature `torch`: writes
//! the folder in which `torch-sys` found it into them as an rpath, so that they run without
//! `LD_LIBRARY_PATH`. Without the feature it does nothing.

fn main() {
    // Where a script names nothing, cargo runs it again after every change to the crate.
    println!("cargo:rerun-if-changed=Cargo.toml");
    if let Ok(lib) = std::env::var("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo:rerun-if-env-changed=LIBTORCH");
        println!("cargo:rustc-link-arg=-Wl,-rpath,{lib}");
    }
}
