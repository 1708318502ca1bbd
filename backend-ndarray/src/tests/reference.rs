//! Every operation as its definition reads, on index tuples in f64. Shares no code with the kernels.

use inocula_core::op::{Binary, Compare, Conv, Fused, Op, Unary, Window};
use inocula_core::{Aval, DType, Shape};

/// An array in row-major order. Integers are exact in f64 as far as these tests go.
#[derive(Debug, Clone)]
pub(crate) struct Value {
    pub(crate) aval: Aval,
    pub(crate) data: Vec<f64>,
}

impl Value {
    pub(crate) fn new(dtype: DType, dims: &[usize], data: Vec<f64>) -> Self {
        let aval = Aval::new(dtype, Shape::new(dims).unwrap());
        assert_eq!(aval.shape.numel(), data.len());
        Value { aval, data }
    }

    pub(crate) fn dims(&self) -> &[usize] {
        &self.aval.shape
    }

    fn place(&self, index: &[usize]) -> usize {
        index.iter().zip(self.dims()).fold(0, |at, (&i, &d)| at * d + i)
    }

    pub(crate) fn at(&self, index: &[usize]) -> f64 {
        self.data[self.place(index)]
    }

    /// The element that broadcasting puts at `index`.
    fn stretched(&self, index: &[usize]) -> f64 {
        let skip = index.len() - self.dims().len();
        let own: Vec<usize> = index[skip..]
            .iter()
            .zip(self.dims())
            .map(|(&i, &d)| if d == 1 { 0 } else { i })
            .collect();
        self.at(&own)
    }
}

/// All index tuples of an array, in row-major order.
pub(crate) fn indices(dims: &[usize]) -> Vec<Vec<usize>> {
    let mut all = vec![vec![]];
    for &d in dims {
        all = all
            .into_iter()
            .flat_map(|prefix: Vec<usize>| {
                (0..d).map(move |i| {
                    let mut index = prefix.clone();
                    index.push(i);
                    index
                })
            })
            .collect();
    }
    all
}

fn build(aval: Aval, f: impl Fn(&[usize]) -> f64) -> Value {
    Value { aval, data: indices(&aval.shape).iter().map(|i| f(i)).collect() }
}

fn with(index: &[usize], axis: usize, i: usize) -> Vec<usize> {
    let mut index = index.to_vec();
    index[axis] = i;
    index
}

/// The results of `op`, whose dtypes and shapes are `out`.
pub(crate) fn run(op: &Op, args: &[Value], out: &[Aval]) -> Vec<Value> {
    if let Op::Fused(Fused::AdamStep { beta1, beta2, step, scale, eps }) = *op {
        let [p, g, m, v] = [&args[0], &args[1], &args[2], &args[3]];
        let m = build(out[1], |i| beta1 * m.at(i) + (1.0 - beta1) * g.at(i));
        let v = build(out[2], |i| beta2 * v.at(i) + (1.0 - beta2) * g.at(i) * g.at(i));
        let p = build(out[0], |i| p.at(i) - step * m.at(i) / (v.at(i).sqrt() * scale + eps));
        return vec![p, m, v];
    }
    vec![one(op, args, out[0])]
}

