//! What an operation costs besides its arithmetic: sixteen numbers are added, so that everything
//! measured is the way to the kernel and back. A backend that is opened as a plugin and as a part of
//! this program shows what the boundary of plugins costs.

use inocula_core::grad::grad;
use inocula_core::{Device, Result, Tensor};

use crate::row::{Context, Output, Row, Tolerance, Work, formula, no_flops};

const SUITE: &str = "overhead";

pub(crate) const ROWS: &[Row] = &[
    Row {
        suite: SUITE,
        name: "small add",
        flops: no_flops,
        tolerance: Tolerance::ROUNDING,
        prepare: |c| {
            let (a, b) = (c.get("tiny.a")?, c.get("tiny.b")?);
            Ok(formula(&c.device, move || &a + &b))
        },
    },
    Row {
        suite: SUITE,
        name: "small add and back",
        flops: no_flops,
        tolerance: Tolerance::ROUNDING,
        prepare: |c| Ok(Box::new(RoundTrip::new(c)?)),
    },
    Row {
        suite: SUITE,
        name: "small gradient",
        flops: no_flops,
        tolerance: Tolerance::ROUNDING,
        prepare: |c| Ok(Box::new(Gradient { at: c.get("tiny.a")? })),
    },
];

/// Both operands go to the device, the sum comes back.
struct RoundTrip {
    device: Device,
    a: Vec<f32>,
    b: Vec<f32>,
}

impl RoundTrip {
    fn new(c: &Context) -> Result<Self> {
        let host = |name: &str| c.get(name)?.to_vec();
        Ok(RoundTrip { device: c.device.clone(), a: host("tiny.a")?, b: host("tiny.b")? })
    }

    fn sum(&self) -> Result<Vec<f32>> {
        let up = |v: &[f32]| Tensor::from_slice(&self.device, v, &[v.len()]);
        (up(&self.a)? + up(&self.b)?).to_vec()
    }
}

impl Work for RoundTrip {
    fn run(&mut self) -> Result<()> {
        self.sum().map(|v| drop(std::hint::black_box(v)))
    }

    fn result(&mut self) -> Result<Vec<Output>> {
        let sum = self.sum()?;
        Ok(vec![Output::new("sum", &Tensor::from_slice(&self.device, &sum, &[sum.len()])?)?])
    }
}

/// The gradient of `sum x^2`: a graph of two operations.
struct Gradient {
    at: Tensor,
}

impl Gradient {
    fn gradient(&self) -> Result<Tensor> {
        let x = self.at.tracked();
        Ok(grad(&x.square().sum_all(), &[&x])?.swap_remove(0))
    }
}

impl Work for Gradient {
    fn run(&mut self) -> Result<()> {
        self.gradient()?.check()?;
        self.at.device().sync()
    }

    fn result(&mut self) -> Result<Vec<Output>> {
        Ok(vec![Output::new("gradient", &self.gradient()?)?])
    }
}
