//! Embedding: a row of a table for each number of a sequence.
//!
//! Samples are floats here as everywhere, and their numbers are cut to whole ones. A row does not change
//! with its number by degrees, so there is no gradient in the input: attacks that need one are refused
//! rather than left to find nothing. Attacks by queries and private training work.

use serde::{Deserialize, Serialize};

use crate::nn::{Init, ParamSpec, Params};
use crate::{DType, Result, Tensor, bail};

/// Configuration of an embedding, which must be the first layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Embedding {
    /// Rows of the table: inputs are numbers from 0 to `vocabulary - 1`.
    pub vocabulary: usize,
    /// Length of a row.
    pub features: usize,
}

impl Embedding {
    pub(in crate::nn) fn output(&self, input: &[usize]) -> Result<Vec<usize>> {
        let Embedding { vocabulary, features } = *self;
        if vocabulary == 0 || features == 0 {
            bail!(Config, "embedding: vocabulary and features must be at least 1");
        }
        match *input {
            [length] => Ok(vec![length, features]),
            _ => bail!(Config, "embedding: input {input:?} must be a sequence [T]"),
        }
    }

    /// Checks that it gets the inputs of the network, and that each has a row.
    pub(in crate::nn) fn check_inputs(&self, first: bool, [lo, hi]: [f64; 2]) -> Result<()> {
        if !first {
            bail!(Config, "embedding: it must be the first layer");
        }
        if lo < 0.0 || hi > (self.vocabulary - 1) as f64 {
            bail!(
                Config,
                "embedding: inputs in [{lo}, {hi}] for rows 0 to {}; raise vocabulary, or correct the \
                 bounds of the data",
                self.vocabulary - 1
            );
        }
        Ok(())
    }

    pub(in crate::nn) fn params(&self, name: &str) -> Vec<ParamSpec> {
        let shape = vec![self.vocabulary, self.features];
        vec![ParamSpec { name: format!("{name}.weight"), shape, init: Init::Normal }]
    }

    /// `[N, T]` to `[N, T, features]`.
    pub(in crate::nn) fn forward(&self, params: &Params, name: &str, x: &Tensor) -> Result<Tensor> {
        if x.is_tracked() {
            bail!(
                Unsupported,
                "embedding: the numbers of rows have no gradient; use an attack by queries, such as \
                 square"
            );
        }
        let (n, length) = (x.dim(0), x.dim(1));
        let last = (self.vocabulary - 1) as f64;
        let rows = x.clamp(0.0, last).cast(DType::I64).reshape(&[n * length]);
        let table = params.of(name, "weight")?;
        Ok(table.take(0, &rows).reshape(&[n, length, self.features]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_and_bounds_are_checked() {
        let layer = Embedding { vocabulary: 10, features: 3 };
        assert_eq!(layer.output(&[7]).unwrap(), [7, 3]);
        assert!(layer.output(&[1, 8, 8]).unwrap_err().to_string().contains("sequence"));
        assert!(Embedding { vocabulary: 0, features: 3 }.output(&[7]).is_err());
        layer.check_inputs(true, [0.0, 9.0]).unwrap();
        for (first, bounds, part) in [
            (false, [0.0, 9.0], "first layer"),
            (true, [0.0, 10.0], "raise vocabulary"),
            (true, [-1.0, 9.0], "rows 0 to 9"),
        ] {
            let text = layer.check_inputs(first, bounds).unwrap_err().to_string();
            assert!(text.contains(part), "{text}");
        }
    }
}
