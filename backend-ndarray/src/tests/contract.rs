//! What is not a value: errors, edge cases of the definitions, reuse of memory, device specs.

use std::slice::from_ref;

use inocula_core::op::{Binary, Fused, Op, OpCode, Unary, Window};
use inocula_core::{Arg, Backend, DType, ErrorKind, Registry};

use super::cases::Draw;
use super::reference::Value;
use super::{download, execute, infer, upload};
use crate::elem::Elem;
use crate::{Buf, Cpu, ENTRY};

fn f32s(dims: &[usize], data: &[f64]) -> Value {
    Value::new(DType::F32, dims, data.to_vec())
}

fn i64s(dims: &[usize], data: &[f64]) -> Value {
    Value::new(DType::I64, dims, data.to_vec())
}

fn run(op: &Op, args: &[Value]) -> inocula_core::Result<Value> {
    let cpu = Cpu::new(1).unwrap();
    let bufs: Vec<Buf> = args.iter().map(|a| upload(&cpu, a)).collect();
    let out = infer(op, args);
    let got = execute(&cpu, op, &bufs.iter().collect::<Vec<_>>(), &out)?;
    Ok(download(&cpu, &got[0], out[0]))
}

#[test]
fn an_index_out_of_range_is_an_error_that_names_it() {
    let x = f32s(&[2, 3], &[0.0; 6]);
    let src = f32s(&[2, 1], &[0.0; 2]);
    for bad in [3.0, -1.0, i64::MIN as f64] {
        let idx = i64s(&[2, 1], &[0.0, bad]);
        let list = i64s(&[1], &[bad]);
        let logits = [x.clone(), i64s(&[2], &[1.0, bad]), f32s(&[2], &[1.0, 1.0])];
        for (op, args) in [
            (Op::Gather { axis: 1 }, vec![x.clone(), idx.clone()]),
            (Op::ScatterAdd { axis: 1 }, vec![x.clone(), idx, src.clone()]),
            (Op::Take { axis: 1 }, vec![x.clone(), list.clone()]),
            (Op::PutAdd { axis: 1 }, vec![x.clone(), list, src.clone()]),
            (Op::Fused(Fused::SoftmaxXent), logits[..2].to_vec()),
            (Op::Fused(Fused::SoftmaxXentGrad), logits.to_vec()),
        ] {
            let err = run(&op, &args).unwrap_err();
            assert_eq!(err.kind(), ErrorKind::Data);
            let text = err.to_string();
            let named = text.contains(&format!("{} ", bad as i64)) && text.contains('3');
            assert!(named && text.starts_with(op.code().name()), "{text}");
        }
    }
}

#[test]
fn zeros_do_not_hide_what_is_not_finite_in_a_product_with_one_row() {
    let row = f32s(&[1, 3], &[0.0, 1.0, 0.0]);
    let matrix = f32s(&[3, 2], &[f64::NAN, 1.0, 2.0, 3.0, f64::INFINITY, 4.0]);
    let product = Op::MatMul { trans_a: false, trans_b: false };
    let got = run(&product, &[row, matrix]).unwrap().data;
    assert!(got[0].is_nan() && got[1] == 3.0, "{got:?}");
}

#[test]
fn nan_is_the_largest_and_the_first_one_counts() {
    let nan = f64::NAN;
    let x = f32s(&[2, 4], &[1.0, nan, 9.0, nan, 5.0, 9.0, 9.0, f64::NEG_INFINITY]);
    assert_eq!(run(&Op::ArgMax { axis: 1 }, from_ref(&x)).unwrap().data, [1.0, 1.0]);
    let max = run(&Op::Max { axis: 1 }, from_ref(&x)).unwrap().data;
    assert!(max[0].is_nan() && max[1] == 9.0);
    let columns = run(&Op::ArgMax { axis: 0 }, &[x]).unwrap().data;
    assert_eq!(columns, [1.0, 0.0, 0.0, 0.0]);
    let (a, b) = (f32s(&[3], &[nan, 1.0, nan]), f32s(&[3], &[1.0, nan, nan]));
    for op in [Binary::Maximum, Binary::Minimum] {
        let both = run(&Op::Binary(op), &[a.clone(), b.clone()]).unwrap().data;
        assert!(both.iter().all(|v| v.is_nan()), "{op:?}: {both:?}");
    }
    let relu = run(&Op::Fused(Fused::Relu), &[a]).unwrap().data;
    assert!(relu[0].is_nan() && relu[1] == 1.0);
    let image = f32s(&[1, 1, 2, 2], &[1.0, nan, nan, 5.0]);
    let window = Window::square(2, 1, 0);
    assert!(run(&Op::Fused(Fused::MaxPool2d(window)), from_ref(&image)).unwrap().data[0].is_nan());
    assert_eq!(run(&Op::MaxPool2dIdx(window), &[image]).unwrap().data, [1.0]);
}

