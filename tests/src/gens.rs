//! Random operations with operands that fit them.
//!
//! Values lie on a shuffled grid without 0, so that no two are equal and none is at a kink of a
//! function: what is differentiated here is differentiable.

use inocula_core::op::{Axes, Binary, Compare, Conv, Fused, Op, OpCode, Unary, Window};
use inocula_core::rng::Rng;
use inocula_core::{Aval, DType, Device, Result, Shape, Tensor};
use smallvec::SmallVec;

/// A host array.
#[derive(Debug, Clone)]
pub struct Array {
    /// Shape.
    pub shape: Vec<usize>,
    /// Values, row-major.
    pub values: Vec<f64>,
    /// Whether it holds indices (i64) rather than floats.
    pub index: bool,
    /// Whether it is a condition: a float of which only "not 0" counts.
    pub condition: bool,
}

impl Array {
    /// The array on a device; floats as `dtype`.
    ///
    /// # Errors
    /// The device failed.
    pub fn tensor(&self, device: &Device, dtype: DType) -> Result<Tensor> {
        let dtype = if self.index { DType::I64 } else { dtype };
        Tensor::from_f64(device, dtype, &self.values, &self.shape)
    }
}

/// An operation with operands.
#[derive(Debug, Clone)]
pub struct Instance {
    /// The operation.
    pub op: Op,
    /// Its operands.
    pub args: Vec<Array>,
}

/// Draws shapes and values.
pub struct Gen(pub Rng);

impl Gen {
    fn within(&mut self, lo: usize, hi: usize) -> usize {
        lo + self.0.below(hi - lo + 1)
    }

    fn flip(&mut self) -> bool {
        self.0.bernoulli(0.5)
    }

    fn shape(&mut self, max_rank: usize) -> Vec<usize> {
        let rank = self.within(0, max_rank);
        (0..rank).map(|_| self.within(1, 5)).collect()
    }

    /// Distinct values in `(lo, hi)`, none at 0.
    pub fn values(&mut self, shape: &[usize], lo: f64, hi: f64) -> Array {
        let n: usize = shape.iter().product();
        let grid = (hi - lo) / n.max(1) as f64;
        let values = self.0.permutation(n).into_iter().map(|i| {
            let v = lo + (i as f64 + 0.35) * grid;
            if v.abs() < 1e-3 { v + 3e-3 } else { v }
        });
        Array { shape: shape.to_vec(), values: values.collect(), index: false, condition: false }
    }

    /// Values in (-2, 2).
    pub fn floats(&mut self, shape: &[usize]) -> Array {
        self.values(shape, -2.0, 2.0)
    }

    fn indices(&mut self, shape: &[usize], below: usize) -> Array {
        let n: usize = shape.iter().product();
        let values = (0..n).map(|_| self.0.below(below) as f64).collect();
        Array { shape: shape.to_vec(), values, index: true, condition: false }
    }

    /// A pair of shapes that broadcast.
    fn pair(&mut self) -> (Vec<usize>, Vec<usize>) {
        let full = self.shape(4);
        let thin = |gen_: &mut Gen| {
            let drop = gen_.within(0, full.len());
            let rest: Vec<usize> = full[drop..].to_vec();
            rest.into_iter().map(|d| if gen_.0.bernoulli(0.25) { 1 } else { d }).collect::<Vec<_>>()
        };
        let other = thin(self);
        if self.flip() { (full, other) } else { (other, full) }
    }

    fn window(&mut self) -> Window {
        let kernel = [self.within(1, 3), self.within(1, 3)];
        Window {
            kernel,
            stride: [self.within(1, 2), self.within(1, 2)],
            padding: [self.within(0, kernel[0] / 2), self.within(0, kernel[1] / 2)],
            dilation: [self.within(1, 2), self.within(1, 2)],
        }
    }

    fn axes(&mut self, rank: usize) -> Axes {
        (0..rank).filter(|_| self.0.bernoulli(0.5)).collect()
    }

    fn nonempty(&mut self, max_rank: usize) -> Vec<usize> {
        let mut shape = self.shape(max_rank);
        if shape.is_empty() {
            shape.push(self.within(1, 5));
        }
        shape
    }

