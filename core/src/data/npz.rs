//! Arrays saved by NumPy: one archive with the features and the labels.
//!
//! The dtype is chosen by the file, so elements are read through a type that takes any of the
//! supported ones. It reads what there is and compares the amount with the header afterwards; the
//! element types of the underlying library reserve what the header says, which a damaged file can
//! make an abort of.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use ndarray::ArrayD;
use ndarray_npy::{NpzReader, ReadDataError, ReadNpyError, ReadNpzError, ReadableElement};
use py_literal::Value;
use serde::{Deserialize, Serialize};

use super::{Dataset, MAX_BYTES, NOT_STATED, numbered, stem, unit_interval};
use crate::{Error, Result, bail};

/// Classes that an archive may have: the names of more would be a burden, and the label a mistake.
const MAX_CLASSES: i64 = 100_000;

/// How to read an archive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NpzConfig {
    /// The file.
    pub path: PathBuf,
    /// Name of the array of features, `[N, ...]` of `f32`, `f64` or `u8`.
    #[serde(default = "x")]
    pub x: String,
    /// Name of the array of labels, `[N]` of any integer dtype, counted from 0.
    #[serde(default = "y")]
    pub y: String,
    /// Smallest and largest value that a feature may have.
    #[serde(default = "unit_interval")]
    pub bounds: [f32; 2],
}

fn x() -> String {
    "x".into()
}

fn y() -> String {
    "y".into()
}

impl NpzConfig {
    /// The arrays `x` and `y` of a file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        NpzConfig { path: path.into(), x: x(), y: y(), bounds: unit_interval() }
    }
}

/// An archive as a data set; the shape of a sample is that of `x` without its first axis. Bytes
/// are divided by 255. A value outside of the bounds is an error.
///
/// # Errors
/// [`Io`](crate::ErrorKind::Io) if the file cannot be read; [`Data`](crate::ErrorKind::Data) if it
/// is no archive, an array is missing, has another dtype, is damaged or larger than [`MAX_BYTES`],
/// or if the arrays do not fit together.
pub fn load(config: &NpzConfig) -> Result<Dataset> {
    let file = File::open(&config.path).map_err(|e| Error::io(&config.path, "read", &e))?;
    arrays(config, file).map_err(|e| e.context(config.path.display()))
}

fn arrays(config: &NpzConfig, file: File) -> Result<Dataset> {
    let Ok(mut archive) = NpzReader::new(BufReader::new(file)) else {
        bail!(Data, "no archive of NumPy arrays; save it with numpy.savez");
    };
    let features = array::<Feature>(&mut archive, &config.x)?;
    let labels = array::<Label>(&mut archive, &config.y)?;
    let (x, y) = (features.shape(), labels.shape());
    if x.len() < 2 || y.len() != 1 || x[0] != y[0] {
        bail!(
            Data,
            "'{}' is {x:?} and '{}' is {y:?}; supply [N, ...] features and [N] labels",
            config.x,
            config.y
        );
    }
    let shape = x[1..].to_vec();
    let labels: Vec<i64> = labels.iter().map(|label| label.0).collect();
    let classes = classes(&labels)?;
    // Iteration is in logical order, whichever order the file stores.
    let features: Vec<f32> = features.iter().map(|value| value.0).collect();
    Dataset {
        name: stem(&config.path),
        source: config.path.display().to_string(),
        licence: NOT_STATED.into(),
        bounds: config.bounds.into(),
        features,
        shape,
        labels,
        classes,
        class_names: numbered(classes),
    }
    .checked()
}

/// One more than the largest label.
fn classes(labels: &[i64]) -> Result<usize> {
    let Some((&lo, &hi)) = labels.iter().min().zip(labels.iter().max()) else {
        bail!(Data, "there are no samples; supply at least one");
    };
    if lo < 0 || hi >= MAX_CLASSES {
        bail!(
            Data,
            "labels are in {lo}..={hi}; number the classes from 0, up to {MAX_CLASSES} of them"
        );
    }
    Ok(hi as usize + 1)
}

fn array<T: Element>(archive: &mut NpzReader<BufReader<File>>, name: &str) -> Result<ArrayD<T>> {
    let names = archive.names().unwrap_or_default();
    if !names.iter().any(|n| n == name) {
        bail!(Data, "no array is called '{name}' among [{}]; name one of them", names.join(", "));
    }
    let array: Result<ArrayD<T>, _> = archive.by_name(name);
    let array = array.or_else(|e| match e {
        ReadNpzError::Npy(ReadNpyError::WrongDescriptor(Value::String(dtype))) => {
            bail!(Data, "'{name}' has dtype {dtype}; convert it to {}", T::WANTED)
        }
        ReadNpzError::Npy(ReadNpyError::WrongDescriptor(_)) => {
            bail!(Data, "'{name}' has a structured dtype; convert it to {}", T::WANTED)
        }
        ReadNpzError::Npy(ReadNpyError::MissingData) => {
            bail!(Data, "'{name}' has fewer values than its header says; save the file again")
        }
        ReadNpzError::Npy(e) => {
            bail!(Data, "'{name}' is damaged ({}); save the file again", one_line(&e))
        }
        ReadNpzError::Zip(e) => {
            bail!(Data, "'{name}' is damaged ({}); save the file again", one_line(&e))
        }
    })?;
    Ok(array)
}

