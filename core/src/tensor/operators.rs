//! `+ - * /` between tensors, and between tensors and numbers.
//!
//! Operands taken by value are given away: the backend may compute in place.

use std::ops::{Add, Div, Mul, Neg, Sub};

use super::Tensor;
use crate::op::{Binary, Op, Unary};

macro_rules! between_tensors {
    ($($trait:ident $method:ident $variant:ident;)+) => { $(
        impl $trait<Tensor> for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: Tensor) -> Tensor {
                Tensor::apply(Op::Binary(Binary::$variant), [self, other])
            }
        }
        impl $trait<&Tensor> for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: &Tensor) -> Tensor {
                Tensor::apply(Op::Binary(Binary::$variant), [self, other.clone()])
            }
        }
        impl $trait<Tensor> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: Tensor) -> Tensor {
                Tensor::apply(Op::Binary(Binary::$variant), [self.clone(), other])
            }
        }
        impl $trait<&Tensor> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: &Tensor) -> Tensor {
                Tensor::apply(Op::Binary(Binary::$variant), [self.clone(), other.clone()])
            }
        }
    )+ };
}

between_tensors! {
    Add add Add;
    Sub sub Sub;
    Mul mul Mul;
    Div div Div;
}

macro_rules! with_numbers {
    ($($trait:ident $method:ident |$c:ident| $mul:expr, $add:expr;)+) => { $(
        impl $trait<f64> for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, $c: f64) -> Tensor {
                Tensor::apply(Op::Affine { mul: $mul, add: $add }, [self])
            }
        }
        impl $trait<f64> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, $c: f64) -> Tensor {
                self.affine($mul, $add)
            }
        }
    )+ };
}

with_numbers! {
    Add add |c| 1.0, c;
    Sub sub |c| 1.0, -c;
    Mul mul |c| c, 0.0;
    Div div |c| 1.0 / c, 0.0;
}

impl Neg for Tensor {
    type Output = Tensor;
    #[track_caller]
    fn neg(self) -> Tensor {
        Tensor::apply(Op::Unary(Unary::Neg), [self])
    }
}

impl Neg for &Tensor {
    type Output = Tensor;
    #[track_caller]
    fn neg(self) -> Tensor {
        -self.clone()
    }
}