fn one(op: &Op, args: &[Value], out: Aval) -> Value {
    let integer = out.dtype == DType::I64;
    match op {
        Op::Unary(u) => build(out, |i| unary(*u, args[0].at(i))),
        Op::Affine { mul, add } => build(out, |i| mul * args[0].at(i) + add),
        Op::Binary(b) => build(out, |i| {
            let r = binary(*b, args[0].stretched(i), args[1].stretched(i));
            if integer && *b == Binary::Div { r.trunc() } else { r }
        }),
        Op::Compare(c) => build(out, |i| {
            let (a, b) = (args[0].stretched(i), args[1].stretched(i));
            f64::from(u8::from(match c {
                Compare::Eq => a == b,
                Compare::Lt => a < b,
                Compare::Le => a <= b,
            }))
        }),
        Op::Where => {
            build(out, |i| args[if args[0].stretched(i) != 0.0 { 1 } else { 2 }].stretched(i))
        }
        Op::Cast(to) => build(out, |i| {
            let v = args[0].at(i);
            match to {
                DType::F32 => f64::from(v as f32),
                DType::F64 => v,
                DType::I64 => v.trunc(),
            }
        }),
        Op::Full { value, .. } => build(out, |_| *value),
        Op::Iota { .. } => build(out, |i| i[0] as f64),
        Op::Sum { axes } => sum(&args[0], axes, out),
        Op::Max { axis } => {
            build(out, |i| args[0].at(&with(i, *axis, first_max(&args[0], i, *axis))))
        }
        Op::ArgMax { axis } => build(out, |i| first_max(&args[0], i, *axis) as f64),
        Op::Broadcast { .. } => build(out, |i| args[0].stretched(i)),
        Op::Reshape { .. } => Value { aval: out, data: args[0].data.clone() },
        Op::Permute { axes } => build(out, |i| {
            let mut from = vec![0; i.len()];
            axes.iter().zip(i).for_each(|(&a, &i)| from[a] = i);
            args[0].at(&from)
        }),
        Op::Flip { axes } => build(out, |i| {
            let mut from = i.to_vec();
            axes.iter().for_each(|&a| from[a] = args[0].dims()[a] - 1 - i[a]);
            args[0].at(&from)
        }),
        Op::Slice { start, .. } => {
            build(out, |i| args[0].at(&i.iter().zip(start).map(|(i, s)| i + s).collect::<Vec<_>>()))
        }
        Op::Pad { before, .. } => build(out, |i| {
            let inside: Option<Vec<usize>> = (0..i.len())
                .map(|a| i[a].checked_sub(before[a]).filter(|&j| j < args[0].dims()[a]))
                .collect();
            inside.map_or(0.0, |i| args[0].at(&i))
        }),
        Op::Concat { axis } => build(out, |i| {
            let mut rest = i[*axis];
            for part in args {
                if rest < part.dims()[*axis] {
                    return part.at(&with(i, *axis, rest));
                }
                rest -= part.dims()[*axis];
            }
            unreachable!()
        }),
        Op::Gather { axis } => build(out, |i| args[0].at(&with(i, *axis, args[1].at(i) as usize))),
        Op::ScatterAdd { axis } => {
            let mut base = args[0].clone();
            for i in indices(args[1].dims()) {
                let place = base.place(&with(&i, *axis, args[1].at(&i) as usize));
                base.data[place] += args[2].at(&i);
            }
            base
        }
        Op::Take { axis } => {
            build(out, |i| args[0].at(&with(i, *axis, args[1].at(&[i[*axis]]) as usize)))
        }
        Op::PutAdd { axis } => {
            let mut base = args[0].clone();
            for i in indices(args[2].dims()) {
                let place = base.place(&with(&i, *axis, args[1].at(&[i[*axis]]) as usize));
                base.data[place] += args[2].at(&i);
            }
            base
        }
        Op::Unfold2d(window) => {
            let x = &args[0];
            let size = [x.dims()[2], x.dims()[3]];
            let cols = window.output(size).unwrap()[1];
            build(out, |i| {
                let [kh, kw] = window.kernel;
                let (c, tap) = (i[1] / (kh * kw), i[1] % (kh * kw));
                let at = [i[2] / cols, i[2] % cols];
                pixel(window, size, at, [tap / kw, tap % kw])
                    .map_or(0.0, |[y, xx]| x.at(&[i[0], c, y, xx]))
            })
        }
        Op::Fold2d { window, size } => {
            let mut image = Value { aval: out, data: vec![0.0; out.shape.numel()] };
            let cols = window.output(*size).unwrap()[1];
            let [kh, kw] = window.kernel;
            for i in indices(args[0].dims()) {
                let (c, tap) = (i[1] / (kh * kw), i[1] % (kh * kw));
                let at = [i[2] / cols, i[2] % cols];
                if let Some([y, x]) = pixel(window, *size, at, [tap / kw, tap % kw]) {
                    let place = image.place(&[i[0], c, y, x]);
                    image.data[place] += args[0].at(&i);
                }
            }
            image
        }
        Op::MatMul { trans_a, trans_b } => {
            let (a, b) = (&args[0], &args[1]);
            let rank = out.shape.rank();
            let inner = a.dims()[if *trans_a { rank - 2 } else { rank - 1 }];
            build(out, |i| {
                let side = |v: &Value, r: usize, c: usize, t: bool| {
                    let mut at = i.to_vec();
                    (at[rank - 2], at[rank - 1]) = if t { (c, r) } else { (r, c) };
                    v.at(&at)
                };
                let (r, c) = (i[rank - 2], i[rank - 1]);
                (0..inner).map(|k| side(a, r, k, *trans_a) * side(b, k, c, *trans_b)).sum()
            })
        }
        Op::Conv2d(conv) => conv2d(conv, &args[0], &args[1], None, false, out),
        Op::Conv2dDx { conv, input } => {
            let (g, w) = (&args[0], &args[1]);
            let mut dx = Value { aval: out, data: vec![0.0; out.shape.numel()] };
            each_tap(conv, *input, g.aval.shape, w.aval.shape, |y, x, k| {
                let place = dx.place(&x);
                dx.data[place] += g.at(&y) * w.at(&k);
            });
            dx
        }
        Op::Conv2dDw { conv, .. } => {
            let (x, g) = (&args[0], &args[1]);
            let mut dw = Value { aval: out, data: vec![0.0; out.shape.numel()] };
            let size = [x.dims()[2], x.dims()[3]];
            each_tap(conv, size, g.aval.shape, out.shape, |y, i, k| {
                let place = dw.place(&k);
                dw.data[place] += g.at(&y) * x.at(&i);
            });
            dw
        }
        Op::MaxPool2dIdx(window) => {
            let width = args[0].dims()[3];
            build(out, |i| {
                let [y, x] = pool_winner(window, &args[0], i).unwrap();
                (y * width + x) as f64
            })
        }
        Op::Fused(fused) => self::fused(fused, args, out),
    }
}

