//! Every operation on every backend: agreement of dtypes, first and second derivatives against
//! finite differences, fused forms against their decompositions, errors.

use std::process::ExitCode;

use inocula_core::grad::check::{first_order, second_order};
use inocula_core::op::{Op, OpCode};
use inocula_core::rng::Rng;
use inocula_core::{DType, Device, Result, Tensor, fused};
use inocula_tests::gens::{Array, Gen, Instance};
use inocula_tests::harness::{Case, Needs, Outcome, ensure, run};
use inocula_tests::rows::REFERENCE;
use inocula_tests::tolerance::{DIFFERENCES, F32, F64, deviation};
use proptest::prelude::{ProptestConfig, any};
use proptest::test_runner::{RngAlgorithm, TestCaseError, TestRng, TestRunner};

const CASES: u32 = 24;

fn main() -> ExitCode {
    let mut cases = Vec::new();
    for &code in OpCode::ALL {
        for (dtype, check) in [(DType::F32, in_f32 as PropertyCheck), (DType::F64, in_f64)] {
            let case = property(format!("agrees_with_reference::{code}::{dtype}"), code, check);
            cases.push(case.needs(match code {
                // It is drawn between these two.
                OpCode::Cast => Needs::All(&[DType::F32, DType::F64]),
                _ => Needs::Op(code, dtype),
            }));
        }
        let constant = [OpCode::Full, OpCode::Iota, OpCode::Eq, OpCode::Lt, OpCode::Le];
        if !constant.contains(&code) {
            cases.push(property(format!("first_order::{code}"), code, first));
            cases.push(property(format!("second_order::{code}"), code, second));
        }
        if code.is_fused() {
            cases.push(property(format!("fused_equals_decomposed::{code}"), code, decomposed));
        }
    }
    cases.push(Case::new("results::same_bits_again", same_bits));
    cases.push(Case::new("errors::indices_out_of_range", indices_out_of_range));
    cases.push(Case::new("errors::first_error_surfaces", first_error_surfaces));
    cases.push(Case::new("graph::long_chains_are_freed", long_chains));
    run(cases)
}

type PropertyCheck = fn(&Device, &Instance, &mut Gen) -> Outcome;

/// A case that draws instances of `code` by proptest, always the same ones.
fn property(name: String, code: OpCode, check: PropertyCheck) -> Case {
    Case::new(name, move |device| {
        let config =
            ProptestConfig { cases: CASES, failure_persistence: None, ..Default::default() };
        let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let mut runner = TestRunner::new_with_rng(config, rng);
        let outcome = runner.run(&any::<u64>(), |seed| {
            let mut gens = Gen(Rng::new(seed).child(code.name()));
            let instance = gens.instance(code);
            check(device, &instance, &mut gens).map_err(|failed| {
                let why = failed.message().unwrap_or("failed");
                TestCaseError::fail(format!("{why}\n{instance:?}"))
            })
        });
        outcome.map_err(|e| e.to_string().into())
    })
}

fn tensors(device: &Device, args: &[Array], dtype: DType) -> Result<Vec<Tensor>> {
    args.iter().map(|a| a.tensor(device, dtype)).collect()
}

/// All results in one list.
fn results(device: &Device, instance: &Instance, dtype: DType) -> Result<Vec<f64>> {
    let args = tensors(device, &instance.args, dtype)?;
    let outs = match &instance.op {
        Op::Full { aval, value } => vec![Tensor::full(device, dtype, &aval.shape, *value)],
        Op::Iota { len } => vec![Tensor::iota(device, *len)],
        op => Tensor::apply_all(op.clone(), args).into_vec(),
    };
    let mut all = Vec::new();
    for out in outs {
        all.extend(out.to_f64_vec()?);
    }
    Ok(all)
}

fn in_f32(device: &Device, instance: &Instance, _: &mut Gen) -> Outcome {
    agreement(device, instance, DType::F32, F32)
}

