//! Update steps: a projected gradient step of an attack, a step of Adam.

use burn_backend::tensor::FloatTensor;
use inocula_core::Result;
use inocula_core::op::Fused;
use smallvec::{SmallVec, smallvec};

use crate::buf::Array;
use crate::elementwise::{affine, clamp, larger_of, sign, smaller_of};
use crate::inner::Inner;
use crate::num::Num;
use crate::place::Place;

/// `(x, g, x0)`: a signed step, projected on the ball around `x0` and on the box.
pub(crate) fn pgd<B: Inner>(
    place: &Place<B>,
    [step, eps, lo, hi]: [f64; 4],
    [x, g, x0]: [Array<B>; 3],
) -> Result<Num<B>> {
    let dtype = x.dtype();
    let [x, g, x0] = [x.num()?.float()?, g.num()?.float()?, x0.num()?.float()?];
    let moved = B::float_add(affine::<B>(sign(place, g, dtype), step, 0.0), x);
    let low = affine::<B>(x0.clone(), 1.0, -eps);
    let near = larger_of(place, moved, low);
    let near = smaller_of(place, near, affine::<B>(x0, 1.0, eps));
    Ok(Num::Float(clamp(place, clamp(place, near, true, lo), false, hi)))
}

/// `(p, g, m, v)`: the parameters and moments after a step of Adam.
pub(crate) fn adam<B: Inner>(
    fused: &Fused,
    [p, g, m, v]: [Array<B>; 4],
) -> Result<SmallVec<[Num<B>; 1]>> {
    let &Fused::AdamStep { beta1, beta2, step, scale, eps } = fused else {
        return Ok(smallvec![]);
    };
    let [p, g] = [p.num()?.float()?, g.num()?.float()?];
    let [m, v] = [m.num()?.float()?, v.num()?.float()?];
    let m = decayed::<B>(m, beta1, g.clone());
    let v = decayed::<B>(v, beta2, B::float_mul(g.clone(), g));
    let root = affine::<B>(B::float_sqrt(v.clone()), scale, eps);
    let change = B::float_div(affine::<B>(m.clone(), step, 0.0), root);
    let p = B::float_sub(p, change);
    Ok(smallvec![Num::Float(p), Num::Float(m), Num::Float(v)])
}

/// The running mean `beta * old + (1 - beta) * new`.
fn decayed<B: Inner>(old: FloatTensor<B>, beta: f64, new: FloatTensor<B>) -> FloatTensor<B> {
    B::float_add(affine::<B>(old, beta, 0.0), affine::<B>(new, 1.0 - beta, 0.0))
}
