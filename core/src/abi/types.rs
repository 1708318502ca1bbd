//! The types of `include/inocula_backend.h`, in the same order and layout.
//!
//! A test compiles the header and compares every size and offset with these.

use std::ffi::c_void;
use std::marker::PhantomData;

use crate::aval::MAX_RANK;
use crate::{Aval, DType, Error, ErrorKind, Result, Shape, bail};

/// `INOCULA_ABI_MAJOR`: raised when what exists changes its meaning.
pub const MAJOR: u32 = 1;
/// `INOCULA_ABI_MINOR`: raised when something is appended. For people; code looks at `struct_size`.
pub const MINOR: u32 = 1;

/// `inocula_text`: UTF-8, not terminated, owned by who gave it.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Text {
    /// First byte; may be null if `len` is 0.
    pub ptr: *const u8,
    /// Number of bytes.
    pub len: usize,
}

impl Text {
    /// A view of `text`.
    pub const fn new(text: &str) -> Self {
        Text { ptr: text.as_ptr(), len: text.len() }
    }
}

// SAFETY: a `Text` is a pointer and a length; reading through it is unsafe and up to the reader.
unsafe impl Sync for Text {}
// SAFETY: as above.
unsafe impl Send for Text {}

/// `inocula_option`: one `key=value` of a device spec.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct KeyValue {
    /// Key.
    pub key: Text,
    /// Value.
    pub value: Text,
}

/// `inocula_array`: dtype and shape of an array.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawAval {
    /// Element type: 0 f32, 1 f64, 2 i64.
    pub dtype: u32,
    /// Number of axes, at most 6.
    pub rank: u32,
    /// Extents, outermost first; those from `rank` on are 0.
    pub dims: [u64; MAX_RANK],
}

impl From<&Aval> for RawAval {
    fn from(aval: &Aval) -> Self {
        let mut dims = [0; MAX_RANK];
        dims.iter_mut().zip(aval.shape.iter()).for_each(|(raw, &d)| *raw = d as u64);
        RawAval { dtype: aval.dtype as u32, rank: aval.shape.rank() as u32, dims }
    }
}

impl RawAval {
    /// The abstract value.
    ///
    /// # Errors
    /// The dtype is unknown, or the shape is not one.
    pub fn read(&self) -> Result<Aval> {
        let rank = self.rank as usize;
        if rank > MAX_RANK {
            bail!(Usage, "an array of {rank} axes; at most {MAX_RANK} are possible");
        }
        let mut dims = [0; MAX_RANK];
        for (d, &raw) in dims.iter_mut().zip(&self.dims) {
            // What does not fit is too large a shape, which is what `Shape::new` says of it.
            *d = usize::try_from(raw).unwrap_or(usize::MAX);
        }
        Ok(Aval::new(DType::from_number(self.dtype)?, Shape::new(&dims[..rank])?))
    }
}

/// `inocula_op`: an operation as numbers.
#[repr(C)]
#[derive(Debug)]
pub struct RawOp {
    /// Which operation.
    pub code: u32,
    /// Length of `ints`.
    pub n_ints: u32,
    /// Length of `floats`.
    pub n_floats: u32,
    /// 0.
    pub reserved: u32,
    /// Integer attributes.
    pub ints: *const i64,
    /// Float attributes.
    pub floats: *const f64,
}

/// `inocula_arg`: an operand.
#[repr(C)]
#[derive(Debug)]
pub struct RawArg {
    /// The array.
    pub buffer: *mut RawBuffer,
    /// Whether it is given away, and consumed whatever the call returns.
    pub donated: u32,
    /// 0.
    pub reserved: u32,
}

/// `inocula_host`: what a plugin may call.
#[repr(C)]
#[derive(Debug)]
pub struct Host {
    /// Size of the table as the host knows it.
    pub struct_size: usize,
    /// Takes a line for the log: level 1 error to 5 trace. Any thread may call it.
    pub log: Option<unsafe extern "C" fn(level: u32, message: Text)>,
}

/// `inocula_device_info`: what is known of an opened device.
#[repr(C)]
#[derive(Debug)]
pub struct RawInfo {
    /// Set by the caller to the size of the struct as it knows it.
    pub struct_size: usize,
    /// Worker threads on the host, 0 if none.
    pub threads: u64,
    /// The device within the backend. Valid as long as the device.
    pub device: Text,
    /// Versions of the backend and what it stands on. Valid as long as the device.
    pub version: Text,
}

