//! A table of C functions as a backend.
//!
//! What comes from the other side is checked for everything that can be checked: the size of the
//! table, missing functions, null results, lengths of texts. What cannot be (whether a pointer
//! points anywhere) is the plugin's word.

use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use super::log::HOST;
use super::manifest::Manifest;
use super::types::{
    Api, KeyValue, MAJOR, RawArg, RawAval, RawBuffer, RawDevice, RawInfo, RawOp, RawResult, Text,
    error_kind, read_text,
};
use crate::op::{Op, OpCode};
use crate::{
    Arg, Aval, Backend, DType, DeviceInfo, DeviceSpec, Error, ErrorKind, Outs, Result, bail,
};

/// Longest message that is read.
const MESSAGE_LIMIT: usize = 4096;
/// Longest manifest that is read.
const MANIFEST_LIMIT: usize = 1 << 16;

/// A table that has been checked: of our major version, with all functions that nothing works
/// without.
#[derive(Clone, Copy)]
pub struct Table {
    api: Api,
}

/// Declares accessors of functions that [`Table::read`] has found to be there.
macro_rules! required {
    ($($name:ident)+) => {
        /// The functions that nothing works without.
        fn missing(api: &Api) -> Option<&'static str> {
            $(if api.$name.is_none() { return Some(stringify!($name)); })+
            None
        }
    };
}

required! { error_code error_message error_free open close info upload download execute buffer_free }

/// Calls a function that [`Table::read`] has found, or fails: a table is plain data, and this is
/// cheaper to read than to prove.
macro_rules! call {
    ($table:expr, $name:ident ( $($arg:expr),* )) => {
        match $table.api.$name {
            // SAFETY: the specification states the function's type; arguments as it asks for.
            Some(function) => unsafe { function($($arg),*) },
            None => return Err(unimplemented(stringify!($name))),
        }
    };
}

fn unimplemented(name: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("the plugin does not implement {name}"))
}

impl Table {
    /// Copies the table at `api`, as much of it as both sides know.
    ///
    /// # Errors
    /// The pointer is null, the table is of another major version, or lacks what it must have.
    ///
    /// # Safety
    /// `api` is null or points to a table as the header specifies, which stays valid and unchanged;
    /// its functions do what the header says.
    pub unsafe fn read(api: *const Api) -> Result<Self> {
        if api.is_null() {
            bail!(Backend, "the plugin's entry returned no table");
        }
        // SAFETY: every table begins with its size.
        let theirs = unsafe { api.cast::<usize>().read() };
        let head = std::mem::offset_of!(Api, minor) + size_of::<u32>();
        if theirs < head {
            bail!(Backend, "the plugin's table has {theirs} bytes, too few to tell its version");
        }
        let mut copy = EMPTY;
        // SAFETY: both sides have at least so many bytes, and any bytes are a valid `Api`: numbers,
        // pointers that are not followed here, and functions of which only null is told apart.
        unsafe {
            ptr::copy_nonoverlapping(
                api.cast::<u8>(),
                ptr::from_mut(&mut copy).cast::<u8>(),
                theirs.min(size_of::<Api>()),
            );
        }
        if copy.major != MAJOR {
            bail!(
                Backend,
                "the plugin speaks version {} of the interface, this program version {MAJOR}; \
                 build both from one release",
                copy.major
            );
        }
        if let Some(name) = missing(&copy) {
            bail!(Backend, "the plugin's table lacks {name}, without which nothing works");
        }
        Ok(Table { api: copy })
    }

    /// The plugin's manifest.
    ///
    /// # Errors
    /// It has none, or a malformed one.
    pub fn manifest(&self) -> Result<Manifest> {
        let Text { ptr, len } = self.api.manifest;
        if ptr.is_null() || len > MANIFEST_LIMIT {
            bail!(Data, "the plugin's table has no manifest");
        }
        // SAFETY: the specification asks for a text that lives as long as the library.
        let bytes = unsafe { std::slice::from_raw_parts(ptr, len) };
        Manifest::parse(&String::from_utf8_lossy(bytes))
    }

    /// Names of the devices that could be opened; empty if the plugin does not say.
    ///
    /// # Errors
    /// The plugin's.
    pub fn devices(&self) -> Result<Vec<String>> {
        let Some(devices) = self.api.devices else { return Ok(Vec::new()) };
        let mut names: Vec<String> = Vec::new();
        // SAFETY: `note` gets back the context it expects, during this call only.
        let raw = unsafe { devices(note, ptr::from_mut(&mut names).cast()) };
        self.check(raw)?;
        Ok(names)
    }

