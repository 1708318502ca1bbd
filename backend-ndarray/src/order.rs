//! Elementwise operations on arrays whose elements lie side by side in another order than row-major.
//!
//! What such an operation gives does not depend on the order in which it visits elements. So the
//! axes of all operands are put in the order of the first operand's memory, the operation runs on
//! what is now row-major, and its result keeps that order: images with their channels side by side
//! stay so.

use inocula_core::aval::MAX_RANK;
use inocula_core::op::{Fused, Op};
use inocula_core::{Arg, Outs, Result, Shape};
use smallvec::SmallVec;

use crate::buf::{Array, Buf, Typed};
use crate::elem::Elem;
use crate::layout::Layout;

/// The order of some axes.
pub(crate) type Axes = SmallVec<[usize; MAX_RANK]>;

/// Whether each element of the result depends on the elements at its place only.
fn is_elementwise(op: &Op) -> bool {
    match op {
        Op::Unary(_) | Op::Affine { .. } | Op::Binary(_) | Op::Compare(_) | Op::Where => true,
        Op::Cast(_) => true,
        Op::Fused(fused) => matches!(
            fused,
            Fused::Relu | Fused::ReluGrad | Fused::PgdStep { .. } | Fused::AdamStep { .. }
        ),
        _ => false,
    }
}

/// The order in which `op` should run on these operands, if not row-major.
pub(crate) fn memory_order(op: &Op, args: &[Arg<'_, Buf>], shape: Shape) -> Option<Axes> {
    if shape.rank() < 2 || !is_elementwise(op) {
        return None;
    }
    let layouts = args.iter().map(|arg| *arg.get().layout());
    layouts.filter(|layout| layout.shape == shape).find_map(|layout| layout.memory_order())
}

/// `shape` with its axes in another order.
pub(crate) fn permuted(shape: Shape, axes: &[usize]) -> Shape {
    axes.iter().enumerate().fold(shape, |made, (to, &from)| made.with(to, shape[from]))
}

/// The order that takes `axes` back.
pub(crate) fn inverse(axes: &[usize]) -> Axes {
    let mut inverse: Axes = axes.into();
    for (to, &from) in axes.iter().enumerate() {
        inverse[from] = to;
    }
    inverse
}

/// Runs `body` on operands of `shape` whose axes are in the order `axes`, and puts back those of
/// what it makes.
pub(crate) fn run(
    axes: &[usize],
    shape: Shape,
    args: &mut [Arg<'_, Buf>],
    body: impl FnOnce(&mut [Arg<'_, Buf>], Shape) -> Result<Outs<Buf>>,
) -> Result<Outs<Buf>> {
    let inside = permuted(shape, axes);
    let turn = |layout: &Layout| layout.broadcast(shape).permute(axes, inside);
    let shared: SmallVec<[Option<Buf>; 4]> = args
        .iter_mut()
        .map(|arg| match arg {
            Arg::Shared(buf) => Some(buf.with_layout(turn)),
            Arg::Donated(slot) => {
                // In place, so that nobody else holds it still.
                **slot = slot.take().map(|buf| buf.into_layout(turn));
                None
            }
        })
        .collect();
    let mut turned: SmallVec<[Arg<'_, Buf>; 4]> = args
        .iter_mut()
        .zip(&shared)
        .map(|(arg, shared)| match (arg, shared) {
            (_, Some(buf)) => Arg::Shared(buf),
            (Arg::Shared(buf), None) => Arg::Shared(*buf),
            (Arg::Donated(slot), None) => Arg::Donated(slot),
        })
        .collect();
    let back = inverse(axes);
    let made = body(&mut turned, inside)?;
    let unturn = |layout: &Layout| layout.permute(&back, shape);
    Ok(made.into_iter().map(|buf| buf.into_layout(unturn)).collect())
}

impl Buf {
    fn layout(&self) -> &Layout {
        match &self.0 {
            Typed::F32(x) => x.layout(),
            Typed::F64(x) => x.layout(),
            Typed::I64(x) => x.layout(),
        }
    }

    /// The same storage seen through a layout made from this one's.
    fn with_layout(&self, change: impl Fn(&Layout) -> Layout) -> Buf {
        fn view<T: Elem>(x: &Array<T>, change: impl Fn(&Layout) -> Layout) -> Buf {
            T::into_buf(x.view(change(x.layout())))
        }
        match &self.0 {
            Typed::F32(x) => view(x, change),
            Typed::F64(x) => view(x, change),
            Typed::I64(x) => view(x, change),
        }
    }

    fn into_layout(mut self, change: impl Fn(&Layout) -> Layout) -> Buf {
        match &mut self.0 {
            Typed::F32(x) => x.set_layout(&change),
            Typed::F64(x) => x.set_layout(&change),
            Typed::I64(x) => x.set_layout(&change),
        }
        self
    }
}

impl<T: Elem> Array<T> {
    fn set_layout(&mut self, change: impl Fn(&Layout) -> Layout) {
        *self = self.view(change(self.layout()));
    }
}
