//! Tests that without the cargo feature `torch` the programs do not need libtorch, and say so when it is
//! requested.

#![cfg(not(feature = "torch"))]
#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use end_to_end::{USAGE, assert_refused, vgg_classify, vgg_extract, vgg_head};

#[test]
fn libtorch_is_refused_with_how_to_build_it_in() {
    for flag in ["--backend=torch", "--device=cuda"] {
        let says = ["built without it", "just extract backend=torch", "--features torch", "--help"];
        // This is checked first: the dataset does not exist.
        let flags = ["run", "--dataset=/nowhere", flag];
        assert_refused(vgg_extract(flags), USAGE, &says);
    }
}

/// The programs need only libraries that every system has: the C library, its loader, and the unwinder of
/// GCC's runtime.
#[test]
#[cfg(target_os = "linux")]
fn the_programs_link_libc_and_libgcc_alone() {
    for program in [vgg_extract([""; 0]), vgg_head([""; 0]), vgg_classify([""; 0])] {
        let listed = std::process::Command::new("ldd").arg(program.get_program()).output().unwrap();
        assert!(listed.status.success(), "{listed:?}");
        let listed = String::from_utf8(listed.stdout).unwrap();
        for line in listed.lines() {
            // "libm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x…)", or the path alone.
            let library = line.split_whitespace().next().unwrap();
            let name = library.rsplit('/').next().unwrap();
            let family = name.split(".so").next().unwrap();
            let allowed =
                ["linux-vdso", "libc", "libm", "libgcc_s", "libpthread", "libdl", "librt"];
            assert!(
                allowed.contains(&family) || family.starts_with("ld-linux"),
                "{library} in:\n{listed}"
            );
        }
    }
}
