//! Operations that move elements: most are views, which cost nothing.

use inocula_core::op::Op;
use inocula_core::{Error, ErrorKind, Result, Shape};

use crate::buf::Array;
use crate::inner::Inner;
use crate::num::{self, Num};

/// A movement of one operand.
pub(crate) fn of_one<B: Inner>(op: &Op, x: Array<B>, shape: &Shape) -> Result<Num<B>> {
    Ok(match op {
        Op::Broadcast { .. } => x.expanded(shape)?,
        Op::Reshape { .. } => x.num()?.reshape(shape),
        // An array without axes has nothing to move.
        Op::Permute { .. } | Op::Flip { .. } | Op::Slice { .. } | Op::Pad { .. }
            if shape.rank() == 0 =>
        {
            x.num()?
        }
        Op::Permute { axes } => x.num()?.permute(axes),
        Op::Flip { axes } if axes.is_empty() => x.num()?,
        Op::Flip { axes } => x.num()?.flip(axes),
        Op::Slice { start, len } => x.num()?.slice(start, len),
        Op::Pad { before, after } => x.num()?.pad(before, after),
        _ => {
            let message = format!("burn: {} is no movement; this is a defect", op.code());
            return Err(Error::new(ErrorKind::Backend, message));
        }
    })
}

/// The operands one after the other along `axis`. Those without elements add nothing.
pub(crate) fn concat<B: Inner>(axis: usize, args: Vec<Array<B>>) -> Result<Num<B>> {
    let parts = args.into_iter().filter(|a| !a.is_empty());
    num::concat(parts.map(Array::num).collect::<Result<_>>()?, axis)
}
