//! Operands for every operation, drawn so that ties, edges and odd sizes occur.

use inocula_core::op::{Binary, Compare, Conv, Fused, Op, Unary, Window};
use inocula_core::{Aval, DType, Shape};
use ndarray_rand::RandomExt;
use ndarray_rand::rand::SeedableRng;
use ndarray_rand::rand::rngs::StdRng;
use ndarray_rand::rand_distr::{StandardNormal, Uniform};
use smallvec::SmallVec;

use super::reference::Value;

pub(crate) struct Case {
    pub(crate) op: Op,
    pub(crate) args: Vec<Value>,
}

/// Draws operands.
pub(crate) struct Draw {
    rng: StdRng,
    pub(crate) dtype: DType,
}

impl Draw {
    pub(crate) fn new(dtype: DType) -> Self {
        Draw { rng: StdRng::seed_from_u64(20_150_601), dtype }
    }

    fn value(&mut self, dims: &[usize], raw: Vec<f64>) -> Value {
        let data = raw
            .into_iter()
            .map(|v| match self.dtype {
                DType::F32 => f64::from(v as f32),
                DType::F64 => v,
                DType::I64 => (4.0 * v).round() + 0.0, // no -0
            })
            .collect();
        Value::new(self.dtype, dims, data)
    }

    /// Normal values.
    pub(crate) fn normal(&mut self, dims: &[usize]) -> Value {
        let n: usize = dims.iter().product();
        let raw: ndarray::Array1<f64> =
            ndarray::Array::random_using(n, StandardNormal, &mut self.rng);
        self.value(dims, raw.to_vec())
    }

    /// Multiples of one half in -3 ..= 3: ties, zeros and halves abound.
    fn halves(&mut self, dims: &[usize]) -> Value {
        let n: usize = dims.iter().product();
        let steps = Uniform::new_inclusive(-6i64, 6).unwrap();
        let raw = ndarray::Array::random_using(n, steps, &mut self.rng);
        self.value(dims, raw.iter().map(|&v| v as f64 / 2.0).collect())
    }

    /// Values in 1/2 .. 3: what logarithms, roots, powers and divisors take.
    fn positive(&mut self, dims: &[usize]) -> Value {
        let n: usize = dims.iter().product();
        let raw = ndarray::Array::random_using(n, Uniform::new(0.5, 3.0).unwrap(), &mut self.rng);
        self.value(dims, raw.to_vec())
    }

    /// Indices below `extent`.
    pub(crate) fn index(&mut self, dims: &[usize], extent: usize) -> Value {
        let n: usize = dims.iter().product();
        let all = Uniform::new(0, extent.max(1)).unwrap();
        let raw = ndarray::Array::random_using(n, all, &mut self.rng);
        Value::new(DType::I64, dims, raw.iter().map(|&v| v as f64).collect())
    }
}

fn axes(list: &[usize]) -> SmallVec<[usize; 6]> {
    SmallVec::from_slice(list)
}

fn shape(dims: &[usize]) -> Shape {
    Shape::new(dims).unwrap()
}

/// Cases that all dtypes have.
pub(crate) fn any(dtype: DType) -> Vec<Case> {
    let mut draw = Draw::new(dtype);
    let mut cases = Vec::new();
    elementwise(&mut draw, &mut cases);
    reductions(&mut draw, &mut cases);
    movements(&mut draw, &mut cases);
    indexed(&mut draw, &mut cases);
    cases
}

/// Cases of floats only.
pub(crate) fn float(dtype: DType) -> Vec<Case> {
    let mut draw = Draw::new(dtype);
    let mut cases = Vec::new();
    float_elementwise(&mut draw, &mut cases);
    products(&mut draw, &mut cases);
    convolutions(&mut draw, &mut cases);
    pools(&mut draw, &mut cases);
    steps(&mut draw, &mut cases);
    cases
}

const SHAPES: [&[usize]; 8] =
    [&[], &[1], &[7], &[0], &[3, 0, 2], &[5, 3], &[2, 3, 1, 5], &[3, 113, 127]];

/// Shapes of two operands that broadcast.
const PAIRS: [[&[usize]; 2]; 12] = [
    [&[], &[]],
    [&[6], &[]],
    [&[], &[2, 3]],
    [&[4, 5], &[4, 5]],
    [&[4, 5], &[5]],
    [&[4, 5], &[4, 1]],
    [&[4, 1], &[1, 5]],
    [&[3, 1, 2], &[2, 1, 1, 2]],
    [&[0, 3], &[3]],
    [&[2, 3, 4, 5], &[1, 3, 1, 1]],
    [&[131, 257], &[257]],
    [&[257, 131], &[257, 1]],
];

