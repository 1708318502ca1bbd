//! What a compute backend has to offer, and the erased form in which the rest of the crate uses it.
//!
//! Operations arrive as data: one [`Backend::execute`] instead of a method per operation. A new
//! operation then breaks no backend (an unknown one answers [`ErrorKind::Unsupported`], and a fused
//! one is decomposed by this crate), and the same call crosses the C boundary of plugins unchanged.
//! Inputs were checked by [`Op::infer`] before a backend sees them; `out` is what it returned.
//!
//! [`ErrorKind::Unsupported`]: crate::ErrorKind::Unsupported

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::op::{Op, OpCode};
use crate::{Aval, DType, Result};

/// What is known of an opened device.
#[derive(Debug, Clone)]
pub struct DeviceInfo {
    /// Name of the backend, as in a device spec: `ndarray`, `tch`.
    pub backend: String,
    /// The device within it: `cpu`, `cuda:0`.
    pub device: String,
    /// Version of the backend's library.
    pub version: String,
    /// Worker threads, where the backend runs on the host.
    pub threads: usize,
}

impl fmt::Display for DeviceInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({}, {} threads)", self.backend, self.version, self.device, self.threads)
    }
}

/// An operand of an operation.
pub enum Arg<'a, B> {
    /// Somebody else may still read it.
    Shared(&'a B),
    /// Nobody else holds it: the backend may take it and reuse its memory. What it leaves is dropped.
    Donated(&'a mut Option<B>),
}

impl<B> Arg<'_, B> {
    /// The buffer, however it is held.
    ///
    /// # Panics
    /// When a donated buffer has been taken already.
    #[allow(clippy::expect_used)]
    pub fn get(&self) -> &B {
        match self {
            Arg::Shared(buf) => buf,
            Arg::Donated(slot) => slot.as_ref().expect("donated buffer read after it was taken"),
        }
    }
}

/// The outputs of an operation: one, except for fused optimiser steps.
pub type Outs<B> = SmallVec<[B; 1]>;

/// A compute device: uploads, downloads, and operations between.
///
/// Buffers are immutable once returned, but for [`Backend::host_memory`]. All methods may be called from
/// several threads at once.
pub trait Backend: Send + Sync + 'static {
    /// An array on the device.
    type Buf: Send + Sync + 'static;

    /// Name, device and version.
    fn info(&self) -> &DeviceInfo;

    /// Whether `op` runs here on operands of `dtype`. Primitives are expected; a fused op that is
    /// not supported is decomposed by the caller.
    fn supports(&self, op: OpCode, dtype: DType) -> bool {
        let _ = dtype;
        !op.is_fused()
    }

    /// Copies a dense row-major little-endian array to the device. `bytes.len() == aval.bytes()`.
    ///
    /// # Errors
    /// The device is out of memory or has failed.
    fn upload(&self, aval: &Aval, bytes: &[u8]) -> Result<Self::Buf>;

    /// Copies an array back, dense and row-major; waits until it has been computed.
    ///
    /// # Errors
    /// The device has failed.
    fn download(&self, buf: &Self::Buf, bytes: &mut [u8]) -> Result<()>;

    /// The elements of `buf` to be changed where they lie, row-major, in the byte order of the host. `None`
    /// where they lie elsewhere, in another order, or somebody else may still read them.
    fn host_memory<'a>(&self, buf: &'a mut Self::Buf) -> Option<&'a mut [u8]> {
        let _ = buf;
        None
    }

    /// Runs `op` on `args`; the results have the dtypes and shapes of `out`.
    ///
    /// # Errors
    /// The operation is not implemented, or the device has failed. Never because of shapes:
    /// those have been checked.
    fn execute(
        &self,
        op: &Op,
        args: &mut [Arg<'_, Self::Buf>],
        out: &[Aval],
    ) -> Result<Outs<Self::Buf>>;

    /// Waits for everything that was queued.
    ///
    /// # Errors
    /// What was queued has failed.
    fn sync(&self) -> Result<()> {
        Ok(())
    }
}

/// An array on some device, its type erased: an `Option` of the backend's buffer, so that a donated one
/// can be taken where it lies. It is `Some` until then, and is not read after.
#[derive(Clone)]
pub struct DynBuf(Arc<dyn Any + Send + Sync>);

/// [`Arg`] for erased buffers.
pub enum DynArg<'a> {
    /// Somebody else may still read it.
    Shared(&'a DynBuf),
    /// The caller gives it away: the backend may take it, if nobody else holds it either.
    Donated(&'a mut DynBuf),
}

/// The operands of an operation, their types erased.
pub type DynArgs<'a> = SmallVec<[DynArg<'a>; 4]>;

