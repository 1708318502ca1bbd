//! Rows: what is measured, under which name, and how exactly backends must agree on it.
//!
//! A row is one entry of a table of its suite. It is measured only where its results agree with the
//! reference: a kernel that is fast and wrong is not fast.

use std::path::Path;

use inocula_core::error::nearest;
use inocula_core::{DType, Device, Result, Tensor, bail, fs};
use serde_json::{Value, json};

use crate::inputs::Inputs;
use crate::scale::Scale;
use crate::{attacks, dp, growth, ops, overhead, reached, trades, train};

/// The tables, in the order of the report.
pub(crate) const ROWS: &[&[Row]] = &[
    ops::ROWS,
    attacks::ROWS,
    reached::ROWS,
    train::ROWS,
    trades::ROWS,
    dp::ROWS,
    overhead::ROWS,
    growth::ROWS,
];

/// What is measured.
pub(crate) struct Row {
    pub(crate) suite: &'static str,
    pub(crate) name: &'static str,
    /// Multiplications and additions of a run, where they decide its time; else 0.
    pub(crate) flops: fn(&Scale) -> f64,
    pub(crate) tolerance: Tolerance,
    pub(crate) prepare: fn(&Context) -> Result<Box<dyn Work>>,
}

impl Row {
    pub(crate) fn find(name: &str) -> Result<&'static Row> {
        let all = || ROWS.iter().flat_map(|rows| rows.iter());
        if let Some(row) = all().find(|r| r.name == name) {
            return Ok(row);
        }
        let hint = nearest(name, all().map(|r| r.name)).map(|n| format!("; did you mean {n}?"));
        bail!(NotFound, "there is no row {name:?}{}", hint.unwrap_or_default())
    }
}

/// For rows whose time is not arithmetic.
pub(crate) fn no_flops(_: &Scale) -> f64 {
    0.0
}

/// How far results may be from those of the reference.
#[derive(Clone, Copy)]
pub(crate) struct Tolerance {
    /// Largest difference, relative to the largest magnitude of the reference's array.
    pub(crate) relative: f64,
    /// Share of the values that may differ by more.
    pub(crate) outliers: f64,
}

impl Tolerance {
    /// Copies and single roundings: a few units in the last place of f32 (6e-8).
    pub(crate) const ROUNDING: Tolerance = Tolerance { relative: 1e-6, outliers: 0.0 };
    /// Sums of up to 10^4 products in another order.
    pub(crate) const SUMS: Tolerance = Tolerance { relative: 2e-5, outliers: 0.0 };
    /// Sums of 10^5 products, and chains of layers.
    pub(crate) const CHAINS: Tolerance = Tolerance { relative: 2e-4, outliers: 0.0 };
    /// What follows the sign of a gradient or the place of a maximum: where two numbers are equal to
    /// rounding, either choice is right, and it moves a value by a whole step.
    pub(crate) const SIGNS: Tolerance = Tolerance { relative: 2e-4, outliers: 1e-3 };
}

/// A row made ready to run.
pub(crate) trait Work {
    /// Does it once and waits for the device.
    fn run(&mut self) -> Result<()>;

    /// Back to the state before the first run, where runs change it.
    fn reset(&mut self) -> Result<()> {
        Ok(())
    }

    /// What is compared with other backends.
    fn result(&mut self) -> Result<Vec<Output>>;
}

/// Work that is a formula: it changes nothing and has one result.
pub(crate) fn formula(device: &Device, f: impl Fn() -> Tensor + 'static) -> Box<dyn Work> {
    Box::new(Formula { device: device.clone(), f })
}

struct Formula<F> {
    device: Device,
    f: F,
}

impl<F: Fn() -> Tensor> Work for Formula<F> {
    fn run(&mut self) -> Result<()> {
        (self.f)().check()?;
        self.device.sync()
    }

    fn result(&mut self) -> Result<Vec<Output>> {
        Ok(vec![Output::new("result", &(self.f)())?])
    }
}

/// What rows are prepared from.
pub(crate) struct Context {
    pub(crate) device: Device,
    pub(crate) inputs: Inputs,
    pub(crate) scale: &'static Scale,
}

impl Context {
    /// The input array of this name, on the device.
    pub(crate) fn get(&self, name: &str) -> Result<Tensor> {
        self.inputs.get(name, &self.device)
    }
}

/// An array on its way to the comparison.
pub(crate) struct Output {
    name: String,
    shape: Vec<usize>,
    /// Exact for f32 and f64.
    values: Vec<f64>,
}

impl Output {
    pub(crate) fn new(name: &str, value: &Tensor) -> Result<Self> {
        if value.check()?.dtype() == DType::I64 {
            bail!(Usage, "output {name}: whole numbers are not compared, cast them to floats");
        }
        Ok(Output { name: name.into(), shape: value.shape().to_vec(), values: value.to_f64_vec()? })
    }

    pub(crate) fn scalar(name: &str, value: f64) -> Self {
        Output { name: name.into(), shape: Vec::new(), values: vec![value] }
    }

    pub(crate) fn about(&self) -> Value {
        json!({ "name": self.name, "shape": self.shape })
    }
}

/// Writes the values of all outputs one after the other, as little-endian f64.
pub(crate) fn write(path: &Path, outputs: &[Output]) -> Result<()> {
    fs::write_atomic(path, |file| {
        for output in outputs {
            let bytes: Vec<u8> = output.values.iter().flat_map(|v| v.to_le_bytes()).collect();
            file.write_all(&bytes).map_err(|e| inocula_core::Error::io(path, "write", &e))?;
        }
        Ok(())
    })
}
