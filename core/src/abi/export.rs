//! A Rust backend as a table of C functions.
//!
//! [`export_backend!`](crate::export_backend) makes the table; everything behind it is here, once
//! for all backends, as functions generic over the backend. Buffers cross as boxes of the backend's
//! own type, devices as boxes of `Exported`.

use std::ffi::c_void;
use std::ptr;
use std::slice;
use std::sync::atomic::{AtomicBool, Ordering};

use smallvec::SmallVec;

use super::types::{
    Api, Host, KeyValue, MAJOR, MINOR, RawArg, RawAval, RawBuffer, RawDevice, RawError, RawInfo,
    RawOp, RawResult, Text, Visit, error_code, misuse, read_text,
};
use super::{log, panics};
use crate::op::{Op, OpCode};
use crate::registry::Open;
use crate::{Arg, Aval, DType, DeviceSpec, Error, ErrorKind, Result, bail};

/// Longest name, option or value that is read.
const TEXT_LIMIT: usize = 4096;

/// The table of `B`. Used by [`export_backend!`](crate::export_backend).
pub const fn table<B: Open>(manifest: &'static str) -> Api {
    Api {
        struct_size: size_of::<Api>(),
        major: MAJOR,
        minor: MINOR,
        manifest: Text::new(manifest),
        error_code: Some(error_code_of),
        error_message: Some(error_message_of),
        error_free: Some(error_free),
        devices: Some(devices::<B>),
        open: Some(open::<B>),
        close: Some(close::<B>),
        info: Some(info::<B>),
        supports: Some(supports::<B>),
        upload: Some(upload::<B>),
        download: Some(download::<B>),
        execute: Some(execute::<B>),
        sync: Some(sync::<B>),
        buffer_free: Some(buffer_free::<B>),
        host_memory: Some(host_memory::<B>),
    }
}

/// `text` as an array, so that it can be placed in a section. Used by the macro.
pub const fn bytes<const N: usize>(text: &str) -> [u8; N] {
    let (from, mut to, mut i) = (text.as_bytes(), [0; N], 0);
    while i < N {
        to[i] = from[i];
        i += 1;
    }
    to
}

/// An opened device of a plugin.
struct Exported<B> {
    backend: B,
    /// Set by a panic: what it left half-done must not be computed with.
    poisoned: AtomicBool,
}

/// Hands `result` to C.
fn answer(result: Result<()>) -> RawResult {
    match result {
        Ok(()) => ptr::null_mut(),
        Err(err) => Box::into_raw(Box::new(err)).cast(),
    }
}

/// Runs `f` with panics made errors.
fn guarded<T>(f: impl FnOnce() -> Result<T>) -> Result<T> {
    panics::catch(f).unwrap_or_else(|said| Err(panicked(&said)))
}

fn panicked(said: &str) -> Error {
    Error::new(ErrorKind::Backend, format!("the backend panicked: {said}; please report this"))
}

/// Runs `f` on a device, unless a panic has poisoned it.
///
/// # Safety
/// `device` came from [`open`] for the same `B` and has not been closed.
unsafe fn on<B: Open, T>(device: *const RawDevice, f: impl FnOnce(&B) -> Result<T>) -> Result<T> {
    // SAFETY: the caller vouches for it.
    let Some(device) = (unsafe { device.cast::<Exported<B>>().as_ref() }) else {
        bail!(Usage, "a null device was passed");
    };
    if device.poisoned.load(Ordering::Acquire) {
        bail!(Backend, "the device failed earlier by a panic; open it again");
    }
    panics::catch(|| f(&device.backend)).unwrap_or_else(|said| {
        device.poisoned.store(true, Ordering::Release);
        Err(panicked(&said))
    })
}

/// The `len` elements at `ptr`.
///
/// # Safety
/// `ptr` points to `len` elements that nobody changes for `'a`, or `len` is 0.
unsafe fn list<'a, T>(ptr: *const T, len: usize) -> Result<&'a [T]> {
    match (ptr.is_null(), len) {
        (_, 0) => Ok(&[]),
        (true, _) => bail!(Usage, "a null pointer was passed for {len} elements"),
        // SAFETY: the caller vouches for it.
        (false, _) => Ok(unsafe { slice::from_raw_parts(ptr, len) }),
    }
}