fn one_line(e: &dyn std::fmt::Display) -> String {
    e.to_string().lines().next().unwrap_or_default().to_owned()
}

/// An element that can be made of several dtypes.
trait Element: ReadableElement + Clone {
    /// The dtypes, for people.
    const WANTED: &'static str;
}

/// An element of the features.
#[derive(Clone, Copy)]
struct Feature(f32);

/// An element of the labels.
#[derive(Clone, Copy)]
struct Label(i64);

impl Element for Feature {
    const WANTED: &'static str = "float32, float64 or uint8";
}

impl Element for Label {
    const WANTED: &'static str = "an integer dtype";
}

impl ReadableElement for Feature {
    fn read_to_end_exact_vec<R: Read>(
        reader: R,
        dtype: &Value,
        len: usize,
    ) -> Result<Vec<Self>, ReadDataError> {
        let raw = Raw::read(reader, dtype, len)?;
        match raw.kind {
            b"f4" => Ok(raw.map(|b: [u8; 4]| Feature(f32::from_le_bytes(b)))),
            b"f8" => Ok(raw.map(|b: [u8; 8]| Feature(f64::from_le_bytes(b) as f32))),
            b"u1" => Ok(raw.map(|b: [u8; 1]| Feature(f32::from(b[0]) / 255.0))),
            _ => Err(ReadDataError::WrongDescriptor(dtype.clone())),
        }
    }
}

impl ReadableElement for Label {
    fn read_to_end_exact_vec<R: Read>(
        reader: R,
        dtype: &Value,
        len: usize,
    ) -> Result<Vec<Self>, ReadDataError> {
        let raw = Raw::read(reader, dtype, len)?;
        match raw.kind {
            b"i1" => Ok(raw.map(|b: [u8; 1]| Label(i8::from_le_bytes(b).into()))),
            b"u1" => Ok(raw.map(|b: [u8; 1]| Label(b[0].into()))),
            b"i2" => Ok(raw.map(|b| Label(i16::from_le_bytes(b).into()))),
            b"u2" => Ok(raw.map(|b| Label(u16::from_le_bytes(b).into()))),
            b"i4" => Ok(raw.map(|b| Label(i32::from_le_bytes(b).into()))),
            b"u4" => Ok(raw.map(|b| Label(u32::from_le_bytes(b).into()))),
            b"i8" => Ok(raw.map(|b| Label(i64::from_le_bytes(b)))),
            // No number of classes comes near the end of the range.
            b"u8" => {
                Ok(raw.map(|b| Label(i64::try_from(u64::from_le_bytes(b)).unwrap_or(i64::MAX))))
            }
            _ => Err(ReadDataError::WrongDescriptor(dtype.clone())),
        }
    }
}

/// The bytes of an array of `len` elements, with a descriptor such as `<f4`: byte order, kind of
/// number, bytes each.
struct Raw<'a> {
    bytes: Vec<u8>,
    kind: &'a [u8],
    big_endian: bool,
}

impl<'a> Raw<'a> {
    fn read(reader: impl Read, dtype: &'a Value, len: usize) -> Result<Self, ReadDataError> {
        let unknown = || ReadDataError::WrongDescriptor(dtype.clone());
        let Value::String(text) = dtype else { return Err(unknown()) };
        let (order, kind) = text.as_bytes().split_first().ok_or_else(unknown)?;
        let width = match (order, kind) {
            (b'<' | b'>' | b'|', [b'f' | b'i' | b'u', width @ b'1'..=b'8']) => width - b'0',
            _ => return Err(unknown()),
        };
        let size = (len as u64).checked_mul(width.into()).filter(|&size| size <= MAX_BYTES);
        let size = size.ok_or_else(|| {
            ReadDataError::ParseData(format!("larger than the {MAX_BYTES} bytes allowed").into())
        })?;
        let mut bytes = Vec::new();
        // One byte more than announced tells a longer array from one that just fits.
        reader.take(size + 1).read_to_end(&mut bytes)?;
        match (bytes.len() as u64).cmp(&size) {
            std::cmp::Ordering::Less => Err(ReadDataError::MissingData),
            std::cmp::Ordering::Greater => Err(ReadDataError::ExtraBytes(1)),
            std::cmp::Ordering::Equal => Ok(Raw { bytes, kind, big_endian: *order == b'>' }),
        }
    }

    /// Each element by its bytes, the least significant first.
    fn map<const WIDTH: usize, T>(&self, element: impl Fn([u8; WIDTH]) -> T) -> Vec<T> {
        let (elements, _) = self.bytes.as_chunks::<WIDTH>();
        let in_order = |mut bytes: [u8; WIDTH]| {
            if self.big_endian {
                bytes.reverse();
            }
            element(bytes)
        };
        elements.iter().map(|&bytes| in_order(bytes)).collect()
    }
}

/// Whether a path is named like such an archive.
pub(super) fn is_named_so(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("npz"))
}
