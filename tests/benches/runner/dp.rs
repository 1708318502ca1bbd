//! Differentially private aggregation, of the operations that tensors have: gradients per sample
//! (`[N, P]`) are clipped to a norm of at most C and summed, and Gaussian noise is added.
//!
//! The gradients are given, and so is the noise: what is timed is clipping, summing, and getting the
//! noise to the device, not drawing it.

use inocula_core::{Result, Tensor};

use crate::row::{Context, Output, Row, Tolerance, Work, formula};
use crate::scale::{CLIP, Scale};

const SUITE: &str = "dp";

pub(crate) const ROWS: &[Row] = &[
    Row {
        suite: SUITE,
        name: "clip and sum",
        flops,
        tolerance: Tolerance::SUMS,
        prepare: |c| {
            let grads = c.get("dp.grads")?;
            Ok(formula(&c.device, move || clipped_sum(&grads)))
        },
    },
    Row {
        suite: SUITE,
        name: "clip, sum, add noise",
        flops,
        tolerance: Tolerance::SUMS,
        prepare: |c| Ok(Box::new(Noisy::new(c)?)),
    },
];

/// Squares and their sum, products with the factors and their sum.
fn flops(s: &Scale) -> f64 {
    4.0 * (s.per_sample[0] * s.per_sample[1]) as f64
}

/// `sum_n g_n min(1, C / |g_n|)`, `[P]`: the factors as a row, times the matrix.
fn clipped_sum(grads: &Tensor) -> Tensor {
    let norms = grads.square().sum_per_sample().sqrt();
    let factors =
        (norms.fill(CLIP) / norms.maximum(&norms.scalar(1e-12))).minimum(&norms.scalar(1.0));
    factors.reshape(&[1, grads.dim(0)]).matmul(grads).reshape(&[grads.dim(1)])
}

struct Noisy {
    grads: Tensor,
    noise: Vec<f32>,
}

impl Noisy {
    fn new(c: &Context) -> Result<Self> {
        Ok(Noisy { grads: c.get("dp.grads")?, noise: c.get("dp.noise")?.to_vec()? })
    }

    fn sum(&self) -> Result<Tensor> {
        let noise = Tensor::from_slice(self.grads.device(), &self.noise, &[self.noise.len()])?;
        Ok(clipped_sum(&self.grads) + noise)
    }
}

impl Work for Noisy {
    fn run(&mut self) -> Result<()> {
        self.sum()?.check()?;
        self.grads.device().sync()
    }

    fn result(&mut self) -> Result<Vec<Output>> {
        Ok(vec![Output::new("sum", &self.sum()?)?])
    }
}
