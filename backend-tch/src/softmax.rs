//! Softmax cross-entropy and its gradient in the logits.
//!
//! From `log_softmax` and `gather` rather than from libtorch's loss, in which one label, whichever is
//! chosen, stands for "ignore this row".

use inocula_core::op::OpCode;
use inocula_core::{Arg, Aval};
use tch::Tensor;

use crate::buf::{Buf, constant, operand};
use crate::failure::Made;
use crate::index::Range;

/// `logsumexp(z_n) - z_n[y_n]`.
pub(crate) fn loss(args: &[Arg<'_, Buf>]) -> Made<Tensor> {
    let (z, y) = (operand(args, 0), operand(args, 1));
    let logs = z.f_log_softmax(1, None)?;
    labels(OpCode::SoftmaxXent, args).within(y, || {
        let mut at_label = logs.f_gather(1, &y.f_unsqueeze(1)?, false)?;
        Ok(at_label.f_neg_()?.f_squeeze_dim(1)?)
    })
}

/// `g_n (softmax(z_n) - onehot(y_n))`.
pub(crate) fn grad(args: &[Arg<'_, Buf>], out: &Aval) -> Made<Tensor> {
    let (z, y, g) = (operand(args, 0), operand(args, 1), operand(args, 2));
    let mut p = z.f_softmax(1, None)?;
    labels(OpCode::SoftmaxXentGrad, args).within(y, || {
        let y = y.f_unsqueeze(1)?;
        let minus_one = constant(-1.0, out.dtype)?.f_to(g.device())?;
        let mut p = p.f_scatter_add_(1, &y, &minus_one.f_expand(y.size(), false)?)?;
        Ok(p.f_mul_(&g.f_unsqueeze(1)?)?)
    })
}

fn labels(code: OpCode, args: &[Arg<'_, Buf>]) -> Range {
    let Aval { shape, .. } = args[0].get().aval();
    Range { code, extent: shape[1], labels: true, empty: false }
}
