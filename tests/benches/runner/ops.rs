//! Operations by themselves, at sizes where the kernel decides: products and convolutions of the
//! network of Madry et al., and passes over a million values, which memory bounds.

use inocula_core::Tensor;
use inocula_core::op::{Conv, Fused, Op, Window};

use crate::row::{Context, Output, Row, Tolerance, Work, formula, no_flops};
use crate::scale::{EPS, LR, PGD_STEP, Scale};

const SUITE: &str = "ops";

const CONV: Conv = Conv::new(1, 2);
const POOL: Window = Window::square(2, 2, 0);

pub(crate) const ROWS: &[Row] = &[
    Row {
        suite: SUITE,
        name: "matmul 256",
        flops: |s| 2.0 * (s.matmul[0] as f64).powi(3),
        tolerance: Tolerance::SUMS,
        prepare: |c| two(c, "small.a", "small.b", |a, b| a.matmul(b)),
    },
    Row {
        suite: SUITE,
        name: "matmul 1024",
        flops: |s| 2.0 * (s.matmul[1] as f64).powi(3),
        tolerance: Tolerance::SUMS,
        prepare: |c| two(c, "large.a", "large.b", |a, b| a.matmul(b)),
    },
    Row {
        suite: SUITE,
        name: "conv1 forward",
        flops: conv1_flops,
        tolerance: Tolerance::SUMS,
        prepare: |c| two(c, "conv1.x", "conv1.w", |x, w| x.conv2d(w, CONV)),
    },
    Row {
        suite: SUITE,
        name: "conv1 dx",
        flops: conv1_flops,
        tolerance: Tolerance::SUMS,
        prepare: |c| two(c, "conv1.g", "conv1.w", |g, w| g.conv2d_dx(w, CONV, [28, 28])),
    },
    Row {
        suite: SUITE,
        name: "conv1 dw",
        flops: conv1_flops,
        tolerance: Tolerance::CHAINS,
        prepare: |c| two(c, "conv1.x", "conv1.g", |x, g| x.conv2d_dw(g, CONV, [5, 5])),
    },
    Row {
        suite: SUITE,
        name: "conv2 forward",
        flops: conv2_flops,
        tolerance: Tolerance::SUMS,
        prepare: |c| two(c, "conv2.x", "conv2.w", |x, w| x.conv2d(w, CONV)),
    },
    Row {
        suite: SUITE,
        name: "conv2 dx",
        flops: conv2_flops,
        tolerance: Tolerance::SUMS,
        prepare: |c| two(c, "conv2.g", "conv2.w", |g, w| g.conv2d_dx(w, CONV, [14, 14])),
    },
    Row {
        suite: SUITE,
        name: "conv2 dw",
        flops: conv2_flops,
        tolerance: Tolerance::CHAINS,
        prepare: |c| two(c, "conv2.x", "conv2.g", |x, g| x.conv2d_dw(g, CONV, [5, 5])),
    },
    Row {
        suite: SUITE,
        name: "max pool",
        flops: no_flops,
        tolerance: Tolerance::ROUNDING,
        prepare: |c| one(c, "conv1.g", |x| x.max_pool2d(POOL)),
    },
    Row {
        suite: SUITE,
        name: "max pool gradient",
        flops: no_flops,
        tolerance: Tolerance::ROUNDING,
        prepare: |c| {
            two(c, "conv1.g", "conv2.x", |x, g| {
                Tensor::apply(Op::Fused(Fused::MaxPool2dGrad(POOL)), [x.clone(), g.clone()])
            })
        },
    },
    Row {
        suite: SUITE,
        name: "softmax cross-entropy",
        flops: no_flops,
        tolerance: Tolerance::SUMS,
        prepare: |c| two(c, "xent.z", "xent.y", Tensor::softmax_xent),
    },
    Row {
        suite: SUITE,
        name: "add 1M",
        flops: no_flops,
        tolerance: Tolerance::ROUNDING,
        prepare: |c| two(c, "flat.a", "flat.b", |a, b| a + b),
    },
    Row {
        suite: SUITE,
        name: "exp 1M",
        flops: no_flops,
        tolerance: Tolerance::ROUNDING,
        prepare: |c| one(c, "flat.a", Tensor::exp),
    },
    Row {
        suite: SUITE,
        name: "tanh 1M",
        flops: no_flops,
        tolerance: Tolerance::ROUNDING,
        prepare: |c| one(c, "flat.a", Tensor::tanh),
    },
    Row {
        suite: SUITE,
        name: "sum 1M",
        flops: no_flops,
        tolerance: Tolerance::SUMS,
        prepare: |c| one(c, "flat.x", Tensor::sum_all),
    },
    Row {
        suite: SUITE,
        name: "sum of rows 1M",
        flops: no_flops,
        tolerance: Tolerance::SUMS,
        prepare: |c| one(c, "flat.x", |x| x.sum(&[1])),
    },
    Row {
        suite: SUITE,
        name: "sum of columns 1M",
        flops: no_flops,
        tolerance: Tolerance::SUMS,
        prepare: |c| one(c, "flat.x", |x| x.sum(&[0])),
    },
    Row {
        suite: SUITE,
        name: "take rows 1M",
        flops: no_flops,
        tolerance: Tolerance::ROUNDING,
        prepare: |c| two(c, "flat.a", "take.rows", |x, rows| x.take(0, rows)),
    },
    Row {
        suite: SUITE,
        name: "gather 100k",
        flops: no_flops,
        tolerance: Tolerance::ROUNDING,
        prepare: |c| two(c, "flat.a", "gather.columns", |x, columns| x.gather(1, columns)),
    },
    Row {
        suite: SUITE,
        name: "pgd_step 1M",
        flops: no_flops,
        tolerance: Tolerance::ROUNDING,
        prepare: |c| {
            let (x, g, x0) = (c.get("flat.x")?, c.get("flat.a")?, c.get("flat.x0")?);
            let step = Fused::PgdStep { step: PGD_STEP, eps: EPS, lo: 0.0, hi: 1.0 };
            Ok(formula(&c.device, move || {
                Tensor::apply(Op::Fused(step), [x.clone(), g.clone(), x0.clone()])
            }))
        },
    },
    Row {
        suite: SUITE,
        name: "adam_step 1M",
        flops: no_flops,
        tolerance: Tolerance::SUMS,
        prepare: |c| Ok(Box::new(AdamStep::new(c)?)),
    },
];

