//! Where the time goes: figures to print, not to assert. Run with
//! `cargo test --release -p inocula-backend-ndarray -- --ignored --nocapture speed`.

use std::time::{Duration, Instant};

use inocula_core::op::{Conv, Fused, Op, Window};
use inocula_core::{Aval, DType};

use super::cases::Draw;
use super::reference::Value;
use super::{execute, infer, upload};
use crate::{Buf, Cpu};

/// Shortest time of a run, over at least half a second.
fn time(cpu: &Cpu, op: &Op, args: &[Value]) -> Duration {
    let bufs: Vec<Buf> = args.iter().map(|a| upload(cpu, a)).collect();
    let bufs: Vec<&Buf> = bufs.iter().collect();
    let out: smallvec::SmallVec<[Aval; 1]> = infer(op, args);
    let begin = Instant::now();
    let mut best = Duration::MAX;
    while begin.elapsed() < Duration::from_millis(500) {
        let start = Instant::now();
        let made = execute(cpu, op, &bufs, &out).unwrap();
        best = best.min(start.elapsed());
        drop(made);
    }
    best
}

fn product(draw: &mut Draw, m: usize, k: usize, n: usize) -> (Op, Vec<Value>, f64) {
    let op = Op::MatMul { trans_a: false, trans_b: false };
    (op, vec![draw.normal(&[m, k]), draw.normal(&[k, n])], 2.0 * (m * k * n) as f64)
}

#[test]
#[ignore = "a benchmark: prints figures, asserts nothing"]
fn speed() {
    let mut draw = Draw::new(DType::F32);
    let conv = Conv::new(1, 2);
    let (x, w) = (draw.normal(&[128, 32, 14, 14]), draw.normal(&[64, 32, 5, 5]));
    let (g, b) = (draw.normal(&[128, 64, 14, 14]), draw.normal(&[64]));
    let (x1, w1) = (draw.normal(&[128, 1, 28, 28]), draw.normal(&[32, 1, 5, 5]));
    let flops = 2.0 * (128 * 64 * 14 * 14 * 32 * 25) as f64;
    let flops1 = 2.0 * (128 * 32 * 28 * 28 * 25) as f64;
    let mut cases: Vec<(&str, Op, Vec<Value>, f64)> = Vec::new();
    for size in [256, 1024] {
        let (op, args, flops) = product(&mut draw, size, size, size);
        cases.push(("sgemm, square", op, args, flops));
    }
    cases.push(("conv1 forward", Op::Conv2d(conv), vec![x1.clone(), w1], flops1));
    cases.push(("conv2 forward", Op::Conv2d(conv), vec![x.clone(), w.clone()], flops));
    let fused = Op::Fused(Fused::ConvBias { conv, relu: true });
    cases.push(("conv2 forward, bias, relu", fused, vec![x.clone(), w.clone(), b], flops));
    let dx = Op::Conv2dDx { conv, input: [14, 14] };
    cases.push(("conv2 dx", dx, vec![g.clone(), w], flops));
    let dw = Op::Conv2dDw { conv, kernel: [5, 5] };
    cases.push(("conv2 dw", dw, vec![x, g], flops));
    let large = |draw: &mut Draw| draw.normal(&[128, 32, 28, 28]);
    let n = 128.0 * 32.0 * 28.0 * 28.0;
    let (a, c) = (large(&mut draw), large(&mut draw));
    let pair = vec![a.clone(), c.clone()];
    cases.push(("add, 3.2 M", Op::Binary(inocula_core::op::Binary::Add), pair.clone(), n));
    let exp = Op::Unary(inocula_core::op::Unary::Exp);
    cases.push(("exp, 3.2 M", exp, vec![a.clone()], n));
    let pgd = Fused::PgdStep { step: 0.01, eps: 0.3, lo: 0.0, hi: 1.0 };
    cases.push(("pgd step, 3.2 M", Op::Fused(pgd), vec![a.clone(), c, a.clone()], n));
    let pool = Fused::MaxPool2d(Window::square(2, 2, 0));
    cases.push(("max pool 2x2, 3.2 M", Op::Fused(pool), vec![a.clone()], n));
    let g = draw.normal(&[128, 32, 14, 14]);
    let pool = Fused::MaxPool2dGrad(Window::square(2, 2, 0));
    cases.push(("max pool 2x2 gradient", Op::Fused(pool), vec![a.clone(), g], n));
    let sum = Op::Sum { axes: [0, 2, 3].into_iter().collect() };
    cases.push(("sum to channels", sum, vec![a], n));
    let linear =
        |i, o, draw: &mut Draw| vec![draw.normal(&[1, i]), draw.normal(&[o, i]), draw.normal(&[o])];
    let op = Op::Fused(Fused::Linear { relu: true });
    cases.push(("linear 64 to 32, batch 1", op.clone(), linear(64, 32, &mut draw), 4096.0));
    cases.push(("linear 32 to 10, batch 1", op, linear(32, 10, &mut draw), 640.0));
    let relu = Op::Fused(Fused::Relu);
    cases.push(("relu of 32", relu, vec![draw.normal(&[32])], 32.0));

    for threads in [1, 2] {
        let cpu = Cpu::new(threads).unwrap();
        for (name, op, args, flops) in &cases {
            let took = time(&cpu, op, args);
            let rate = flops / took.as_secs_f64() / 1e9;
            println!(
                "{threads} threads  {name:28} {:>12.3} us  {rate:8.2} G/s",
                took.as_secs_f64() * 1e6
            );
        }
    }
}
