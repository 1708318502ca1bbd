//! Memory that is reused is nobody else's, and devices are used from several threads.

use inocula_core::{DType, Tensor};

use super::flex;

#[test]
fn what_somebody_else_holds_is_not_computed_over() {
    let device = flex();
    let x = Tensor::from_slice(&device, &[1.0f32, -2.0, 3.0, -4.0], &[2, 2]).unwrap();
    let view = x.permute(&[1, 0]);
    let kept = x.clone();
    let negated = -x;
    assert_eq!(negated.to_vec::<f32>().unwrap(), [-1.0, 2.0, -3.0, 4.0]);
    assert_eq!(kept.to_vec::<f32>().unwrap(), [1.0, -2.0, 3.0, -4.0]);
    assert_eq!(view.to_vec::<f32>().unwrap(), [1.0, 3.0, -2.0, -4.0]);
    // The last handle on `kept` is given away while a view of the same memory is alive.
    let shifted = kept + 10.0;
    assert_eq!(shifted.to_vec::<f32>().unwrap(), [11.0, 8.0, 13.0, 6.0]);
    assert_eq!(view.to_vec::<f32>().unwrap(), [1.0, 3.0, -2.0, -4.0]);
}

#[test]
fn an_operand_may_be_both_operands() {
    let device = flex();
    let x = Tensor::from_slice(&device, &[3.0f32, 4.0], &[2]).unwrap();
    assert_eq!((&x * &x).to_vec::<f32>().unwrap(), [9.0, 16.0]);
    assert_eq!((x.clone() + x).to_vec::<f32>().unwrap(), [6.0, 8.0]);
}

#[test]
fn four_threads_share_a_device() {
    let device = flex();
    let w = Tensor::full(&device, DType::F32, &[64, 64], 0.5);
    std::thread::scope(|scope| {
        for n in 1..=4u8 {
            let (device, w) = (&device, &w);
            scope.spawn(move || {
                for _ in 0..20 {
                    let x = Tensor::full(device, DType::F32, &[8, 64], f64::from(n));
                    let y = x.matmul(w).to_vec::<f32>().unwrap();
                    assert!(y.iter().all(|v| *v == 32.0 * f32::from(n)));
                }
            });
        }
    });
}