fn fused(fused: &Fused, args: &[Value], out: Aval) -> Value {
    match fused {
        Fused::Relu => build(out, |i| args[0].at(i).max(0.0)),
        Fused::ReluGrad => build(out, |i| if args[0].at(i) > 0.0 { args[1].at(i) } else { 0.0 }),
        Fused::Linear { relu } => build(out, |i| {
            let inner = args[0].dims()[1];
            let dot: f64 =
                (0..inner).map(|k| args[0].at(&[i[0], k]) * args[1].at(&[i[1], k])).sum();
            let z = dot + args[2].at(&[i[1]]);
            if *relu { z.max(0.0) } else { z }
        }),
        Fused::ConvBias { conv, relu } => {
            conv2d(conv, &args[0], &args[1], Some(&args[2]), *relu, out)
        }
        Fused::ConvWeightGrads { conv, .. } => {
            let (x, g) = (&args[0], &args[1]);
            let mut dw = Value { aval: out, data: vec![0.0; out.shape.numel()] };
            let size = [x.dims()[2], x.dims()[3]];
            let weight = Shape::new(&out.shape[1..]).unwrap();
            each_tap(conv, size, g.aval.shape, weight, |y, i, k| {
                let place = dw.place(&[&i[..1], &k[..]].concat());
                dw.data[place] += g.at(&y) * x.at(&i);
            });
            dw
        }
        Fused::MaxPool2d(window) => build(out, |i| {
            let [y, x] = pool_winner(window, &args[0], i).unwrap();
            args[0].at(&[i[0], i[1], y, x])
        }),
        Fused::MaxPool2dGrad(window) => {
            let mut dx = Value { aval: out, data: vec![0.0; out.shape.numel()] };
            for i in indices(args[1].dims()) {
                let [y, x] = pool_winner(window, &args[0], &i).unwrap();
                let place = dx.place(&[i[0], i[1], y, x]);
                dx.data[place] += args[1].at(&i);
            }
            dx
        }
        Fused::SoftmaxXent => build(out, |i| {
            log_sum_exp(&args[0], i[0]) - args[0].at(&[i[0], args[1].at(i) as usize])
        }),
        Fused::SoftmaxXentGrad => build(out, |i| {
            let p = (args[0].at(i) - log_sum_exp(&args[0], i[0])).exp();
            let hit = f64::from(u8::from(args[1].at(&i[..1]) as usize == i[1]));
            args[2].at(&i[..1]) * (p - hit)
        }),
        Fused::PgdStep { step, eps, lo, hi } => build(out, |i| {
            let x0 = args[2].at(i);
            let moved = args[0].at(i) + step * unary(Unary::Sign, args[1].at(i));
            moved.clamp(x0 - eps, x0 + eps).clamp(*lo, *hi)
        }),
        Fused::AdamStep { .. } => unreachable!(),
    }
}

fn unary(u: Unary, x: f64) -> f64 {
    match u {
        Unary::Neg => -x,
        Unary::Exp => x.exp(),
        Unary::Log => x.ln(),
        Unary::Sqrt => x.sqrt(),
        Unary::Tanh => x.tanh(),
        Unary::Erf => erf_series(x),
        Unary::Abs => x.abs(),
        Unary::Sign if x > 0.0 => 1.0,
        Unary::Sign if x < 0.0 => -1.0,
        Unary::Sign => 0.0,
        Unary::Round => {
            let below = x.floor();
            match x - below {
                d if d < 0.5 => below,
                d if d > 0.5 => below + 1.0,
                _ if below % 2.0 == 0.0 => below,
                _ => below + 1.0,
            }
        }
    }
}

