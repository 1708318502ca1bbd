//! What kernels know of element types.
//!
//! Integer arithmetic wraps: an overflow in a label or index computation must not depend on
//! whether the program was built with overflow checks. Every transcendental function that a kernel
//! calls is in [`Float`], so that a faster implementation replaces it in one place.

use std::fmt::Debug;

use inocula_core::DType;
use ndarray::{ArrayViewMut2, LinalgScalar};

use crate::buf::{Array, Buf, Ctx, Typed};
use crate::matmul::Matrix;
use crate::pool::{Memory, Shelf};
use crate::{exponential, sgemm};

/// An element type of arrays.
pub(crate) trait Elem: LinalgScalar + Default + PartialOrd + Debug + Send + Sync {
    /// Its name in abstract values.
    const DTYPE: DType;
    /// Zero.
    const ZERO: Self;
    /// One.
    const ONE: Self;
    /// Where sums over many elements are accumulated.
    type Wide: Copy + Default + Debug + Send + Sync;

    fn widen(self) -> Self::Wide;
    fn narrow(wide: Self::Wide) -> Self;
    fn wide_add(a: Self::Wide, b: Self::Wide) -> Self::Wide;

    fn plus(self, other: Self) -> Self;
    fn minus(self, other: Self) -> Self;
    fn times(self, other: Self) -> Self;
    fn over(self, other: Self) -> Self;
    fn negated(self) -> Self;
    fn magnitude(self) -> Self;

    fn from_f32(value: f32) -> Self;
    fn from_f64(value: f64) -> Self;
    fn from_i64(value: i64) -> Self;
    /// To another type; floats become integers by truncation.
    fn cast<U: Elem>(self) -> U;
    /// The value of a constant in this type, rounded to it.
    fn constant(value: f64) -> Self;

    /// Bytes in memory, little-endian.
    fn read(bytes: &[u8]) -> Self;
    fn write(self, bytes: &mut [u8]);

    fn of(buf: &Buf) -> Option<&Array<Self>>;
    fn of_mut(buf: &mut Buf) -> Option<&mut Array<Self>>;
    fn out_of(buf: Buf) -> Option<Array<Self>>;
    fn into_buf(array: Array<Self>) -> Buf;
    fn shelf(memory: &Memory) -> &Shelf<Self>;

    /// Whether this is not a number. No integer is.
    #[inline(always)]
    #[allow(clippy::eq_op)]
    fn is_nan(self) -> bool {
        self != self
    }

    /// -1, 0 or 1. Zero for NaN, as in PyTorch.
    #[inline(always)]
    fn signum(self) -> Self {
        let positive = if self > Self::ZERO { Self::ONE } else { Self::ZERO };
        let negative = if self < Self::ZERO { Self::ONE } else { Self::ZERO };
        positive.minus(negative)
    }

    /// The larger; `other` where they are equal, NaN where either is.
    #[inline(always)]
    fn larger(self, other: Self) -> Self {
        if (self > other) | self.is_nan() { self } else { other }
    }

    /// The smaller; `other` where they are equal, NaN where either is.
    #[inline(always)]
    fn smaller(self, other: Self) -> Self {
        if (self < other) | self.is_nan() { self } else { other }
    }

    /// Whether this comes before `best` in a search for the first largest, where NaN is largest.
    #[inline(always)]
    fn beats(self, best: Self) -> bool {
        (self > best) | (self.is_nan() & !best.is_nan())
    }

    /// One where the condition holds, else zero.
    #[inline(always)]
    fn truth(condition: bool) -> Self {
        if condition { Self::ONE } else { Self::ZERO }
    }
}

/// A floating-point element type.
pub(crate) trait Float: Elem {
    fn exp(self) -> Self;
    fn ln(self) -> Self;
    fn sqrt(self) -> Self;
    fn tanh(self) -> Self;
    fn erf(self) -> Self;
    fn round(self) -> Self;
    fn powf(self, exponent: Self) -> Self;

    /// `c = a b`, or `c += a b`, if there are tiles for this type and these steps.
    fn tiled(
        ctx: &Ctx,
        a: Matrix<'_, Self>,
        b: Matrix<'_, Self>,
        c: &mut ArrayViewMut2<'_, Self>,
        accumulate: bool,
    ) -> bool;

