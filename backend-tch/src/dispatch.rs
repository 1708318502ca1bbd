//! The unsafe corner: what libtorch offers to C and the crate tch does not pass on.
//!
//! Three things, each of which would otherwise need C++ of our own to be compiled on every machine:
//! calls of any operator by name through libtorch's stable C interface ([`Call`]), the library for
//! GPUs loaded when it is first asked for ([`load_cuda`]), and tensors that several threads read
//! ([`Held`]).

#![allow(unsafe_code, reason = "a C interface; each use says why it is sound")]

use std::error::Error as _;
use std::ffi::{CStr, OsStr, c_char, c_void};
use std::path::Path;
use std::ptr::null_mut;

use libloading::{Library, Symbol};
use tch::Tensor;

use crate::failure::{Made, from_library};

/// What an operator's argument or result is on the stack: 64 bits that hold a number, or a pointer.
type Slot = u64;

/// libtorch 2.13.0, as its C interface wants to be told which version a caller knows.
const VERSION: u64 = 2 << 56 | 13 << 48;

// torch/csrc/stable/c/shim.h and torch/csrc/inductor/aoti_torch/c/shim.h of libtorch 2.13. Tensor
// handles are `at::Tensor*`, as are those of tch. Functions return 0 where they succeed.
unsafe extern "C" {
    fn torch_call_dispatcher(
        name: *const c_char,
        overload: *const c_char,
        stack: *mut Slot,
        version: u64,
    ) -> i32;
    fn torch_new_list_reserve_size(size: usize, list: *mut *mut c_void) -> i32;
    fn torch_list_push_back(list: *mut c_void, item: Slot) -> i32;
    fn torch_exception_get_what_without_backtrace() -> *const c_char;
}

/// A call of an operator, its arguments added in the order of its schema.
pub(crate) struct Call {
    name: &'static CStr,
    stack: Vec<Slot>,
    /// Whether an argument could not be made.
    broken: bool,
}

impl Call {
    /// A call of the operator `name`, such as `aten::convolution_backward`, without an overload.
    pub(crate) fn new(name: &'static CStr) -> Self {
        Call { name, stack: Vec::with_capacity(18), broken: false }
    }

    pub(crate) fn tensor(mut self, tensor: &Tensor) -> Self {
        self.stack.push(handle(tensor));
        self
    }

    /// An optional argument that is absent.
    pub(crate) fn none(mut self) -> Self {
        self.stack.push(0);
        self
    }

    pub(crate) fn flag(mut self, flag: bool) -> Self {
        self.stack.push(Slot::from(flag));
        self
    }

    pub(crate) fn int(mut self, value: i64) -> Self {
        self.stack.push(value.cast_unsigned());
        self
    }

    pub(crate) fn float(mut self, value: f64) -> Self {
        self.stack.push(value.to_bits());
        self
    }

    pub(crate) fn ints(self, values: &[i64]) -> Self {
        self.list(values.iter().map(|v| v.cast_unsigned()))
    }

    pub(crate) fn flags(self, values: &[bool]) -> Self {
        self.list(values.iter().map(|&v| Slot::from(v)))
    }

    pub(crate) fn tensors(self, tensors: &[&Tensor]) -> Self {
        self.list(tensors.iter().map(|t| handle(t)))
    }

    fn list(mut self, items: impl ExactSizeIterator<Item = Slot>) -> Self {
        let mut list = null_mut();
        // SAFETY: `list` is a place for the pointer, which the function fills where it returns 0;
        // then it is a list that takes items, whose slots are of one type as its operator wants.
        unsafe {
            self.broken |= torch_new_list_reserve_size(items.len(), &raw mut list) != 0;
            for item in items {
                self.broken |= !list.is_null() && torch_list_push_back(list, item) != 0;
            }
        }
        self.stack.push(list as Slot);
        self
    }

    /// Runs an operator that returns `N` tensors; `None` where it returned an undefined one, which
    /// stands for a result that was not asked for.
    ///
    /// # Safety
    /// The arguments must be those of the operator's schema, in number, order and type, and it must
    /// return `N` tensors: libtorch reads the stack by the schema.
    unsafe fn run<const N: usize>(mut self) -> Made<[Option<Tensor>; N]> {
        self.stack.resize(self.stack.len().max(N), 0);
        let failed = self.broken || {
            let stack = self.stack.as_mut_ptr();
            // SAFETY: the stack has a slot for each argument and each result; the caller vouches
            // for their meaning. libtorch takes over the handles and lists in it.
            unsafe { torch_call_dispatcher(self.name.as_ptr(), c"".as_ptr(), stack, VERSION) != 0 }
        };
        if failed {
            return Err(from_library(&last_exception()));
        }
        Ok(std::array::from_fn(|i| {
            // SAFETY: a result is a handle of its own, which the tensor frees when it is dropped.
            let tensor = unsafe { Tensor::from_ptr(self.stack[i] as *mut torch_sys::C_tensor) };
            Some(tensor).filter(Tensor::defined)
        }))
    }
}

/// A new handle of the tensor, for libtorch to take over.
fn handle(tensor: &Tensor) -> Slot {
    let mut own = std::mem::ManuallyDrop::new(tensor.shallow_clone());
    own.as_mut_ptr() as Slot
}

fn last_exception() -> String {
    // SAFETY: a string that lives until this thread's next exception; it is copied at once.
    let text = unsafe {
        let text = torch_exception_get_what_without_backtrace();
        if text.is_null() { c"" } else { CStr::from_ptr(text) }
    };
    text.to_string_lossy().into_owned()
}

/// Which derivative of a convolution is asked for. Both at once are never wanted: the other one
/// would be computed for nothing.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Derivative {
    Input,
    Weight,
}

