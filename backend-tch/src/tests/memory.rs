//! Who may write where: views, donation, and arrays that lie in memory more than once.

use inocula_core::op::{Axes, Binary, Fused, Op, Unary, Window};
use inocula_core::{Arg, Backend, DType, Shape};

use super::cases::Draw;
use super::{cpu, download, execute, floats, infer, upload};
use crate::{Buf, Tch};

/// Where the first element lies.
fn place(buf: &Buf) -> usize {
    buf.tensor().data_ptr() as usize
}

/// Runs `op` on buffers that are given away.
fn give(device: &Tch, op: &Op, args: Vec<Buf>) -> Buf {
    let out = infer(op, &args.iter().map(Buf::aval).collect::<Vec<_>>());
    let mut slots: Vec<Option<Buf>> = args.into_iter().map(Some).collect();
    let mut args: Vec<Arg<'_, Buf>> = slots.iter_mut().map(Arg::Donated).collect();
    device.execute(op, &mut args, &out).unwrap().remove(0)
}

fn views() -> Vec<Op> {
    let shape = |dims: &[usize]| Shape::new(dims).unwrap();
    vec![
        Op::Permute { axes: [1, 0].into_iter().collect() },
        Op::Slice { start: [1, 2].into_iter().collect(), len: [3, 4].into_iter().collect() },
        Op::Reshape { shape: shape(&[2000]) },
        Op::Broadcast { shape: shape(&[3, 40, 50]) },
        Op::Cast(DType::F32),
        Op::Sum { axes: [].into_iter().collect() },
    ]
}

/// Every operation that writes into a donated operand, with the number of its operands.
fn writers() -> Vec<(Op, usize)> {
    let pgd = Fused::PgdStep { step: 0.5, eps: 1.0, lo: -3.0, hi: 3.0 };
    let adam = Fused::AdamStep { beta1: 0.5, beta2: 0.5, step: 0.5, scale: 1.0, eps: 1.0 };
    vec![
        (Op::Unary(Unary::Neg), 1),
        (Op::Affine { mul: 2.0, add: 1.0 }, 1),
        (Op::Affine { mul: 1.0, add: 1.0 }, 1),
        (Op::Binary(Binary::Add), 2),
        (Op::Binary(Binary::Sub), 2),
        (Op::Compare(inocula_core::op::Compare::Lt), 2),
        (Op::Fused(Fused::Relu), 1),
        (Op::Fused(Fused::ReluGrad), 2),
        (Op::Fused(pgd), 3),
        (Op::Fused(adam), 4),
    ]
}

#[test]
fn views_share_memory() {
    let device = cpu();
    let buf = upload(&device, &Draw::new(DType::F32).normal(&[40, 50]));
    for op in views() {
        let view = execute(&device, &op, &[&buf]).unwrap().remove(0);
        let offset = if matches!(op, Op::Slice { .. }) { 4 * (50 + 2) } else { 0 };
        assert_eq!(place(&view), place(&buf) + offset, "{op:?} copied");
    }
}

#[test]
fn a_donated_array_is_written_only_if_no_view_of_it_lives() {
    let device = cpu();
    let x = Draw::new(DType::F32).normal(&[40, 50]);
    for view in views() {
        for (op, arity) in writers() {
            let buf = upload(&device, &x);
            let kept = execute(&device, &view, &[&buf]).unwrap().remove(0);
            let before = download(&device, &kept).data;
            let rest = (1..arity).map(|_| upload(&device, &x));
            give(&device, &op, std::iter::once(buf).chain(rest).collect());
            let after = download(&device, &kept).data;
            assert_eq!(after, before, "{op:?} wrote through {view:?}");
        }
    }
}

#[test]
fn a_donated_view_is_written_only_if_its_original_is_gone() {
    let device = cpu();
    let x = floats(&[4, 6], &[1.0; 24]);
    let turn = Op::Permute { axes: [1, 0].into_iter().collect() };
    let original = upload(&device, &x);
    let view = execute(&device, &turn, &[&original]).unwrap().remove(0);
    give(&device, &Op::Unary(Unary::Neg), vec![view]);
    assert_eq!(download(&device, &original).data, x.data);
    let view = execute(&device, &turn, &[&original]).unwrap().remove(0);
    let at = place(&original);
    drop(original);
    let made = give(&device, &Op::Unary(Unary::Neg), vec![view]);
    assert_eq!((place(&made), download(&device, &made).data), (at, vec![-1.0; 24]));
}

