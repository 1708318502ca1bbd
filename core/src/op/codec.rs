//! Operations as numbers, for callers that do not share Rust's types.
//!
//! An operation is its code, a list of integers and a list of floats. Lists rather than structs:
//! an attribute can then be appended to an operation without a new type on either side, and C reads
//! them by index. Layouts are append-only, as codes are. [`OpCode::layout`] describes them in words,
//! and the table of the C header is printed from it.

use smallvec::SmallVec;

use super::{Axes, Binary, Compare, Conv, Fused, Op, OpCode, Unary, Window};
use crate::{Aval, DType, Result, Shape, bail};

/// An operation as numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Encoded {
    /// Which operation.
    pub code: OpCode,
    /// Its integer attributes, in the order of [`OpCode::layout`].
    pub ints: SmallVec<[i64; 12]>,
    /// Its float attributes.
    pub floats: SmallVec<[f64; 5]>,
}

impl OpCode {
    /// The code with this number.
    ///
    /// # Errors
    /// There is none: the caller knows operations that this build does not.
    pub fn from_number(number: u32) -> Result<Self> {
        match Self::of_number(number) {
            Some(code) => Ok(code),
            None => bail!(Unsupported, "operation {number} is not known here"),
        }
    }

    /// Names of the attributes, integers and floats. `name[2]` is a pair (height, width), `name[..]`
    /// takes what is left, split evenly where two lists follow each other.
    pub const fn layout(self) -> (&'static str, &'static str) {
        const WINDOW: &str = "kernel[2] stride[2] padding[2] dilation[2]";
        match self {
            OpCode::Affine => ("", "mul add"),
            OpCode::Cast => ("dtype", ""),
            OpCode::Full => ("dtype shape[..]", "value"),
            OpCode::Iota => ("len", ""),
            OpCode::Sum | OpCode::Permute | OpCode::Flip => ("axes[..]", ""),
            OpCode::Max
            | OpCode::ArgMax
            | OpCode::Concat
            | OpCode::Gather
            | OpCode::ScatterAdd
            | OpCode::Take
            | OpCode::PutAdd => ("axis", ""),
            OpCode::Broadcast | OpCode::Reshape => ("shape[..]", ""),
            OpCode::Slice => ("start[..] len[..]", ""),
            OpCode::Pad => ("before[..] after[..]", ""),
            OpCode::Unfold2d | OpCode::MaxPool2dIdx | OpCode::MaxPool2d | OpCode::MaxPool2dGrad => {
                (WINDOW, "")
            }
            OpCode::Fold2d => ("kernel[2] stride[2] padding[2] dilation[2] size[2]", ""),
            OpCode::MatMul => ("trans_a trans_b", ""),
            OpCode::Conv2d => ("stride[2] padding[2] dilation[2] groups", ""),
            OpCode::Conv2dDx => ("stride[2] padding[2] dilation[2] groups input[2]", ""),
            OpCode::Conv2dDw | OpCode::ConvWeightGrads => {
                ("stride[2] padding[2] dilation[2] groups kernel[2]", "")
            }
            OpCode::Linear => ("relu", ""),
            OpCode::ConvBias => ("stride[2] padding[2] dilation[2] groups relu", ""),
            OpCode::PgdStep => ("", "step eps lo hi"),
            OpCode::AdamStep => ("", "beta1 beta2 step scale eps"),
            _ => ("", ""),
        }
    }
}

impl DType {
    /// The dtype with this number.
    ///
    /// # Errors
    /// There is none.
    pub fn from_number(number: u32) -> Result<Self> {
        match number {
            0 => Ok(DType::F32),
            1 => Ok(DType::F64),
            2 => Ok(DType::I64),
            _ => bail!(Unsupported, "element type {number} is not known here"),
        }
    }
}

