//! What a ledger says: its terms, everything that counts towards epsilon, and what to doubt about it.

use std::path::Path;

use super::format::{self, Block, Fault, Record, SIZE, Seal};
use super::{Entry, Header, MAX_BYTES, Origin, Terms};
use crate::dp::accounting::{Accountant, Mechanism, Sampling, Spent};
use crate::{Result, fs};

/// What has to be known of a run from a seed before its epsilon is believed.
pub(crate) const SEEDED: &str = "not private: noise, batches and the draws of attacks and dropout came from \
                                 the run's seed, which config.toml tells; epsilon is that of the same run \
                                 without the seed";
/// A guarantee that rests on nothing written must not look like one that does.
const UNKNOWN: &str = "the ledger does not record how batches and noise were drawn: epsilon is for Poisson \
                       sampling and secret noise, see the warnings of the run";

/// A ledger that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Contents {
    /// Its terms.
    pub terms: Terms,
    /// How batches and noise were drawn, if it says so.
    pub origin: Option<Origin>,
    /// The recorded steps in the order of recording. A step that was recorded, lost and done again
    /// stands here twice, and counts twice.
    pub entries: Vec<Entry>,
    /// Records that were torn: a step each, of which nothing is known.
    pub torn: u64,
}

/// Where the next record goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    /// Number of the next record.
    pub(super) number: u64,
    /// Seal before it.
    pub(super) seal: Seal,
    /// Whether the bytes behind it are a torn record, still to be replaced.
    pub(super) torn: bool,
}

impl End {
    /// The place of the next record in the file.
    pub(super) fn offset(&self) -> u64 {
        (self.number + 1) * SIZE as u64
    }
}

/// Reads the ledger `path`, and leaves it as it is.
///
/// # Errors
/// The file cannot be read, is no ledger of this version, or is damaged anywhere but in its last
/// record.
pub fn read(path: impl AsRef<Path>) -> Result<Contents> {
    let path = path.as_ref();
    let bytes = fs::read(path, MAX_BYTES)?;
    let (contents, _) = parse(&bytes).map_err(|err| err.context(path.display()))?;
    Ok(contents)
}

/// The contents of a file, and where its next record goes.
pub(super) fn parse(bytes: &[u8]) -> Result<(Contents, End)> {
    let (Header { terms, origin }, seal) = format::read_header(bytes)?;
    let mut contents = Contents { terms, origin, entries: Vec::new(), torn: 0 };
    let mut end = End { number: 0, seal, torn: false };
    let (blocks, rest) = bytes[SIZE..].as_chunks::<SIZE>();
    for (i, block) in blocks.iter().enumerate() {
        let last = i + 1 == blocks.len() && rest.is_empty();
        match format::read_record(block, end.number, &end.seal) {
            Ok(record) => {
                contents.add(record);
                end = after(end, block);
            }
            Err(Fault::Seal) if last => end.torn = true,
            Err(fault) => return Err(damaged(end.number, fault)),
        }
    }
    end.torn |= !rest.is_empty();
    contents.torn += u64::from(end.torn);
    Ok((contents, end))
}

/// Where the record behind `block` goes.
pub(super) fn after(end: End, block: &Block) -> End {
    End { number: end.number + 1, seal: format::seal(block), torn: false }
}

fn damaged(number: u64, fault: Fault) -> crate::Error {
    let what = match fault {
        Fault::Seal => {
            "is damaged, and others follow it; restore the file from a copy, or count the run as not private"
        }
        Fault::Contents => {
            "is of a kind that this program does not know; use the program that wrote it"
        }
    };
    crate::Error::new(crate::ErrorKind::Data, format!("record {number} {what}"))
}

impl Contents {
    fn add(&mut self, record: Record) {
        match record {
            Record::Steps(entry) => self.entries.push(entry),
            Record::Torn => self.torn += 1,
        }
    }

    /// Steps that count, those of torn records included.
    pub fn steps(&self) -> u64 {
        let recorded = self.entries.iter().map(|e| e.mechanism.steps());
        recorded.fold(self.torn, u64::saturating_add)
    }

    /// Everything that counts, for an accountant: neighbours of the same noise and sampling rate
    /// in one, in the order of recording.
    ///
    /// A torn record counts as a step of the highest sampling rate and the least noise of the
    /// ledger. If nothing else was recorded, it is a step without noise: then nothing is known
    /// that would bound it.
    pub fn composition(&self) -> Vec<Mechanism> {
        let recorded = self.entries.iter().map(|e| e.mechanism);
        let mut history: Vec<Mechanism> = Vec::new();
        for next in recorded.chain(self.unknown()) {
            match history.last_mut() {
                Some(last) if alike(last, &next) => *last = joined(*last, &next),
                _ => history.push(next),
            }
        }
        history
    }

    /// What was spent by all of it, at `delta`.
    ///
    /// # Errors
    /// As [`Accountant::spent`].
    pub fn spent(&self, accountant: &Accountant, delta: f64) -> Result<Spent> {
        let sampling = self.origin.map_or(Sampling::Poisson, |origin| origin.sampling);
        let mut spent = accountant.spent(&self.composition(), delta, sampling)?;
        if self.torn > 0 {
            spent.warnings.push(format!(
                "{} torn records are counted as a step each, with the least noise of the ledger",
                self.torn
            ));
        }
        if delta * self.terms.samples as f64 >= 1.0 {
            spent.warnings.push(format!(
                "delta {delta} is no less than one over the {} samples",
                self.terms.samples
            ));
        }
        match self.origin {
            Some(Origin { seeded: false, .. }) => {}
            Some(Origin { seeded: true, .. }) => spent.warnings.push(SEEDED.to_owned()),
            None => spent.warnings.push(UNKNOWN.to_owned()),
        }
        Ok(spent)
    }

    /// The steps of torn records.
    fn unknown(&self) -> Option<Mechanism> {
        if self.torn == 0 {
            return None;
        }
        let of = |get: fn(&Mechanism) -> f64| self.entries.iter().map(move |e| get(&e.mechanism));
        let rate = of(Mechanism::sampling_rate).fold(0.0, f64::max);
        let sigma = of(Mechanism::noise_multiplier).fold(f64::INFINITY, f64::min);
        let (rate, sigma) = if self.entries.is_empty() { (1.0, 0.0) } else { (rate, sigma) };
        // In range, because those it is made of are.
        Mechanism::new(rate, sigma, self.torn).ok()
    }
}

fn alike(a: &Mechanism, b: &Mechanism) -> bool {
    a.sampling_rate() == b.sampling_rate() && a.noise_multiplier() == b.noise_multiplier()
}

/// `a` with the steps of `b` on top.
fn joined(a: Mechanism, b: &Mechanism) -> Mechanism {
    let steps = a.steps().saturating_add(b.steps());
    Mechanism::new(a.sampling_rate(), a.noise_multiplier(), steps).unwrap_or(a)
}