/// The object-safe twin of [`Backend`], implemented for all of them.
pub trait DynBackend: Send + Sync {
    /// See [`Backend::info`].
    fn info(&self) -> &DeviceInfo;
    /// See [`Backend::supports`].
    fn supports(&self, op: OpCode, dtype: DType) -> bool;
    /// See [`Backend::upload`].
    ///
    /// # Errors
    /// As there.
    fn upload(&self, aval: &Aval, bytes: &[u8]) -> Result<DynBuf>;
    /// See [`Backend::download`].
    ///
    /// # Errors
    /// As there.
    fn download(&self, buf: &DynBuf, bytes: &mut [u8]) -> Result<()>;
    /// See [`Backend::host_memory`].
    fn host_memory<'a>(&self, buf: &'a mut DynBuf) -> Option<&'a mut [u8]>;
    /// See [`Backend::execute`].
    ///
    /// # Errors
    /// As there.
    fn execute(&self, op: &Op, args: DynArgs<'_>, out: &[Aval]) -> Result<Outs<DynBuf>>;
    /// See [`Backend::sync`].
    ///
    /// # Errors
    /// As there.
    fn sync(&self) -> Result<()>;
}

impl<B: Backend> DynBackend for B {
    fn info(&self) -> &DeviceInfo {
        Backend::info(self)
    }

    fn supports(&self, op: OpCode, dtype: DType) -> bool {
        Backend::supports(self, op, dtype)
    }

    fn upload(&self, aval: &Aval, bytes: &[u8]) -> Result<DynBuf> {
        Backend::upload(self, aval, bytes).map(DynBuf::new)
    }

    fn download(&self, buf: &DynBuf, bytes: &mut [u8]) -> Result<()> {
        Backend::download(self, buf.typed()?, bytes)
    }

    fn host_memory<'a>(&self, buf: &'a mut DynBuf) -> Option<&'a mut [u8]> {
        let slot = Arc::get_mut(&mut buf.0)?.downcast_mut::<Option<B::Buf>>()?;
        Backend::host_memory(self, slot.as_mut()?)
    }

    fn execute(&self, op: &Op, args: DynArgs<'_>, out: &[Aval]) -> Result<Outs<DynBuf>> {
        let mut typed: SmallVec<[Arg<'_, B::Buf>; 4]> = SmallVec::new();
        for arg in args {
            typed.push(arg.typed()?);
        }
        let mut outs = Outs::new();
        for buf in Backend::execute(self, op, &mut typed, out)? {
            outs.push(DynBuf::new(buf));
        }
        Ok(outs)
    }

    fn sync(&self) -> Result<()> {
        Backend::sync(self)
    }
}

impl DynBuf {
    fn new<B: Send + Sync + 'static>(buf: B) -> Self {
        DynBuf(Arc::new(Some(buf)))
    }

    fn typed<B: 'static>(&self) -> Result<&B> {
        self.0.downcast_ref().and_then(Option::as_ref).ok_or_else(foreign_buffer)
    }
}

impl<'a> DynArg<'a> {
    fn typed<B: 'static>(self) -> Result<Arg<'a, B>> {
        match self {
            DynArg::Shared(buf) => buf.typed().map(Arg::Shared),
            // A gradient rule may have kept it too.
            DynArg::Donated(buf) if Arc::strong_count(&buf.0) > 1 => buf.typed().map(Arg::Shared),
            DynArg::Donated(buf) => Arc::get_mut(&mut buf.0)
                .and_then(|slot| slot.downcast_mut())
                .map(Arg::Donated)
                .ok_or_else(foreign_buffer),
        }
    }
}

fn foreign_buffer() -> crate::Error {
    crate::Error::new(
        crate::ErrorKind::Usage,
        "a tensor of another device was passed; move it with `to_device` first",
    )
}

/// A handle on an opened device. Cheap to clone; tensors hold one.
#[derive(Clone)]
pub struct Device(Arc<dyn DynBackend>);

impl Device {
    /// Makes a handle from a backend.
    pub fn new(backend: impl Backend) -> Self {
        Device(Arc::new(backend))
    }

    /// Name, device and version.
    pub fn info(&self) -> &DeviceInfo {
        self.0.info()
    }

    /// Waits for everything that was queued.
    ///
    /// # Errors
    /// What was queued has failed.
    pub fn sync(&self) -> Result<()> {
        self.0.sync()
    }

    /// Whether `op` runs here on operands of `dtype`, rather than being decomposed or refused.
    pub fn supports(&self, op: OpCode, dtype: DType) -> bool {
        self.0.supports(op, dtype)
    }

    /// Whether both handles are of the same device.
    pub fn same(&self, other: &Device) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn backend(&self) -> &dyn DynBackend {
        &*self.0
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({})", self.info())
    }
}
