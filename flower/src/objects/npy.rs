//! The file format of NumPy for one array, as far as weights need it: f32 and f64, little-endian, in C
//! order.
//!
//! Readers of whole files (as of data sets) take what is in the file; here everything is known
//! beforehand, so the header is held to it and the values are read from as many bytes as there must be.
//! Format: NumPy Enhancement Proposal 1, versions 1.0 to 3.0.

use inocula_core::{Result, bail};

use super::{Array, ArraySpec, shown, shown_shape};

/// Longer headers are refused, in bytes: NumPy pads to 64, and a shape of weights is short.
const MAX_HEADER: usize = 4096;

/// Reads the array `spec` from a file's bytes.
///
/// # Errors
/// The file is damaged, holds something else, or has a value that is no number.
pub(super) fn read(bytes: &[u8], spec: &ArraySpec) -> Result<Array> {
    let name = &spec.name;
    let Some((header, data)) = split(bytes) else {
        bail!(Data, "{name}: no array as NumPy saves it");
    };
    let Some((descr, fortran, shape)) = parse(header) else {
        bail!(Data, "{name}: the header of the array cannot be read");
    };
    if shape != spec.shape {
        let (wanted, shape) = (&spec.shape, shown_shape(&shape));
        bail!(Data, "{name}: the array is {shape}, this network's is {wanted:?}; use one model");
    }
    if fortran && shape.len() > 1 {
        bail!(Data, "{name}: the array is in Fortran order; send it in C order");
    }
    let array = match descr {
        "<f4" => values(data, spec.len(), f32::from_le_bytes).map(Array::F32),
        "<f8" => values(data, spec.len(), f64::from_le_bytes).map(Array::F64),
        _ => bail!(Data, "{name}: dtype {} is not float32 or float64, little-endian", shown(descr)),
    };
    let Some(array) = array else {
        let (n, values) = (data.len(), spec.len());
        bail!(Data, "{name}: {n} bytes of values where {values} values of {descr:?} must be");
    };
    let finite = match &array {
        Array::F32(values) => values.iter().all(|v| v.is_finite()),
        Array::F64(values) => values.iter().all(|v| v.is_finite()),
    };
    if !finite {
        bail!(Numeric, "{name}: a value is infinite or no number; the federation has diverged");
    }
    Ok(array)
}

/// Header and data of a file.
fn split(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let rest = bytes.strip_prefix(b"\x93NUMPY")?;
    let (version, rest) = rest.split_at_checked(2)?;
    let (length, rest) = match version[0] {
        1 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_le_bytes(*length)), rest)
        }
        2 | 3 => {
            let (length, rest) = rest.split_first_chunk::<4>()?;
            (usize::try_from(u32::from_le_bytes(*length)).ok()?, rest)
        }
        _ => return None,
    };
    let (header, data) = rest.split_at_checked(length).filter(|_| length <= MAX_HEADER)?;
    Some((std::str::from_utf8(header).ok()?, data))
}

/// dtype, order and shape of a header, a literal of Python with these three keys in any order.
fn parse(header: &str) -> Option<(&str, bool, Vec<usize>)> {
    let body = header.trim().strip_prefix('{')?.strip_suffix('}')?;
    let after = |key: &str| {
        let at = body.find(key)? + key.len();
        body[at..].trim_start().strip_prefix(':').map(str::trim_start)
    };
    let descr = after("'descr'")?.strip_prefix('\'')?.split('\'').next()?;
    let order = after("'fortran_order'")?;
    let fortran = match (order.starts_with("True"), order.starts_with("False")) {
        (true, _) => true,
        (_, true) => false,
        _ => return None,
    };
    let (shape, _) = after("'shape'")?.strip_prefix('(')?.split_once(')')?;
    let sizes = shape.split(',').map(str::trim).filter(|size| !size.is_empty());
    let shape = sizes.map(|size| size.parse().ok()).collect::<Option<Vec<usize>>>()?;
    Some((descr, fortran, shape))
}

