//! Tensors: arrays on a device, with the graph of how they came about.
//!
//! A tensor is immutable and cheap to clone. Operations are methods that return tensors, not
//! results, so that a formula reads as in the paper; the first error of a formula travels along in
//! its value and surfaces where a value leaves it: [`Tensor::to_vec`], [`Tensor::item`],
//! [`Tensor::check`] and [`crate::grad::grad`]. The alternative, a `Result` at every `+`, was tried
//! on PGD and C&W: every other token was a question mark.
//!
//! An operand that nobody else holds is given to the backend, which may compute in place: write
//! `a + b` rather than `&a + &b` where `a` is no longer needed.

mod composite;
mod operators;
mod ops;

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use crate::backend::{DynArg, DynArgs, DynBuf};
use crate::grad::Node;
use crate::op::{Fused, Op};
use crate::{Aval, DType, Device, Error, ErrorKind, Result, Shape, bail, fused};

/// A host type that tensors can be made of.
pub trait Element: bytemuck::Pod + Copy + PartialEq + fmt::Debug {
    /// The dtype of tensors made of it.
    const DTYPE: DType;
}

impl Element for f32 {
    const DTYPE: DType = DType::F32;
}
impl Element for f64 {
    const DTYPE: DType = DType::F64;
}
impl Element for i64 {
    const DTYPE: DType = DType::I64;
}

/// An array on a device.
#[derive(Clone)]
pub struct Tensor(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    aval: Aval,
    device: Device,
    value: Result<DynBuf>,
    node: Option<Arc<Node>>,
}

/// The operands of an operation.
pub(crate) type Operands = SmallVec<[Tensor; 4]>;

impl Tensor {
    /// A tensor with the elements of `data` in row-major order.
    ///
    /// # Errors
    /// `shape` does not have as many elements as `data`, or the upload failed.
    pub fn from_slice<T: Element>(device: &Device, data: &[T], shape: &[usize]) -> Result<Self> {
        let aval = Aval::new(T::DTYPE, Shape::new(shape)?);
        if aval.shape.numel() != data.len() {
            bail!(Shape, "from_slice: {} elements for the shape {}", data.len(), aval.shape);
        }
        let buf = device.backend().upload(&aval, bytemuck::cast_slice(data))?;
        Ok(Self::ready(aval, device.clone(), buf, None))
    }

    /// A tensor of `dtype` made of host values in f64, each rounded to it.
    ///
    /// # Errors
    /// As [`Tensor::from_slice`].
    pub fn from_f64(device: &Device, dtype: DType, data: &[f64], shape: &[usize]) -> Result<Self> {
        match dtype {
            DType::F64 => Self::from_slice(device, data, shape),
            DType::F32 => {
                let narrow: Vec<f32> = data.iter().map(|&v| v as f32).collect();
                Self::from_slice(device, &narrow, shape)
            }
            DType::I64 => {
                let whole: Vec<i64> = data.iter().map(|&v| v as i64).collect();
                Self::from_slice(device, &whole, shape)
            }
        }
    }

    /// A tensor with `value` everywhere.
    #[track_caller]
    pub fn full(device: &Device, dtype: DType, shape: &[usize], value: f64) -> Self {
        match Shape::new(shape) {
            Ok(shape) => Self::full_like(device, Aval::new(dtype, shape), value),
            Err(err) => Self::failed(device, err),
        }
    }

    /// A tensor of zeros.
    #[track_caller]
    pub fn zeros(device: &Device, dtype: DType, shape: &[usize]) -> Self {
        Self::full(device, dtype, shape, 0.0)
    }

    /// `0, 1, ..., len - 1` in i64.
    #[track_caller]
    pub fn iota(device: &Device, len: usize) -> Self {
        Self::run_on(device, Op::Iota { len })
    }

    #[track_caller]
    pub(crate) fn full_like(device: &Device, aval: Aval, value: f64) -> Self {
        Self::run_on(device, Op::Full { aval, value })
    }

    pub(crate) fn ready(aval: Aval, device: Device, buf: DynBuf, node: Option<Arc<Node>>) -> Self {
        Tensor(Arc::new(Inner { aval, device, value: Ok(buf), node }))
    }

    #[track_caller]
    pub(crate) fn failed(device: &Device, err: Error) -> Self {
        let aval = Aval::new(DType::F32, Shape::SCALAR);
        let value = Err(err.at(Location::caller()));
        Tensor(Arc::new(Inner { aval, device: device.clone(), value, node: None }))
    }

