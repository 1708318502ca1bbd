//! The gradient rules: for each operation, the cotangents of its operands from that of its result.
//!
//! One arm an operation, in the same operations, so that the rules can themselves be
//! differentiated. Broadcasting is ignored here: the walk sums a part to its operand's shape.
//! Operations with a result that is constant almost everywhere (comparisons, `sign`, `round`,
//! indices) have no part: the gradient is zero.

use std::f64::consts::PI;
use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use super::node::Node;
use crate::fused::{at_maxima, decompose};
use crate::op::{Axes, Binary, Conv, Fused, Op, Unary};
use crate::tensor::{Operands, Tensor};

/// The part of each operand; `None` for zero or not needed.
type Parts = SmallVec<[Option<Tensor>; 3]>;

/// One application of a gradient rule.
pub(super) struct Rule<'a> {
    pub(super) op: &'a Op,
    pub(super) node: &'a Arc<Node>,
    /// Cotangent of the result.
    pub(super) g: Tensor,
    /// Which operands lead to a requested tensor.
    pub(super) needs: &'a [bool],
    /// Whether the parts are to be differentiable.
    pub(super) graph: bool,
}

impl Rule<'_> {
    pub(super) fn apply(&self) -> Parts {
        match self.op {
            Op::Unary(u) => smallvec![self.unary(*u)],
            Op::Affine { mul, .. } => smallvec![Some(&self.g * *mul)],
            Op::Binary(b) => self.binary(*b),
            Op::Where => smallvec![
                None,
                self.when(1, || self.g.where_(&self.x(0), &self.g.scalar(0.0))),
                self.when(2, || self.g.scalar(0.0).where_(&self.x(0), &self.g)),
            ],
            Op::Cast(_) => smallvec![Some(self.g.cast(self.aval(0).dtype))],
            Op::Sum { .. } => smallvec![Some(self.g.broadcast(self.aval(0).shape))],
            Op::Max { axis } => {
                let idx = self.x(0).detach().argmax(*axis);
                smallvec![Some(self.zeros(0).scatter_add(*axis, &idx, &self.g))]
            }
            // Broadcasting is undone by the walk.
            Op::Broadcast { .. } => smallvec![Some(self.g.clone())],
            Op::Reshape { .. } => smallvec![Some(self.g.reshape_to(self.aval(0).shape))],
            Op::Permute { axes } => smallvec![Some(self.g.permute(&inverse(axes)))],
            Op::Flip { axes } => smallvec![Some(self.g.flip(axes))],
            Op::Slice { start, len } => {
                let after: Axes = self
                    .aval(0)
                    .shape
                    .iter()
                    .zip(start)
                    .zip(len)
                    .map(|((d, s), l)| d - s - l)
                    .collect();
                smallvec![Some(self.g.pad(start, &after))]
            }
            Op::Pad { before, .. } => {
                smallvec![Some(self.g.slice(before, &self.aval(0).shape))]
            }
            Op::Concat { axis } => self.concat(*axis),
            Op::Gather { axis } => {
                smallvec![Some(self.zeros(0).scatter_add(*axis, &self.x(1), &self.g)), None]
            }
            Op::ScatterAdd { axis } => smallvec![
                Some(self.g.clone()),
                None,
                self.when(2, || self.g.gather(*axis, &self.x(1))),
            ],
            Op::Take { axis } => {
                smallvec![Some(self.zeros(0).put_add(*axis, &self.x(1), &self.g)), None]
            }
            Op::PutAdd { axis } => smallvec![
                Some(self.g.clone()),
                None,
                self.when(2, || self.g.take(*axis, &self.x(1))),
            ],
            Op::Unfold2d(window) => {
                let shape = self.aval(0).shape;
                smallvec![Some(self.g.fold2d(*window, [shape[2], shape[3]]))]
            }
            Op::Fold2d { window, .. } => smallvec![Some(self.g.unfold2d(*window))],
            Op::MatMul { trans_a, trans_b } => self.matmul(*trans_a, *trans_b),
            Op::Conv2d(conv) => smallvec![
                self.when(0, || self.conv_dx(&self.g, *conv)),
                self.when(1, || self.conv_dw(&self.g, *conv)),
            ],
            // The convolution is trilinear: y = C(x, w), and <g, C(x, w)> = <x, Dx(g, w)>
            // = <w, Dw(x, g)>. Each derivative is one of the other two forms.
            Op::Conv2dDx { conv, .. } => smallvec![
                self.when(0, || self.g.conv2d(&self.x(1), *conv)),
                self.when(1, || self.g.conv2d_dw(&self.x(0), *conv, tail(self.aval(1).shape))),
            ],
            Op::Conv2dDw { conv, .. } => smallvec![
                self.when(0, || { self.x(1).conv2d_dx(&self.g, *conv, tail(self.aval(0).shape)) }),
                self.when(1, || self.x(0).conv2d(&self.g, *conv)),
            ],
            Op::Compare(_)
            | Op::Full { .. }
            | Op::Iota { .. }
            | Op::ArgMax { .. }
            | Op::MaxPool2dIdx(_) => SmallVec::from_elem(None, self.node.inputs().len()),
            Op::Fused(fused) => self.fused(fused),
        }
    }

    fn unary(&self, op: Unary) -> Option<Tensor> {
        let g = &self.g;
        Some(match op {
            Unary::Neg => -g,
            Unary::Exp => g * &self.y(),
            Unary::Log => g / &self.x(0),
            Unary::Sqrt => g / &(self.y() * 2.0),
            Unary::Tanh => g * &self.y().square().affine(-1.0, 1.0),
            Unary::Erf => g * &(-self.x(0).square()).exp().affine(2.0 / PI.sqrt(), 0.0),
            Unary::Abs => g * &self.x(0).sign(),
            Unary::Sign | Unary::Round => return None,
        })
    }

    fn binary(&self, op: Binary) -> Parts {
        let g = &self.g;
        match op {
            Binary::Add => smallvec![Some(g.clone()), Some(g.clone())],
            Binary::Sub => smallvec![Some(g.clone()), self.when(1, || -g)],
            Binary::Mul => {
                smallvec![self.when(0, || g * &self.x(1)), self.when(1, || g * &self.x(0)),]
            }
            Binary::Div => smallvec![
                self.when(0, || g / &self.x(1)),
                self.when(1, || -(g * &self.x(0)) / self.x(1).square()),
            ],
            Binary::Maximum => self.extremum(self.x(1).lt(&self.x(0))),
            Binary::Minimum => self.extremum(self.x(0).lt(&self.x(1))),
            Binary::Pow => smallvec![
                self.when(0, || {
                    let (a, b) = (self.x(0), self.x(1));
                    // b a^(b-1), but 0 for b = 0, where the formula gives 0 times infinity at a = 0.
                    let zero = b.scalar(0.0);
                    let none = b.eq(&zero);
                    let exponent = zero.where_(&none, &(&b - 1.0));
                    g * &zero.where_(&none, &(&b * a.pow(&exponent)))
                }),
                self.when(1, || {
                    let (a, b) = (self.x(0), self.x(1));
                    // a^b log(a) tends to 0 with a, where log(0) alone would give NaN. The operand is
                    // replaced, not the result, so that the derivative of the log stays finite too.
                    let safe = a.scalar(1.0).where_(&a.eq(&a.scalar(0.0)), &a);
                    g * &(a.pow(&b) * safe.log())
                }),
            ],
        }
    }

    /// The cotangent goes to the first operand where `first_wins`, else to the second.
    fn extremum(&self, first_wins: Tensor) -> Parts {
        let zero = self.g.scalar(0.0);
        smallvec![
            self.when(0, || self.g.where_(&first_wins, &zero)),
            self.when(1, || zero.where_(&first_wins, &self.g)),
        ]
    }

    fn concat(&self, axis: usize) -> Parts {
        let mut start = 0;
        let mut parts = Parts::new();
        for (i, input) in self.node.inputs().iter().enumerate() {
            let len = input.shape()[axis];
            parts.push(self.when(i, || self.g.narrow(axis, start, len)));
            start += len;
        }
        parts
    }

    /// For C = op(A) op(B): dA = G op(B)^T or its transpose, dB = op(A)^T G or its transpose.
    fn matmul(&self, trans_a: bool, trans_b: bool) -> Parts {
        let g = &self.g;
        smallvec![
            self.when(0, || {
                if trans_a {
                    self.x(1).matmul_t(g, trans_b, true)
                } else {
                    g.matmul_t(&self.x(1), false, !trans_b)
                }
            }),
            self.when(1, || {
                if trans_b {
                    g.matmul_t(&self.x(0), true, trans_a)
                } else {
                    self.x(0).matmul_t(g, !trans_a, false)
                }
            }),
        ]
    }

    fn conv_dx(&self, g: &Tensor, conv: Conv) -> Tensor {
        g.conv2d_dx(&self.x(1), conv, tail(self.aval(0).shape))
    }

    fn conv_dw(&self, g: &Tensor, conv: Conv) -> Tensor {
        self.x(0).conv2d_dw(g, conv, tail(self.aval(1).shape))
    }

    fn fused(&self, fused: &Fused) -> Parts {
        let g = &self.g;
        match fused {
            Fused::Relu => smallvec![Some(self.through_relu(true))],
            Fused::ReluGrad => {
                let args = [self.x(0), g.clone()];
                smallvec![None, self.when(1, || Tensor::fused(Fused::ReluGrad, args))]
            }
            Fused::Linear { relu } => {
                let g = self.through_relu(*relu);
                smallvec![
                    self.when(0, || g.matmul(&self.x(1))),
                    self.when(1, || g.matmul_t(&self.x(0), true, false)),
                    self.when(2, || g.sum(&[0])),
                ]
            }
            Fused::ConvBias { conv, relu } => {
                let g = self.through_relu(*relu);
                let channels = self.aval(2).shape;
                smallvec![
                    self.when(0, || self.conv_dx(&g, *conv)),
                    self.when(1, || self.conv_dw(&g, *conv)),
                    self.when(2, || g.sum(&[0, 2, 3]).reshape_to(channels)),
                ]
            }
            Fused::MaxPool2d(window) => {
                let args = [self.x(0).detach(), g.clone()];
                smallvec![Some(Tensor::fused(Fused::MaxPool2dGrad(*window), args))]
            }
            Fused::MaxPool2dGrad(window) => {
                smallvec![None, self.when(1, || at_maxima(&self.x(0).detach(), g, *window))]
            }
            Fused::SoftmaxXent => {
                let args = [self.x(0), self.x(1), g.clone()];
                smallvec![Some(Tensor::fused(Fused::SoftmaxXentGrad, args)), None]
            }
            Fused::ConvWeightGrads { .. }
            | Fused::SoftmaxXentGrad
            | Fused::PgdStep { .. }
            | Fused::AdamStep { .. } => self.through_decomposition(fused),
        }
    }

    /// The operation without the ReLU that ends it, and the cotangent of its result.
    pub(super) fn before_relu(&self) -> (Op, Tensor) {
        let op = match *self.op {
            Op::Fused(Fused::Linear { .. }) => Fused::Linear { relu: false },
            Op::Fused(Fused::ConvBias { conv, .. }) => Fused::ConvBias { conv, relu: false },
            _ => return (self.op.clone(), self.g.clone()),
        };
        let relu = matches!(
            self.op,
            Op::Fused(Fused::Linear { relu: true } | Fused::ConvBias { relu: true, .. })
        );
        (Op::Fused(op), self.through_relu(relu))
    }

    /// The cotangent before a ReLU, where one ends the operation.
    fn through_relu(&self, relu: bool) -> Tensor {
        if !relu {
            return self.g.clone();
        }
        // Only the sign of the result is read, so its own derivative is zero: no history.
        let y = self.y().detach();
        Tensor::fused(Fused::ReluGrad, [y, self.g.clone()])
    }

    /// Recomputes the operation by its decomposition and differentiates that.
    fn through_decomposition(&self, fused: &Fused) -> Parts {
        let count = self.node.inputs().len();
        let args: Operands = (0..count)
            .map(|i| match (self.needs[i], self.graph) {
                (true, false) => self.x(i).tracked(),
                // An alias of its own for each operand: where one was computed from another, the
                // part of the first must not include the path through the second.
                (true, true) => {
                    let shape = self.aval(i).shape;
                    Tensor::apply(Op::Reshape { shape }, [self.x(i)])
                }
                (false, _) => self.x(i),
            })
            .collect();
        let y = &decompose(fused, &args)[0] * &self.g;
        let wanted: Vec<usize> = (0..count).filter(|&i| self.needs[i]).collect();
        let xs: Vec<&Tensor> = wanted.iter().map(|&i| &args[i]).collect();
        let mut parts: Parts = SmallVec::from_elem(None, count);
        let seed = y.fill(1.0);
        match super::backward(&y, &seed, &xs, self.graph) {
            Ok(grads) => wanted.into_iter().zip(grads).for_each(|(i, g)| parts[i] = Some(g)),
            Err(err) => wanted
                .into_iter()
                .for_each(|i| parts[i] = Some(Tensor::failed(self.g.device(), err.clone()))),
        }
        parts
    }

    fn when(&self, i: usize, part: impl FnOnce() -> Tensor) -> Option<Tensor> {
        self.needs[i].then(part)
    }

    fn x(&self, i: usize) -> Tensor {
        self.node.input(i, self.op, self.g.device(), self.graph)
    }

    fn y(&self) -> Tensor {
        self.node.result(self.op, self.g.device(), self.graph)
    }

    fn aval(&self, i: usize) -> crate::Aval {
        self.node.inputs()[i].aval()
    }

    fn zeros(&self, i: usize) -> Tensor {
        Tensor::full_like(self.g.device(), self.aval(i), 0.0)
    }
}

fn inverse(axes: &Axes) -> Axes {
    let mut inverse: Axes = SmallVec::from_elem(0, axes.len());
    for (i, &axis) in axes.iter().enumerate() {
        inverse[axis] = i;
    }
    inverse
}

/// `[H, W]` of `[N, C, H, W]`.
fn tail(shape: crate::Shape) -> [usize; 2] {
    [shape[2], shape[3]]
}