/// `count` values, if the bytes are just those.
fn values<T, const N: usize>(
    data: &[u8],
    count: usize,
    value: impl Fn([u8; N]) -> T,
) -> Option<Vec<T>> {
    let (chunks, rest) = data.as_chunks::<N>();
    (rest.is_empty() && chunks.len() == count).then(|| chunks.iter().map(|c| value(*c)).collect())
}

/// A file with the array, version 1.0.
pub(super) fn write(array: &Array, shape: &[usize]) -> Vec<u8> {
    let sizes: String = shape.iter().map(|size| format!("{size}, ")).collect();
    let sizes = if shape.len() == 1 { sizes.trim_end() } else { sizes.trim_end_matches(", ") };
    let descr = dtype(array).1;
    let mut header =
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({sizes}), }}");
    // Magic, version and length are 10 bytes, and the data begin at a multiple of 64.
    let padding = 63 - (10 + header.len()) % 64;
    header.push_str(&" ".repeat(padding));
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend_from_slice(&(header.len() as u16).to_le_bytes());
    bytes.extend_from_slice(header.as_bytes());
    match array {
        Array::F32(values) => values.iter().for_each(|v| bytes.extend_from_slice(&v.to_le_bytes())),
        Array::F64(values) => values.iter().for_each(|v| bytes.extend_from_slice(&v.to_le_bytes())),
    }
    bytes
}

/// NumPy's names of the element type, long and short.
pub(super) fn dtype(array: &Array) -> (&'static str, &'static str) {
    match array {
        Array::F32(_) => ("float32", "<f4"),
        Array::F64(_) => ("float64", "<f8"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(shape: &[usize]) -> ArraySpec {
        ArraySpec { name: "w".into(), shape: shape.to_vec() }
    }

    #[test]
    fn arrays_come_back_and_begin_at_a_multiple_of_64() {
        for shape in [&[][..], &[3], &[2, 3], &[1, 1, 4, 2]] {
            let spec = spec(shape);
            let f64s: Vec<f64> = (0..spec.len()).map(|i| i as f64 / 3.0).collect();
            let f32s = Array::F32(f64s.iter().map(|v| *v as f32).collect());
            for array in [f32s, Array::F64(f64s)] {
                let bytes = write(&array, shape);
                let size = if matches!(array, Array::F32(_)) { 4 } else { 8 };
                assert_eq!((bytes.len() - spec.len() * size) % 64, 0);
                assert_eq!(read(&bytes, &spec).unwrap(), array);
            }
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let good = write(&Array::F32(vec![1.0, 2.0]), &[2]);
        let text =
            |bytes: &[u8], shape: &[usize]| read(bytes, &spec(shape)).unwrap_err().to_string();
        assert!(text(&good, &[3]).contains("[2]"));
        assert!(text(&good[..good.len() - 1], &[2]).contains("7 bytes"));
        let more = [&good[..], &[0; 4]].concat();
        assert!(text(&more, &[2]).contains("12 bytes"));
        let as_text = |from: &str, to: &str| {
            let at = good.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
            let mut changed = good.clone();
            changed[at..at + to.len()].copy_from_slice(to.as_bytes());
            changed
        };
        assert!(text(&as_text("<f4", ">f4"), &[2]).contains("little-endian"));
        assert!(text(&as_text("<f4", "<i4"), &[2]).contains("<i4"));
        let nan = write(&Array::F64(vec![f64::NAN]), &[1]);
        assert!(text(&nan, &[1]).contains("no number"));
        assert!(text(b"\x93NUMPY\x01\x00\xff\xff", &[1]).contains("NumPy"));
        assert!(text(b"", &[1]).contains("NumPy"));
    }

    #[test]
    fn a_huge_shape_takes_no_memory() {
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999, ), }\n";
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend_from_slice(&(header.len() as u16).to_le_bytes());
        bytes.extend_from_slice(header.as_bytes());
        assert!(read(&bytes, &spec(&[2])).unwrap_err().to_string().contains("99999999999"));
    }
}
