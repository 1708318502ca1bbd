//! What is not a value of the usual kind: errors, edges of the definitions, device specs, threads.

use std::slice::from_ref;
use std::thread;

use inocula_core::op::{Axes, Binary, Conv, Fused, Op, OpCode, Unary, Window};
use inocula_core::{Arg, Aval, Backend, DType, ErrorKind, Registry, Shape};

use super::cases::Draw;
use super::reference::Value;
use super::{assert_close, cpu, define, download, execute, floats, integers, open, run, upload};
use crate::{Buf, ENTRY};

const LOW: f64 = f64::NEG_INFINITY;

#[test]
fn an_index_out_of_range_is_an_error_that_names_it() {
    // Small and large, rows and columns: libtorch has other kernels for each.
    for (rows, columns) in [(2, 3), (3, 1), (500, 3), (20_000, 3)] {
        let x = floats(&[rows, columns], &vec![0.0; rows * columns]);
        for bad in [columns as f64, -1.0, i64::MIN as f64] {
            let mut at = vec![0.0; rows];
            at[rows - 1] = bad;
            let (idx, src) = (integers(&[rows, 1], &at), floats(&[rows, 1], &at));
            let (list, column) = (integers(&[1], &[bad]), floats(&[rows, 1], &vec![0.0; rows]));
            let labels = integers(&[rows], &at);
            let weights = floats(&[rows], &vec![1.0; rows]);
            for (op, args) in [
                (Op::Gather { axis: 1 }, vec![x.clone(), idx.clone()]),
                (Op::ScatterAdd { axis: 1 }, vec![x.clone(), idx, src]),
                (Op::Take { axis: 1 }, vec![x.clone(), list.clone()]),
                (Op::PutAdd { axis: 1 }, vec![x.clone(), list, column]),
                (Op::Fused(Fused::SoftmaxXent), vec![x.clone(), labels.clone()]),
                (Op::Fused(Fused::SoftmaxXentGrad), vec![x.clone(), labels, weights]),
            ] {
                let err = run(&op, &args).unwrap_err();
                let text = err.to_string();
                let named = text.contains(&format!("{} ", bad as i64));
                let whole = text.starts_with(op.code().name()) && !text.contains('\n');
                assert!(err.kind() == ErrorKind::Data && named && whole, "{text}");
            }
        }
    }
}

#[test]
fn an_index_into_rows_is_checked_too() {
    let x = floats(&[3, 400], &[0.0; 1200]);
    for bad in [-1.0, 3.0] {
        let list = integers(&[2], &[0.0, bad]);
        let src = floats(&[2, 400], &[1.0; 800]);
        let idx = integers(&[1, 400], &[bad; 400]);
        // The same index all along the row, as a view: libtorch has a kernel for that.
        let row = Op::Broadcast { shape: Shape::new(&[1, 400]).unwrap() };
        let device = cpu();
        let [x, list, src, idx, one] =
            [&x, &list, &src, &idx, &integers(&[1, 1], &[bad])].map(|v| upload(&device, v));
        let view = execute(&device, &row, &[&one]).unwrap().remove(0);
        for (op, args) in [
            (Op::Take { axis: 0 }, vec![&x, &list]),
            (Op::PutAdd { axis: 0 }, vec![&x, &list, &src]),
            (Op::Gather { axis: 0 }, vec![&x, &idx]),
            (Op::Gather { axis: 0 }, vec![&x, &view]),
            (Op::ScatterAdd { axis: 0 }, vec![&x, &idx, &idx_like(&device)]),
            (Op::ScatterAdd { axis: 0 }, vec![&x, &view, &idx_like(&device)]),
        ] {
            let err = execute(&device, &op, &args).err().expect("no error").to_string();
            assert!(err.contains(&format!("index {bad} is outside of an axis of 3")), "{err}");
        }
    }
}

fn idx_like(device: &crate::Tch) -> Buf {
    upload(device, &floats(&[1, 400], &[1.0; 400]))
}

#[test]
fn nothing_can_be_read_from_an_empty_axis() {
    let base = floats(&[2, 0], &[]);
    let (idx, src) = (integers(&[2, 1], &[0.0; 2]), floats(&[2, 1], &[1.0; 2]));
    for (op, args) in [
        (Op::Gather { axis: 1 }, vec![base.clone(), idx.clone()]),
        (Op::ScatterAdd { axis: 1 }, vec![base.clone(), idx, src.clone()]),
        (Op::Take { axis: 1 }, vec![base.clone(), integers(&[1], &[0.0])]),
        (Op::PutAdd { axis: 1 }, vec![base, integers(&[1], &[0.0]), src]),
    ] {
        let err = run(&op, &args).unwrap_err();
        assert_eq!(err.kind(), ErrorKind::Data, "{err}");
    }
}

