//! Build script of every crate whose programs or tests link libtorch with the feature `torch`. It gives
//! them the folder in which `torch-sys` found libtorch as an rpath, so that they run without
//! `LD_LIBRARY_PATH` and whatever it says. Without the feature it does nothing.

fn main() {
    // If a script names no dependency, cargo runs it again after every change to the crate.
    println!("cargo:rerun-if-changed=Cargo.toml");
    if let Ok(lib) = std::env::var("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo:rerun-if-env-changed=LIBTORCH");
        // An rpath of the older kind comes before LD_LIBRARY_PATH, in which conda and ROS may have their own
        // libtorch, and also holds for the libraries that libtorch needs.
        println!("cargo:rustc-link-arg=-Wl,--disable-new-dtags,-rpath,{lib}");
        // This library registers the CUDA kernels when it is loaded, and no code refers to its symbols.
        // rustc links with --as-needed, which would drop it, and libtorch would not find a device.
        if std::path::Path::new(&lib).join("libtorch_cuda.so").exists() {
            println!("cargo:rustc-link-arg=-Wl,--push-state,--no-as-needed");
            println!("cargo:rustc-link-arg=-L{lib}");
            println!("cargo:rustc-link-arg=-ltorch_cuda");
            println!("cargo:rustc-link-arg=-Wl,--pop-state");
        }
    }
}
