//! Every operation against its definition, in all dtypes, layouts and thread counts.

mod agreement;
mod cases;
mod contract;
mod reference;
mod speed;

use inocula_core::op::{Axes, Op};
use inocula_core::{Arg, Aval, Backend, DType, Result, Shape};
use smallvec::SmallVec;

use crate::{Buf, Cpu};
use reference::Value;

fn upload(cpu: &Cpu, value: &Value) -> Buf {
    let bytes: Vec<u8> = match value.aval.dtype {
        DType::F32 => value.data.iter().flat_map(|&v| (v as f32).to_le_bytes()).collect(),
        DType::F64 => value.data.iter().flat_map(|&v| v.to_le_bytes()).collect(),
        DType::I64 => value.data.iter().flat_map(|&v| (v as i64).to_le_bytes()).collect(),
    };
    cpu.upload(&value.aval, &bytes).unwrap()
}

fn download(cpu: &Cpu, buf: &Buf, aval: Aval) -> Value {
    let mut bytes = vec![0; aval.bytes()];
    cpu.download(buf, &mut bytes).unwrap();
    let data = bytes
        .chunks(aval.dtype.size())
        .map(|word| match aval.dtype {
            DType::F32 => f64::from(f32::from_le_bytes(word.try_into().unwrap())),
            DType::F64 => f64::from_le_bytes(word.try_into().unwrap()),
            DType::I64 => i64::from_le_bytes(word.try_into().unwrap()) as f64,
        })
        .collect();
    Value { aval, data }
}

fn infer(op: &Op, args: &[Value]) -> SmallVec<[Aval; 1]> {
    let avals: Vec<Aval> = args.iter().map(|a| a.aval).collect();
    op.infer(&avals).unwrap_or_else(|e| panic!("a case is malformed: {e}"))
}

/// Runs `op` on shared buffers.
fn execute(cpu: &Cpu, op: &Op, args: &[&Buf], out: &[Aval]) -> Result<SmallVec<[Buf; 1]>> {
    let mut args: Vec<Arg<'_, Buf>> = args.iter().map(|&b| Arg::Shared(b)).collect();
    cpu.execute(op, &mut args, out)
}

/// Runs `op` on one buffer and gives its single result.
fn step(cpu: &Cpu, op: &Op, x: &Buf, from: Aval) -> (Buf, Aval) {
    let out = op.infer(&[from]).unwrap();
    (execute(cpu, op, &[x], &out).unwrap().remove(0), out[0])
}

/// How the elements of an operand lie in memory.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Disguise {
    Dense,
    Permuted,
    /// The second axis innermost: images with their channels side by side.
    ChannelsLast,
    Sliced,
    Flipped,
    Broadcast,
}

const DISGUISES: [Disguise; 6] = [
    Disguise::Dense,
    Disguise::Permuted,
    Disguise::ChannelsLast,
    Disguise::Sliced,
    Disguise::Flipped,
    Disguise::Broadcast,
];

/// A buffer of this value that lies in memory as asked. A broadcast makes the value constant along
/// its first axis, so it comes with the value that it has.
fn disguised(cpu: &Cpu, value: &Value, disguise: Disguise) -> (Buf, Value) {
    let dims = value.dims().to_vec();
    let rank = dims.len();
    if rank == 0 || disguise == Disguise::Dense {
        return (upload(cpu, value), value.clone());
    }
    let axes = |i: std::ops::Range<usize>| i.collect::<Axes>();
    let reference = |op: &Op, v: &Value| {
        reference::run(op, std::slice::from_ref(v), &infer(op, std::slice::from_ref(v))).remove(0)
    };
    let (stored, undo) = match disguise {
        Disguise::Dense => unreachable!(),
        Disguise::Permuted => {
            let reversed: Axes = (0..rank).rev().collect();
            let op = Op::Permute { axes: reversed };
            (reference(&op, value), op)
        }
        Disguise::ChannelsLast if rank < 3 => return (upload(cpu, value), value.clone()),
        Disguise::ChannelsLast => {
            let last: Axes = [0].into_iter().chain(2..rank).chain([1]).collect();
            let back: Axes = [0, rank - 1].into_iter().chain(1..rank - 1).collect();
            (reference(&Op::Permute { axes: last }, value), Op::Permute { axes: back })
        }
        Disguise::Flipped => {
            let op = Op::Flip { axes: axes(0..rank) };
            (reference(&op, value), op)
        }
        Disguise::Sliced => {
            let around: Axes = (0..rank).map(|a| 1 + a % 2).collect();
            let pad = Op::Pad { before: around.clone(), after: around.clone() };
            let len = dims.iter().copied().collect();
            (reference(&pad, value), Op::Slice { start: around, len })
        }
        Disguise::Broadcast => {
            let mut len: Axes = dims.iter().copied().collect();
            if len[0] == 0 {
                return (upload(cpu, value), value.clone());
            }
            len[0] = 1;
            let first = Op::Slice { start: axes(0..rank).iter().map(|_| 0).collect(), len };
            (reference(&first, value), Op::Broadcast { shape: Shape::new(&dims).unwrap() })
        }
    };
    let value = reference(&undo, &stored);
    let (buf, aval) = step(cpu, &undo, &upload(cpu, &stored), stored.aval);
    assert_eq!(aval, value.aval);
    (buf, value)
}

/// Fails unless `got` is `want` to the rounding of its dtype, given that sums in it have `terms`
/// terms of about one.
fn assert_close(got: &Value, want: &Value, context: &str) {
    assert_eq!(got.aval, want.aval, "{context}");
    let scale =
        want.data.iter().fold(1.0, |m: f64, v| if v.is_finite() { m.max(v.abs()) } else { m });
    let tolerance = match want.aval.dtype {
        DType::F32 => 4e-6 * scale,
        DType::F64 => 1e-13 * scale,
        DType::I64 => 0.0,
    };
    for (i, (g, w)) in got.data.iter().zip(&want.data).enumerate() {
        let same = g == w || (g - w).abs() <= tolerance || (g.is_nan() && w.is_nan());
        assert!(same, "{context}: element {i} of {} is {g}, not {w}", want.aval);
    }
}

/// Fails unless both are the same bits.
fn assert_same(got: &Value, want: &Value, context: &str) {
    assert_eq!(got.aval, want.aval, "{context}");
    let differ = got.data.iter().zip(&want.data).position(|(g, w)| g.to_bits() != w.to_bits());
    assert_eq!(differ, None, "{context}: bits differ");
}