/// # Safety
/// `err` came from a function of this table and has not been freed.
unsafe extern "C" fn error_code_of(err: *const RawError) -> u32 {
    // SAFETY: the caller vouches for it.
    unsafe { err.cast::<Error>().as_ref() }.map_or(0, |err| error_code(err.kind()))
}

/// # Safety
/// As [`error_code_of`].
unsafe extern "C" fn error_message_of(err: *const RawError) -> Text {
    // SAFETY: the caller vouches for it.
    match unsafe { err.cast::<Error>().as_ref() } {
        Some(err) => Text::new(err.message()),
        None => Text { ptr: ptr::null(), len: 0 },
    }
}

/// # Safety
/// As [`error_code_of`]; the error must not be used again.
unsafe extern "C" fn error_free(err: *mut RawError) {
    if !err.is_null() {
        // SAFETY: it was made by `answer`, and the caller gives it up.
        drop(unsafe { Box::from_raw(err.cast::<Error>()) });
    }
}

/// # Safety
/// `visit` may be called with `context` during this call.
unsafe extern "C" fn devices<B: Open>(visit: Visit, context: *mut c_void) -> RawResult {
    panics::install_hook();
    answer(guarded(B::devices).map(|names| {
        for name in &names {
            // SAFETY: the caller vouches for it.
            unsafe { visit(context, Text::new(name)) };
        }
    }))
}

/// # Safety
/// The pointers are valid for the call as the header says; `host` for ever.
unsafe extern "C" fn open<B: Open>(
    host: *const Host,
    device: Text,
    options: *const KeyValue,
    n_options: usize,
    out: *mut *mut RawDevice,
) -> RawResult {
    panics::install_hook();
    // SAFETY: the caller vouches for it; a host's table begins with these two fields at least.
    if let Some(log) = unsafe { host.as_ref() }.and_then(|host| host.log) {
        log::forward_to(log);
    }
    answer(guarded(|| {
        // SAFETY: the caller vouches for the texts and their number.
        let spec = unsafe { read_spec(B::NAME, device, options, n_options) }?;
        let backend = B::open(spec)?;
        let exported = Box::new(Exported { backend, poisoned: AtomicBool::new(false) });
        // SAFETY: the caller gave a place for one pointer.
        unsafe { put(out, Box::into_raw(exported).cast()) };
        Ok(())
    }))
}

/// # Safety
/// `out` has room for one pointer.
unsafe fn put<T>(out: *mut *mut T, value: *mut T) {
    // SAFETY: the caller vouches for it.
    unsafe { out.write(value) };
}

/// # Safety
/// As [`open`].
unsafe fn read_spec(
    name: &str,
    device: Text,
    options: *const KeyValue,
    n: usize,
) -> Result<DeviceSpec> {
    // SAFETY: the caller vouches for it, here and below.
    let options = unsafe { list(options, n) }?;
    let text = |t: Text| unsafe { read_text(t, TEXT_LIMIT) };
    let options = options.iter().map(|o| (text(o.key), text(o.value))).collect();
    Ok(DeviceSpec { backend: name.to_owned(), device: text(device), options })
}

/// # Safety
/// `device` came from [`open`]; neither it nor its buffers are used again.
unsafe extern "C" fn close<B: Open>(device: *mut RawDevice) {
    if !device.is_null() {
        // SAFETY: it was made by `open`, and the caller gives it up.
        let device = unsafe { Box::from_raw(device.cast::<Exported<B>>()) };
        // Nobody is left to be told of a panic.
        let _ = panics::catch(move || drop(device));
    }
}

/// # Safety
/// `device` is open, `out` points to an info with its size filled in.
unsafe extern "C" fn info<B: Open>(device: *const RawDevice, out: *mut RawInfo) -> RawResult {
    // SAFETY: the caller vouches for the device.
    let Some(device) = (unsafe { device.cast::<Exported<B>>().as_ref() }) else {
        return answer(Err(misuse("a null device was passed")));
    };
    // SAFETY: the caller vouches for `out`.
    let Some(out) = (unsafe { out.as_mut() }) else {
        return answer(Err(misuse("a null info was passed")));
    };
    let info = device.backend.info();
    out.threads = info.threads as u64;
    out.device = Text::new(&info.device);
    out.version = Text::new(&info.version);
    answer(Ok(()))
}