/// A type that only the plugin looks into. Neither `Send`, `Sync` nor `Unpin` by itself.
macro_rules! opaque {
    ($($(#[$doc:meta])* $name:ident)+) => { $(
        $(#[$doc])*
        #[repr(C)]
        #[derive(Debug)]
        pub struct $name {
            _data: [u8; 0],
            _marker: PhantomData<(*mut u8, std::marker::PhantomPinned)>,
        }
    )+ };
}

opaque! {
    /// `inocula_device`
    RawDevice
    /// `inocula_buffer`
    RawBuffer
    /// `inocula_error`
    RawError
}

/// What calls may fail with: null for success.
pub type RawResult = *mut RawError;

/// `inocula_backend_api`: the table a plugin exports. Null is "unimplemented".
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Api {
    /// Size of the table as the plugin knows it. A field exists if it ends within.
    pub struct_size: usize,
    /// [`MAJOR`] of the plugin.
    pub major: u32,
    /// [`MINOR`] of the plugin.
    pub minor: u32,
    /// The manifest, the same text as in the library's `.inocula` section.
    pub manifest: Text,
    /// The kind of an error, a number of [`error_code`].
    pub error_code: Option<unsafe extern "C" fn(*const RawError) -> u32>,
    /// Its message. Valid until it is freed.
    pub error_message: Option<unsafe extern "C" fn(*const RawError) -> Text>,
    /// Frees an error.
    pub error_free: Option<unsafe extern "C" fn(*mut RawError)>,
    /// Names the devices that could be opened, through `visit`.
    pub devices: Option<unsafe extern "C" fn(visit: Visit, context: *mut c_void) -> RawResult>,
    /// Opens a device.
    pub open: Option<
        unsafe extern "C" fn(
            host: *const Host,
            device: Text,
            options: *const KeyValue,
            n_options: usize,
            out: *mut *mut RawDevice,
        ) -> RawResult,
    >,
    /// Closes a device, after all of its buffers were freed.
    pub close: Option<unsafe extern "C" fn(*mut RawDevice)>,
    /// Describes a device.
    pub info: Option<unsafe extern "C" fn(*const RawDevice, *mut RawInfo) -> RawResult>,
    /// Whether an operation runs on operands of a dtype.
    pub supports: Option<unsafe extern "C" fn(*const RawDevice, op: u32, dtype: u32) -> u32>,
    /// Copies a dense row-major little-endian array to the device.
    pub upload: Option<
        unsafe extern "C" fn(
            *const RawDevice,
            array: *const RawAval,
            bytes: *const u8,
            len: usize,
            out: *mut *mut RawBuffer,
        ) -> RawResult,
    >,
    /// Copies an array back, and waits until it has been computed.
    pub download: Option<
        unsafe extern "C" fn(
            *const RawDevice,
            *const RawBuffer,
            bytes: *mut u8,
            len: usize,
        ) -> RawResult,
    >,
    /// Runs an operation.
    pub execute: Option<
        unsafe extern "C" fn(
            *const RawDevice,
            op: *const RawOp,
            args: *const RawArg,
            n_args: usize,
            outs: *const RawAval,
            n_outs: usize,
            out: *mut *mut RawBuffer,
        ) -> RawResult,
    >,
    /// Waits for everything that was queued.
    pub sync: Option<unsafe extern "C" fn(*const RawDevice) -> RawResult>,
    /// Frees an array.
    pub buffer_free: Option<unsafe extern "C" fn(*const RawDevice, *mut RawBuffer)>,
    /// Lends the elements of an array that nobody reads, for the host to change them where they lie.
    pub host_memory:
        Option<unsafe extern "C" fn(*const RawDevice, *mut RawBuffer, len: *mut usize) -> *mut u8>,
}

/// Takes the name of one device.
pub type Visit = unsafe extern "C" fn(context: *mut c_void, device: Text);

/// The number of an error's kind. Append-only; 0 is "no error" and never given.
pub const fn error_code(kind: ErrorKind) -> u32 {
    match kind {
        ErrorKind::Backend => 1,
        ErrorKind::Unsupported => 2,
        ErrorKind::Config => 3,
        ErrorKind::NotFound => 4,
        ErrorKind::Usage => 5,
        ErrorKind::Shape => 6,
        ErrorKind::Numeric => 7,
        ErrorKind::Io => 8,
        ErrorKind::Cancelled => 9,
        ErrorKind::Data => 10,
    }
}

/// The kind of a number; [`ErrorKind::Backend`] for one that is not known here.
pub const fn error_kind(code: u32) -> ErrorKind {
    match code {
        2 => ErrorKind::Unsupported,
        3 => ErrorKind::Config,
        4 => ErrorKind::NotFound,
        5 => ErrorKind::Usage,
        6 => ErrorKind::Shape,
        7 => ErrorKind::Numeric,
        8 => ErrorKind::Io,
        9 => ErrorKind::Cancelled,
        10 => ErrorKind::Data,
        _ => ErrorKind::Backend,
    }
}

/// The text behind `raw`, in one line, cut to `limit` bytes; what is not UTF-8 is replaced.
///
/// # Safety
/// `raw.ptr` is null or points to `raw.len` bytes that nobody changes meanwhile.
pub(super) unsafe fn read_text(raw: Text, limit: usize) -> String {
    if raw.ptr.is_null() || raw.len == 0 {
        return String::new();
    }
    // SAFETY: the caller vouches for pointer and length, and the cut only shortens.
    let bytes = unsafe { std::slice::from_raw_parts(raw.ptr, raw.len.min(limit)) };
    let text = String::from_utf8_lossy(bytes);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// An error of the boundary itself, for the message of which see the caller.
pub(super) fn misuse(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Usage, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_survive_the_boundary() {
        for code in 1..=10 {
            assert_eq!(error_code(error_kind(code)), code);
        }
        assert_eq!(error_kind(77), ErrorKind::Backend);
    }

    #[test]
    fn arrays_survive_the_boundary_and_nonsense_does_not() {
        let aval = Aval::new(DType::I64, Shape::new(&[2, 0, 5]).unwrap());
        let raw = RawAval::from(&aval);
        assert_eq!(raw.read().unwrap(), aval);
        assert!(RawAval { dtype: 9, ..raw }.read().is_err());
        assert!(RawAval { rank: 7, ..raw }.read().is_err());
        assert!(RawAval { dims: [u64::MAX; 6], rank: 2, ..raw }.read().is_err());
    }
}