/// The error function by its series of positive terms, which loses no digits to cancellation
/// (Abramowitz and Stegun, 7.1.6).
fn erf_series(x: f64) -> f64 {
    let (mut term, mut total) = (x, x);
    for n in 1..200 {
        term *= 2.0 * x * x / f64::from(2 * n + 1);
        total += term;
    }
    total * (-x * x).exp() * 2.0 / std::f64::consts::PI.sqrt()
}

fn binary(b: Binary, x: f64, y: f64) -> f64 {
    match b {
        Binary::Add => x + y,
        Binary::Sub => x - y,
        Binary::Mul => x * y,
        Binary::Div => x / y,
        Binary::Maximum => x.max(y),
        Binary::Minimum => x.min(y),
        Binary::Pow => x.powf(y),
    }
}

fn sum(x: &Value, axes: &[usize], out: Aval) -> Value {
    let mut total = Value { aval: out, data: vec![0.0; out.shape.numel()] };
    for i in indices(x.dims()) {
        let kept: Vec<usize> =
            i.iter().enumerate().map(|(a, &i)| if axes.contains(&a) { 0 } else { i }).collect();
        let place = total.place(&kept);
        total.data[place] += x.at(&i);
    }
    total
}

fn first_max(x: &Value, index: &[usize], axis: usize) -> usize {
    let mut best = 0;
    for i in 1..x.dims()[axis] {
        if x.at(&with(index, axis, i)) > x.at(&with(index, axis, best)) {
            best = i;
        }
    }
    best
}

fn log_sum_exp(z: &Value, row: usize) -> f64 {
    let row: Vec<f64> = (0..z.dims()[1]).map(|c| z.at(&[row, c])).collect();
    let shift = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    shift + row.iter().map(|v| (v - shift).exp()).sum::<f64>().ln()
}

/// The pixel that a tap of the window at `at` reads, if it is within the image.
fn pixel(window: &Window, size: [usize; 2], at: [usize; 2], tap: [usize; 2]) -> Option<[usize; 2]> {
    let axis = |a: usize| {
        (at[a] * window.stride[a] + tap[a] * window.dilation[a])
            .checked_sub(window.padding[a])
            .filter(|&i| i < size[a])
    };
    Some([axis(0)?, axis(1)?])
}

fn pool_winner(window: &Window, x: &Value, i: &[usize]) -> Option<[usize; 2]> {
    let mut best: Option<[usize; 2]> = None;
    for tap in indices(&window.kernel) {
        let Some(p) = pixel(window, [x.dims()[2], x.dims()[3]], [i[2], i[3]], [tap[0], tap[1]])
        else {
            continue;
        };
        let value = |p: [usize; 2]| x.at(&[i[0], i[1], p[0], p[1]]);
        if best.is_none_or(|b| value(p) > value(b)) {
            best = Some(p);
        }
    }
    best
}

fn conv2d(conv: &Conv, x: &Value, w: &Value, bias: Option<&Value>, relu: bool, out: Aval) -> Value {
    let mut y = build(out, |i| bias.map_or(0.0, |b| b.at(&[i[1]])));
    let size = [x.dims()[2], x.dims()[3]];
    each_tap(conv, size, out.shape, w.aval.shape, |o, i, k| {
        let place = y.place(&o);
        y.data[place] += x.at(&i) * w.at(&k);
    });
    if relu {
        y.data.iter_mut().for_each(|v| *v = v.max(0.0));
    }
    y
}

/// Calls `f` with the indices in output, input and weight of every product in a convolution.
fn each_tap(
    conv: &Conv,
    size: [usize; 2],
    y: Shape,
    w: Shape,
    mut f: impl FnMut([usize; 4], [usize; 4], [usize; 4]),
) {
    let window = conv.window([w[2], w[3]]);
    let outputs = w[0] / conv.groups;
    for i in indices(&y) {
        for k in indices(&[w[1], w[2], w[3]]) {
            if let Some([py, px]) = pixel(&window, size, [i[2], i[3]], [k[1], k[2]]) {
                let channel = i[1] / outputs * w[1] + k[0];
                f([i[0], i[1], i[2], i[3]], [i[0], channel, py, px], [i[1], k[0], k[1], k[2]]);
            }
        }
    }
}