/// # Safety
/// `device` is open.
unsafe extern "C" fn supports<B: Open>(device: *const RawDevice, op: u32, dtype: u32) -> u32 {
    // SAFETY: the caller vouches for it.
    let answer = unsafe {
        on::<B, bool>(device, |backend| {
            Ok(backend.supports(OpCode::from_number(op)?, DType::from_number(dtype)?))
        })
    };
    u32::from(answer.unwrap_or(false))
}

/// # Safety
/// `device` is open; the pointers are valid for the call as the header says.
unsafe extern "C" fn upload<B: Open>(
    device: *const RawDevice,
    array: *const RawAval,
    bytes: *const u8,
    len: usize,
    out: *mut *mut RawBuffer,
) -> RawResult {
    // SAFETY: the caller vouches for it, here and below.
    answer(unsafe {
        on::<B, ()>(device, |backend| {
            let aval = list(array, 1)?[0].read()?;
            let bytes = list(bytes, len)?;
            if bytes.len() != aval.bytes() {
                bail!(Usage, "{len} bytes were given for {aval}");
            }
            put(out, boxed::<B>(backend.upload(&aval, bytes)?));
            Ok(())
        })
    })
}

fn boxed<B: Open>(buf: B::Buf) -> *mut RawBuffer {
    Box::into_raw(Box::new(buf)).cast()
}

/// # Safety
/// `device` is open and made `buffer`; `bytes` has room for `len` bytes.
unsafe extern "C" fn download<B: Open>(
    device: *const RawDevice,
    buffer: *const RawBuffer,
    bytes: *mut u8,
    len: usize,
) -> RawResult {
    // SAFETY: the caller vouches for it, here and below.
    answer(unsafe {
        on::<B, ()>(device, |backend| {
            let Some(buf) = buffer.cast::<B::Buf>().as_ref() else {
                bail!(Usage, "a null buffer was passed");
            };
            if len == 0 {
                return backend.download(buf, &mut []);
            }
            if bytes.is_null() {
                bail!(Usage, "a null pointer was passed for {len} bytes");
            }
            backend.download(buf, slice::from_raw_parts_mut(bytes, len))
        })
    })
}

/// An operand as it arrived.
enum Operand<'a, T> {
    Shared(&'a T),
    Owned(Option<T>),
}

/// # Safety
/// `device` is open and made the buffers, the donated ones are not used again; the pointers are
/// valid for the call as the header says.
unsafe extern "C" fn execute<B: Open>(
    device: *const RawDevice,
    op: *const RawOp,
    args: *const RawArg,
    n_args: usize,
    outs: *const RawAval,
    n_outs: usize,
    out: *mut *mut RawBuffer,
) -> RawResult {
    // Taken over before anything can fail: a donated buffer is consumed whatever is answered.
    // SAFETY: the caller vouches for it, here and below.
    let operands = unsafe { take_operands::<B>(args, n_args) };
    answer(unsafe {
        on::<B, ()>(device, move |backend| {
            let mut operands = operands?;
            let mut args: SmallVec<[Arg<'_, B::Buf>; 4]> =
                operands.iter_mut().map(Operand::arg).collect();
            let op = &list(op, 1)?[0];
            let ints = list(op.ints, op.n_ints as usize)?;
            let floats = list(op.floats, op.n_floats as usize)?;
            let op = Op::decode(op.code, ints, floats)?;
            let avals = list(outs, n_outs)?.iter().map(RawAval::read);
            let avals: SmallVec<[Aval; 1]> = avals.collect::<Result<_>>()?;
            let made = backend.execute(&op, &mut args, &avals)?;
            if made.len() != n_outs {
                bail!(Backend, "{} gave {} results for {n_outs}", op.code(), made.len());
            }
            for (i, buf) in made.into_iter().enumerate() {
                put(out.add(i), boxed::<B>(buf));
            }
            Ok(())
        })
    })
}

impl<T> Operand<'_, T> {
    fn arg(&mut self) -> Arg<'_, T> {
        match self {
            Operand::Shared(buf) => Arg::Shared(buf),
            Operand::Owned(slot) => Arg::Donated(slot),
        }
    }
}