fn elementwise(draw: &mut Draw, cases: &mut Vec<Case>) {
    for dims in SHAPES {
        for u in [Unary::Neg, Unary::Abs, Unary::Sign] {
            cases.push(Case { op: Op::Unary(u), args: vec![draw.halves(dims)] });
        }
        for to in [DType::F32, DType::F64, DType::I64] {
            cases.push(Case { op: Op::Cast(to), args: vec![draw.normal(dims)] });
        }
        let aval = Aval::new(draw.dtype, shape(dims));
        cases.push(Case { op: Op::Full { aval, value: -3.0 }, args: vec![] });
    }
    for [a, b] in PAIRS {
        use Binary::{Add, Div, Maximum, Minimum, Mul, Sub};
        for op in [Add, Sub, Mul, Maximum, Minimum] {
            let args = vec![draw.halves(a), draw.halves(b)];
            cases.push(Case { op: Op::Binary(op), args });
        }
        let args = vec![draw.normal(a), draw.positive(b)];
        cases.push(Case { op: Op::Binary(Div), args });
        for op in [Compare::Eq, Compare::Lt, Compare::Le] {
            cases.push(Case { op: Op::Compare(op), args: vec![draw.halves(a), draw.halves(b)] });
        }
        let args = vec![draw.halves(b), draw.normal(a), draw.normal(b)];
        cases.push(Case { op: Op::Where, args });
    }
    for len in [0, 1, 5000] {
        cases.push(Case { op: Op::Iota { len }, args: vec![] });
    }
}

fn reductions(draw: &mut Draw, cases: &mut Vec<Case>) {
    let sums: [(&[usize], &[usize]); 16] = [
        (&[], &[]),
        (&[5], &[]),
        (&[5], &[0]),
        (&[0, 3], &[0]),
        (&[3, 0], &[0]),
        (&[4, 5, 6], &[1]),
        (&[4, 5, 6], &[0, 2]),
        (&[4, 5, 6], &[0, 1, 2]),
        (&[1, 5, 1], &[1]),
        (&[300, 301], &[0]),
        (&[300, 301], &[1]),
        (&[300, 301], &[0, 1]),
        (&[9, 5, 31, 33], &[0, 2, 3]),
        (&[3, 9, 2, 4999], &[1]),
        (&[2, 70_000], &[1]),
        (&[3, 40_000, 2], &[1]),
    ];
    for (dims, over) in sums {
        cases.push(Case { op: Op::Sum { axes: axes(over) }, args: vec![draw.normal(dims)] });
    }
    let maxima: [(&[usize], usize); 7] = [
        (&[1], 0),
        (&[9], 0),
        (&[4, 5], 1),
        (&[4, 5, 3], 1),
        (&[0, 5], 1),
        (&[401, 100], 1),
        (&[2, 100, 201], 1),
    ];
    for (dims, axis) in maxima {
        cases.push(Case { op: Op::Max { axis }, args: vec![draw.halves(dims)] });
        cases.push(Case { op: Op::ArgMax { axis }, args: vec![draw.halves(dims)] });
    }
}