fn in_f64(device: &Device, instance: &Instance, _: &mut Gen) -> Outcome {
    agreement(device, instance, DType::F64, F64)
}

/// Agreement with the reference in f64. Two devices that both agree with it agree with each other
/// to twice the tolerance.
fn agreement(device: &Device, instance: &Instance, dtype: DType, allowed: f64) -> Outcome {
    // Both see the same values, rounded to what f32 can hold.
    let mut rounded = instance.clone();
    for v in rounded.args.iter_mut().flat_map(|a| &mut a.values) {
        *v = f64::from(*v as f32);
    }
    let got = results(device, &rounded, dtype)?;
    let want = results(&REFERENCE, &rounded, DType::F64)?;
    let off = deviation(&got, &want);
    ensure(off <= allowed, || format!("{dtype} deviates by {off:e}: {got:?} for {want:?}"))
}

fn decomposed(device: &Device, instance: &Instance, _: &mut Gen) -> Outcome {
    let Op::Fused(op) = &instance.op else { return Err("not fused".into()) };
    for (dtype, allowed) in [(DType::F64, F64), (DType::F32, F32)] {
        let got = results(device, instance, dtype)?;
        let mut want = Vec::new();
        for out in fused::decompose(op, &tensors(device, &instance.args, dtype)?) {
            want.extend(out.to_f64_vec()?);
        }
        let off = deviation(&got, &want);
        ensure(off <= allowed, || format!("deviates by {off:e} in {dtype}: {got:?} for {want:?}"))?;
    }
    Ok(())
}

/// Whether a result can depend differentiably on the operand.
fn smooth(array: &Array) -> bool {
    !array.index && !array.condition
}

/// The operation as a function of its float operands, summed with weights over all results.
struct Smooth {
    op: Op,
    args: Vec<Tensor>,
    floats: Vec<usize>,
}

impl Smooth {
    fn new(device: &Device, instance: &Instance) -> Result<Self> {
        let args = tensors(device, &instance.args, DType::F64)?;
        let floats = (0..args.len()).filter(|&i| smooth(&instance.args[i])).collect();
        Ok(Smooth { op: instance.op.clone(), args, floats })
    }

    fn points(&self) -> Vec<Tensor> {
        self.floats.iter().map(|&i| self.args[i].clone()).collect()
    }

    /// The square of the first result plus the others, so that the second derivative of a linear
    /// operation is tested too.
    fn call(&self, points: &[Tensor]) -> Tensor {
        let mut args = self.args.clone();
        for (&i, point) in self.floats.iter().zip(points) {
            args[i] = point.clone();
        }
        let mut outs = Tensor::apply_all(self.op.clone(), args).into_iter();
        let Some(first) = outs.next() else { unreachable!("an operation has a result") };
        let first = first.cast(DType::F64);
        outs.fold(first.square() + &first, |sum, out| sum + out)
    }
}

/// Random tensors shaped like `like`.
fn directions(like: &[Tensor], gens: &mut Gen) -> Result<Vec<Tensor>> {
    let each = like.iter().map(|x| {
        let array = gens.values(&x.shape(), -1.0, 1.0);
        array.tensor(x.device(), DType::F64)
    });
    each.collect()
}

fn first(device: &Device, instance: &Instance, gens: &mut Gen) -> Outcome {
    let f = Smooth::new(device, instance)?;
    let xs = f.points();
    let out = f.call(&xs.iter().map(Tensor::tracked).collect::<Vec<_>>());
    out.check()?;
    let (u, dirs) = (directions(&[out], gens)?.swap_remove(0), directions(&xs, gens)?);
    if !differentiable(&f, &xs) {
        return Ok(());
    }
    let found = first_order(&|xs| f.call(xs), &xs, &dirs, &u)?;
    ensure(found.relative() <= DIFFERENCES, || format!("{found:?}"))
}

