//! Tables of records about people, one for each of the fields where both robustness and privacy are
//! asked for: healthcare, finance, places that were visited.
//!
//! The first is small and free enough to be built in. The others are read from the files that
//! their publishers give out, in the forms in which these give them out, so that nobody has to convert
//! anything and a checksum of theirs still holds. All values end up in `[0, 1]`: numbers are scaled by the
//! range of the file, categories become indicators.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

use super::csv::{self, CsvConfig, Header, LabelColumn, Scale};
use super::{Dataset, MAX_BYTES, data_home};
use crate::{Error, ErrorKind, Result, bail, fs};

/// 30 measurements and the diagnosis a line.
static BREAST_CANCER: &[u8] = include_bytes!("../../data/breast_cancer.csv.gz");

/// The name of the file of German credit data, as its publisher has it.
const GERMAN: &str = "german.data";

/// The names of the archive of Location-30, and of the table inside of it.
const LOCATION: &str = "dataset_location.tgz";
const LOCATION_TABLE: &str = "bangkok";

/// Breast Cancer Wisconsin (Diagnostic): 569 biopsies, 30 measurements each, malignant or benign (Wolberg
/// et al. 1995).
///
/// # Errors
/// The library was built from a damaged copy of the file.
pub fn breast_cancer() -> Result<Dataset> {
    let mut text = Vec::new();
    let damaged = |why: &dyn std::fmt::Display| {
        let what = format!(
            "the biopsies built into this program are damaged ({why}); build it again from a clean copy"
        );
        Error::new(ErrorKind::Data, what)
    };
    GzDecoder::new(BREAST_CANCER).read_to_end(&mut text).map_err(|e| damaged(&e))?;
    let config = CsvConfig { header: Header::Absent, ..CsvConfig::new("breast_cancer.csv") };
    let data = csv::parse(&config, &text).map_err(|e| damaged(&e))?;
    Dataset {
        name: "Breast Cancer Wisconsin".into(),
        source:
            "UCI Machine Learning Repository, Breast Cancer Wisconsin (Diagnostic), W. Wolberg, \
                 O. Mangasarian, N. Street and W. Street, 1995, DOI 10.24432/C5DW2B"
                .into(),
        licence: "CC BY 4.0".into(),
        class_names: vec!["malignant".into(), "benign".into()],
        ..data
    }
    .checked()
}

/// Statlog German Credit: 1,000 applicants, 20 attributes of which 13 are categories (61 features), good or
/// bad risk (Hofmann 1994). `folder` has `german.data`.
///
/// # Errors
/// [`NotFound`](ErrorKind::NotFound) if the file is not there; [`Data`](ErrorKind::Data) with line and column
/// if it is not what it should be.
pub fn german_credit(folder: &Path) -> Result<Dataset> {
    let path = folder.join(GERMAN);
    // Fields are separated by single blanks, and no field has a comma.
    let text: Vec<u8> = (fs::read(&path, MAX_BYTES)?.into_iter())
        .map(|byte| if byte == b' ' { b',' } else { byte })
        .collect();
    let table = CsvConfig { header: Header::Absent, categorical: true, ..CsvConfig::new(&path) };
    let data = csv::parse(&table, &text).map_err(|e| e.context(path.display()))?;
    if data.class_names != ["1", "2"] {
        bail!(
            Data,
            "{}: the classes are {:?} instead of 1 and 2; is it the file with categories as text?",
            path.display(),
            data.class_names
        );
    }
    Dataset {
        name: "German credit".into(),
        source: "UCI Machine Learning Repository, Statlog (German Credit Data), H. Hofmann, 1994, \
                 DOI 10.24432/C5NC77"
            .into(),
        licence: "CC BY 4.0".into(),
        class_names: vec!["good".into(), "bad".into()],
        ..data
    }
    .checked()
}

/// Location-30: 5,009 profiles of people who checked in somewhere in Bangkok, 446 places and kinds of places
/// they did or did not visit, 30 clusters of profiles to tell apart (Shokri et al. 2017, section VI-A, from Yang
/// et al. 2016). `folder` has `dataset_location.tgz`.
///
/// # Errors
/// [`NotFound`](ErrorKind::NotFound) if the file is not there; [`Data`](ErrorKind::Data) if it is no such
/// archive, or with line and column if the table in it is not what it should be.
pub fn location30(folder: &Path) -> Result<Dataset> {
    let path = folder.join(LOCATION);
    let text = member(&fs::read(&path, MAX_BYTES)?, LOCATION_TABLE)
        .map_err(|e| e.context(path.display()))?;
    let table = CsvConfig {
        header: Header::Absent,
        label: Some(LabelColumn::Index(0)),
        scale: Scale::None,
        ..CsvConfig::new(LOCATION_TABLE)
    };
    let data = csv::parse(&table, &text).map_err(|e| e.context(path.display()))?;
    if let Some(at) = data.features.iter().position(|v| *v != 0.0 && *v != 1.0) {
        let row = at / data.shape[0] + 1;
        bail!(Data, "{}: line {row} has a value that is not 0 or 1; mend it", path.display());
    }
    Dataset {
        name: "Location-30".into(),
        source: "R. Shokri, M. Stronati, C. Song and V. Shmatikov, Membership inference attacks \
                 against machine learning models, 2017; check-ins of Foursquare by D. Yang et al., 2016"
            .into(),
        ..data
    }
    .checked()
}

/// What a file of this name within a compressed archive holds.
fn member(archive: &[u8], name: &str) -> Result<Vec<u8>> {
    let damaged = |e: std::io::Error| {
        Error::new(ErrorKind::Data, format!("not a complete .tgz archive ({e}); get it again"))
    };
    let mut archive = tar::Archive::new(GzDecoder::new(archive).take(MAX_BYTES));
    for entry in archive.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        if entry.path().is_ok_and(|path| path.ends_with(name)) {
            let mut text = Vec::new();
            entry.read_to_end(&mut text).map_err(damaged)?;
            return Ok(text);
        }
    }
    bail!(Data, "there is no file {name} in the archive; get it again")
}

/// Where German credit data are looked for: `$INOCULA_GERMAN_CREDIT`, else `german-credit` in [`data_home`].
pub fn german_credit_folder() -> PathBuf {
    super::source::variable("INOCULA_GERMAN_CREDIT")
        .unwrap_or_else(|| data_home().join("german-credit"))
}

/// Where Location-30 is looked for: `$INOCULA_LOCATION30`, else `location30` in [`data_home`].
pub fn location30_folder() -> PathBuf {
    super::source::variable("INOCULA_LOCATION30").unwrap_or_else(|| data_home().join("location30"))
}