#[test]
fn results_that_may_be_written_lie_apart_from_operands() {
    let device = cpu();
    let axes = |values: &[usize]| values.iter().copied().collect::<Axes>();
    let one = Window::square(1, 1, 0);
    // Operations that change nothing are the ones that libtorch might answer with their operand.
    for (op, dims) in [
        (Op::Unary(Unary::Round), &[2, 3][..]),
        (Op::Affine { mul: 1.0, add: 0.0 }, &[2, 3]),
        (Op::Sum { axes: axes(&[0]) }, &[1, 3]),
        (Op::Max { axis: 0 }, &[1, 3]),
        (Op::Flip { axes: axes(&[]) }, &[2, 3]),
        (Op::Flip { axes: axes(&[0]) }, &[1, 3]),
        (Op::Pad { before: axes(&[0, 0]), after: axes(&[0, 0]) }, &[2, 3]),
        (Op::Concat { axis: 0 }, &[2, 3]),
        (Op::Unfold2d(one), &[1, 2, 3, 4]),
        (Op::Fold2d { window: one, size: [3, 4] }, &[1, 2, 12]),
        (Op::Fused(Fused::MaxPool2d(one)), &[1, 2, 3, 4]),
        (Op::Fused(Fused::MaxPool2d(one)), &[2, 1, 1, 1]),
        (Op::Fused(Fused::Relu), &[2, 3]),
    ] {
        for dtype in [DType::F32, DType::F64] {
            let x = upload(&device, &Draw::new(dtype).normal(dims));
            let mut made = execute(&device, &op, &[&x]).unwrap().remove(0);
            assert!(made.is_writable() && place(&made) != place(&x), "{op:?} of {dims:?}");
        }
    }
}

#[test]
fn repeated_elements_are_never_written() {
    let device = cpu();
    for (op, arity) in writers() {
        let row = upload(&device, &floats(&[1, 3], &[1.0, -2.0, 3.0]));
        let wide = Op::Broadcast { shape: Shape::new(&[4, 3]).unwrap() };
        let spread = |row: &Buf| execute(&device, &wide, &[row]).unwrap().remove(0);
        let want = execute(&device, &op, &vec![&spread(&row); arity]).unwrap().remove(0);
        let args =
            (0..arity).map(|_| spread(&upload(&device, &floats(&[1, 3], &[1.0, -2.0, 3.0]))));
        let got = give(&device, &op, args.collect());
        assert_eq!(download(&device, &got).data, download(&device, &want).data, "{op:?}");
    }
}

#[test]
fn memory_that_was_given_away_is_used_again() {
    let device = cpu();
    for (op, arity) in writers() {
        let args: Vec<Buf> =
            (0..arity).map(|i| upload(&device, &floats(&[8], &[i as f64; 8]))).collect();
        let places: Vec<usize> = args.iter().map(place).collect();
        let made = give(&device, &op, args);
        assert!(places.contains(&place(&made)), "{op:?} took new memory");
    }
}

#[test]
fn memory_is_lent_where_nobody_else_sees_it_and_it_is_in_order() {
    let device = cpu();
    let x = floats(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let mut buf = upload(&device, &x);
    device.host_memory(&mut buf).unwrap()[4..8].copy_from_slice(&9.0_f32.to_ne_bytes());
    assert_eq!(download(&device, &buf).data, [1.0, 9.0, 3.0, 4.0, 5.0, 6.0]);
    for op in views() {
        let mut buf = upload(&device, &Draw::new(DType::F32).normal(&[40, 50]));
        let view = execute(&device, &op, &[&buf]).unwrap().remove(0);
        assert!(device.host_memory(&mut buf).is_none(), "{op:?} sees it too");
        drop(view);
        assert!(device.host_memory(&mut buf).is_some(), "{op:?} is gone");
    }
    let turn = Op::Permute { axes: [1, 0].into_iter().collect() };
    let mut turned = give(&device, &turn, vec![upload(&device, &x)]);
    assert!(device.host_memory(&mut turned).is_none(), "not row-major");
    let spread = Op::Broadcast { shape: Shape::new(&[4, 2, 3]).unwrap() };
    let mut spread = give(&device, &spread, vec![upload(&device, &x)]);
    assert!(device.host_memory(&mut spread).is_none(), "one place for several elements");
}
