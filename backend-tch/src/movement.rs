//! Operations that move elements. Most give another view of the same memory.

use inocula_core::op::{Axes, Op};
use inocula_core::{Arg, Aval};
use tch::Tensor;

use crate::buf::{Buf, kind, operand, sizes};
use crate::failure::Made;

/// An operation whose result may lie on its operand's memory; `None` for others.
pub(crate) fn view(op: &Op, x: &Buf, out: Aval) -> Option<Made<Buf>> {
    let seen = match op {
        Op::Broadcast { .. } => {
            let seen = x.tensor().f_expand(sizes(&out.shape), false);
            return Some(seen.map(|t| x.repeated(t, out)).map_err(Into::into));
        }
        Op::Reshape { .. } => x.tensor().f_reshape(sizes(&out.shape)).map_err(Into::into),
        Op::Permute { axes } => x.tensor().f_permute(sizes(axes)).map_err(Into::into),
        Op::Slice { start, len } => slice(x, start, len),
        // libtorch gives the tensor itself where it is of that dtype already.
        Op::Cast(to) => x.tensor().f_to_kind(kind(*to)).map_err(Into::into),
        Op::Sum { axes } if axes.is_empty() => Ok(x.tensor().shallow_clone()),
        _ => return None,
    };
    Some(seen.map(|t| x.view(t, out)))
}

fn slice(x: &Buf, start: &Axes, len: &Axes) -> Made<Tensor> {
    let mut seen = x.tensor().shallow_clone();
    for (axis, (&start, &len)) in start.iter().zip(len).enumerate() {
        if len != x.aval().shape[axis] {
            seen = seen.f_narrow(axis as i64, start as i64, len as i64)?;
        }
    }
    Ok(seen)
}

/// `axes` reversed. libtorch has no negative strides: this is a copy.
pub(crate) fn flip(x: &Tensor, axes: &Axes) -> Made<Tensor> {
    Ok(x.f_flip(sizes(axes))?)
}

/// Zeros around. libtorch counts axes from the last.
pub(crate) fn pad(x: &Tensor, before: &Axes, after: &Axes) -> Made<Tensor> {
    let sides = before.iter().zip(after).rev();
    let sides: Vec<i64> = sides.flat_map(|(&b, &a)| [b as i64, a as i64]).collect();
    Ok(x.f_constant_pad_nd(sides)?)
}

/// The operands one after the other along `axis`.
pub(crate) fn concat(axis: usize, args: &[Arg<'_, Buf>]) -> Made<Tensor> {
    let parts: Vec<&Tensor> = (0..args.len()).map(|i| operand(args, i)).collect();
    Ok(Tensor::f_cat(&parts, axis as i64)?)
}