#[test]
fn the_first_of_equal_maxima_wins_in_every_kernel() {
    let window = |kernel, stride, padding| Window::square(kernel, stride, padding);
    let wide = Window { padding: [2, 1], ..window(3, 2, 0) };
    let sparse = Window { dilation: [2, 1], ..window(2, 1, 1) };
    let mut draw = Draw::new(DType::F32);
    for window in [window(2, 2, 0), window(3, 1, 1), wide, sparse] {
        for dims in [[2, 1, 7, 6], [2, 5, 8, 9], [1, 33, 6, 6]] {
            // Few values: most windows have their maximum several times.
            let mut x = draw.normal(&dims);
            x.data.iter_mut().for_each(|v| *v = (2.0 * *v).round().clamp(-1.0, 1.0) + 0.0);
            let [oh, ow] = window.output([dims[2], dims[3]]).unwrap();
            let g = draw.normal(&[dims[0], dims[1], oh, ow]);
            for (op, args) in [
                (Op::MaxPool2dIdx(window), vec![x.clone()]),
                (Op::Fused(Fused::MaxPool2d(window)), vec![x.clone()]),
                (Op::Fused(Fused::MaxPool2dGrad(window)), vec![x.clone(), g]),
            ] {
                let context = format!("{op:?} of {dims:?}");
                assert_close(&run(&op, &args).unwrap(), &define(&op, &args)[0], &context);
            }
        }
    }
}

#[test]
fn padding_never_wins_a_pool() {
    let low = floats(&[1, 1, 2, 2], &[LOW; 4]);
    let wide = Window { padding: [2, 2], ..Window::square(3, 1, 0) };
    for window in [Window::square(3, 2, 1), wide] {
        let pool = Op::Fused(Fused::MaxPool2d(window));
        let pooled = run(&pool, from_ref(&low)).unwrap();
        assert!(pooled.data.iter().all(|&v| v == LOW), "{:?}", pooled.data);
        let idx = Op::MaxPool2dIdx(window);
        // The definition takes the first position inside the image.
        let want = define(&idx, &[floats(&[1, 1, 2, 2], &[0.0; 4])]);
        assert_eq!(run(&idx, from_ref(&low)).unwrap().data, want[0].data, "{window:?}");
        let negative = floats(&[1, 1, 2, 2], &[-4.0, -3.0, -2.0, -1.0]);
        let want = define(&idx, from_ref(&negative));
        assert_eq!(run(&idx, &[negative]).unwrap().data, want[0].data, "{window:?}");
    }
}

#[test]
fn nan_is_the_largest() {
    let nan = f64::NAN;
    let x = floats(&[2, 4], &[1.0, nan, 9.0, nan, 5.0, 9.0, 9.0, LOW]);
    assert_eq!(run(&Op::ArgMax { axis: 1 }, from_ref(&x)).unwrap().data, [1.0, 1.0]);
    let max = run(&Op::Max { axis: 1 }, &[x]).unwrap().data;
    assert!(max[0].is_nan() && max[1] == 9.0);
    let (a, b) = (floats(&[3], &[nan, 1.0, nan]), floats(&[3], &[1.0, nan, nan]));
    for op in [Binary::Maximum, Binary::Minimum] {
        let both = run(&Op::Binary(op), &[a.clone(), b.clone()]).unwrap().data;
        assert!(both.iter().all(|v| v.is_nan()), "{op:?}: {both:?}");
    }
    let image = floats(&[1, 1, 2, 2], &[1.0, nan, 3.0, 5.0]);
    for window in [Window::square(2, 1, 0), Window { padding: [1, 1], ..Window::square(2, 1, 0) }] {
        let pooled = run(&Op::Fused(Fused::MaxPool2d(window)), from_ref(&image)).unwrap().data;
        assert!(pooled[pooled.len() / 2].is_nan(), "{pooled:?}");
        let idx = run(&Op::MaxPool2dIdx(window), from_ref(&image)).unwrap().data;
        assert_eq!(idx[idx.len() / 2], 1.0, "{window:?}");
    }
}

#[test]
fn zeros_and_halves_follow_the_definitions() {
    let x = floats(&[6], &[0.0, -0.0, 0.5, 1.5, -0.5, -2.5]);
    let sign = run(&Op::Unary(Unary::Sign), from_ref(&x)).unwrap().data;
    assert_eq!(sign, [0.0, 0.0, 1.0, 1.0, -1.0, -1.0]);
    let round = run(&Op::Unary(Unary::Round), from_ref(&x)).unwrap().data;
    assert_eq!(round, [0.0, 0.0, 0.0, 2.0, 0.0, -2.0]);
    let slope = run(&Op::Fused(Fused::ReluGrad), &[x, floats(&[6], &[7.0; 6])]).unwrap().data;
    assert_eq!(slope, [0.0, 0.0, 7.0, 7.0, 0.0, 0.0]);
}