    /// Dtype and shape.
    pub fn aval(&self) -> Aval {
        self.0.aval
    }

    /// Extents of the axes.
    pub fn shape(&self) -> Shape {
        self.0.aval.shape
    }

    /// Extent of one axis; 0 for an axis that does not exist.
    pub fn dim(&self, axis: usize) -> usize {
        self.shape().get(axis).copied().unwrap_or(0)
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.0.aval.dtype
    }

    /// The device that holds it.
    pub fn device(&self) -> &Device {
        &self.0.device
    }

    /// Whether gradients can be asked for with respect to something it was computed from.
    pub fn is_tracked(&self) -> bool {
        self.0.node.is_some()
    }

    /// The same value as a variable: gradients can be taken with respect to it.
    #[must_use]
    pub fn tracked(&self) -> Self {
        self.with_node(Some(Arc::new(Node::leaf(self.aval()))))
    }

    /// The same value without its history: gradients stop here.
    #[must_use]
    pub fn detach(&self) -> Self {
        if self.0.node.is_none() { self.clone() } else { self.with_node(None) }
    }

    fn with_node(&self, node: Option<Arc<Node>>) -> Self {
        let (device, value) = (self.0.device.clone(), self.0.value.clone());
        let node = if value.is_ok() { node } else { None };
        Tensor(Arc::new(Inner { aval: self.0.aval, device, value, node }))
    }

    pub(crate) fn node(&self) -> Option<&Arc<Node>> {
        self.0.node.as_ref()
    }

    /// The buffer, or the first error of the formula that was to compute it.
    pub(crate) fn buf(&self) -> Result<&DynBuf> {
        self.0.value.as_ref().map_err(Clone::clone)
    }

    /// The first error of the formula that gave this tensor, if there was one.
    ///
    /// # Errors
    /// That error.
    pub fn check(&self) -> Result<&Self> {
        self.buf().map(|_| self)
    }