    /// Input, weight, geometry of a convolution, and the shape of its output.
    fn conv(&mut self) -> (Vec<usize>, Vec<usize>, Conv, Vec<usize>) {
        let groups = self.within(1, 2);
        let (ci, co) = (self.within(1, 2), self.within(1, 2));
        let window = self.window();
        let [kh, kw] = window.kernel;
        let x = vec![self.within(1, 3), ci * groups, self.within(5, 7), self.within(5, 8)];
        let w = vec![co * groups, ci, kh, kw];
        let conv = Conv {
            stride: window.stride,
            padding: window.padding,
            dilation: window.dilation,
            groups,
        };
        let [oh, ow] = conv.window([kh, kw]).output([x[2], x[3]]).unwrap_or([0, 0]);
        let y = vec![x[0], w[0], oh, ow];
        (x, w, conv, y)
    }

    fn image(&mut self) -> Vec<usize> {
        vec![self.within(1, 3), self.within(1, 3), self.within(5, 7), self.within(5, 8)]
    }

    /// A random instance of `code`.
    pub fn instance(&mut self, code: OpCode) -> Instance {
        let (op, args) = self.draw(code);
        Instance { op, args }
    }

    fn draw(&mut self, code: OpCode) -> (Op, Vec<Array>) {
        match code {
            OpCode::Neg => self.unary(Unary::Neg, -2.0),
            OpCode::Exp => self.unary(Unary::Exp, -2.0),
            OpCode::Log => self.unary(Unary::Log, 0.1),
            OpCode::Sqrt => self.unary(Unary::Sqrt, 0.1),
            OpCode::Tanh => self.unary(Unary::Tanh, -2.0),
            OpCode::Erf => self.unary(Unary::Erf, -2.0),
            OpCode::Abs => self.unary(Unary::Abs, -2.0),
            OpCode::Sign => self.unary(Unary::Sign, -2.0),
            OpCode::Round => self.unary(Unary::Round, -2.0),
            OpCode::Affine => {
                let (mul, add) = (self.0.uniform(-2.0, 2.0), self.0.uniform(-2.0, 2.0));
                let shape = self.shape(4);
                (Op::Affine { mul, add }, vec![self.floats(&shape)])
            }
            OpCode::Add => self.binary(Binary::Add),
            OpCode::Sub => self.binary(Binary::Sub),
            OpCode::Mul => self.binary(Binary::Mul),
            OpCode::Div => self.binary(Binary::Div),
            OpCode::Maximum => self.binary(Binary::Maximum),
            OpCode::Minimum => self.binary(Binary::Minimum),
            OpCode::Pow => self.binary(Binary::Pow),
            OpCode::Eq => self.compare(Compare::Eq),
            OpCode::Lt => self.compare(Compare::Lt),
            OpCode::Le => self.compare(Compare::Le),
            OpCode::Where => {
                let (a, b) = self.pair();
                let mut cond = self.floats(&a);
                cond.values.iter_mut().for_each(|v| *v = f64::from(*v > 0.0));
                cond.condition = true;
                (Op::Where, vec![cond, self.floats(&b), self.floats(&a)])
            }
            OpCode::Cast => {
                let shape = self.shape(4);
                (Op::Cast(DType::F64), vec![self.floats(&shape)])
            }
            OpCode::Full => {
                let shape = Shape::new(&self.shape(4)).unwrap_or(Shape::SCALAR);
                let value = self.0.uniform(-2.0, 2.0);
                (Op::Full { aval: Aval::new(DType::F64, shape), value }, vec![])
            }
            OpCode::Iota => (Op::Iota { len: self.within(0, 7) }, vec![]),
            OpCode::Sum => {
                let shape = self.shape(4);
                (Op::Sum { axes: self.axes(shape.len()) }, vec![self.floats(&shape)])
            }
            OpCode::Max | OpCode::ArgMax => {
                let shape = self.nonempty(4);
                let axis = self.0.below(shape.len());
                let op = match code {
                    OpCode::Max => Op::Max { axis },
                    _ => Op::ArgMax { axis },
                };
                (op, vec![self.floats(&shape)])
            }
            OpCode::Broadcast => {
                let full = self.shape(4);
                let drop = self.within(0, full.len());
                let thin: Vec<usize> =
                    full[drop..].iter().map(|&d| if self.flip() { 1 } else { d }).collect();
                let shape = Shape::new(&full).unwrap_or(Shape::SCALAR);
                (Op::Broadcast { shape }, vec![self.floats(&thin)])
            }
            OpCode::Reshape => {
                let shape = self.shape(4);
                let mut flat = vec![shape.iter().product()];
                if self.flip() {
                    flat.insert(0, 1);
                }
                let to = Shape::new(&flat).unwrap_or(Shape::SCALAR);
                (Op::Reshape { shape: to }, vec![self.floats(&shape)])
            }
            OpCode::Permute => {
                let shape = self.shape(4);
                let axes = SmallVec::from_vec(self.0.permutation(shape.len()));
                (Op::Permute { axes }, vec![self.floats(&shape)])
            }
            OpCode::Flip => {
                let shape = self.shape(4);
                (Op::Flip { axes: self.axes(shape.len()) }, vec![self.floats(&shape)])
            }
            OpCode::Slice => {
                let shape = self.shape(4);
                let start: Axes = shape.iter().map(|&d| self.within(0, d)).collect();
                let len = shape.iter().zip(&start).map(|(&d, &s)| self.within(0, d - s)).collect();
                (Op::Slice { start, len }, vec![self.floats(&shape)])
            }
            OpCode::Pad => {
                let shape = self.shape(4);
                let mut side = || shape.iter().map(|_| self.within(0, 2)).collect::<Axes>();
                let (before, after) = (side(), side());
                (Op::Pad { before, after }, vec![self.floats(&shape)])
            }
            OpCode::Concat => {
                let shape = self.nonempty(3);
                let axis = self.0.below(shape.len());
                let count = self.within(1, 3);
                let args = (0..count).map(|_| {
                    let mut part = shape.clone();
                    part[axis] = self.within(1, 4);
                    self.floats(&part)
                });
                let args = args.collect();
                (Op::Concat { axis }, args)
            }
            OpCode::Gather | OpCode::ScatterAdd => {
                let shape = self.nonempty(3);
                let axis = self.0.below(shape.len());
                let mut at = shape.clone();
                at[axis] = self.within(1, 6);
                let (x, idx) = (self.floats(&shape), self.indices(&at, shape[axis]));
                match code {
                    OpCode::Gather => (Op::Gather { axis }, vec![x, idx]),
                    _ => (Op::ScatterAdd { axis }, vec![x, idx, self.floats(&at)]),
                }
            }
            OpCode::Take | OpCode::PutAdd => {
                let shape = self.nonempty(3);
                let axis = self.0.below(shape.len());
                let count = self.within(1, 6);
                let mut part = shape.clone();
                part[axis] = count;
                let (x, idx) = (self.floats(&shape), self.indices(&[count], shape[axis]));
                match code {
                    OpCode::Take => (Op::Take { axis }, vec![x, idx]),
                    _ => (Op::PutAdd { axis }, vec![x, idx, self.floats(&part)]),
                }
            }
            OpCode::Unfold2d => {
                let shape = self.image();
                (Op::Unfold2d(self.window()), vec![self.floats(&shape)])
            }
            OpCode::Fold2d => {
                let [n, c, h, w] = <[usize; 4]>::try_from(self.image()).unwrap_or([1; 4]);
                let window = self.window();
                let [oh, ow] = window.output([h, w]).unwrap_or([0, 0]);
                let cols = [n, c * window.kernel[0] * window.kernel[1], oh * ow];
                (Op::Fold2d { window, size: [h, w] }, vec![self.floats(&cols)])
            }
            OpCode::MatMul => {
                let (m, k, n) = (self.within(1, 6), self.within(1, 6), self.within(1, 6));
                let (trans_a, trans_b) = (self.flip(), self.flip());
                let batch: Vec<usize> = if self.flip() { vec![] } else { vec![self.within(1, 3)] };
                let side = |r: usize, c: usize, t: bool| {
                    let rows = if t { [c, r] } else { [r, c] };
                    [&batch[..], &rows].concat()
                };
                let (a, b) = (side(m, k, trans_a), side(k, n, trans_b));
                (Op::MatMul { trans_a, trans_b }, vec![self.floats(&a), self.floats(&b)])
            }
            OpCode::Conv2d => {
                let (x, w, conv, _) = self.conv();
                (Op::Conv2d(conv), vec![self.floats(&x), self.floats(&w)])
            }
            OpCode::Conv2dDx => {
                let (x, w, conv, y) = self.conv();
                let op = Op::Conv2dDx { conv, input: [x[2], x[3]] };
                (op, vec![self.floats(&y), self.floats(&w)])
            }
            OpCode::Conv2dDw => {
                let (x, w, conv, y) = self.conv();
                let op = Op::Conv2dDw { conv, kernel: [w[2], w[3]] };
                (op, vec![self.floats(&x), self.floats(&y)])
            }
            OpCode::MaxPool2dIdx => {
                let shape = self.image();
                (Op::MaxPool2dIdx(self.window()), vec![self.floats(&shape)])
            }
            fused => {
                let (op, args) = self.fused(fused);
                (Op::Fused(op), args)
            }
        }
    }