#[test]
fn integers_wrap_and_do_not_divide_by_zero() {
    let device = cpu();
    let aval = integers(&[2], &[0.0, 0.0]).aval;
    let bytes = |v: [i64; 2]| v.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>();
    let low = device.upload(&aval, &bytes([i64::MIN, 7])).unwrap();
    let minus = device.upload(&aval, &bytes([-1, -2])).unwrap();
    for (op, want) in [
        (Binary::Div, [i64::MIN, -3]),
        (Binary::Mul, [i64::MIN, -14]),
        (Binary::Add, [i64::MAX, 5]),
        (Binary::Sub, [i64::MIN + 1, 9]),
    ] {
        let made = execute(&device, &Op::Binary(op), &[&low, &minus]).unwrap();
        let mut got = [0; 16];
        device.download(&made[0], &mut got).unwrap();
        assert_eq!(got.to_vec(), bytes(want), "{op:?}");
    }
    let zero = [integers(&[1], &[1.0]), integers(&[], &[0.0])];
    let err = run(&Op::Binary(Binary::Div), &zero).unwrap_err();
    assert_eq!(err.kind(), ErrorKind::Data);
    let nothing = [integers(&[0], &[]), integers(&[], &[1.0])];
    assert!(run(&Op::Binary(Binary::Div), &nothing).unwrap().data.is_empty());
}

#[test]
fn windows_of_integers_are_exact() {
    // 2^53 + 1 has no place in a float.
    let large = 9_007_199_254_740_993i64;
    let device = cpu();
    let image = Aval::new(DType::I64, Shape::new(&[1, 1, 2, 2]).unwrap());
    let bytes: Vec<u8> = [large, 1, 2, 3].iter().flat_map(|v| v.to_le_bytes()).collect();
    let x = device.upload(&image, &bytes).unwrap();
    let window = Window::square(2, 1, 0);
    let columns = execute(&device, &Op::Unfold2d(window), &[&x]).unwrap().remove(0);
    let fold = Op::Fold2d { window, size: [2, 2] };
    let folded = execute(&device, &fold, &[&columns]).unwrap().remove(0);
    let mut got = vec![0; 32];
    device.download(&folded, &mut got).unwrap();
    assert_eq!(got, bytes);
}

#[test]
fn a_step_of_adam_has_no_hidden_limits() {
    let mut draw = Draw::new(DType::F64);
    let mut args: Vec<Value> = [0; 4].map(|_| draw.normal(&[3, 4])).into();
    args[3].data.iter_mut().for_each(|v| *v = v.abs());
    for (beta1, beta2, scale) in
        [(0.0, 0.0, 1.0), (1.0, 0.5, 2.0), (0.5, 1.0, 0.0), (0.9, 0.99, 9.0)]
    {
        let adam = Fused::AdamStep { beta1, beta2, step: 0.25, scale, eps: 0.125 };
        let op = Op::Fused(adam);
        assert_close(&run(&op, &args).unwrap(), &define(&op, &args)[0], &format!("{adam:?}"));
    }
}

#[test]
fn out_of_memory_is_an_error_in_one_line() {
    // More than a machine has: the request fails before memory is touched.
    let shape = Shape::new(&[1 << 20, 1 << 20, 1 << 18]).unwrap();
    let device = cpu();
    let one = upload(&device, &floats(&[1, 1, 1], &[1.0]));
    let huge = execute(&device, &Op::Broadcast { shape }, &[&one]).unwrap().remove(0);
    let pgd = Fused::PgdStep { step: 0.5, eps: 1.0, lo: -3.0, hi: 3.0 };
    let axes = |values: [usize; 3]| values.into_iter().collect::<Axes>();
    for (op, arity) in [
        (Op::Full { aval: Aval::new(DType::F32, shape), value: 1.0 }, 0),
        (Op::Iota { len: 1 << 58 }, 0),
        (Op::Unary(Unary::Exp), 1),
        (Op::Affine { mul: 2.0, add: 0.0 }, 1),
        (Op::Affine { mul: 1.0, add: 2.0 }, 1),
        (Op::Binary(Binary::Add), 2),
        (Op::Compare(inocula_core::op::Compare::Lt), 2),
        (Op::Where, 3),
        (Op::Cast(DType::I64), 1),
        (Op::Pad { before: axes([1, 0, 0]), after: axes([0, 0, 1]) }, 1),
        (Op::Concat { axis: 0 }, 2),
        (Op::Fused(Fused::Relu), 1),
        (Op::Fused(Fused::ReluGrad), 2),
        (Op::Fused(pgd), 3),
    ] {
        let args = vec![&huge; arity];
        let out = super::infer(&op, &args.iter().map(|a| a.aval()).collect::<Vec<_>>());
        let mut args: Vec<Arg<'_, Buf>> = args.into_iter().map(Arg::Shared).collect();
        let text = device.execute(&op, &mut args, &out).err().unwrap().to_string();
        let starts = text.starts_with(&format!("tch: {}: ", op.code()));
        let whole = text.ends_with("; use smaller batches") && !text.contains('\n');
        assert!(starts && whole && text.len() < 300, "{text}");
    }
}

