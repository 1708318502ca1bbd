//! Gather, scatter, take and put.
//!
//! libtorch checks indices on the CPU as it goes, so a wrong one is looked for only after it has
//! refused. On a GPU the same check would be an assertion that ends all work of the process there,
//! so indices are looked at first, at the price of waiting for them.

use inocula_core::op::OpCode;
use inocula_core::{Arg, Aval, Error, ErrorKind};
use tch::Tensor;

use crate::buf::{Buf, operand, own};
use crate::failure::Made;

/// What indices refer to, for the error about one that is outside.
pub(crate) struct Range {
    pub(crate) code: OpCode,
    pub(crate) extent: usize,
    pub(crate) labels: bool,
    /// Whether there is nothing at the indices. Then libtorch does not look at them.
    pub(crate) empty: bool,
}

impl Range {
    fn error(&self, index: i64) -> Error {
        let Range { code, extent, labels, .. } = self;
        let text = if *labels {
            format!("{code}: label {index} with logits for {extent} classes; labels count from 0")
        } else {
            format!("{code}: index {index} is outside of an axis of {extent}; indices count from 0")
        };
        Error::new(ErrorKind::Data, text)
    }

    /// Fails if one of the indices is outside.
    fn check(&self, idx: &Tensor) -> Made<()> {
        if idx.size().contains(&0) {
            return Ok(());
        }
        let (low, high) = idx.f_aminmax(None, false)?;
        let outside = |i: &i64| usize::try_from(*i).map_or(true, |i| i >= self.extent);
        let ends = [low.f_int64_value(&[])?, high.f_int64_value(&[])?];
        match ends.iter().find(|i| outside(i)) {
            Some(&index) => Err(self.error(index).into()),
            None => Ok(()),
        }
    }

    /// Runs a kernel that reads at `idx`; says which index is wrong if that is why it failed.
    pub(crate) fn within<T>(&self, idx: &Tensor, run: impl FnOnce() -> Made<T>) -> Made<T> {
        if self.empty || idx.device().is_cuda() {
            self.check(idx)?;
        }
        run().or_else(|failure| self.check(idx).and(Err(failure)))
    }
}

/// `out[.., i, ..] = x[.., idx[.., i, ..], ..]`.
pub(crate) fn gather(axis: usize, args: &[Arg<'_, Buf>]) -> Made<Tensor> {
    let (x, idx) = (operand(args, 0), operand(args, 1));
    range(OpCode::Gather, axis, args).within(idx, || Ok(x.f_gather(axis as i64, idx, false)?))
}

/// `base` with `src` added where `idx` points.
pub(crate) fn scatter_add(axis: usize, args: &mut [Arg<'_, Buf>]) -> Made<Tensor> {
    let range = range(OpCode::ScatterAdd, axis, args);
    let mut base = own(args, 0)?;
    let (idx, src) = (operand(args, 1), operand(args, 2));
    range.within(idx, || Ok(base.f_scatter_add_(axis as i64, idx, src)?))
}

/// Slices of `x` along `axis`, in the order of the indices.
pub(crate) fn take(axis: usize, args: &[Arg<'_, Buf>]) -> Made<Tensor> {
    let (x, idx) = (operand(args, 0), operand(args, 1));
    range(OpCode::Take, axis, args).within(idx, || Ok(x.f_index_select(axis as i64, idx)?))
}

/// `base` with slices of `src` along `axis` added at the indices.
pub(crate) fn put_add(axis: usize, args: &mut [Arg<'_, Buf>]) -> Made<Tensor> {
    let range = range(OpCode::PutAdd, axis, args);
    let mut base = own(args, 0)?;
    let (idx, src) = (operand(args, 1), operand(args, 2));
    range.within(idx, || Ok(base.f_index_add_(axis as i64, idx, src)?))
}

fn range(code: OpCode, axis: usize, args: &[Arg<'_, Buf>]) -> Range {
    let Aval { shape, .. } = args[0].get().aval();
    Range { code, extent: shape[axis], labels: false, empty: shape.numel() == 0 }
}
