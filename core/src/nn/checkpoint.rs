//! Weights as safetensors, in PyTorch's layouts and names, so that models move both ways.

use std::collections::HashMap;
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::{ModelSpec, Params};
use crate::{DType, Device, Error, ErrorKind, Result, Tensor, bail, fs};

/// Tensors by name.
type Named = Vec<(String, Tensor)>;
/// What the header says about them.
type Notes = HashMap<String, String>;

/// Larger files are refused: no model that this crate can run comes near.
const MAX_BYTES: u64 = 8 << 30;

/// Writes the parameters to `path`; the file appears complete or not at all.
///
/// # Errors
/// A value is not finite, or the file cannot be written.
pub fn save_params(path: &Path, params: &Params) -> Result<()> {
    let about = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    save_tensors(path, params.iter(), about)
}

/// Writes named tensors and notes about them to `path`; the file appears complete or not at all.
///
/// # Errors
/// A value is not finite, or the file cannot be written.
pub(crate) fn save_tensors<'a>(
    path: &Path,
    tensors: impl IntoIterator<Item = (&'a str, &'a Tensor)>,
    about: Notes,
) -> Result<()> {
    let mut stored = Vec::new();
    for (name, value) in tensors {
        let bytes = match value.dtype() {
            DType::F32 => finite_bytes(name, &value.to_vec::<f32>()?, |v| v.is_finite())?,
            DType::F64 => finite_bytes(name, &value.to_vec::<f64>()?, |v| v.is_finite())?,
            DType::I64 => finite_bytes(name, &value.to_vec::<i64>()?, |_| true)?,
        };
        stored.push((name, value.aval(), bytes));
    }
    let mut views = Vec::new();
    for (name, aval, bytes) in &stored {
        let view = TensorView::new(file_dtype(aval.dtype), aval.shape.to_vec(), bytes)
            .map_err(|e| Error::new(ErrorKind::Data, format!("parameter {name}: {e}")))?;
        views.push((*name, view));
    }
    let file = safetensors::serialize(views, Some(about))
        .map_err(|e| Error::new(ErrorKind::Data, format!("{}: {e}", path.display())))?;
    fs::write_atomic(path, |w| w.write_all(&file).map_err(|e| Error::io(path, "write", &e)))
}

/// Reads what [`save_tensors`] wrote, every value as it was, to `device`.
///
/// # Errors
/// The file is missing or malformed, or a value is not finite.
pub(crate) fn load_tensors(path: &Path, device: &Device) -> Result<(Named, Notes)> {
    let bytes = fs::read(path, MAX_BYTES)?;
    let file = parsed(path, &bytes)?;
    let mut tensors = Vec::new();
    for (name, view) in file.tensors() {
        let values = widen(&name, &view).map_err(|e| e.context(path.display()))?;
        let dtype = if view.dtype() == Dtype::F64 { DType::F64 } else { DType::F32 };
        tensors.push((name, Tensor::from_f64(device, dtype, &values, view.shape())?));
    }
    let about = SafeTensors::read_metadata(&bytes).ok().and_then(|(_, m)| m.metadata().clone());
    Ok((tensors, about.unwrap_or_default()))
}

fn parsed<'a>(path: &Path, bytes: &'a [u8]) -> Result<SafeTensors<'a>> {
    SafeTensors::deserialize(bytes).map_err(|e| {
        let message = format!("{}: not a safetensors file ({e})", path.display());
        Error::new(ErrorKind::Data, message)
    })
}

fn finite_bytes<T: crate::tensor::Element>(
    name: &str,
    values: &[T],
    finite: impl Fn(&T) -> bool,
) -> Result<Vec<u8>> {
    if !values.iter().all(finite) {
        bail!(
            Numeric,
            "parameter {name} has NaN or infinite values and was not saved; lower the learning rate"
        );
    }
    Ok(bytemuck::cast_slice(values).to_vec())
}

fn file_dtype(dtype: DType) -> Dtype {
    match dtype {
        DType::F32 => Dtype::F32,
        DType::F64 => Dtype::F64,
        DType::I64 => Dtype::I64,
    }
}

/// Reads the parameters of `spec` from `path`, as `dtype` on `device`.
///
/// # Errors
/// The file is missing or malformed, lacks a parameter, has one too many, or one of another shape;
/// or a value is not finite.
pub fn load_params(path: &Path, spec: &ModelSpec, device: &Device, dtype: DType) -> Result<Params> {
    let bytes = fs::read(path, MAX_BYTES)?;
    let named = |e: Error| e.context(path.display());
    let file = parsed(path, &bytes)?;
    let mut params = Params::new();
    for want in spec.params()? {
        let Ok(view) = file.tensor(&want.name) else {
            let names: Vec<&str> = file.names();
            let message =
                format!("has no {:?}, which the model needs; it has {names:?}", want.name);
            return Err(named(Error::new(ErrorKind::Data, message)));
        };
        if view.shape() != want.shape {
            let (name, got) = (&want.name, view.shape());
            let message = format!("{name} is {got:?} where the model needs {:?}", want.shape);
            return Err(named(Error::new(ErrorKind::Shape, message)));
        }
        let values = widen(&want.name, &view).map_err(named)?;
        params.push(&want.name, Tensor::from_f64(device, dtype, &values, &want.shape)?);
    }
    if let Some(extra) = file.names().iter().find(|n| params.get(n).is_err()) {
        let message =
            format!("has {extra:?}, which the model does not use; is it another model's?");
        return Err(named(Error::new(ErrorKind::Data, message)));
    }
    Ok(params)
}

fn widen(name: &str, view: &TensorView<'_>) -> Result<Vec<f64>> {
    let values: Vec<f64> = match view.dtype() {
        Dtype::F32 => {
            let words = view.data().as_chunks::<4>().0;
            words.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect()
        }
        Dtype::F64 => {
            let words = view.data().as_chunks::<8>().0;
            words.iter().map(|b| f64::from_le_bytes(*b)).collect()
        }
        other => bail!(Data, "{name} is {other:?}; f32 and f64 can be read"),
    };
    match values.iter().position(|v| !v.is_finite()) {
        Some(i) => bail!(Data, "{name} has a NaN or infinite value at position {i}"),
        None => Ok(values),
    }
}
