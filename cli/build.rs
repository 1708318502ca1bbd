//! Lets a program that has libtorch linked in find it when it starts.
//!
//! The folder comes from the build script of the backend; linker arguments do not travel from a
//! library to the program that uses it.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let Ok(lib) = std::env::var("DEP_INOCULA_BACKEND_TCH_LIBTORCH_LIB") else { return };
    println!("cargo:rustc-link-arg-bins=-Wl,-rpath,{lib}");
    println!("cargo:rustc-link-arg-bins=-Wl,--disable-new-dtags");
}