/// # Safety
/// As [`execute`].
unsafe fn take_operands<'a, B: Open>(
    args: *const RawArg,
    n: usize,
) -> Result<SmallVec<[Operand<'a, B::Buf>; 4]>> {
    // SAFETY: the caller vouches for it, here and below.
    let args = unsafe { list(args, n) }?;
    let mut taken = SmallVec::new();
    let mut missing = false;
    for arg in args {
        let buffer = arg.buffer.cast::<B::Buf>();
        if buffer.is_null() {
            missing = true;
        } else if arg.donated != 0 {
            taken.push(Operand::Owned(Some(*unsafe { Box::from_raw(buffer) })));
        } else {
            taken.push(Operand::Shared(unsafe { &*buffer }));
        }
    }
    if missing {
        bail!(Usage, "a null buffer was passed");
    }
    Ok(taken)
}

/// # Safety
/// `device` is open.
unsafe extern "C" fn sync<B: Open>(device: *const RawDevice) -> RawResult {
    // SAFETY: the caller vouches for it.
    answer(unsafe { on::<B, ()>(device, |backend| backend.sync()) })
}

/// # Safety
/// `buffer` was made by the open `device` and is not used again.
unsafe extern "C" fn buffer_free<B: Open>(_device: *const RawDevice, buffer: *mut RawBuffer) {
    if !buffer.is_null() {
        // SAFETY: it was made by `boxed`, and the caller gives it up.
        let buffer = unsafe { Box::from_raw(buffer.cast::<B::Buf>()) };
        // Nobody is left to be told of a panic.
        let _ = panics::catch(move || drop(buffer));
    }
}

/// # Safety
/// `device` is open and made `buffer`, which nobody else uses meanwhile; `len` has room for a number.
unsafe extern "C" fn host_memory<B: Open>(
    device: *const RawDevice,
    buffer: *mut RawBuffer,
    len: *mut usize,
) -> *mut u8 {
    // SAFETY: the caller vouches for it, here and below.
    let lent = unsafe {
        on::<B, Option<&mut [u8]>>(device, |backend| {
            Ok(buffer.cast::<B::Buf>().as_mut().and_then(|buf| backend.host_memory(buf)))
        })
    };
    // An error is kept for the next call: here it means that nothing is lent.
    let Ok(Some(bytes)) = lent else { return ptr::null_mut() };
    unsafe { len.write(bytes.len()) };
    bytes.as_mut_ptr()
}

/// Makes a backend available: as `ENTRY` for programs that link it, and as a plugin from the same
/// crate built as a `cdylib`.
///
/// ```ignore
/// inocula_core::export_backend! {
///     backend: Cpu,
///     symbol: inocula_backend_ndarray_v1,
///     name: "ndarray",
///     devices: "cpu",
///     summary: "pure Rust on the CPU",
/// }
/// ```
///
/// The symbol is `inocula_backend_<name>_v1`: the loader derives it from the name of the library.
/// Panics must unwind, since the boundary turns them into errors.
#[macro_export]
macro_rules! export_backend {
    (
        backend: $backend:ty,
        symbol: $symbol:ident,
        name: $name:literal,
        devices: $devices:literal,
        summary: $summary:literal $(,)?
    ) => {
        /// This backend, for a registry.
        pub const ENTRY: $crate::BackendEntry =
            $crate::BackendEntry::of::<$backend>(env!("CARGO_PKG_VERSION"), $devices, $summary);

        impl $crate::registry::Named for $backend {
            const NAME: &'static str = $name;
        }

        const _: () = {
            #[cfg(panic = "abort")]
            compile_error!(
                "a backend must be built with panic = \"unwind\": a panic would end the program"
            );

            const TEXT: &str = concat!(
                "inocula backend\nabi=1.1\nname=",
                $name,
                "\nversion=",
                env!("CARGO_PKG_VERSION"),
                "\ndevices=",
                $devices,
                "\nsummary=",
                $summary,
                "\n",
            );

            #[allow(
                unsafe_code,
                reason = "a section and a symbol name are claims about the whole program"
            )]
            #[used]
            #[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,__inocula"))]
            #[cfg_attr(not(target_vendor = "apple"), unsafe(link_section = ".inocula"))]
            static MANIFEST: [u8; TEXT.len()] = $crate::abi::export::bytes(TEXT);

            #[allow(unsafe_code, reason = "the loader looks for this name")]
            #[unsafe(no_mangle)]
            extern "C" fn $symbol() -> *const $crate::abi::types::Api {
                static API: $crate::abi::types::Api = $crate::abi::export::table::<$backend>(TEXT);
                &API
            }
        };
    };
}