fn movements(draw: &mut Draw, cases: &mut Vec<Case>) {
    let mut push = |op: Op, args: Vec<Value>| cases.push(Case { op, args });
    for (from, to) in [(&[][..], &[2, 3][..]), (&[3, 1], &[2, 3, 4]), (&[1, 4], &[0, 4])] {
        push(Op::Broadcast { shape: shape(to) }, vec![draw.normal(from)]);
    }
    for (from, to) in [
        (&[6][..], &[2, 3][..]),
        (&[2, 3, 4], &[4, 6]),
        (&[2, 3, 4], &[24]),
        (&[1], &[]),
        (&[0, 3], &[5, 0]),
        (&[2, 1, 6], &[1, 12, 1]),
        (&[190, 191], &[191, 190]),
    ] {
        push(Op::Reshape { shape: shape(to) }, vec![draw.normal(from)]);
    }
    for (dims, order) in [
        (&[][..], &[][..]),
        (&[2, 3], &[1, 0]),
        (&[2, 3, 4, 5], &[2, 0, 3, 1]),
        (&[0, 3], &[1, 0]),
        (&[3, 90, 150], &[0, 2, 1]),
    ] {
        push(Op::Permute { axes: axes(order) }, vec![draw.normal(dims)]);
    }
    for (dims, over) in [(&[5][..], &[0][..]), (&[2, 3, 4], &[0, 2]), (&[0, 2], &[0]), (&[], &[])] {
        push(Op::Flip { axes: axes(over) }, vec![draw.normal(dims)]);
    }
    for (dims, start, len) in [
        (&[5][..], &[1][..], &[3][..]),
        (&[4, 5], &[0, 2], &[4, 2]),
        (&[4, 5], &[4, 0], &[0, 5]),
        (&[], &[], &[]),
    ] {
        push(Op::Slice { start: axes(start), len: axes(len) }, vec![draw.normal(dims)]);
    }
    for (dims, before, after) in [
        (&[3][..], &[2][..], &[1][..]),
        (&[2, 3], &[0, 1], &[1, 0]),
        (&[0, 2], &[1, 0], &[1, 1]),
        (&[], &[], &[]),
    ] {
        push(Op::Pad { before: axes(before), after: axes(after) }, vec![draw.normal(dims)]);
    }
    push(Op::Concat { axis: 0 }, vec![draw.normal(&[3])]);
    let parts = [&[2, 3][..], &[2, 0], &[2, 5]].map(|d| draw.normal(d)).to_vec();
    push(Op::Concat { axis: 1 }, parts);
    let parts = vec![draw.normal(&[2, 3, 4]), draw.normal(&[5, 3, 4])];
    push(Op::Concat { axis: 0 }, parts);
    let window = Window { kernel: [3, 2], stride: [2, 1], padding: [1, 2], dilation: [1, 2] };
    push(Op::Unfold2d(window), vec![draw.normal(&[2, 3, 7, 6])]);
    push(Op::Unfold2d(Window::square(5, 1, 2)), vec![draw.normal(&[3, 4, 21, 20])]);
    push(Op::Unfold2d(Window::square(3, 4, 2)), vec![draw.normal(&[1, 1, 2, 2])]);
    push(Op::Unfold2d(window), vec![draw.normal(&[0, 3, 7, 6])]);
    for (window, dims, size) in [
        (window, [2, 3 * 6, 4 * 8], [7, 6]),
        (Window::square(5, 1, 2), [3, 4 * 25, 21 * 20], [21, 20]),
        (Window::square(3, 4, 2), [1, 9, 1], [2, 2]),
    ] {
        push(Op::Fold2d { window, size }, vec![draw.normal(&dims)]);
    }
}

fn indexed(draw: &mut Draw, cases: &mut Vec<Case>) {
    let gathers: [(&[usize], usize, usize); 6] = [
        (&[5], 0, 7),
        (&[4, 10], 1, 1),
        (&[4, 5, 3], 1, 2),
        (&[0, 3], 1, 2),
        (&[4, 3], 0, 0),
        (&[9000, 10], 1, 5),
    ];
    for (dims, axis, k) in gathers {
        let picked = shape(dims).with(axis, k);
        let idx = draw.index(&picked, dims[axis]);
        let args = vec![draw.normal(dims), idx.clone()];
        cases.push(Case { op: Op::Gather { axis }, args });
        let args = vec![draw.halves(dims), idx, draw.halves(&picked)];
        cases.push(Case { op: Op::ScatterAdd { axis }, args });
        let idx = draw.index(&[k], dims[axis]);
        let args = vec![draw.normal(dims), idx.clone()];
        cases.push(Case { op: Op::Take { axis }, args });
        let args = vec![draw.halves(dims), idx, draw.halves(&picked)];
        cases.push(Case { op: Op::PutAdd { axis }, args });
    }
}

