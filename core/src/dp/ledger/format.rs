//! The bytes of a ledger: a header and records of 64 bytes each, little-endian.
//!
//! ```text
//! header   0  "inocula ledger\0\0"         record   0  number of the record, u64, from 0
//!         16  version, u32                          8  kind, u32
//!         20  bytes of a record, u32               12  zero, u32
//!         24  samples of the data set, u64         16  first step, u64
//!         32  delta, f64                           24  number of steps, u64
//!         40  sampling, u32                        32  sampling rate, f64
//!         44  source of noise, u32                 40  noise multiplier, f64
//!         48  seal, 16 bytes                       48  seal, 16 bytes
//! ```
//!
//! Sampling is 1 for Poisson, 2 for shuffled, 3 for fixed; the source is 1 for a secret one, 2 for a seed.
//! Both are 0 where the writer did not say. Version 1 had no such fields, and is refused: read as Poisson
//! with secret noise, it would be believed more than it deserves.
//!
//! A seal is the beginning of SHA-256 of the seal before it and the 48 bytes it closes, so a record
//! that was changed, moved or taken out of the middle breaks the chain. It tells of accidents; who
//! wants to forge a ledger can compute seals. Records of one size make the place of a torn one
//! known, whatever is in it. Text would be easier to look at, but a torn line has no place.

use sha2::{Digest as _, Sha256};

use super::{Entry, Header, Origin, Terms};
use crate::dp::accounting::{Mechanism, Sampling};
use crate::{Result, bail};

/// Bytes of the header, and of a record.
pub(super) const SIZE: usize = 64;
const SEALED: usize = SIZE - 16;
const MAGIC: &[u8; 16] = b"inocula ledger\0\0";
const VERSION: u32 = 2;

/// What closes a header or a record, and enters into the next.
pub(super) type Seal = [u8; 16];
/// A header or a record.
pub(super) type Block = [u8; SIZE];

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Record {
    /// Steps of the Gaussian mechanism.
    Steps(Entry),
    /// In the place of a record that was torn: one step of which nothing is known.
    Torn,
}

/// Why a block is not a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The seal does not fit: torn, or damaged.
    Seal,
    /// The seal fits, the contents make no sense to this version.
    Contents,
}

const STEPS: u32 = 1;
const TORN: u32 = 2;

/// The numbers of the ways to draw batches.
const SAMPLINGS: [(u32, Sampling); 3] =
    [(1, Sampling::Poisson), (2, Sampling::Shuffled), (3, Sampling::Fixed)];
const SECRET: u32 = 1;
const SEEDED: u32 = 2;

/// `block` closed by its seal.
pub(super) fn sealed(mut block: Block, before: &Seal) -> Block {
    let seal = seal_of(&block, before);
    block[SEALED..].copy_from_slice(&seal);
    block
}

fn seal_of(block: &Block, before: &Seal) -> Seal {
    let hash = Sha256::new().chain_update(before).chain_update(&block[..SEALED]).finalize();
    std::array::from_fn(|i| hash[i])
}

/// The seal that stands in a block.
pub(super) fn seal(block: &Block) -> Seal {
    field(block, SEALED)
}

fn field<const N: usize>(block: &Block, at: usize) -> [u8; N] {
    std::array::from_fn(|i| block[at + i])
}

fn put(block: &mut Block, at: usize, bytes: &[u8]) {
    block[at..at + bytes.len()].copy_from_slice(bytes);
}

/// The fields of an origin; zeros where none is recorded.
fn origin_fields(origin: Option<Origin>) -> [u32; 2] {
    let Some(Origin { sampling, seeded }) = origin else { return [0, 0] };
    let number = SAMPLINGS.iter().find(|(_, of)| *of == sampling).map_or(0, |(number, _)| *number);
    [number, if seeded { SEEDED } else { SECRET }]
}