#[test]
fn foreign_dtypes_and_lengths_are_errors_not_panics() {
    let device = cpu();
    let x = floats(&[2], &[1.0, 2.0]);
    assert!(device.upload(&x.aval, &[0; 7]).is_err());
    assert!(device.download(&upload(&device, &x), &mut [0; 9]).is_err());
    let y = upload(&device, &integers(&[2], &[1.0, 2.0]));
    let float = upload(&device, &x);
    let mut args = [Arg::Shared(&y), Arg::Shared(&float)];
    let err = device.execute(&Op::Binary(Binary::Add), &mut args, &[y.aval()]).err().unwrap();
    assert_eq!(err.kind(), ErrorKind::Usage);
    let mut args = [Arg::Shared(&y)];
    let err = device.execute(&Op::Unary(Unary::Exp), &mut args, &[y.aval()]).err().unwrap();
    assert_eq!(err.kind(), ErrorKind::Unsupported);
}

#[test]
fn specs_open_devices() {
    let registry = Registry::new().with(ENTRY);
    let version = format!("tch {}, libtorch 2.13.0 (cpu, 3 threads)", env!("CARGO_PKG_VERSION"));
    assert_eq!(registry.open("tch:cpu?threads=3").unwrap().info().to_string(), version);
    assert!(registry.open("tch").unwrap().info().threads >= 1);
    for (spec, kind) in [
        ("tch:mps", ErrorKind::NotFound),
        ("tch:cpu:1", ErrorKind::NotFound),
        ("tch:cuda:x", ErrorKind::NotFound),
        ("tch:cuda:9999", ErrorKind::NotFound),
        ("tch?threads=0", ErrorKind::Config),
        ("tch?thread=1", ErrorKind::Config),
    ] {
        let err = registry.open(spec).unwrap_err();
        assert_eq!(err.kind(), kind, "{spec}");
        assert!(!err.to_string().contains('\n'), "{err}");
    }
    let device = cpu();
    assert!(OpCode::ALL.iter().all(|&op| device.supports(op, DType::F32)));
}

#[test]
fn every_device_keeps_its_number_of_threads() {
    let (one, three) = (open("tch?threads=1").unwrap(), open("tch?threads=3").unwrap());
    let x = floats(&[2], &[1.0, 2.0]);
    let used = |device: &crate::Tch| {
        upload(device, &x);
        tch::get_num_threads()
    };
    assert_eq!([used(&one), used(&three), used(&one)], [1, 3, 1]);
    thread::scope(|scope| {
        let other = scope.spawn(|| [used(&three), used(&one)]);
        assert_eq!(other.join().unwrap(), [3, 1]);
    });
    assert_eq!(tch::get_num_threads(), 1);
}

#[test]
fn threads_share_buffers() {
    let device = cpu();
    let mut draw = Draw::new(DType::F32);
    let conv = Conv::new(1, 1);
    let (x, w) = (draw.normal(&[4, 3, 9, 9]), draw.normal(&[5, 3, 3, 3]));
    let op = Op::Conv2d(conv);
    let (image, weight) = (upload(&device, &x), upload(&device, &w));
    let mut want = vec![0; 4 * 5 * 81 * 4];
    let first = execute(&device, &op, &[&image, &weight]).unwrap().remove(0);
    device.download(&first, &mut want).unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let made = execute(&device, &op, &[&image, &weight]).unwrap().remove(0);
                    let twice = execute(&device, &Op::Binary(Binary::Add), &[&made, &made]);
                    let half = Op::Affine { mul: 0.5, add: 0.0 };
                    let again = execute(&device, &half, &[&twice.unwrap()[0]]).unwrap().remove(0);
                    let mut got = vec![0; want.len()];
                    device.download(&again, &mut got).unwrap();
                    assert_eq!(got, want);
                }
            });
        }
    });
    assert_eq!(download(&device, &image).data, x.data);
}