fn float_elementwise(draw: &mut Draw, cases: &mut Vec<Case>) {
    for dims in SHAPES {
        for u in [Unary::Exp, Unary::Tanh, Unary::Erf] {
            cases.push(Case { op: Op::Unary(u), args: vec![draw.normal(dims)] });
        }
        for u in [Unary::Log, Unary::Sqrt] {
            cases.push(Case { op: Op::Unary(u), args: vec![draw.positive(dims)] });
        }
        cases.push(Case { op: Op::Unary(Unary::Round), args: vec![draw.halves(dims)] });
        let op = Op::Affine { mul: 1.5, add: -0.25 };
        cases.push(Case { op, args: vec![draw.normal(dims)] });
        cases.push(Case { op: Op::Fused(Fused::Relu), args: vec![draw.halves(dims)] });
        let args = vec![draw.halves(dims), draw.normal(dims)];
        cases.push(Case { op: Op::Fused(Fused::ReluGrad), args });
    }
    for [a, b] in PAIRS {
        let args = vec![draw.positive(a), draw.halves(b)];
        cases.push(Case { op: Op::Binary(Binary::Pow), args });
    }
}

fn products(draw: &mut Draw, cases: &mut Vec<Case>) {
    let sizes: [(&[usize], [usize; 3]); 14] = [
        (&[], [3, 4, 5]),
        (&[], [1, 37, 19]),
        (&[], [19, 37, 1]),
        (&[], [1, 1, 1]),
        (&[], [2, 0, 3]),
        (&[], [0, 2, 3]),
        (&[2, 3], [4, 5, 6]),
        (&[5], [1, 8, 1]),
        (&[0], [2, 2, 2]),
        (&[], [65, 70, 130]),
        (&[], [130, 70, 65]),
        (&[], [9, 30, 200]),
        (&[], [40, 530, 135]),
        (&[7], [33, 34, 35]),
    ];
    for (batch, [m, k, n]) in sizes {
        for (trans_a, trans_b) in [(false, false), (true, false), (false, true), (true, true)] {
            let side = |r, c, t| [batch, &if t { [c, r] } else { [r, c] }].concat();
            let args = vec![draw.normal(&side(m, k, trans_a)), draw.normal(&side(k, n, trans_b))];
            cases.push(Case { op: Op::MatMul { trans_a, trans_b }, args });
        }
        if batch.is_empty() {
            for relu in [false, true] {
                let args = vec![draw.normal(&[m, k]), draw.normal(&[n, k]), draw.normal(&[n])];
                cases.push(Case { op: Op::Fused(Fused::Linear { relu }), args });
            }
        }
    }
}

fn convolutions(draw: &mut Draw, cases: &mut Vec<Case>) {
    let plain = Conv::new(1, 0);
    let all: [(Conv, [usize; 4], [usize; 4]); 17] = [
        (Conv::new(1, 1), [2, 1, 5, 6], [3, 1, 3, 3]),
        (Conv::new(2, 1), [2, 3, 7, 5], [4, 3, 3, 2]),
        (Conv { groups: 3, ..Conv::new(1, 1) }, [2, 3, 4, 5], [3, 1, 3, 3]),
        (Conv { groups: 2, ..Conv::new(1, 2) }, [2, 4, 5, 5], [6, 2, 5, 5]),
        (
            Conv { stride: [2, 1], padding: [1, 0], dilation: [1, 2], groups: 2 },
            [3, 4, 9, 8],
            [6, 2, 3, 2],
        ),
        (plain, [2, 5, 4, 3], [7, 5, 1, 1]),
        (plain, [1, 2, 3, 3], [2, 2, 3, 3]),
        (Conv::new(3, 2), [2, 2, 2, 2], [1, 2, 5, 4]),
        (Conv::new(1, 1), [0, 2, 4, 4], [3, 2, 3, 3]),
        (Conv::new(1, 1), [2, 2, 4, 4], [0, 2, 3, 3]),
        (Conv::new(1, 2), [5, 4, 17, 18], [6, 4, 5, 5]),
        (Conv::new(1, 1), [1, 8, 25, 24], [9, 8, 3, 3]),
        (Conv::new(2, 1), [3, 8, 9, 8], [35, 8, 3, 3]),
        (Conv { dilation: [2, 1], ..Conv::new(1, 1) }, [2, 17, 6, 5], [3, 17, 2, 1]),
        (Conv { dilation: [1, 2], ..Conv::new(1, 2) }, [2, 17, 6, 7], [3, 17, 2, 3]),
        (plain, [2, 43, 6, 7], [2, 43, 5, 5]),
        (plain, [2, 3, 4, 5], [70, 3, 2, 3]),
    ];
    for (conv, x, w) in all {
        let window = conv.window([w[2], w[3]]);
        let [oh, ow] = window.output([x[2], x[3]]).unwrap();
        let y = [x[0], w[0], oh, ow];
        let (xv, wv, gv) = (draw.normal(&x), draw.normal(&w), draw.normal(&y));
        let dx = Op::Conv2dDx { conv, input: [x[2], x[3]] };
        let dw = Op::Conv2dDw { conv, kernel: [w[2], w[3]] };
        cases.push(Case { op: Op::Conv2d(conv), args: vec![xv.clone(), wv.clone()] });
        cases.push(Case { op: dx.clone(), args: vec![gv.clone(), wv.clone()] });
        // As behind a max-pool: mostly zeros.
        let mut sparse = gv.clone();
        let holes = draw.normal(&y);
        let kept = sparse.data.iter_mut().zip(&holes.data);
        kept.for_each(|(g, hole)| *g = if *hole > 0.6 { *g } else { 0.0 });
        cases.push(Case { op: dx, args: vec![sparse.clone(), wv.clone()] });
        cases.push(Case { op: dw.clone(), args: vec![xv.clone(), sparse.clone()] });
        let each = Fused::ConvWeightGrads { conv, kernel: [w[2], w[3]] };
        cases.push(Case { op: Op::Fused(each), args: vec![xv.clone(), sparse] });
        cases.push(Case { op: dw, args: vec![xv.clone(), gv.clone()] });
        let each = Fused::ConvWeightGrads { conv, kernel: [w[2], w[3]] };
        cases.push(Case { op: Op::Fused(each), args: vec![xv.clone(), gv] });
        for relu in [false, true] {
            let args = vec![xv.clone(), wv.clone(), draw.normal(&[w[0]])];
            cases.push(Case { op: Op::Fused(Fused::ConvBias { conv, relu }), args });
        }
    }
}

