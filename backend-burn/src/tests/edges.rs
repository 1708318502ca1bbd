//! Shapes without elements or axes, indices out of range, ties, and values that are not numbers.

use inocula_core::op::Window;
use inocula_core::{DType, Device, Shape, Tensor};

use super::flex;

fn floats(device: &Device, values: &[f32], shape: &[usize]) -> Tensor {
    Tensor::from_slice(device, values, shape).unwrap()
}

fn ints(device: &Device, values: &[i64], shape: &[usize]) -> Tensor {
    Tensor::from_slice(device, values, shape).unwrap()
}

#[test]
fn arrays_without_elements_go_through_every_kind_of_operation() {
    let device = flex();
    let none = Tensor::zeros(&device, DType::F32, &[0, 3]);
    let some = Tensor::zeros(&device, DType::F32, &[3, 2]);
    for (made, shape) in [
        (none.exp(), vec![0, 3]),
        (&none + &none, vec![0, 3]),
        (none.matmul(&some), vec![0, 2]),
        (none.permute(&[1, 0]), vec![3, 0]),
        (none.reshape(&[3, 0, 2]), vec![3, 0, 2]),
        (none.broadcast(Shape::new(&[2, 0, 3]).unwrap()), vec![2, 0, 3]),
    ] {
        assert_eq!(made.check().unwrap().shape().to_vec(), shape);
        assert!(made.to_vec::<f32>().unwrap().is_empty());
    }
    assert_eq!(none.sum(&[0]).to_vec::<f32>().unwrap(), [0.0; 3]);
    let sum = none.permute(&[1, 0]).matmul(&Tensor::zeros(&device, DType::F32, &[0, 2]));
    assert_eq!(sum.to_vec::<f32>().unwrap(), [0.0; 6]);
}

#[test]
fn scalars_have_no_axis() {
    let device = flex();
    let two = floats(&device, &[2.0], &[]);
    let x = floats(&device, &[1.0, 3.0], &[2]);
    assert_eq!((&two * &two).to_vec::<f32>().unwrap(), [4.0]);
    assert_eq!((&two * &two).shape().rank(), 0);
    assert_eq!((&x * &two).to_vec::<f32>().unwrap(), [2.0, 6.0]);
    assert_eq!(x.sum_all().shape().rank(), 0);
}

#[test]
fn six_axes_work() {
    let device = flex();
    let values: Vec<f32> = (0..64u8).map(f32::from).collect();
    let x = floats(&device, &values, &[2; 6]);
    let turned = x.permute(&[5, 4, 3, 2, 1, 0]).flip(&[0]).sum(&[1, 4]);
    let reference = inocula_core::Registry::new().with(inocula_backend_ndarray::ENTRY);
    let y = floats(&reference.open("ndarray").unwrap(), &values, &[2; 6]);
    let want = y.permute(&[5, 4, 3, 2, 1, 0]).flip(&[0]).sum(&[1, 4]);
    assert_eq!(turned.to_vec::<f32>().unwrap(), want.to_vec::<f32>().unwrap());
}

#[test]
fn an_index_out_of_range_is_an_error_that_names_it() {
    let device = flex();
    let x = floats(&device, &[0.0; 6], &[2, 3]);
    for bad in [-1, 3] {
        let at = ints(&device, &[0, bad], &[2, 1]);
        let text = x.gather(1, &at).check().unwrap_err().to_string();
        assert!(text.contains(&bad.to_string()) && text.contains("gather"), "{text}");
        let labels = ints(&device, &[0, bad], &[2]);
        let text = x.softmax_xent(&labels).check().unwrap_err().to_string();
        assert!(text.contains(&bad.to_string()), "{text}");
    }
}

#[test]
fn indices_that_repeat_add_up() {
    let device = flex();
    let base = floats(&device, &[1.0, 1.0, 1.0], &[3]);
    let at = ints(&device, &[2, 0, 2], &[3]);
    let sum = base.put_add(0, &at, &floats(&device, &[10.0, 20.0, 30.0], &[3]));
    assert_eq!(sum.to_vec::<f32>().unwrap(), [21.0, 1.0, 41.0]);
}

#[test]
fn of_equal_values_the_first_is_the_largest() {
    let device = flex();
    let x = floats(&device, &[5.0, 7.0, 7.0, 5.0], &[1, 4]);
    assert_eq!(x.argmax(1).to_vec::<i64>().unwrap(), [1]);
    let flat = floats(&device, &[0.0; 16], &[1, 1, 4, 4]);
    let idx = flat.max_pool2d_idx(Window::square(2, 2, 0));
    assert_eq!(idx.to_vec::<i64>().unwrap(), [0, 2, 8, 10]);
    // Padding never wins, not even over minus infinity.
    let low = floats(&device, &[f32::NEG_INFINITY; 4], &[1, 1, 2, 2]);
    let padded = low.max_pool2d_idx(Window::square(2, 2, 1));
    assert_eq!(padded.to_vec::<i64>().unwrap(), [0, 1, 2, 3]);
}

#[test]
fn signs_and_roundings_are_as_defined() {
    let device = flex();
    let x = floats(&device, &[-2.5, -0.0, 0.0, 0.5, 1.5, 2.5], &[6]);
    assert_eq!(x.sign().to_vec::<f32>().unwrap(), [-1.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
    assert_eq!(x.round().to_vec::<f32>().unwrap(), [-2.0, 0.0, 0.0, 0.0, 2.0, 2.0]);
    let (a, b) = (ints(&device, &[-7, 7], &[2]), ints(&device, &[2, -2], &[2]));
    assert_eq!((&a / &b).to_vec::<i64>().unwrap(), [-3, -3]);
    let text = (&a / &ints(&device, &[0, 1], &[2])).check().unwrap_err().to_string();
    assert!(text.contains("div"), "{text}");
}