/// The origin in a header.
fn read_origin(block: &Block) -> Result<Option<Origin>> {
    let [number, source] = [40, 44].map(|at| u32::from_le_bytes(field(block, at)));
    let sampling = SAMPLINGS.iter().find(|(of, _)| *of == number).map(|(_, sampling)| *sampling);
    match (sampling, number, source) {
        (None, 0, 0) => Ok(None),
        (Some(sampling), _, SECRET | SEEDED) => {
            Ok(Some(Origin { sampling, seeded: source == SEEDED }))
        }
        _ => bail!(
            Data,
            "sampling {number} with noise of source {source}, which this program does not know; use the \
             program that wrote it"
        ),
    }
}

/// The header of a ledger.
pub(super) fn header(header: &Header) -> Block {
    let Header { terms, origin } = header;
    let [sampling, source] = origin_fields(*origin);
    let mut block = [0; SIZE];
    put(&mut block, 0, MAGIC);
    put(&mut block, 16, &VERSION.to_le_bytes());
    put(&mut block, 20, &(SIZE as u32).to_le_bytes());
    put(&mut block, 24, &terms.samples.to_le_bytes());
    put(&mut block, 32, &terms.delta.to_le_bytes());
    put(&mut block, 40, &sampling.to_le_bytes());
    put(&mut block, 44, &source.to_le_bytes());
    sealed(block, &[0; 16])
}

/// What a header says.
///
/// # Errors
/// It is no header, one of another version, or damaged. The message does not name the file.
pub(super) fn read_header(bytes: &[u8]) -> Result<(Header, Seal)> {
    let Some(block) = bytes.first_chunk::<SIZE>() else {
        bail!(Data, "not a whole header of a privacy ledger; name the right file");
    };
    if block[..16] != *MAGIC {
        bail!(Data, "not a privacy ledger; name the right file");
    }
    let version = u32::from_le_bytes(field(block, 16));
    let size = u32::from_le_bytes(field(block, 20));
    if version != VERSION || size as usize != SIZE {
        bail!(
            Data,
            "version {version} with records of {size} bytes, this program reads version {VERSION}; \
             use the program that wrote it"
        );
    }
    if seal(block) != seal_of(block, &[0; 16]) {
        bail!(Data, "the header is damaged; restore the file from a copy");
    }
    let terms = Terms {
        samples: u64::from_le_bytes(field(block, 24)),
        delta: f64::from_le_bytes(field(block, 32)),
    };
    terms.check()?;
    Ok((Header { terms, origin: read_origin(block)? }, seal(block)))
}

/// Record number `number`, to stand behind a block that closes with `before`.
pub(super) fn record(record: &Record, number: u64, before: &Seal) -> Block {
    let mut block = [0; SIZE];
    put(&mut block, 0, &number.to_le_bytes());
    match record {
        Record::Steps(Entry { step, mechanism }) => {
            put(&mut block, 8, &STEPS.to_le_bytes());
            put(&mut block, 16, &step.to_le_bytes());
            put(&mut block, 24, &mechanism.steps().to_le_bytes());
            put(&mut block, 32, &mechanism.sampling_rate().to_le_bytes());
            put(&mut block, 40, &mechanism.noise_multiplier().to_le_bytes());
        }
        Record::Torn => put(&mut block, 8, &TORN.to_le_bytes()),
    }
    sealed(block, before)
}

/// What record number `number` says.
pub(super) fn read_record(block: &Block, number: u64, before: &Seal) -> Result<Record, Fault> {
    if seal(block) != seal_of(block, before) {
        return Err(Fault::Seal);
    }
    if u64::from_le_bytes(field(block, 0)) != number {
        return Err(Fault::Contents);
    }
    match u32::from_le_bytes(field(block, 8)) {
        STEPS => {
            let steps = u64::from_le_bytes(field(block, 24));
            let [rate, sigma] = [32, 40].map(|at| f64::from_le_bytes(field(block, at)));
            let mechanism = Mechanism::new(rate, sigma, steps).map_err(|_| Fault::Contents)?;
            Ok(Record::Steps(Entry { step: u64::from_le_bytes(field(block, 16)), mechanism }))
        }
        TORN => Ok(Record::Torn),
        _ => Err(Fault::Contents),
    }
}
