//! Kernels agree with the definitions, however operands lie in memory and whoever computes.

use std::collections::BTreeSet;

use inocula_core::op::{Fused, Op, OpCode};
use inocula_core::{Arg, Backend, DType};

use super::cases::{self, Case};
use super::reference::{self, Value};
use super::{DISGUISES, Disguise, assert_close, assert_same, disguised, download, execute, infer};
use crate::simd::Isa;
use crate::{Buf, Cpu};

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

/// Whether making an operand constant along its first axis leaves it a valid one.
fn may_broadcast(op: &Op) -> bool {
    !matches!(op, Op::Fused(Fused::MaxPool2dGrad(_)) | Op::MaxPool2dIdx(_))
}

fn agrees(dtype: DType) {
    agrees_on(&Cpu::new(2).unwrap(), dtype);
}

fn agrees_on(cpu: &Cpu, dtype: DType) {
    for case in all(dtype) {
        let large = case.args.iter().any(|a| a.data.len() > 5000);
        for disguise in DISGUISES {
            let skip = case.args.is_empty() && disguise != Disguise::Dense;
            if skip || (disguise == Disguise::Broadcast && !may_broadcast(&case.op)) {
                continue;
            }
            if large && matches!(disguise, Disguise::Flipped | Disguise::Broadcast) {
                continue;
            }
            let context = format!("{disguise:?} {}", name(&case, dtype));
            let (bufs, args): (Vec<Buf>, Vec<Value>) =
                case.args.iter().map(|a| disguised(cpu, a, disguise)).unzip();
            let out = infer(&case.op, &args);
            let want = reference::run(&case.op, &args, &out);
            let bufs: Vec<&Buf> = bufs.iter().collect();
            let got =
                execute(cpu, &case.op, &bufs, &out).unwrap_or_else(|e| panic!("{context}: {e}"));
            assert_eq!(got.len(), want.len());
            for (got, want) in got.iter().zip(&want) {
                assert_close(&download(cpu, got, want.aval), want, &context);
            }
        }
    }
}

/// The path of each instruction set, the portable one among them.
#[test]
fn every_instruction_set_agrees_with_the_definitions() {
    for isa in Isa::available() {
        agrees_on(&Cpu::with_isa(2, Some(isa)).unwrap(), DType::F32);
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

/// Runs a case with each operand donated or not, as the bits of `donate` say.
fn donating(cpu: &Cpu, case: &Case, disguise: Disguise, donate: u32) -> Vec<Value> {
    let (bufs, args): (Vec<Buf>, Vec<Value>) =
        case.args.iter().map(|a| disguised(cpu, a, disguise)).unzip();
    let out = infer(&case.op, &args);
    let mut slots: Vec<Option<Buf>> = bufs.into_iter().map(Some).collect();
    let results = {
        let mut args: Vec<Arg<'_, Buf>> = slots
            .iter_mut()
            .enumerate()
            .map(|(i, slot)| match donate >> i & 1 {
                1 => Arg::Donated(slot),
                _ => Arg::Shared(slot.as_ref().unwrap()),
            })
            .collect();
        cpu.execute(&case.op, &mut args, &out).unwrap()
    };
    for (slot, before) in slots.iter().zip(&args) {
        if let Some(buf) = slot {
            let shared = donate == 0;
            if shared {
                assert_same(&download(cpu, buf, before.aval), before, "operand changed");
            }
        }
    }
    results.iter().zip(&out).map(|(r, o)| download(cpu, r, *o)).collect()
}

#[test]
fn a_donated_operand_gives_the_same_bits() {
    let cpu = Cpu::new(2).unwrap();
    for dtype in [DType::F32, DType::F64, DType::I64] {
        for case in all(dtype).iter().filter(|c| !c.args.is_empty()) {
            for disguise in [Disguise::Dense, Disguise::Permuted] {
                let want = donating(&cpu, case, disguise, 0);
                for donate in 1..1u32 << case.args.len() {
                    let got = donating(&cpu, case, disguise, donate);
                    for (got, want) in got.iter().zip(&want) {
                        assert_same(got, want, &format!("{donate:b} {}", name(case, dtype)));
                    }
                }
            }
        }
    }
}

#[test]
fn bits_repeat_and_threads_agree() {
    let devices: Vec<Cpu> = (1..=3).map(|n| Cpu::new(n).unwrap()).collect();
    for dtype in [DType::F32, DType::F64] {
        for case in all(dtype) {
            let run = |cpu: &Cpu| donating(cpu, &case, Disguise::Dense, 0);
            let first = run(&devices[0]);
            for cpu in &devices {
                let (once, again) = (run(cpu), run(cpu));
                for ((once, again), first) in once.iter().zip(&again).zip(&first) {
                    assert_same(again, once, &name(&case, dtype));
                    // Only a weight gradient is summed by thread.
                    if matches!(case.op, Op::Conv2dDw { .. }) {
                        assert_close(once, first, &name(&case, dtype));
                    } else {
                        assert_same(once, first, &name(&case, dtype));
                    }
                }
            }
        }
    }
}