    /// `c = x w^T + bias`, or its ReLU, if there are tiles that do it at once.
    fn tiled_linear(
        ctx: &Ctx,
        operands: [Matrix<'_, Self>; 2],
        bias: &[Self],
        relu: bool,
        c: &mut ArrayViewMut2<'_, Self>,
    ) -> bool;
}

macro_rules! conversions {
    ($t:ident, $field:ident, $variant:ident, $from:ident) => {
        #[inline(always)]
        fn from_f32(value: f32) -> Self {
            value as $t
        }
        #[inline(always)]
        fn from_f64(value: f64) -> Self {
            value as $t
        }
        #[inline(always)]
        fn from_i64(value: i64) -> Self {
            value as $t
        }
        #[inline(always)]
        fn cast<U: Elem>(self) -> U {
            U::$from(self)
        }
        #[inline(always)]
        fn read(bytes: &[u8]) -> Self {
            let mut word = [0; size_of::<$t>()];
            word.copy_from_slice(bytes);
            $t::from_le_bytes(word)
        }
        #[inline(always)]
        fn write(self, bytes: &mut [u8]) {
            bytes.copy_from_slice(&self.to_le_bytes());
        }
        fn of(buf: &Buf) -> Option<&Array<Self>> {
            match &buf.0 {
                Typed::$variant(array) => Some(array),
                _ => None,
            }
        }
        fn of_mut(buf: &mut Buf) -> Option<&mut Array<Self>> {
            match &mut buf.0 {
                Typed::$variant(array) => Some(array),
                _ => None,
            }
        }
        fn out_of(buf: Buf) -> Option<Array<Self>> {
            match buf.0 {
                Typed::$variant(array) => Some(array),
                _ => None,
            }
        }
        fn into_buf(array: Array<Self>) -> Buf {
            Buf(Typed::$variant(array))
        }
        fn shelf(memory: &Memory) -> &Shelf<Self> {
            &memory.$field
        }
    };
}

macro_rules! float {
    ($t:ident, $variant:ident, $dtype:ident, $from:ident, $exp:path, $erf:path, $tiled:expr, $linear:expr) => {
        impl Elem for $t {
            const DTYPE: DType = DType::$dtype;
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            type Wide = f64;
            conversions!($t, $t, $variant, $from);

            #[inline(always)]
            fn widen(self) -> f64 {
                f64::from(self)
            }
            #[inline(always)]
            fn narrow(wide: f64) -> Self {
                wide as $t
            }
            #[inline(always)]
            fn wide_add(a: f64, b: f64) -> f64 {
                a + b
            }
            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                self + other
            }
            #[inline(always)]
            fn minus(self, other: Self) -> Self {
                self - other
            }
            #[inline(always)]
            fn times(self, other: Self) -> Self {
                self * other
            }
            #[inline(always)]
            fn over(self, other: Self) -> Self {
                self / other
            }
            #[inline(always)]
            fn negated(self) -> Self {
                -self
            }
            #[inline(always)]
            fn magnitude(self) -> Self {
                self.abs()
            }
            #[inline(always)]
            fn constant(value: f64) -> Self {
                value as $t
            }
        }

        impl Float for $t {
            #[inline(always)]
            fn exp(self) -> Self {
                $exp(self)
            }
            #[inline(always)]
            fn ln(self) -> Self {
                $t::ln(self)
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                $t::sqrt(self)
            }
            #[inline(always)]
            fn tanh(self) -> Self {
                $t::tanh(self)
            }
            #[inline(always)]
            fn erf(self) -> Self {
                $erf(self)
            }
            #[inline(always)]
            fn round(self) -> Self {
                self.round_ties_even()
            }
            #[inline(always)]
            fn powf(self, exponent: Self) -> Self {
                $t::powf(self, exponent)
            }
            fn tiled(
                ctx: &Ctx,
                a: Matrix<'_, Self>,
                b: Matrix<'_, Self>,
                c: &mut ArrayViewMut2<'_, Self>,
                accumulate: bool,
            ) -> bool {
                $tiled(ctx, a, b, c, accumulate)
            }
            fn tiled_linear(
                ctx: &Ctx,
                operands: [Matrix<'_, Self>; 2],
                bias: &[Self],
                relu: bool,
                c: &mut ArrayViewMut2<'_, Self>,
            ) -> bool {
                $linear(ctx, operands, bias, relu, c)
            }
        }
    };
}

float!(f32, F32, F32, from_f32, exponential::exp, libm::erff, sgemm::tiled, sgemm::linear);
float!(f64, F64, F64, from_f64, f64::exp, libm::erf, |_, _, _, _, _| false, |_, _, _, _, _| false);

impl Elem for i64 {
    const DTYPE: DType = DType::I64;
    const ZERO: Self = 0;
    const ONE: Self = 1;
    type Wide = i64;
    conversions!(i64, i64, I64, from_i64);

    #[inline(always)]
    fn widen(self) -> i64 {
        self
    }
    #[inline(always)]
    fn narrow(wide: i64) -> Self {
        wide
    }
    #[inline(always)]
    fn wide_add(a: i64, b: i64) -> i64 {
        a.wrapping_add(b)
    }
    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self.wrapping_add(other)
    }
    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        self.wrapping_sub(other)
    }
    #[inline(always)]
    fn times(self, other: Self) -> Self {
        self.wrapping_mul(other)
    }
    /// Rounds towards zero. Divisors were checked not to be zero.
    #[inline(always)]
    fn over(self, other: Self) -> Self {
        self.wrapping_div(other)
    }
    #[inline(always)]
    fn negated(self) -> Self {
        self.wrapping_neg()
    }
    #[inline(always)]
    fn magnitude(self) -> Self {
        self.wrapping_abs()
    }
    #[inline(always)]
    fn constant(value: f64) -> Self {
        value.round_ties_even() as i64
    }
}