    fn unary(&mut self, op: Unary, lo: f64) -> (Op, Vec<Array>) {
        let shape = self.shape(4);
        (Op::Unary(op), vec![self.values(&shape, lo, 2.0)])
    }

    fn binary(&mut self, op: Binary) -> (Op, Vec<Array>) {
        let (a, b) = self.pair();
        let (a_lo, b_lo) = match op {
            Binary::Pow => (0.1, -2.0),
            Binary::Div => (-2.0, 0.3),
            _ => (-2.0, -2.0),
        };
        let a = self.values(&a, a_lo, 2.0);
        let mut b = self.values(&b, b_lo, 2.0);
        // The grids of both operands may meet; an odd shift keeps them apart.
        b.values.iter_mut().for_each(|v| *v += 0.001_234_5);
        (Op::Binary(op), vec![a, b])
    }

    fn compare(&mut self, op: Compare) -> (Op, Vec<Array>) {
        let (a, b) = self.pair();
        let (mut a, mut b) = (self.floats(&a), self.floats(&b));
        // Whole numbers, so that some are equal.
        for v in a.values.iter_mut().chain(&mut b.values) {
            *v = v.round();
        }
        (Op::Compare(op), vec![a, b])
    }

    fn fused(&mut self, code: OpCode) -> (Fused, Vec<Array>) {
        match code {
            OpCode::Relu => {
                let shape = self.shape(4);
                (Fused::Relu, vec![self.floats(&shape)])
            }
            OpCode::ReluGrad => {
                let shape = self.shape(4);
                (Fused::ReluGrad, vec![self.floats(&shape), self.floats(&shape)])
            }
            OpCode::Linear => {
                let (n, i, o) = (self.within(1, 5), self.within(1, 6), self.within(1, 6));
                let args = vec![self.floats(&[n, i]), self.floats(&[o, i]), self.floats(&[o])];
                (Fused::Linear { relu: self.flip() }, args)
            }
            OpCode::ConvBias => {
                let (x, w, conv, _) = self.conv();
                let bias = [w[0]];
                let args = vec![self.floats(&x), self.floats(&w), self.floats(&bias)];
                (Fused::ConvBias { conv, relu: self.flip() }, args)
            }
            OpCode::ConvWeightGrads => {
                let (x, w, conv, y) = self.conv();
                let args = vec![self.floats(&x), self.floats(&y)];
                (Fused::ConvWeightGrads { conv, kernel: [w[2], w[3]] }, args)
            }
            OpCode::MaxPool2d => {
                let shape = self.image();
                (Fused::MaxPool2d(self.window()), vec![self.floats(&shape)])
            }
            OpCode::MaxPool2dGrad => {
                let shape = self.image();
                let window = self.window();
                let [oh, ow] = window.output([shape[2], shape[3]]).unwrap_or([0, 0]);
                let g = [shape[0], shape[1], oh, ow];
                (Fused::MaxPool2dGrad(window), vec![self.floats(&shape), self.floats(&g)])
            }
            OpCode::SoftmaxXent | OpCode::SoftmaxXentGrad => {
                let (n, c) = (self.within(1, 5), self.within(1, 6));
                let (z, y) = (self.floats(&[n, c]), self.indices(&[n], c));
                match code {
                    OpCode::SoftmaxXent => (Fused::SoftmaxXent, vec![z, y]),
                    _ => (Fused::SoftmaxXentGrad, vec![z, y, self.floats(&[n])]),
                }
            }
            OpCode::PgdStep => {
                let shape = self.shape(4);
                let x = self.values(&shape, -0.2, 1.2);
                let mut x0 = x.clone();
                for v in &mut x0.values {
                    *v += self.0.uniform(-0.2, 0.2);
                }
                let op = Fused::PgdStep { step: 0.05, eps: 0.1, lo: 0.0, hi: 1.0 };
                (op, vec![x, self.floats(&shape), x0])
            }
            OpCode::AdamStep => {
                let shape = self.shape(4);
                let op =
                    Fused::AdamStep { beta1: 0.9, beta2: 0.99, step: 0.1, scale: 1.5, eps: 1e-3 };
                let v = self.values(&shape, 0.1, 1.0);
                (op, vec![self.floats(&shape), self.floats(&shape), self.floats(&shape), v])
            }
            other => panic!("{other} has no generator; add an arm where this was raised"),
        }
    }
}
