//! Images whose channels lie side by side: logically `[N, C, H, W]`, in memory `[N, H, W, C]`.
//!
//! Convolutions and pools of f32 read and write images in this order, in which a window's row is one
//! stretch of memory and a vector register holds channels. It is a layout like any other: what does
//! not know of it reads it through its strides.

use inocula_core::Shape;

use crate::buf::{Array, Ctx, Dense};
use crate::elem::Elem;
use crate::layout::Layout;

/// Axes of `[N, H, W, C]` in `[N, C, H, W]`, and back.
const TO_LAST: [usize; 4] = [0, 2, 3, 1];
const FROM_LAST: [usize; 4] = [0, 3, 1, 2];

/// The shape in memory of images of this shape.
fn stored(shape: Shape) -> Shape {
    TO_LAST.iter().enumerate().fold(shape, |stored, (to, &from)| stored.with(to, shape[from]))
}

/// The same elements as `[N, H, W, C]`.
fn as_stored(layout: &Layout) -> Layout {
    layout.permute(&TO_LAST, stored(layout.shape))
}

/// Whether images lie in memory with their channels side by side. Those of one channel or one pixel
/// do in either order.
pub(crate) fn is_channels_last(layout: &Layout) -> bool {
    layout.shape.rank() == 4 && as_stored(layout).is_dense()
}

/// New images whose elements `fill` writes in the order of `[N, H, W, C]`.
pub(crate) fn make<T: Elem>(ctx: &Ctx, shape: Shape, fill: impl FnOnce(&mut [T])) -> Array<T> {
    let made = ctx.make(stored(shape), fill);
    made.view(made.layout().permute(&FROM_LAST, shape))
}

/// The elements in the order of `[N, H, W, C]`, if they lie so.
pub(crate) fn slice<T: Elem>(x: &Array<T>) -> Option<&[T]> {
    let layout = as_stored(x.layout());
    layout.is_dense().then(|| &x.storage()[layout.offset..][..layout.shape.numel()])
}

/// The elements in the order of `[N, H, W, C]`, copied if they lie in another.
pub(crate) fn dense<'a, T: Elem>(ctx: &Ctx, x: &'a Array<T>) -> Dense<'a, T> {
    match slice(x) {
        Some(own) => Dense::Own(own),
        None => ctx.copied(&x.view(as_stored(x.layout()))),
    }
}