    /// Turns what a call returned into a result.
    fn check(&self, raw: RawResult) -> Result<()> {
        if raw.is_null() { Ok(()) } else { Err(self.error(raw)?) }
    }

    #[cold]
    fn error(&self, raw: RawResult) -> Result<Error> {
        let kind = error_kind(call!(self, error_code(raw)));
        let text = call!(self, error_message(raw));
        // SAFETY: the text is valid until the error is freed, which is below.
        let text = unsafe { read_text(text, MESSAGE_LIMIT) };
        call!(self, error_free(raw));
        let text =
            if text.is_empty() { "the plugin failed and does not say why".into() } else { text };
        Ok(Error::new(kind, text))
    }
}

/// A table without functions.
const EMPTY: Api = Api {
    struct_size: 0,
    major: 0,
    minor: 0,
    manifest: Text { ptr: ptr::null(), len: 0 },
    error_code: None,
    error_message: None,
    error_free: None,
    devices: None,
    open: None,
    close: None,
    info: None,
    supports: None,
    upload: None,
    download: None,
    execute: None,
    sync: None,
    buffer_free: None,
    host_memory: None,
};

/// Adds a device's name to the list behind `context`.
unsafe extern "C" fn note(context: *mut c_void, device: Text) {
    // SAFETY: the context is the list given in `Table::devices`, the text is valid for this call.
    let (names, name) =
        unsafe { (context.cast::<Vec<String>>().as_mut(), read_text(device, MESSAGE_LIMIT)) };
    // A plugin that does not stop is cut off rather than followed.
    if let Some(names) = names.filter(|names| names.len() < 256) {
        names.push(name);
    }
}

/// An opened device, closed when the last buffer on it is gone.
struct Handle {
    table: Table,
    raw: *mut RawDevice,
}

// SAFETY: the specification has all functions callable from any thread at any time.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(close) = self.table.api.close {
            // SAFETY: the device was opened by this table; buffers hold the handle, so none is left.
            unsafe { close(self.raw) };
        }
    }
}

/// A device of a plugin.
pub struct Imported {
    handle: Arc<Handle>,
    info: DeviceInfo,
}

/// An array on a device of a plugin.
pub struct Buffer {
    handle: Arc<Handle>,
    raw: *mut RawBuffer,
}

// SAFETY: the specification has buffers usable from any thread, and immutable while they are shared.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(free) = self.handle.table.api.buffer_free {
            // SAFETY: this device made the buffer, and nobody else holds it.
            unsafe { free(self.handle.raw, self.raw) };
        }
    }
}

impl Buffer {
    /// The handle, for a callee that frees it.
    fn give(self) -> *mut RawBuffer {
        let mut this = std::mem::ManuallyDrop::new(self);
        // SAFETY: `this` is not dropped, so the count is released exactly once, and not used again.
        unsafe { ptr::drop_in_place(&mut this.handle) };
        this.raw
    }
}

impl Imported {
    /// Opens the device that `spec` describes.
    ///
    /// # Errors
    /// The plugin's.
    pub fn open(table: &Table, spec: &DeviceSpec) -> Result<Self> {
        let options = spec
            .options
            .iter()
            .map(|(key, value)| KeyValue { key: Text::new(key), value: Text::new(value) });
        let options: Vec<KeyValue> = options.collect();
        let mut raw = ptr::null_mut();
        let answer = call!(
            table,
            open(&HOST, Text::new(&spec.device), options.as_ptr(), options.len(), &mut raw)
        );
        table.check(answer)?;
        if raw.is_null() {
            bail!(Backend, "the plugin opened no device and does not say why");
        }
        let handle = Handle { table: *table, raw };
        let info = handle.info(&spec.backend)?;
        Ok(Imported { handle: Arc::new(handle), info })
    }
}

impl Handle {
    fn info(&self, backend: &str) -> Result<DeviceInfo> {
        let empty = Text { ptr: ptr::null(), len: 0 };
        let struct_size = size_of::<RawInfo>();
        let mut raw = RawInfo { struct_size, threads: 0, device: empty, version: empty };
        let answer = call!(self.table, info(self.raw, &mut raw));
        self.table.check(answer)?;
        // SAFETY: the texts are valid as long as the device, which is open.
        let (device, version) = unsafe {
            (read_text(raw.device, MESSAGE_LIMIT), read_text(raw.version, MESSAGE_LIMIT))
        };
        let threads = usize::try_from(raw.threads).unwrap_or(0);
        Ok(DeviceInfo { backend: backend.to_owned(), device, version, threads })
    }

