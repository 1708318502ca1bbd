//! Which data set to use, as written in a configuration or on a command line.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::csv::{self, CsvConfig};
use super::npz::{self, NpzConfig};
use super::{Dataset, embedded, idx, records};
use crate::error::nearest;
use crate::rng::Rng;
use crate::{Result, bail};

/// A data set by name or by its files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum DataSource {
    /// The digits built into the program.
    Digits {},
    /// MNIST, or a set with its layout, with its own test part.
    Mnist {
        /// The folder with the four files; [`mnist_folder`] if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        folder: Option<PathBuf>,
    },
    /// Biopsies, benign or malignant, built into the program.
    BreastCancer {},
    /// Applicants for a credit, a good or a bad risk.
    GermanCredit {
        /// The folder with `german.data`; [`records::german_credit_folder`] if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        folder: Option<PathBuf>,
    },
    /// Profiles of visited places, in 30 clusters.
    #[serde(rename = "location30")]
    Location30 {
        /// The folder with `dataset_location.tgz`; [`records::location30_folder`] if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        folder: Option<PathBuf>,
    },
    /// A pair of IDX files.
    Idx {
        /// The images, `[N, H, W]`.
        images: PathBuf,
        /// The labels, `[N]`.
        labels: PathBuf,
    },
    /// A table.
    Csv(CsvConfig),
    /// NumPy arrays.
    Npz(NpzConfig),
}

/// The data sets that have a name.
pub const NAMES: [&str; 5] = ["digits", "mnist", "breast-cancer", "german-credit", "location30"];

impl DataSource {
    /// The source that a flag means: one of [`NAMES`], a folder of IDX files named like those of
    /// MNIST, a `*.csv` or a `*.npz` file.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if it is none of these. Files are looked at when
    /// they are loaded.
    pub fn parse(text: &str) -> Result<Self> {
        let path = Path::new(text);
        match text {
            "digits" => Ok(DataSource::Digits {}),
            "mnist" => Ok(DataSource::Mnist { folder: None }),
            "breast-cancer" => Ok(DataSource::BreastCancer {}),
            "german-credit" => Ok(DataSource::GermanCredit { folder: None }),
            "location30" => Ok(DataSource::Location30 { folder: None }),
            _ if path.is_dir() => Ok(DataSource::Mnist { folder: Some(path.into()) }),
            _ if csv::is_named_so(path) => Ok(DataSource::Csv(CsvConfig::new(path))),
            _ if npz::is_named_so(path) => Ok(DataSource::Npz(NpzConfig::new(path))),
            _ => match nearest(text, NAMES) {
                Some(near) => {
                    bail!(NotFound, "no data set is called '{text}'; did you mean '{near}'?")
                }
                None => bail!(
                    NotFound,
                    "'{text}' is no data set; use {}, a folder of IDX files, or a file that ends in \
                     .csv or .npz",
                    NAMES.join(", ")
                ),
            },
        }
    }

    /// Training and test part. MNIST brings its own test part; of the others `test_fraction` is
    /// cut off, stratified and drawn by `rng`.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) if the fraction is not within `(0, 1)` where it is
    /// used, or leaves one part empty; else as the loader of the kind.
    pub fn load(&self, test_fraction: f64, rng: &Rng) -> Result<(Dataset, Dataset)> {
        if let DataSource::Mnist { folder } = self {
            return load_mnist(folder.as_deref());
        }
        let whole = self.test_set()?;
        if !(test_fraction > 0.0 && test_fraction < 1.0) {
            bail!(Config, "test_fraction: {test_fraction} is not between 0 and 1; try 0.2");
        }
        let (train, test) = whole.split_stratified(test_fraction, rng);
        if train.is_empty() || test.is_empty() {
            bail!(
                Config,
                "test_fraction: {test_fraction} of {} samples leaves {} to train and {} to test; \
                 change it or supply more samples",
                whole.len(),
                train.len(),
                test.len()
            );
        }
        Ok((train, test))
    }

    /// All samples to test on: the test part where the data bring one, else everything.
    ///
    /// # Errors
    /// As the loader of the kind.
    pub fn test_set(&self) -> Result<Dataset> {
        match self {
            DataSource::Mnist { folder } => Ok(load_mnist(folder.as_deref())?.1),
            DataSource::Digits {} => embedded::digits(),
            DataSource::BreastCancer {} => records::breast_cancer(),
            DataSource::GermanCredit { folder } => {
                let folder = folder.clone().unwrap_or_else(records::german_credit_folder);
                there("German credit data", "INOCULA_GERMAN_CREDIT", "german.data", &folder)?;
                records::german_credit(&folder)
            }
            DataSource::Location30 { folder } => {
                let folder = folder.clone().unwrap_or_else(records::location30_folder);
                there("Location-30", "INOCULA_LOCATION30", "dataset_location.tgz", &folder)?;
                records::location30(&folder)
            }
            DataSource::Idx { images, labels } => idx::load(images, labels),
            DataSource::Csv(config) => csv::load(config),
            DataSource::Npz(config) => npz::load(config),
        }
    }
}

/// Whether the folder of a data set that has to be fetched by hand is there.
fn there(what: &str, variable: &str, file: &str, folder: &Path) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let folder = folder.display();
    bail!(NotFound, "{what} is not at {folder}; put {file} there, or set {variable} to its folder")
}

fn load_mnist(folder: Option<&Path>) -> Result<(Dataset, Dataset)> {
    let folder = folder.map_or_else(mnist_folder, Path::to_path_buf);
    if !folder.is_dir() {
        bail!(
            NotFound,
            "MNIST is not at {}; run `inocula data get mnist`, or set INOCULA_MNIST to its folder",
            folder.display()
        );
    }
    idx::mnist(&folder)
}

/// Where MNIST is looked for: `$INOCULA_MNIST`, else `mnist` in [`data_home`].
pub fn mnist_folder() -> PathBuf {
    variable("INOCULA_MNIST").unwrap_or_else(|| data_home().join("mnist"))
}

/// Where fetched data sets are kept: `$XDG_DATA_HOME/inocula`, else `~/.local/share/inocula`. As
/// the XDG Base Directory Specification asks, a relative `XDG_DATA_HOME` does not count.
pub fn data_home() -> PathBuf {
    let share = variable("XDG_DATA_HOME").filter(|path| path.is_absolute());
    let share = share.unwrap_or_else(|| {
        // Without a home there is no better place than one that exists.
        std::env::home_dir().unwrap_or_else(std::env::temp_dir).join(".local/share")
    });
    share.join("inocula")
}

pub(super) fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}
