//! Every operation against its definition, in all dtypes and layouts, and what definitions leave out.
//!
//! The definitions, and operands drawn so that ties and edges occur, are those with which the
//! pure-Rust backend is tested: the files are shared, so that a case added for one is run on both.

mod agreement;
#[path = "../../../backend-ndarray/src/tests/cases.rs"]
mod cases;
mod contract;
mod memory;
#[path = "../../../backend-ndarray/src/tests/reference.rs"]
mod reference;

use inocula_core::op::{Axes, Op};
use inocula_core::{Arg, Aval, Backend, DType, DeviceSpec, Open as _, Result, Shape};
use smallvec::SmallVec;

use crate::{Buf, Tch};
use reference::Value;

fn open(spec: &str) -> Result<Tch> {
    Tch::open(DeviceSpec::parse(spec)?)
}

fn cpu() -> Tch {
    open("tch?threads=2").unwrap()
}

fn floats(dims: &[usize], data: &[f64]) -> Value {
    Value::new(DType::F32, dims, data.to_vec())
}

fn integers(dims: &[usize], data: &[f64]) -> Value {
    Value::new(DType::I64, dims, data.to_vec())
}

fn upload(device: &Tch, value: &Value) -> Buf {
    let bytes: Vec<u8> = match value.aval.dtype {
        DType::F32 => value.data.iter().flat_map(|&v| (v as f32).to_le_bytes()).collect(),
        DType::F64 => value.data.iter().flat_map(|&v| v.to_le_bytes()).collect(),
        DType::I64 => value.data.iter().flat_map(|&v| (v as i64).to_le_bytes()).collect(),
    };
    device.upload(&value.aval, &bytes).unwrap()
}

fn download(device: &Tch, buf: &Buf) -> Value {
    let aval = buf.aval();
    let mut bytes = vec![0; aval.bytes()];
    device.download(buf, &mut bytes).unwrap();
    let read = |word: &[u8]| match aval.dtype {
        DType::F32 => f64::from(f32::from_le_bytes(word.try_into().unwrap())),
        DType::F64 => f64::from_le_bytes(word.try_into().unwrap()),
        DType::I64 => i64::from_le_bytes(word.try_into().unwrap()) as f64,
    };
    Value { aval, data: bytes.chunks(aval.dtype.size()).map(read).collect() }
}

fn infer(op: &Op, args: &[Aval]) -> SmallVec<[Aval; 1]> {
    op.infer(args).unwrap_or_else(|e| panic!("a case is malformed: {e}"))
}

/// Runs `op` on buffers that others may read.
fn execute(device: &Tch, op: &Op, args: &[&Buf]) -> Result<SmallVec<[Buf; 1]>> {
    let out = infer(op, &args.iter().map(|b| b.aval()).collect::<Vec<_>>());
    let mut args: Vec<Arg<'_, Buf>> = args.iter().map(|&b| Arg::Shared(b)).collect();
    device.execute(op, &mut args, &out)
}

/// Runs `op` on values; its first result.
fn run(op: &Op, args: &[Value]) -> Result<Value> {
    let device = cpu();
    let bufs: Vec<Buf> = args.iter().map(|a| upload(&device, a)).collect();
    let made = execute(&device, op, &bufs.iter().collect::<Vec<_>>())?;
    Ok(download(&device, &made[0]))
}

/// Runs `op` on values by its definition.
fn define(op: &Op, args: &[Value]) -> Vec<Value> {
    reference::run(op, args, &infer(op, &args.iter().map(|a| a.aval).collect::<Vec<_>>()))
}

/// How the elements of an operand lie in memory.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Disguise {
    Dense,
    Permuted,
    Sliced,
    Broadcast,
}

const DISGUISES: [Disguise; 4] =
    [Disguise::Dense, Disguise::Permuted, Disguise::Sliced, Disguise::Broadcast];

/// A buffer that lies in memory as asked, and the value it then has: a broadcast makes it constant
/// along its first axis.
fn disguised(device: &Tch, value: &Value, disguise: Disguise) -> (Buf, Value) {
    let dims = value.dims().to_vec();
    if dims.is_empty() || disguise == Disguise::Dense || dims[0] == 0 {
        return (upload(device, value), value.clone());
    }
    let (stored, undo) = match disguise {
        Disguise::Dense => unreachable!("returned above"),
        Disguise::Permuted => {
            let op = Op::Permute { axes: (0..dims.len()).rev().collect() };
            (define(&op, std::slice::from_ref(value)).remove(0), op)
        }
        Disguise::Sliced => {
            let around: Axes = (0..dims.len()).map(|a| 1 + a % 2).collect();
            let pad = Op::Pad { before: around.clone(), after: around.clone() };
            let op = Op::Slice { start: around, len: dims.iter().copied().collect() };
            (define(&pad, std::slice::from_ref(value)).remove(0), op)
        }
        Disguise::Broadcast => {
            let mut len: Axes = dims.iter().copied().collect();
            len[0] = 1;
            let first = Op::Slice { start: dims.iter().map(|_| 0).collect(), len };
            let op = Op::Broadcast { shape: Shape::new(&dims).unwrap() };
            (define(&first, std::slice::from_ref(value)).remove(0), op)
        }
    };
    let buf = execute(device, &undo, &[&upload(device, &stored)]).unwrap().remove(0);
    (buf, define(&undo, &[stored]).remove(0))
}

/// Fails unless `got` is `want` to the rounding of its dtype, sums having terms of about one.
fn assert_close(got: &Value, want: &Value, context: &str) {
    assert_eq!(got.aval, want.aval, "{context}");
    let finite = want.data.iter().filter(|v| v.is_finite());
    let scale = finite.fold(1.0, |m: f64, v| m.max(v.abs()));
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
