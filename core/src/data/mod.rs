//! Data sets on the host: what one is, and where one comes from.
//!
//! A [`Dataset`] is plain vectors. Loaders fill it, [`Dataset::checked`] holds it to its invariants,
//! and nothing after that has to ask whether a label is in range or a pixel is finite. Files are
//! untrusted: no loader reserves memory on the word of a header, and every loader stops at
//! [`MAX_BYTES`] of decompressed input.

mod dataset;
mod split;

pub mod embedded;
pub mod records;

pub mod csv;
pub mod idx;
pub mod npz;

pub mod known;
pub mod source;

pub use dataset::Dataset;
pub use embedded::digits;
pub use source::{DataSource, data_home};

/// The most decompressed bytes that a loader takes from one file: 2 GiB, forty times the images
/// of MNIST. It keeps a small malicious archive from filling the memory.
pub const MAX_BYTES: u64 = 2 << 30;

/// What [`Dataset::source`] and [`Dataset::licence`] say of files that do not carry it.
const NOT_STATED: &str = "not stated";

/// The numbers `0..classes` as names.
fn numbered(classes: usize) -> Vec<String> {
    (0..classes).map(|class| class.to_string()).collect()
}

/// The name of a file or folder without its extension, for the name of a data set.
fn stem(path: &std::path::Path) -> String {
    path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// The range that values have to be in unless another one is stated. Taking the range that they
/// happen to span instead would let pixels of 0 to 255 pass, and a radius mean something else.
fn unit_interval() -> [f32; 2] {
    [0.0, 1.0]
}