fn second(device: &Device, instance: &Instance, gens: &mut Gen) -> Outcome {
    let f = Smooth::new(device, instance)?;
    let xs = f.points();
    if !differentiable(&f, &xs) {
        return Ok(());
    }
    let out = f.call(&xs);
    let (u, dirs) = (directions(&[out], gens)?.swap_remove(0), directions(&xs, gens)?);
    let vs = directions(&xs, gens)?;
    let found = second_order(&|xs| f.call(xs), &xs, &dirs, &u, &vs)?;
    ensure(found.relative() <= DIFFERENCES, || format!("{found:?}"))
}

/// Whether the result depends differentiably on its operands at all: an index does not.
fn differentiable(f: &Smooth, xs: &[Tensor]) -> bool {
    !xs.is_empty() && f.call(&xs.iter().map(Tensor::tracked).collect::<Vec<_>>()).is_tracked()
}

fn same_bits(device: &Device) -> Outcome {
    let mut gens = Gen(Rng::new(11));
    let x = gens.floats(&[64, 300]).tensor(device, DType::F32)?;
    let w = gens.floats(&[200, 300]).tensor(device, DType::F32)?;
    let image = gens.floats(&[16, 3, 20, 20]).tensor(device, DType::F32)?;
    let kernel = gens.floats(&[8, 3, 3, 3]).tensor(device, DType::F32)?;
    let conv = inocula_core::op::Conv::new(1, 1);
    let compute = || -> Result<Vec<f32>> {
        let y = image.conv2d(&kernel, conv);
        let mut all = x.matmul_t(&w, false, true).to_vec::<f32>()?;
        all.extend(image.conv2d_dw(&y, conv, [3, 3]).to_vec::<f32>()?);
        all.extend(y.conv2d_dx(&kernel, conv, [20, 20]).to_vec::<f32>()?);
        all.extend(y.sum_all().to_vec::<f32>()?);
        Ok(all)
    };
    let first = compute()?;
    for _ in 0..5 {
        ensure(compute()? == first, || "the same computation gave other bits".into())?;
    }
    Ok(())
}

fn indices_out_of_range(device: &Device) -> Outcome {
    let x = Tensor::zeros(device, DType::F32, &[3, 4]);
    for bad in [-1i64, 4] {
        let at = Tensor::from_slice(device, &[0, bad, 0], &[3, 1])?;
        let flat = Tensor::from_slice(device, &[bad], &[1])?;
        let part = Tensor::zeros(device, DType::F32, &[3, 1]);
        let labels = Tensor::from_slice(device, &[0, bad, 0], &[3])?;
        for out in [
            x.gather(1, &at),
            x.scatter_add(1, &at, &part),
            x.take(1, &flat),
            x.put_add(1, &flat, &part),
            x.softmax_xent(&labels),
        ] {
            let text = out.to_vec::<f32>().err().map(|e| e.to_string()).unwrap_or_default();
            ensure(text.contains(&bad.to_string()), || format!("index {bad}: {text:?}"))?;
        }
    }
    Ok(())
}

fn first_error_surfaces(device: &Device) -> Outcome {
    let a = Tensor::zeros(device, DType::F32, &[2, 3]);
    let b = Tensor::zeros(device, DType::F32, &[4]);
    let y = ((&a + &b).exp() * 2.0).sum_all();
    let text = y.item().err().map(|e| e.to_string()).unwrap_or_default();
    ensure(text == "add: [2, 3] and [4] do not broadcast", || text.clone())
}

fn long_chains(device: &Device) -> Outcome {
    let x = Tensor::zeros(device, DType::F64, &[1]).tracked();
    let y = (0..200_000).fold(x.clone(), |y, _| y + 1.0);
    let g = inocula_core::grad::grad(&y, &[&x])?.swap_remove(0).to_vec::<f64>()?;
    ensure(g == [1.0], || format!("{g:?}"))
}
