//! Elementwise operations: maps of one, two or three arrays of one shape.
//!
//! Each map exists out of place and in place (into a donated operand). The innermost loops are
//! plain zips over slices, or a slice and a constant, which the compiler vectorises.
//! They are loops and not `for_each`, which is a function of its own and then compiled without the
//! instruction set that [`crate::workers`] chose.

use inocula_core::op::{Binary, Compare, Unary};
use inocula_core::{Arg, Result, Shape, bail};

use crate::buf::{Array, Buf, Ctx, exclusive, operand, reusable};
use crate::elem::{Elem, Float};
use crate::nest::{Nest, moved};

/// Time per element of a transcendental function, in units of an addition.
const TRANSCENDENTAL: usize = 16;

/// The unary functions that integers have too.
pub(crate) fn unary<T: Elem>(
    ctx: &Ctx,
    op: Unary,
    args: &mut [Arg<'_, Buf>],
) -> Option<Result<Buf>> {
    Some(match op {
        Unary::Neg => map(ctx, 1, args, T::negated),
        Unary::Abs => map(ctx, 1, args, T::magnitude),
        Unary::Sign => map(ctx, 1, args, T::signum),
        _ => return None,
    })
}

/// The unary functions of floats.
pub(crate) fn unary_float<T: Float>(
    ctx: &Ctx,
    op: Unary,
    args: &mut [Arg<'_, Buf>],
) -> Result<Buf> {
    match op {
        Unary::Neg => map(ctx, 1, args, T::negated),
        Unary::Abs => map(ctx, 1, args, T::magnitude),
        Unary::Sign => map(ctx, 1, args, T::signum),
        Unary::Sqrt => map(ctx, 4, args, T::sqrt),
        Unary::Round => map(ctx, 2, args, T::round),
        Unary::Exp => map(ctx, TRANSCENDENTAL, args, T::exp),
        Unary::Log => map(ctx, TRANSCENDENTAL, args, T::ln),
        Unary::Tanh => map(ctx, TRANSCENDENTAL, args, T::tanh),
        Unary::Erf => map(ctx, TRANSCENDENTAL, args, T::erf),
    }
}

/// `mul * x + add`, the constants rounded first.
pub(crate) fn affine<T: Float>(
    ctx: &Ctx,
    mul: f64,
    add: f64,
    args: &mut [Arg<'_, Buf>],
) -> Result<Buf> {
    let (mul, add) = (T::constant(mul), T::constant(add));
    map(ctx, 1, args, move |x: T| mul * x + add)
}

/// `max(x, 0)`.
pub(crate) fn relu<T: Float>(ctx: &Ctx, args: &mut [Arg<'_, Buf>]) -> Result<Buf> {
    map(ctx, 1, args, |x: T| x.larger(T::ZERO))
}

/// `g` where `y > 0`.
pub(crate) fn relu_grad<T: Float>(
    ctx: &Ctx,
    args: &mut [Arg<'_, Buf>],
    shape: Shape,
) -> Result<Buf> {
    map2(ctx, 1, args, shape, |y: T, g: T| if y > T::ZERO { g } else { T::ZERO })
}

/// The functions of two operands that integers have too.
pub(crate) fn binary<T: Elem>(
    ctx: &Ctx,
    op: Binary,
    args: &mut [Arg<'_, Buf>],
    shape: Shape,
) -> Option<Result<Buf>> {
    Some(match op {
        Binary::Add => map2(ctx, 1, args, shape, T::plus),
        Binary::Sub => map2(ctx, 1, args, shape, T::minus),
        Binary::Mul => map2(ctx, 1, args, shape, T::times),
        Binary::Div => map2(ctx, 2, args, shape, T::over),
        Binary::Maximum => map2(ctx, 1, args, shape, T::larger),
        Binary::Minimum => map2(ctx, 1, args, shape, T::smaller),
        Binary::Pow => return None,
    })
}

/// `a^b`.
pub(crate) fn pow<T: Float>(ctx: &Ctx, args: &mut [Arg<'_, Buf>], shape: Shape) -> Result<Buf> {
    map2(ctx, TRANSCENDENTAL, args, shape, T::powf)
}

/// Fails if an integer divisor is zero. Unlike floats, integers have no value for the result.
pub(crate) fn check_divisor(ctx: &Ctx, args: &[Arg<'_, Buf>], shape: Shape) -> Result<()> {
    let divisor = ctx.dense(operand::<i64>(args, 1)?);
    if shape.numel() != 0 && divisor.contains(&0) {
        bail!(Data, "div: integer division by zero; cast to a float dtype or mask the zeros");
    }
    Ok(())
}

/// One where the comparison holds, else zero.
pub(crate) fn compare<T: Elem>(
    ctx: &Ctx,
    op: Compare,
    args: &mut [Arg<'_, Buf>],
    shape: Shape,
) -> Result<Buf> {
    match op {
        Compare::Eq => map2(ctx, 1, args, shape, |a: T, b: T| T::truth(a == b)),
        Compare::Lt => map2(ctx, 1, args, shape, |a: T, b: T| T::truth(a < b)),
        Compare::Le => map2(ctx, 1, args, shape, |a: T, b: T| T::truth(a <= b)),
    }
}

/// `a` where `c` is not zero, else `b`.
pub(crate) fn select<T: Elem>(ctx: &Ctx, args: &[Arg<'_, Buf>], shape: Shape) -> Result<Buf> {
    let [c, a, b] = [operand::<T>(args, 0)?, operand::<T>(args, 1)?, operand::<T>(args, 2)?];
    let (lc, la, lb) =
        (c.layout().broadcast(shape), a.layout().broadcast(shape), b.layout().broadcast(shape));
    let (c, a, b) = (c.storage(), a.storage(), b.storage());
    let pick = |c: T, a: T, b: T| if c != T::ZERO { a } else { b };
    let made = ctx.make(shape, |out| {
        let nest = Nest::new(shape, [&lc, &la, &lb]);
        let steps = nest.steps();
        nest.drive(
            &ctx.workers,
            1,
            out,
            #[inline(always)]
            |out, [ic, ia, ib]| {
                let n = out.len();
                if steps == [1, 1, 1] {
                    let operands = c[ic..][..n].iter().zip(&a[ia..][..n]).zip(&b[ib..][..n]);
                    for (o, ((&c, &a), &b)) in out.iter_mut().zip(operands) {
                        *o = pick(c, a, b);
                    }
                    return;
                }
                for (i, o) in out.iter_mut().enumerate() {
                    let i = i as isize;
                    *o = pick(
                        c[moved(ic, i * steps[0])],
                        a[moved(ia, i * steps[1])],
                        b[moved(ib, i * steps[2])],
                    );
                }
            },
        );
    });
    Ok(T::into_buf(made))
}

/// To another element type.
pub(crate) fn cast<T: Elem, U: Elem>(ctx: &Ctx, x: &Array<T>) -> Buf {
    U::into_buf(map_new(ctx, 1, x, T::cast::<U>))
}

/// `f` of every element, in the operand's memory if that was donated.
fn map<T: Elem>(
    ctx: &Ctx,
    cost: usize,
    args: &mut [Arg<'_, Buf>],
    f: impl Fn(T) -> T + Sync,
) -> Result<Buf> {
    let shape = operand::<T>(args, 0)?.shape();
    if let Some(mut x) = reusable::<T>(args, 0, shape) {
        let nest = Nest::<0>::new(shape, []);
        nest.drive(
            &ctx.workers,
            cost,
            exclusive(&mut x)?,
            #[inline(always)]
            |run, []| {
                for v in run {
                    *v = f(*v);
                }
            },
        );
        return Ok(T::into_buf(x));
    }
    Ok(T::into_buf(map_new(ctx, cost, operand::<T>(args, 0)?, f)))
}

/// `f` of every element, in new memory.
pub(crate) fn map_new<T: Elem, U: Elem>(
    ctx: &Ctx,
    cost: usize,
    x: &Array<T>,
    f: impl Fn(T) -> U + Sync,
) -> Array<U> {
    let shape = x.shape();
    ctx.make(shape, |out| {
        let nest = Nest::new(shape, [x.layout()]);
        let [step] = nest.steps();
        let x = x.storage();
        nest.drive(
            &ctx.workers,
            cost,
            out,
            #[inline(always)]
            |out, [at]| {
                let n = out.len();
                match step {
                    1 => {
                        for (o, &v) in out.iter_mut().zip(&x[at..][..n]) {
                            *o = f(v);
                        }
                    }
                    0 => out.fill(f(x[at])),
                    _ => {
                        for (i, o) in out.iter_mut().enumerate() {
                            *o = f(x[moved(at, i as isize * step)]);
                        }
                    }
                }
            },
        );
    })
}

/// `f` of pairs of elements, in the memory of an operand of the result's shape that was donated.
fn map2<T: Elem>(
    ctx: &Ctx,
    cost: usize,
    args: &mut [Arg<'_, Buf>],
    shape: Shape,
    f: impl Fn(T, T) -> T + Sync,
) -> Result<Buf> {
    if let Some(mut a) = reusable::<T>(args, 0, shape) {
        update(ctx, cost, exclusive(&mut a)?, operand(args, 1)?, shape, f);
        return Ok(T::into_buf(a));
    }
    if let Some(mut b) = reusable::<T>(args, 1, shape) {
        update(ctx, cost, exclusive(&mut b)?, operand(args, 0)?, shape, |b, a| f(a, b));
        return Ok(T::into_buf(b));
    }
    let (a, b) = (operand::<T>(args, 0)?, operand::<T>(args, 1)?);
    let (la, lb) = (a.layout().broadcast(shape), b.layout().broadcast(shape));
    let (a, b) = (a.storage(), b.storage());
    let made = ctx.make(shape, |out| {
        let nest = Nest::new(shape, [&la, &lb]);
        let steps = nest.steps();
        nest.drive(
            &ctx.workers,
            cost,
            out,
            #[inline(always)]
            |out, at| run2(out, a, b, at, steps, &f),
        );
    });
    Ok(T::into_buf(made))
}

/// One run of a map of two arrays.
#[inline(always)]
fn run2<T: Elem>(
    out: &mut [T],
    a: &[T],
    b: &[T],
    [ia, ib]: [usize; 2],
    steps: [isize; 2],
    f: &impl Fn(T, T) -> T,
) {
    let n = out.len();
    match steps {
        [1, 1] => {
            for ((o, &a), &b) in out.iter_mut().zip(&a[ia..][..n]).zip(&b[ib..][..n]) {
                *o = f(a, b);
            }
        }
        [1, 0] => {
            let b = b[ib];
            for (o, &a) in out.iter_mut().zip(&a[ia..][..n]) {
                *o = f(a, b);
            }
        }
        [0, 1] => {
            let a = a[ia];
            for (o, &b) in out.iter_mut().zip(&b[ib..][..n]) {
                *o = f(a, b);
            }
        }
        [sa, sb] => {
            for (i, o) in out.iter_mut().enumerate() {
                let i = i as isize;
                *o = f(a[moved(ia, i * sa)], b[moved(ib, i * sb)]);
            }
        }
    }
}

/// `a = f(a, b)` for a dense `a` of this shape.
fn update<T: Elem>(
    ctx: &Ctx,
    cost: usize,
    a: &mut [T],
    b: &Array<T>,
    shape: Shape,
    f: impl Fn(T, T) -> T + Sync,
) {
    if a.is_empty() {
        return;
    }
    let nest = Nest::new(shape, [&b.layout().broadcast(shape)]);
    let [step] = nest.steps();
    let b = b.storage();
    nest.drive(
        &ctx.workers,
        cost,
        a,
        #[inline(always)]
        |a, [ib]| {
            let n = a.len();
            match step {
                1 => {
                    for (a, &b) in a.iter_mut().zip(&b[ib..][..n]) {
                        *a = f(*a, b);
                    }
                }
                0 => {
                    let b = b[ib];
                    for a in a {
                        *a = f(*a, b);
                    }
                }
                _ => {
                    for (i, a) in a.iter_mut().enumerate() {
                        *a = f(*a, b[moved(ib, i as isize * step)]);
                    }
                }
            }
        },
    );
}