#[test]
fn padding_never_wins_a_pool() {
    let low = f32s(&[1, 1, 2, 2], &[f64::NEG_INFINITY; 4]);
    let window = Window::square(3, 2, 1);
    let pooled = run(&Op::Fused(Fused::MaxPool2d(window)), from_ref(&low)).unwrap();
    assert_eq!(pooled.data, [f64::NEG_INFINITY]);
    assert_eq!(run(&Op::MaxPool2dIdx(window), &[low]).unwrap().data, [0.0]);
    let negative = f32s(&[1, 1, 2, 2], &[-4.0, -3.0, -2.0, -1.0]);
    assert_eq!(run(&Op::MaxPool2dIdx(window), &[negative]).unwrap().data, [3.0]);
}

#[test]
fn signs_of_zero_and_halves_follow_the_definitions() {
    let x = f32s(&[6], &[0.0, -0.0, 0.5, 1.5, -0.5, -2.5]);
    let sign = run(&Op::Unary(Unary::Sign), from_ref(&x)).unwrap().data;
    assert_eq!(sign, [0.0, 0.0, 1.0, 1.0, -1.0, -1.0]);
    assert_eq!(
        run(&Op::Unary(Unary::Round), &[x]).unwrap().data,
        [0.0, -0.0, 0.0, 2.0, -0.0, -2.0]
    );
}

#[test]
fn integers_wrap_and_do_not_divide_by_zero() {
    let cpu = Cpu::new(1).unwrap();
    let aval = i64s(&[2], &[0.0, 0.0]).aval;
    let bytes = |v: [i64; 2]| v.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>();
    let low = cpu.upload(&aval, &bytes([i64::MIN, 7])).unwrap();
    let minus = cpu.upload(&aval, &bytes([-1, -2])).unwrap();
    for op in [Binary::Div, Binary::Mul, Binary::Add, Binary::Sub] {
        assert!(execute(&cpu, &Op::Binary(op), &[&low, &minus], &[aval]).is_ok());
    }
    for op in [Unary::Neg, Unary::Abs] {
        assert!(execute(&cpu, &Op::Unary(op), &[&low], &[aval]).is_ok());
    }
    let err = run(&Op::Binary(Binary::Div), &[i64s(&[1], &[1.0]), i64s(&[], &[0.0])]).unwrap_err();
    assert_eq!(err.kind(), ErrorKind::Data);
}

#[test]
fn a_million_terms_keep_their_digits() {
    let n = 1_000_003;
    let mut draw = Draw::new(DType::F32);
    let mut x = draw.normal(&[n]);
    x.data.iter_mut().for_each(|v| *v = f64::from((v.abs() + 0.1) as f32));
    let exact: f64 = x.data.iter().sum();
    let cpu = Cpu::new(2).unwrap();
    for (dims, axes) in [([n, 1], [0, 1]), ([1, n], [0, 1])] {
        let op = Op::Sum { axes: axes.into_iter().collect() };
        let total = run(&op, &[f32s(&dims, &x.data)]).unwrap().data[0];
        assert!(((total - exact) / exact).abs() < 1e-6, "{total} is not {exact}");
    }
    let doubled: Vec<f64> = x.data.iter().flat_map(|&v| [v, 1.0]).collect();
    let op = Op::Sum { axes: [0].into_iter().collect() };
    let column = run(&op, &[f32s(&[n, 2], &doubled)]).unwrap().data;
    assert!(((column[0] - exact) / exact).abs() < 1e-6 && column[1] == n as f64);
    drop(cpu);
}