    /// The elements in row-major order.
    ///
    /// # Errors
    /// The formula failed, or `T` is not the tensor's dtype.
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        let buf = self.buf()?;
        if T::DTYPE != self.dtype() {
            bail!(Shape, "to_vec: a tensor of {} was asked for {}", self.aval(), T::DTYPE);
        }
        let mut out = vec![T::zeroed(); self.shape().numel()];
        self.device().backend().download(buf, bytemuck::cast_slice_mut(&mut out))?;
        Ok(out)
    }

    /// The elements in row-major order, widened to f64 (exact for floats).
    ///
    /// # Errors
    /// The formula failed.
    pub fn to_f64_vec(&self) -> Result<Vec<f64>> {
        Ok(match self.dtype() {
            DType::F32 => self.to_vec::<f32>()?.into_iter().map(f64::from).collect(),
            DType::F64 => self.to_vec()?,
            DType::I64 => self.to_vec::<i64>()?.into_iter().map(|v| v as f64).collect(),
        })
    }

    /// The value of a tensor with one element.
    ///
    /// # Errors
    /// The formula failed, or there is not exactly one element.
    pub fn item(&self) -> Result<f64> {
        match *self.to_f64_vec()? {
            [value] => Ok(value),
            _ => bail!(Shape, "item: {} has {} elements", self.aval(), self.shape().numel()),
        }
    }

    /// The same values on another device (or itself), without history.
    ///
    /// # Errors
    /// The formula failed, or either device did.
    pub fn to_device(&self, device: &Device) -> Result<Self> {
        if self.device().same(device) {
            return Ok(self.detach());
        }
        let mut bytes = vec![0; self.aval().bytes()];
        self.device().backend().download(self.buf()?, &mut bytes)?;
        let buf = device.backend().upload(&self.aval(), &bytes)?;
        Ok(Self::ready(self.aval(), device.clone(), buf, None))
    }

    /// Applies an operation with one result.
    #[track_caller]
    pub fn apply(op: Op, args: impl IntoIterator<Item = Tensor>) -> Self {
        Self::apply_all(op, args).swap_remove(0)
    }

    /// Applies an operation; as many tensors as it has results, at least one.
    #[track_caller]
    pub fn apply_all(op: Op, args: impl IntoIterator<Item = Tensor>) -> SmallVec<[Self; 1]> {
        let mut args: Operands = args.into_iter().collect();
        let Some(device) = args.first().map(|a| a.device().clone()) else {
            // Operations without operands go through `run_on`, which knows the device.
            panic!("{}: apply needs an operand to know the device", op.code());
        };
        Self::try_run(device, op, &mut args)
            .unwrap_or_else(|err| smallvec![Self::failed(args[0].device(), err)])
    }

    /// Applies an operation without operands.
    #[track_caller]
    fn run_on(device: &Device, op: Op) -> Self {
        match Self::try_run(device.clone(), op, &mut Operands::new()) {
            Ok(mut outs) => outs.swap_remove(0),
            Err(err) => Self::failed(device, err),
        }
    }

    fn try_run(device: Device, op: Op, args: &mut Operands) -> Result<SmallVec<[Self; 1]>> {
        let mut avals: SmallVec<[Aval; 4]> = SmallVec::new();
        let mut tracked = false;
        for arg in &*args {
            arg.check()?;
            if !arg.device().same(&device) {
                bail!(
                    Usage,
                    "{}: operands on {device:?} and {:?}; move one with `to_device`",
                    op.code(),
                    arg.device()
                );
            }
            avals.push(arg.aval());
            tracked |= arg.is_tracked();
        }
        let outs = op.infer(&avals)?;
        if let Op::Fused(f) = &op
            && (!device.backend().supports(op.code(), outs[0].dtype) || (tracked && outs.len() > 1))
        {
            return Ok(fused::decompose(f, args));
        }
        let differentiable = tracked && outs[0].dtype.is_float();
        let inputs = differentiable.then(|| Node::save_inputs(&op, args));
        let mut given = DynArgs::new();
        for arg in &mut *args {
            given.push(arg.give()?);
        }
        let mut bufs = device.backend().execute(&op, given, &outs)?;
        if bufs.len() != outs.len() {
            let (name, code) = (&device.info().backend, op.code());
            bail!(Backend, "{code}: {name} gave {} results of {}", bufs.len(), outs.len());
        }
        if outs.len() > 1 {
            // None has a history: with one, the operation was decomposed.
            let made = bufs.into_iter().zip(outs);
            return Ok(made.map(|(buf, of)| Self::ready(of, device.clone(), buf, None)).collect());
        }
        let buf = bufs.swap_remove(0);
        let node = inputs.map(|inputs| Arc::new(Node::of(op, inputs, outs[0], &buf)));
        Ok(smallvec![Self::ready(outs[0], device, buf, node)])
    }

    /// The buffer for an operation to read, given away if this is the last handle on it.
    fn give(&mut self) -> Result<DynArg<'_>> {
        if Arc::strong_count(&self.0) > 1 {
            return self.buf().map(DynArg::Shared);
        }
        // Nothing is cloned: there is one handle.
        let value = &mut Arc::make_mut(&mut self.0).value;
        value.as_mut().map(DynArg::Donated).map_err(|err| err.clone())
    }

    /// Has `write` change the elements, in row-major order, where they lie; whether it did. It cannot
    /// where they lie outside of host memory, are no `T`, have a history or another holder.
    pub(crate) fn write_in_place<T: Element>(&mut self, write: impl FnOnce(&mut [T])) -> bool {
        if self.dtype() != T::DTYPE || self.is_tracked() {
            return false;
        }
        let size = self.aval().bytes();
        let Some(Inner { device, value: Ok(buf), .. }) = Arc::get_mut(&mut self.0) else {
            return false;
        };
        // What a plugin lends is its word only: another size would be written past or cast with a panic.
        let memory = device.backend().host_memory(buf).filter(|bytes| bytes.len() == size);
        let elements = memory.and_then(|bytes| bytemuck::try_cast_slice_mut(bytes).ok());
        elements.map(write).is_some()
    }

    /// Applies a fused operation.
    #[track_caller]
    pub(crate) fn fused(op: Fused, args: impl IntoIterator<Item = Tensor>) -> Self {
        Self::apply(Op::Fused(op), args)
    }
}

impl Error {
    /// The error of a gradient rule that read an operand which was not kept for it.
    pub(crate) fn not_saved(op: &Op) -> Self {
        Error::new(
            ErrorKind::Usage,
            format!("{}: its gradient rule reads a value that was not saved", op.code()),
        )
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.buf() {
            Ok(_) => write!(f, "Tensor({} on {})", self.aval(), self.device().info().backend),
            Err(err) => write!(f, "Tensor(failed: {err})"),
        }
    }
}
