//! Objects: what messages carry, named by the SHA-256 of their bytes.
//!
//! An object is `TYPE CHILD,CHILD LENGTH\0` and a body of that length. A message has a record dictionary,
//! which has records; a record of arrays has arrays, an array chunks of a file as NumPy writes it. A
//! name says what the bytes must be, so nothing has to be believed but the name at the top.
//!
//! What is decoded is bounded at every step ([`Limits`]), and arrays are held to what the receiver
//! expects ([`ArraySpec`]) before memory is taken for them. Decoding never panics, whatever the bytes:
//! the crate's test `fuzz` changes valid ones at random.

mod decode;
mod encode;
mod npy;

use inocula_core::{Result, bail};
use sha2::{Digest as _, Sha256};

pub use decode::{decode, names};
pub use encode::{Deflated, failure, reply};

/// The largest object, in bytes: a chunk of 5 MB with room for larger ones of later releases.
pub const MAX_OBJECT: usize = 8 << 20;
/// Bytes of a chunk that is sent.
pub const CHUNK: usize = 5_000_000;
/// Objects above one another: message, dictionary, record, array, chunk.
const MAX_DEPTH: usize = 5;
/// Bytes of bodies that are texts, which hold names of objects or settings.
const MAX_TEXT: usize = 1 << 20;
/// Records of a message, arrays aside.
const MAX_RECORDS: usize = 16;

/// An array that a message must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArraySpec {
    /// Name of the parameter.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
}

impl ArraySpec {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The values of an array, row-major.
#[derive(Debug, Clone, PartialEq)]
pub enum Array {
    /// `float32`.
    F32(Vec<f32>),
    /// `float64`.
    F64(Vec<f64>),
}

impl Array {
    /// The values in double precision.
    pub fn to_f64(&self) -> Vec<f64> {
        match self {
            Array::F32(values) => values.iter().map(|v| f64::from(*v)).collect(),
            Array::F64(values) => values.clone(),
        }
    }
}

/// A setting or a metric.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    /// A number.
    Float(f64),
    /// An integer.
    Int(i64),
    /// Yes or no.
    Bool(bool),
    /// A text.
    Text(String),
}

/// What a message carries.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Content {
    /// Name of the record of arrays, and the arrays in the order that was expected of them.
    pub arrays: Option<(String, Vec<Array>)>,
    /// Settings of all records of settings.
    pub config: Vec<(String, Scalar)>,
}

impl Content {
    /// The integer setting of that name.
    pub fn int(&self, name: &str) -> Option<i64> {
        self.config.iter().find(|(key, _)| key == name).and_then(|(_, value)| match value {
            Scalar::Int(value) => Some(*value),
            _ => None,
        })
    }
}

/// What the objects of one message may come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Objects.
    pub objects: usize,
    /// Bytes of all of them.
    pub bytes: usize,
}

impl Limits {
    /// Room for the arrays `specs` in double precision, and for the records around them.
    pub fn of(specs: &[ArraySpec]) -> Self {
        let each = |spec: &ArraySpec| spec.len().saturating_mul(8);
        let values = specs.iter().map(each).fold(0, usize::saturating_add);
        // Chunks may be smaller than ours; below 64 KiB nobody cuts them.
        let chunks = values / (64 << 10) + specs.len();
        let objects = chunks + specs.len() + MAX_RECORDS + 2;
        Limits { objects, bytes: values.saturating_add(8 * MAX_TEXT + 1024 * objects) }
    }
}

/// The name of an object.
pub fn id(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An object, taken apart.
struct Parts<'a> {
    kind: &'a str,
    children: Vec<&'a str>,
    body: &'a [u8],
}

/// Takes an object apart.
fn parts(bytes: &[u8]) -> Result<Parts<'_>> {
    // A head names children: 65 bytes each, in an object that is no larger than it may be.
    let Some(at) = bytes.iter().position(|byte| *byte == 0) else {
        bail!(Data, "object: it has no head; the sender does not follow Flower 1.40 to 1.42");
    };
    let (head, body) = (&bytes[..at], &bytes[at + 1..]);
    let words = std::str::from_utf8(head).ok().map(|head| head.split(' ').collect::<Vec<_>>());
    let Some([kind, children, length]) = words.as_deref() else {
        bail!(Data, "object: its head is no type, children and length");
    };
    if length.parse() != Ok(body.len()) {
        bail!(Data, "object: its head says {} bytes, {} follow", shown(length), body.len());
    }
    let children: Vec<&str> = children.split(',').filter(|child| !child.is_empty()).collect();
    if children.iter().any(|child| !is_id(child)) {
        bail!(Data, "object: a child of {} has no name of 64 hexadecimal digits", shown(kind));
    }
    Ok(Parts { kind, children, body })
}

/// A text of the other side as it may stand in a message: in quotes, without anything that ends a line or
/// moves a terminal's cursor, and not longer than is worth reading.
pub(crate) fn shown(text: &str) -> String {
    let start: String = text.chars().take(40).collect();
    format!("{start:?}")
}

/// The same of a shape.
fn shown_shape(shape: &[usize]) -> String {
    match shape.get(..9) {
        Some(start) => format!("{:?} and more", &start[..8]),
        None => format!("{shape:?}"),
    }
}

/// Whether a text may be the name of an object.
fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_held_to_its_form() {
        let id = "ab".repeat(32);
        let good = format!("Array {id},{id} 3\0xyz").into_bytes();
        let object = parts(&good).unwrap();
        assert_eq!((object.kind, object.children.len(), object.body), ("Array", 2, &b"xyz"[..]));
        for wrong in [
            &b""[..],
            b"Array  3",
            b"Array 3\0xyz",
            b"Array  4\0xyz",
            b"Array ab 3\0xyz",
            b"Array  -3\0xyz",
            b"\xff\xff  3\0xyz",
            b"Array   3\0xyz",
        ] {
            assert!(parts(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn limits_follow_the_arrays_and_do_not_overflow() {
        let spec = |shape: &[usize]| ArraySpec { name: "w".into(), shape: shape.to_vec() };
        assert!(Limits::of(&[spec(&[1000, 1000])]).bytes < 17 << 20);
        let huge = Limits::of(&[spec(&[usize::MAX / 16]), spec(&[usize::MAX / 16])]);
        assert!(huge.bytes > 1 << 60);
    }
}
