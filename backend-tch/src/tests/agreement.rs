//! Kernels agree with the definitions, however operands lie in memory, and whoever gives them away.

use std::collections::BTreeSet;

use inocula_core::op::{Op, OpCode};
use inocula_core::{Arg, Backend, DType};

use super::cases::{self, Case, Draw};
use super::reference::Value;
use super::{
    DISGUISES, Disguise, assert_close, cpu, define, disguised, download, execute, infer, upload,
};
use crate::{Buf, Tch};

fn all(dtype: DType) -> Vec<Case> {
    let mut cases = cases::any(dtype);
    if dtype.is_float() {
        cases.extend(cases::float(dtype));
    }
    cases
}

fn name(case: &Case, dtype: DType) -> String {
    let shapes: Vec<String> = case.args.iter().map(|a| a.aval.to_string()).collect();
    format!("{:?} of {} in {dtype}", case.op, shapes.join(", "))
}

/// Definitions are slow: large operands, which are there for the kernels that divide work among
/// threads, come in the usual order only.
fn disguises(case: &Case) -> &'static [Disguise] {
    match case.args.iter().any(|a| a.data.len() > 5000) {
        true => &DISGUISES[..1],
        false => &DISGUISES,
    }
}

fn agrees(dtype: DType) {
    let device = cpu();
    for case in all(dtype) {
        for disguise in disguises(&case) {
            let context = format!("{disguise:?} {}", name(&case, dtype));
            let (bufs, args): (Vec<Buf>, Vec<Value>) =
                case.args.iter().map(|a| disguised(&device, a, *disguise)).unzip();
            let want = define(&case.op, &args);
            let got = match case.args.is_empty() {
                true => device.execute(&case.op, &mut [], &infer(&case.op, &[])),
                false => execute(&device, &case.op, &bufs.iter().collect::<Vec<_>>()),
            };
            let got = got.unwrap_or_else(|e| panic!("{context}: {e}"));
            assert_eq!(got.len(), want.len());
            for (got, want) in got.iter().zip(&want) {
                assert_close(&download(&device, got), want, &context);
            }
        }
    }
}

#[test]
fn f32_agrees_with_the_definitions() {
    agrees(DType::F32);
}

#[test]
fn f64_agrees_with_the_definitions() {
    agrees(DType::F64);
}

#[test]
fn i64_agrees_with_the_definitions() {
    agrees(DType::I64);
}

#[test]
fn every_operation_has_a_case() {
    let covered: BTreeSet<OpCode> = all(DType::F32).iter().map(|c| c.op.code()).collect();
    let missing: Vec<_> = OpCode::ALL.iter().filter(|&c| !covered.contains(c)).collect();
    assert!(missing.is_empty(), "no case for {missing:?}");
}

/// Runs a case with each operand donated or not, as the bits of `donate` say; those that were not
/// must stay as they were.
fn donating(device: &Tch, case: &Case, disguise: Disguise, donate: u32) -> Vec<Value> {
    let (bufs, args): (Vec<Buf>, Vec<Value>) =
        case.args.iter().map(|a| disguised(device, a, disguise)).unzip();
    let out = infer(&case.op, &args.iter().map(|a| a.aval).collect::<Vec<_>>());
    let mut slots: Vec<Option<Buf>> = bufs.into_iter().map(Some).collect();
    let given = |i: usize| donate >> i & 1 == 1;
    let made = {
        let operand = |(i, slot)| match (given(i), slot) {
            (true, slot) => Arg::Donated(slot),
            (false, slot) => Arg::Shared(slot.as_ref().unwrap()),
        };
        let mut args: Vec<Arg<'_, Buf>> = slots.iter_mut().enumerate().map(operand).collect();
        device.execute(&case.op, &mut args, &out).unwrap()
    };
    for (i, before) in args.iter().enumerate().filter(|(i, _)| !given(*i)) {
        let after = download(device, slots[i].as_ref().unwrap());
        assert_eq!(after.data, before.data, "operand {i} of {:?} was changed", case.op);
    }
    made.iter().map(|buf| download(device, buf)).collect()
}

#[test]
fn a_donated_operand_changes_nothing_but_speed() {
    let device = cpu();
    for dtype in [DType::F32, DType::F64, DType::I64] {
        for case in all(dtype).iter().filter(|c| !c.args.is_empty()) {
            for &disguise in disguises(case) {
                let want = donating(&device, case, disguise, 0);
                for donate in 1..1u32 << case.args.len() {
                    let got = donating(&device, case, disguise, donate);
                    for (got, want) in got.iter().zip(&want) {
                        assert_close(got, want, &format!("{donate:b} {}", name(case, dtype)));
                    }
                }
            }
        }
    }
}

#[test]
fn norms_of_rows_agree_with_the_definition() {
    let device = cpu();
    let op = Op::MatMul { trans_a: false, trans_b: true };
    for dims in [[5, 1, 1], [3, 1, 63], [4, 1, 64], [2, 1, 1000], [0, 1, 7], [3, 1, 0], [2, 2, 9]] {
        let rows = Draw::new(DType::F32).normal(&dims);
        let buf = upload(&device, &rows);
        let got = execute(&device, &op, &[&buf, &buf]).unwrap().remove(0);
        let want = define(&op, &[rows.clone(), rows]).remove(0);
        assert_close(&download(&device, &got), &want, &format!("{dims:?}"));
    }
}