impl Op {
    /// This operation as numbers.
    pub fn encode(&self) -> Encoded {
        let mut e = Encoded { code: self.code(), ints: SmallVec::new(), floats: SmallVec::new() };
        match self {
            Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Where => {}
            Op::Affine { mul, add } => e.floats.extend([*mul, *add]),
            Op::Cast(to) => e.push(*to as usize),
            Op::Full { aval, value } => {
                e.push(aval.dtype as usize);
                e.list(&aval.shape);
                e.floats.push(*value);
            }
            Op::Iota { len } => e.push(*len),
            Op::Sum { axes } | Op::Permute { axes } | Op::Flip { axes } => e.list(axes),
            Op::Max { axis }
            | Op::ArgMax { axis }
            | Op::Concat { axis }
            | Op::Gather { axis }
            | Op::ScatterAdd { axis }
            | Op::Take { axis }
            | Op::PutAdd { axis } => e.push(*axis),
            Op::Broadcast { shape } | Op::Reshape { shape } => e.list(shape),
            Op::Slice { start: first, len: second } | Op::Pad { before: first, after: second } => {
                e.list(first);
                e.list(second);
            }
            Op::Unfold2d(window) | Op::MaxPool2dIdx(window) => e.window(window),
            Op::Fold2d { window, size } => {
                e.window(window);
                e.list(size);
            }
            Op::MatMul { trans_a, trans_b } => {
                e.list(&[usize::from(*trans_a), usize::from(*trans_b)]);
            }
            Op::Conv2d(conv) => e.conv(conv),
            Op::Conv2dDx { conv, input: size } | Op::Conv2dDw { conv, kernel: size } => {
                e.conv(conv);
                e.list(size);
            }
            Op::Fused(fused) => e.fused(fused),
        }
        e
    }

    /// The operation that was encoded as these numbers.
    ///
    /// # Errors
    /// The code is not known, or the numbers do not fit it.
    pub fn decode(code: u32, ints: &[i64], floats: &[f64]) -> Result<Op> {
        let code = OpCode::from_number(code)?;
        let mut r = Reader { code, ints, floats };
        let op = r.op()?;
        if !r.ints.is_empty() || !r.floats.is_empty() {
            bail!(Usage, "{code}: {} attributes too many", r.ints.len() + r.floats.len());
        }
        Ok(op)
    }
}

impl Encoded {
    fn push(&mut self, n: usize) {
        // Every extent was checked to fit in memory, so none reaches the sign bit.
        self.ints.push(n as i64);
    }

    fn list(&mut self, list: &[usize]) {
        list.iter().for_each(|&n| self.push(n));
    }

    fn window(&mut self, w: &Window) {
        [w.kernel, w.stride, w.padding, w.dilation].iter().for_each(|pair| self.list(pair));
    }

    fn conv(&mut self, c: &Conv) {
        [c.stride, c.padding, c.dilation].iter().for_each(|pair| self.list(pair));
        self.push(c.groups);
    }

    fn fused(&mut self, op: &Fused) {
        match op {
            Fused::Relu | Fused::ReluGrad | Fused::SoftmaxXent | Fused::SoftmaxXentGrad => {}
            Fused::Linear { relu } => self.push(usize::from(*relu)),
            Fused::ConvBias { conv, relu } => {
                self.conv(conv);
                self.push(usize::from(*relu));
            }
            Fused::ConvWeightGrads { conv, kernel } => {
                self.conv(conv);
                self.list(kernel);
            }
            Fused::MaxPool2d(window) | Fused::MaxPool2dGrad(window) => self.window(window),
            Fused::PgdStep { step, eps, lo, hi } => self.floats.extend([*step, *eps, *lo, *hi]),
            Fused::AdamStep { beta1, beta2, step, scale, eps } => {
                self.floats.extend([*beta1, *beta2, *step, *scale, *eps]);
            }
        }
    }
}

/// Takes attributes off the front of both lists.
struct Reader<'a> {
    code: OpCode,
    ints: &'a [i64],
    floats: &'a [f64],
}

