//! Tells the linker where libtorch lies when the plugin is loaded.
//!
//! torch-sys knows which libtorch it was built with; the plugin then finds that one without
//! `LD_LIBRARY_PATH`. Programs that link this crate in statically get the folder as
//! `DEP_INOCULA_BACKEND_TCH_LIBTORCH_LIB` and set the path themselves: linker arguments do not
//! travel from a library to the program that uses it. The crate itself is told the folder too, for
//! what it loads only when it is asked for a GPU.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let Ok(lib) = std::env::var("DEP_TCH_LIBTORCH_LIB") else { return };
    println!("cargo:libtorch_lib={lib}");
    println!("cargo:rustc-env=INOCULA_LIBTORCH_LIB={lib}");
    println!("cargo:rustc-link-arg=-Wl,-rpath,{lib}");
    println!("cargo:rustc-link-arg=-Wl,--disable-new-dtags");
}