    fn buffer(self: &Arc<Self>, raw: *mut RawBuffer) -> Result<Buffer> {
        if raw.is_null() {
            bail!(Backend, "the plugin returned no array and no error");
        }
        Ok(Buffer { handle: self.clone(), raw })
    }
}

impl Backend for Imported {
    type Buf = Buffer;

    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn supports(&self, op: OpCode, dtype: DType) -> bool {
        match self.handle.table.api.supports {
            // SAFETY: the device is open.
            Some(supports) => unsafe { supports(self.handle.raw, op as u32, dtype as u32) != 0 },
            None => !op.is_fused(),
        }
    }

    fn upload(&self, aval: &Aval, bytes: &[u8]) -> Result<Buffer> {
        let (h, mut raw) = (&self.handle, ptr::null_mut());
        let array = RawAval::from(aval);
        let answer = call!(h.table, upload(h.raw, &array, bytes.as_ptr(), bytes.len(), &mut raw));
        h.table.check(answer)?;
        h.buffer(raw)
    }

    fn download(&self, buf: &Buffer, bytes: &mut [u8]) -> Result<()> {
        let h = &self.handle;
        let answer = call!(h.table, download(h.raw, buf.raw, bytes.as_mut_ptr(), bytes.len()));
        h.table.check(answer)
    }

    fn host_memory<'a>(&self, buf: &'a mut Buffer) -> Option<&'a mut [u8]> {
        let (lend, mut len) = (self.handle.table.api.host_memory?, 0);
        // SAFETY: the device is open and made the buffer, and the only reference to it is held.
        let bytes = unsafe { lend(self.handle.raw, buf.raw, &mut len) };
        // SAFETY: by the specification so many bytes lie there, for nobody else, until the buffer is used
        // again; it is borrowed for as long.
        (!bytes.is_null()).then(|| unsafe { std::slice::from_raw_parts_mut(bytes, len) })
    }

    fn execute(&self, op: &Op, args: &mut [Arg<'_, Buffer>], out: &[Aval]) -> Result<Outs<Buffer>> {
        let h = &self.handle;
        let encoded = op.encode();
        let raw_op = RawOp {
            code: encoded.code as u32,
            n_ints: encoded.ints.len() as u32,
            n_floats: encoded.floats.len() as u32,
            reserved: 0,
            ints: encoded.ints.as_ptr(),
            floats: encoded.floats.as_ptr(),
        };
        let raw_args: SmallVec<[RawArg; 4]> = args.iter_mut().map(raw_arg).collect();
        let raw_outs: SmallVec<[RawAval; 3]> = out.iter().map(RawAval::from).collect();
        let mut made: SmallVec<[*mut RawBuffer; 3]> = smallvec![ptr::null_mut(); out.len()];
        let answer = call!(
            h.table,
            execute(
                h.raw,
                &raw_op,
                raw_args.as_ptr(),
                raw_args.len(),
                raw_outs.as_ptr(),
                raw_outs.len(),
                made.as_mut_ptr()
            )
        );
        h.table.check(answer)?;
        // All become ours before the first missing one is an error, so that none leaks.
        let made: SmallVec<[Result<Buffer>; 3]> =
            made.into_iter().map(|raw| h.buffer(raw)).collect();
        made.into_iter().collect()
    }

    fn sync(&self) -> Result<()> {
        match self.handle.table.api.sync {
            // SAFETY: the device is open.
            Some(sync) => self.handle.table.check(unsafe { sync(self.handle.raw) }),
            None => Ok(()),
        }
    }
}

/// An operand; a donated one is the callee's from here on.
fn raw_arg(arg: &mut Arg<'_, Buffer>) -> RawArg {
    let (buffer, donated) = match arg {
        Arg::Shared(buf) => (buf.raw, 0),
        Arg::Donated(slot) => match slot.take() {
            Some(buf) => (buf.give(), 1),
            None => (ptr::null_mut(), 0),
        },
    };
    RawArg { buffer, donated, reserved: 0 }
}