/// Constants of a convolution as libtorch takes them.
pub(crate) struct Geometry {
    pub(crate) stride: [i64; 2],
    pub(crate) padding: [i64; 2],
    pub(crate) dilation: [i64; 2],
    pub(crate) groups: i64,
}

/// A derivative of a convolution by libtorch's own kernels. Of the operand that is derived by, only
/// shape, dtype and layout are read.
pub(crate) fn convolution_backward(
    g: &Tensor,
    x: &Tensor,
    w: &Tensor,
    conv: &Geometry,
    which: Derivative,
) -> Made<Tensor> {
    let call = Call::new(c"aten::convolution_backward").tensor(g).tensor(x).tensor(w);
    // Bias sizes; then geometry, not transposed, no padding of the output.
    let call = call.none().ints(&conv.stride).ints(&conv.padding).ints(&conv.dilation);
    let call = call.flag(false).ints(&[0, 0]).int(conv.groups);
    let asked = [which == Derivative::Input, which == Derivative::Weight, false];
    // SAFETY: convolution_backward(Tensor grad_output, Tensor input, Tensor weight, SymInt[]?
    // bias_sizes, SymInt[] stride, SymInt[] padding, SymInt[] dilation, bool transposed, SymInt[]
    // output_padding, SymInt groups, bool[3] output_mask) -> (Tensor, Tensor, Tensor)
    let [dx, dw, _] = unsafe { call.flags(&asked).run::<3>()? };
    let asked = if which == Derivative::Input { dx } else { dw };
    asked.ok_or_else(|| from_library("no derivative came back"))
}

/// Constants of a step of Adam without bias corrections.
pub(crate) struct Adam {
    pub(crate) lr: f64,
    pub(crate) beta1: f64,
    pub(crate) beta2: f64,
    pub(crate) eps: f64,
}

/// A step of Adam in place: parameters, gradient and moments alike and dense. `count` is an array of
/// the number of steps so far, from which libtorch computes bias corrections.
pub(crate) fn adam(
    p: &Tensor,
    g: &Tensor,
    m: &Tensor,
    v: &Tensor,
    count: &Tensor,
    c: &Adam,
) -> Made<()> {
    let call = Call::new(c"aten::_fused_adam_").tensors(&[p]).tensors(&[g]).tensors(&[m]);
    let call = call.tensors(&[v]).tensors(&[]).tensors(&[count]);
    let call = call.float(c.lr).float(c.beta1).float(c.beta2).float(0.0).float(c.eps);
    // SAFETY: _fused_adam_(Tensor[] self, Tensor[] grads, Tensor[] exp_avgs, Tensor[] exp_avg_sqs,
    // Tensor[] max_exp_avg_sqs, Tensor[] state_steps, *, float lr, float beta1, float beta2, float
    // weight_decay, float eps, bool amsgrad, bool maximize, Tensor? grad_scale=None, Tensor?
    // found_inf=None) -> ()
    unsafe { call.flag(false).flag(false).none().none().run::<0>()? };
    Ok(())
}

/// A tensor that threads may share.
pub(crate) struct Held(Tensor);

// SAFETY: tch leaves this out because some of its methods write through a shared reference. Here a
// shared `Held` gives only `&Tensor`, and this crate passes that to operators that read it (what is
// written to is an owned `Tensor`, taken out of a `Held` whose memory nobody else sees). Concurrent
// reads are what libtorch promises for const access: metadata does not change, and its reference
// counts are atomic. A lock around each tensor would instead make threads wait for each other's
// kernels on the weights that they share.
unsafe impl Sync for Held {}

impl Held {
    pub(crate) fn new(tensor: Tensor) -> Self {
        Held(tensor)
    }

    pub(crate) fn get(&self) -> &Tensor {
        &self.0
    }

    pub(crate) fn get_mut(&mut self) -> &mut Tensor {
        &mut self.0
    }

    pub(crate) fn into_inner(self) -> Tensor {
        self.0
    }
}

/// Loads what libtorch needs for GPUs, and makes it compute in the precision of the dtype: by itself
/// it rounds the operands of f32 convolutions to 10 bits (TF32).
///
/// # Errors
/// It is not there, in one line.
pub(crate) fn load_cuda() -> Result<(), String> {
    let name = libloading::library_filename("torch_cuda");
    let beside = option_env!("INOCULA_LIBTORCH_LIB").map(|lib| Path::new(lib).join(&name));
    // SAFETY: the initialisers of libtorch_cuda register it with the libtorch of this process, of
    // which it is a part; they are made to run when it is loaded, and it is never unloaded.
    let load = |path: &OsStr| unsafe { Library::new(path) };
    let loaded =
        beside.map_or_else(|| load(&name), |path| load(path.as_os_str()).or_else(|_| load(&name)));
    let library = loaded.map_err(|err| {
        let why = err.source().map_or_else(|| err.to_string(), ToString::to_string);
        format!("libtorch's part for GPUs cannot be loaded: {why}")
    })?;
    let library = std::mem::ManuallyDrop::new(library);
    // SAFETY: `at::Context& at::globalContext()` and `void at::Context::setAllowTF32CuDNN(bool)` of
    // libtorch 2.13, by the names and with the calling convention of the Itanium C++ ABI: a
    // reference and `this` are pointers. The context lives as long as the process.
    unsafe {
        let missing = |err: libloading::Error| format!("its precision cannot be set ({err})");
        let context: Symbol<'_, extern "C" fn() -> *mut c_void> =
            library.get(b"_ZN2at13globalContextEv\0").map_err(missing)?;
        let allow_tf32: Symbol<'_, extern "C" fn(*mut c_void, bool)> =
            library.get(b"_ZN2at7Context17setAllowTF32CuDNNEb\0").map_err(missing)?;
        allow_tf32(context(), false);
    }
    Ok(())
}