fn place(buf: &Buf) -> *const f32 {
    f32::of(buf).unwrap().storage().as_ptr()
}

#[test]
fn views_share_memory_and_donation_reuses_it() {
    let cpu = Cpu::new(1).unwrap();
    let x = Draw::new(DType::F32).normal(&[40, 50]);
    let buf = upload(&cpu, &x);
    let at = place(&buf);
    let views = [
        Op::Permute { axes: [1, 0].into_iter().collect() },
        Op::Flip { axes: [0, 1].into_iter().collect() },
        Op::Slice { start: [1, 2].into_iter().collect(), len: [3, 4].into_iter().collect() },
        Op::Reshape { shape: inocula_core::Shape::new(&[2000]).unwrap() },
        Op::Broadcast { shape: inocula_core::Shape::new(&[3, 40, 50]).unwrap() },
    ];
    for op in &views {
        let out = op.infer(&[x.aval]).unwrap();
        let view = execute(&cpu, op, &[&buf], &out).unwrap().remove(0);
        assert_eq!(place(&view), at, "{op:?} copied");
        // While a view lives, a donated original must not be overwritten.
        let mut slot = Some(upload(&cpu, &x));
        let original = place(slot.as_ref().unwrap());
        let kept = execute(&cpu, op, &[slot.as_ref().unwrap()], &out).unwrap().remove(0);
        let before = download(&cpu, &kept, out[0]);
        let neg = Op::Unary(Unary::Neg);
        let made = cpu.execute(&neg, &mut [Arg::Donated(&mut slot)], &[x.aval]).unwrap().remove(0);
        assert_ne!(place(&made), original);
        super::assert_same(&download(&cpu, &kept, out[0]), &before, "a view was overwritten");
    }
    let mut slot = Some(buf);
    let neg = Op::Unary(Unary::Neg);
    let made = cpu.execute(&neg, &mut [Arg::Donated(&mut slot)], &[x.aval]).unwrap().remove(0);
    assert_eq!(place(&made), at);
    drop(made);
    assert_eq!(place(&upload(&cpu, &x)), at, "storage did not come back from the pool");
}

#[test]
fn specs_open_devices() {
    let registry = Registry::new().with(ENTRY);
    let device = registry.open("ndarray:cpu?threads=3").unwrap();
    assert_eq!(device.info().threads, 3);
    assert_eq!(
        device.info().to_string(),
        concat!("ndarray ", env!("CARGO_PKG_VERSION"), " (cpu, 3 threads)")
    );
    assert!(registry.open("ndarray").unwrap().info().threads >= 1);
    for (spec, kind) in [
        ("ndarray:cuda", ErrorKind::NotFound),
        ("ndarray?threads=0", ErrorKind::Config),
        ("ndarray?thread=1", ErrorKind::Config),
    ] {
        assert_eq!(registry.open(spec).unwrap_err().kind(), kind, "{spec}");
    }
    let cpu = Cpu::new(1).unwrap();
    assert!(OpCode::ALL.iter().all(|&op| cpu.supports(op, DType::F32)));
}

#[test]
fn foreign_dtypes_and_lengths_are_errors_not_panics() {
    let cpu = Cpu::new(1).unwrap();
    let x = f32s(&[2], &[1.0, 2.0]);
    assert!(cpu.upload(&x.aval, &[0; 7]).is_err());
    assert!(cpu.download(&upload(&cpu, &x), &mut [0; 9]).is_err());
    let (x, y) = (upload(&cpu, &x), upload(&cpu, &i64s(&[2], &[1.0, 2.0])));
    let aval = f32s(&[2], &[0.0; 2]).aval;
    assert!(execute(&cpu, &Op::Binary(Binary::Add), &[&x, &y], &[aval]).is_err());
    let int = i64s(&[2], &[0.0; 2]).aval;
    let err = execute(&cpu, &Op::Unary(Unary::Exp), &[&y], &[int]).err().unwrap();
    assert_eq!(err.kind(), ErrorKind::Unsupported);
}
