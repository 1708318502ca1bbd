//! Data sets that can be fetched by name: the files, their digests and where they are served.
//!
//! Only the table; core does not reach the network. A file is identified by what it holds once
//! decompressed, too, because copies that were compressed anew are as good as the first ones.

use crate::error::nearest;
use crate::{Result, bail};

/// A data set that can be fetched by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownSet {
    /// Name on the command line: `mnist`.
    pub name: &'static str,
    /// Name for people: `MNIST`.
    pub title: &'static str,
    /// Citation.
    pub source: &'static str,
    /// Licence of the data.
    pub licence: &'static str,
    /// Addresses to which a file's name is appended, in the order to try.
    pub mirrors: &'static [&'static str],
    /// The files.
    pub files: &'static [KnownFile],
}

/// A file of a [`KnownSet`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownFile {
    /// Name of the file at the mirrors and in the folder of the data set.
    pub name: &'static str,
    /// Size as served, in bytes.
    pub bytes: u64,
    /// SHA-256 as served, in lower-case hexadecimal.
    pub sha256: &'static str,
    /// Size once decompressed, in bytes.
    pub content_bytes: u64,
    /// SHA-256 once decompressed, in lower-case hexadecimal.
    pub content_sha256: &'static str,
}

/// MNIST: 60,000 training and 10,000 test images of handwritten digits, 28 x 28 pixels.
pub const MNIST: KnownSet = KnownSet {
    name: "mnist",
    title: "MNIST",
    source: "Y. LeCun, C. Cortes and C. J. C. Burges, The MNIST database of handwritten digits, 1998",
    licence: "CC BY-SA 3.0",
    mirrors: &[
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ],
    files: &[
        KnownFile {
            name: "train-images-idx3-ubyte.gz",
            bytes: 9_912_422,
            sha256: "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            content_bytes: 47_040_016,
            content_sha256: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        },
        KnownFile {
            name: "train-labels-idx1-ubyte.gz",
            bytes: 28_881,
            sha256: "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            content_bytes: 60_008,
            content_sha256: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        },
        KnownFile {
            name: "t10k-images-idx3-ubyte.gz",
            bytes: 1_648_877,
            sha256: "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            content_bytes: 7_840_016,
            content_sha256: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        },
        KnownFile {
            name: "t10k-labels-idx1-ubyte.gz",
            bytes: 4_542,
            sha256: "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            content_bytes: 10_008,
            content_sha256: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        },
    ],
};

/// Every data set that can be fetched by name.
pub const KNOWN: &[KnownSet] = &[MNIST];

/// The data set of this name.
///
/// # Errors
/// [`NotFound`](crate::ErrorKind::NotFound), with the names there are.
pub fn find(name: &str) -> Result<&'static KnownSet> {
    if let Some(set) = KNOWN.iter().find(|set| set.name == name) {
        return Ok(set);
    }
    let names: Vec<&str> = KNOWN.iter().map(|set| set.name).collect();
    if let Some(near) = nearest(name, names.iter().copied()) {
        bail!(NotFound, "no data set to fetch is called '{name}'; did you mean '{near}'?");
    }
    bail!(NotFound, "no data set to fetch is called '{name}'; there is {}", names.join(", "))
}