fn conv1_flops(s: &Scale) -> f64 {
    2.0 * (s.batch * 28 * 28 * 32 * 25) as f64
}

fn conv2_flops(s: &Scale) -> f64 {
    2.0 * (s.batch * 14 * 14 * 64 * 32 * 25) as f64
}

type Prepared = inocula_core::Result<Box<dyn Work>>;

fn one(c: &Context, x: &str, f: impl Fn(&Tensor) -> Tensor + 'static) -> Prepared {
    let x = c.get(x)?;
    Ok(formula(&c.device, move || f(&x)))
}

fn two(
    c: &Context,
    a: &str,
    b: &str,
    f: impl Fn(&Tensor, &Tensor) -> Tensor + 'static,
) -> Prepared {
    let (a, b) = (c.get(a)?, c.get(b)?);
    Ok(formula(&c.device, move || f(&a, &b)))
}

/// Adam on one large parameter. The state goes from step to step as in training, so that a backend
/// may update it in place.
struct AdamStep {
    gradient: Tensor,
    parameter: Tensor,
    /// Parameter and moments; taken while a step runs.
    state: Vec<Tensor>,
}

impl AdamStep {
    fn new(c: &Context) -> inocula_core::Result<Self> {
        let (gradient, parameter) = (c.get("flat.a")?, c.get("flat.b")?);
        let mut step = AdamStep { gradient, parameter, state: Vec::new() };
        step.reset()?;
        Ok(step)
    }
}

impl Work for AdamStep {
    fn run(&mut self) -> inocula_core::Result<()> {
        // The corrections of the first step, every time: they are two numbers.
        let step = Fused::AdamStep {
            beta1: 0.9,
            beta2: 0.999,
            step: LR / 0.1,
            scale: 1.0 / 0.001f64.sqrt(),
            eps: 1e-8,
        };
        let mut state = std::mem::take(&mut self.state).into_iter();
        let args = state.next().into_iter().chain([self.gradient.clone()]).chain(state);
        self.state = Tensor::apply_all(Op::Fused(step), args).into_iter().collect();
        self.state.iter().try_for_each(|part| part.check().map(|_| ()))?;
        self.parameter.device().sync()
    }

    fn reset(&mut self) -> inocula_core::Result<()> {
        // The sum is a copy that nobody else holds; the first step may then write into it.
        let copy = &self.parameter + &self.parameter.fill(0.0);
        self.state = vec![copy, self.parameter.fill(0.0), self.parameter.fill(0.0)];
        self.state.iter().try_for_each(|part| part.check().map(|_| ()))?;
        self.parameter.device().sync()
    }

    fn result(&mut self) -> inocula_core::Result<Vec<Output>> {
        self.run()?;
        let names = ["parameter", "first moment", "second moment"];
        names.iter().zip(&self.state).map(|(name, value)| Output::new(name, value)).collect()
    }
}
