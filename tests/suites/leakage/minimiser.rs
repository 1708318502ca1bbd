//! L-BFGS on functions whose minimum is known.

use inocula_core::grad::grad;
use inocula_core::lbfgs::{End, Lbfgs};
use inocula_core::{DType, Device, Tensor};
use inocula_tests::harness::{Outcome, ensure};

/// `sum_i c_i (x_i - i)^2 / 2` over two tensors, curvatures from 1 to 1000. With all 40 directions in
/// memory the number of steps is about that of the unknowns; steepest descent takes thousands.
pub(crate) fn quadratic(device: &Device) -> Outcome {
    for (dtype, off) in [(DType::F32, 1e-4), (DType::F64, 1e-9)] {
        let n = 20;
        let scale = |i: usize| 1000f64.powf(i as f64 / (n - 1) as f64);
        let curvature: Vec<f64> = (0..n).map(scale).collect();
        let wanted: Vec<f64> = (0..n).map(|i| i as f64 / 4.0).collect();
        let c = Tensor::from_f64(device, dtype, &curvature, &[n])?;
        let w = Tensor::from_f64(device, dtype, &wanted, &[n])?;
        let start = vec![Tensor::zeros(device, dtype, &[n]), Tensor::zeros(device, dtype, &[n])];
        let objective = &mut |x: &[Tensor]| {
            let x: Vec<Tensor> = x.iter().map(Tensor::tracked).collect();
            let term = |x: &Tensor, c: &Tensor| (c * (x - &w).square()).sum_all() * 0.5;
            let value = term(&x[0], &c) + term(&x[1], &c.fill(1.0));
            Ok((value.item()?, grad(&value, &[&x[0], &x[1]])?))
        };
        let tolerance = if dtype == DType::F32 { 1e-4 } else { 1e-9 };
        let search = Lbfgs { tolerance, memory: 50, ..Lbfgs::default() };
        let found = search.minimise(start, objective)?;
        ensure(found.end == End::Converged, || {
            format!("{dtype}: {:?} {}", found.end, found.gradient_norm)
        })?;
        ensure(found.steps < 100, || format!("{dtype}: {} steps", found.steps))?;
        for x in &found.x {
            let x = x.to_f64_vec()?;
            let worst = x.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            ensure(worst < off, || format!("{dtype}: {worst:e} from the minimum"))?;
        }
    }
    Ok(())
}

/// Rosenbrock's function in ten variables, from its usual start.
pub(crate) fn rosenbrock(device: &Device) -> Outcome {
    let n = 10;
    let start: Vec<f64> = (0..n).map(|i| if i % 2 == 0 { -1.2 } else { 1.0 }).collect();
    let start = vec![Tensor::from_f64(device, DType::F64, &start, &[n])?];
    let objective = &mut |x: &[Tensor]| {
        let x = x[0].tracked();
        let (a, b) = (x.narrow(0, 0, n - 1), x.narrow(0, 1, n - 1));
        let value = ((b - a.square()).square() * 100.0 + a.affine(-1.0, 1.0).square()).sum_all();
        Ok((value.item()?, grad(&value, &[&x])?))
    };
    let found = Lbfgs { tolerance: 1e-9, ..Lbfgs::default() }.minimise(start, objective)?;
    let x = found.x[0].to_f64_vec()?;
    let worst = x.iter().map(|v| (v - 1.0).abs()).fold(0.0, f64::max);
    ensure(found.end == End::Converged && worst < 1e-8, || format!("{worst:e}, {:?}", found.end))?;
    ensure(found.evaluations < 200, || format!("{} evaluations", found.evaluations))
}

/// A step into a region without values is taken back; a start there is refused.
pub(crate) fn not_finite(device: &Device) -> Outcome {
    let log = |x: &[Tensor]| {
        let x = x[0].tracked();
        let value = (&x - &x.log()).sum_all();
        Ok((value.item()?, grad(&value, &[&x])?))
    };
    let at = |v: f64| Tensor::from_f64(device, DType::F64, &[v], &[1]);
    let found = Lbfgs::default().minimise(vec![at(0.01)?], &mut { log })?;
    ensure((found.x[0].item()? - 1.0).abs() < 1e-8, || format!("{:?}", found.x[0].item()))?;
    let refused = Lbfgs::default().minimise(vec![at(-1.0)?], &mut { log });
    ensure(refused.is_err(), || "a start without a value was taken".into())
}