impl Reader<'_> {
    fn op(&mut self) -> Result<Op> {
        Ok(match self.code {
            OpCode::Neg => Op::Unary(Unary::Neg),
            OpCode::Exp => Op::Unary(Unary::Exp),
            OpCode::Log => Op::Unary(Unary::Log),
            OpCode::Sqrt => Op::Unary(Unary::Sqrt),
            OpCode::Tanh => Op::Unary(Unary::Tanh),
            OpCode::Erf => Op::Unary(Unary::Erf),
            OpCode::Abs => Op::Unary(Unary::Abs),
            OpCode::Sign => Op::Unary(Unary::Sign),
            OpCode::Round => Op::Unary(Unary::Round),
            OpCode::Affine => Op::Affine { mul: self.float()?, add: self.float()? },
            OpCode::Add => Op::Binary(Binary::Add),
            OpCode::Sub => Op::Binary(Binary::Sub),
            OpCode::Mul => Op::Binary(Binary::Mul),
            OpCode::Div => Op::Binary(Binary::Div),
            OpCode::Maximum => Op::Binary(Binary::Maximum),
            OpCode::Minimum => Op::Binary(Binary::Minimum),
            OpCode::Pow => Op::Binary(Binary::Pow),
            OpCode::Eq => Op::Compare(Compare::Eq),
            OpCode::Lt => Op::Compare(Compare::Lt),
            OpCode::Le => Op::Compare(Compare::Le),
            OpCode::Where => Op::Where,
            OpCode::Cast => Op::Cast(self.dtype()?),
            OpCode::Full => {
                let aval = Aval::new(self.dtype()?, self.shape()?);
                Op::Full { aval, value: self.float()? }
            }
            OpCode::Iota => Op::Iota { len: self.count()? },
            OpCode::Sum => Op::Sum { axes: self.rest()? },
            OpCode::Max => Op::Max { axis: self.count()? },
            OpCode::ArgMax => Op::ArgMax { axis: self.count()? },
            OpCode::Broadcast => Op::Broadcast { shape: self.shape()? },
            OpCode::Reshape => Op::Reshape { shape: self.shape()? },
            OpCode::Permute => Op::Permute { axes: self.rest()? },
            OpCode::Flip => Op::Flip { axes: self.rest()? },
            OpCode::Slice => {
                let [start, len] = self.halves()?;
                Op::Slice { start, len }
            }
            OpCode::Pad => {
                let [before, after] = self.halves()?;
                Op::Pad { before, after }
            }
            OpCode::Concat => Op::Concat { axis: self.count()? },
            OpCode::Gather => Op::Gather { axis: self.count()? },
            OpCode::ScatterAdd => Op::ScatterAdd { axis: self.count()? },
            OpCode::Take => Op::Take { axis: self.count()? },
            OpCode::PutAdd => Op::PutAdd { axis: self.count()? },
            OpCode::Unfold2d => Op::Unfold2d(self.window()?),
            OpCode::Fold2d => Op::Fold2d { window: self.window()?, size: self.pair()? },
            OpCode::MatMul => Op::MatMul { trans_a: self.flag()?, trans_b: self.flag()? },
            OpCode::Conv2d => Op::Conv2d(self.conv()?),
            OpCode::Conv2dDx => Op::Conv2dDx { conv: self.conv()?, input: self.pair()? },
            OpCode::Conv2dDw => Op::Conv2dDw { conv: self.conv()?, kernel: self.pair()? },
            OpCode::MaxPool2dIdx => Op::MaxPool2dIdx(self.window()?),
            OpCode::Relu => Op::Fused(Fused::Relu),
            OpCode::ReluGrad => Op::Fused(Fused::ReluGrad),
            OpCode::Linear => Op::Fused(Fused::Linear { relu: self.flag()? }),
            OpCode::ConvBias => {
                Op::Fused(Fused::ConvBias { conv: self.conv()?, relu: self.flag()? })
            }
            OpCode::ConvWeightGrads => {
                Op::Fused(Fused::ConvWeightGrads { conv: self.conv()?, kernel: self.pair()? })
            }
            OpCode::MaxPool2d => Op::Fused(Fused::MaxPool2d(self.window()?)),
            OpCode::MaxPool2dGrad => Op::Fused(Fused::MaxPool2dGrad(self.window()?)),
            OpCode::SoftmaxXent => Op::Fused(Fused::SoftmaxXent),
            OpCode::SoftmaxXentGrad => Op::Fused(Fused::SoftmaxXentGrad),
            OpCode::PgdStep => Op::Fused(Fused::PgdStep {
                step: self.float()?,
                eps: self.float()?,
                lo: self.float()?,
                hi: self.float()?,
            }),
            OpCode::AdamStep => Op::Fused(Fused::AdamStep {
                beta1: self.float()?,
                beta2: self.float()?,
                step: self.float()?,
                scale: self.float()?,
                eps: self.float()?,
            }),
        })
    }

    fn count(&mut self) -> Result<usize> {
        let Some((&first, rest)) = self.ints.split_first() else {
            bail!(Usage, "{}: an integer attribute is missing", self.code);
        };
        self.ints = rest;
        match usize::try_from(first) {
            Ok(n) => Ok(n),
            Err(_) => bail!(Usage, "{}: attribute {first} is negative", self.code),
        }
    }

    fn float(&mut self) -> Result<f64> {
        let Some((&first, rest)) = self.floats.split_first() else {
            bail!(Usage, "{}: a float attribute is missing", self.code);
        };
        self.floats = rest;
        Ok(first)
    }

    fn flag(&mut self) -> Result<bool> {
        Ok(self.count()? != 0)
    }

    fn dtype(&mut self) -> Result<DType> {
        let number = self.count()?;
        DType::from_number(u32::try_from(number).unwrap_or(u32::MAX))
    }

    fn pair(&mut self) -> Result<[usize; 2]> {
        Ok([self.count()?, self.count()?])
    }

    fn rest(&mut self) -> Result<Axes> {
        (0..self.ints.len()).map(|_| self.count()).collect()
    }

    fn shape(&mut self) -> Result<Shape> {
        Shape::new(&self.rest()?)
    }

    fn halves(&mut self) -> Result<[Axes; 2]> {
        let half = self.ints.len() / 2;
        let first = (0..half).map(|_| self.count()).collect::<Result<_>>()?;
        let second = (0..half).map(|_| self.count()).collect::<Result<_>>()?;
        Ok([first, second])
    }

    fn window(&mut self) -> Result<Window> {
        Ok(Window {
            kernel: self.pair()?,
            stride: self.pair()?,
            padding: self.pair()?,
            dilation: self.pair()?,
        })
    }

    fn conv(&mut self) -> Result<Conv> {
        Ok(Conv {
            stride: self.pair()?,
            padding: self.pair()?,
            dilation: self.pair()?,
            groups: self.count()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many numbers `names` stands for, and whether a list of any length is among them.
    fn extent(names: &str) -> (usize, bool) {
        let one = |name: &str| match name {
            n if n.ends_with("[..]") => (0, true),
            n if n.ends_with("[2]") => (2, false),
            _ => (1, false),
        };
        names.split_whitespace().map(one).fold((0, false), |a, b| (a.0 + b.0, a.1 | b.1))
    }

    #[test]
    fn numbers_that_fit_the_described_layout_decode_and_come_back() {
        for &code in OpCode::ALL {
            let (ints, floats) = code.layout();
            let (fixed, open) = extent(ints);
            let mut numbers: Vec<i64> = (0..fixed as i64).map(|n| n % 2).collect();
            numbers.extend(if open { &[1, 0, 2, 1][..] } else { &[] });
            let reals: Vec<f64> = (0..extent(floats).0).map(|n| n as f64 + 0.5).collect();
            let op = Op::decode(code as u32, &numbers, &reals).unwrap();
            let back = op.encode();
            assert_eq!(
                (back.code, &back.ints[..], &back.floats[..]),
                (code, &numbers[..], &reals[..])
            );
            assert!(Op::decode(code as u32, &numbers, &[&reals[..], &[0.0]].concat()).is_err());
            if fixed > 0 {
                assert!(Op::decode(code as u32, &numbers[..fixed - 1], &reals).is_err(), "{code}");
            }
        }
    }

    #[test]
    fn what_is_not_an_operation_is_an_error() {
        assert!(Op::decode(999, &[], &[]).is_err());
        assert!(Op::decode(OpCode::Iota as u32, &[-1], &[]).is_err());
        assert!(Op::decode(OpCode::Cast as u32, &[3], &[]).is_err());
        assert!(Op::decode(OpCode::Reshape as u32, &[1; 7], &[]).is_err());
        assert!(Op::decode(OpCode::Slice as u32, &[1, 2, 3], &[]).is_err());
    }
}