fn pools(draw: &mut Draw, cases: &mut Vec<Case>) {
    let odd = Window { kernel: [3, 2], stride: [1, 2], padding: [1, 1], dilation: [2, 1] };
    for (window, dims) in [
        (Window::square(2, 2, 0), [2, 3, 6, 4]),
        (Window::square(2, 2, 0), [2, 1, 5, 7]),
        (Window::square(3, 2, 1), [1, 2, 6, 7]),
        (Window::square(3, 1, 1), [2, 2, 4, 4]),
        (odd, [2, 2, 7, 6]),
        (Window { dilation: [1, 2], ..Window::square(2, 1, 0) }, [1, 1, 4, 5]),
        (Window::square(2, 2, 0), [0, 3, 6, 4]),
        (Window::square(2, 2, 0), [4, 8, 28, 28]),
    ] {
        let x = draw.halves(&dims);
        let [oh, ow] = window.output([dims[2], dims[3]]).unwrap();
        let g = draw.normal(&[dims[0], dims[1], oh, ow]);
        cases.push(Case { op: Op::MaxPool2dIdx(window), args: vec![x.clone()] });
        cases.push(Case { op: Op::Fused(Fused::MaxPool2d(window)), args: vec![x.clone()] });
        cases.push(Case { op: Op::Fused(Fused::MaxPool2dGrad(window)), args: vec![x, g] });
    }
}

fn steps(draw: &mut Draw, cases: &mut Vec<Case>) {
    for (n, c) in [(1, 1), (5, 3), (0, 4), (700, 10)] {
        let mut z = draw.normal(&[n, c]);
        z.data.iter_mut().for_each(|v| *v *= 8.0);
        let y = draw.index(&[n], c);
        let g = draw.normal(&[n]);
        cases.push(Case { op: Op::Fused(Fused::SoftmaxXent), args: vec![z.clone(), y.clone()] });
        cases.push(Case { op: Op::Fused(Fused::SoftmaxXentGrad), args: vec![z, y, g] });
    }
    for dims in SHAPES {
        let pgd = Fused::PgdStep { step: -0.75, eps: 0.5, lo: -1.0, hi: 1.0 };
        let args = vec![draw.halves(dims), draw.halves(dims), draw.halves(dims)];
        cases.push(Case { op: Op::Fused(pgd), args });
        let adam =
            Fused::AdamStep { beta1: 0.875, beta2: 0.75, step: 0.125, scale: 1.5, eps: 1e-3 };
        let args =
            vec![draw.normal(dims), draw.normal(dims), draw.normal(dims), draw.positive(dims)];
        cases.push(Case { op: Op::Fused(adam), args });
    }
}
