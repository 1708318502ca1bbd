//! Both directions of the boundary against each other, in one process and without a loader, so that
//! a sanitizer sees every access.

use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use smallvec::smallvec;

use super::export::table;
use super::import::{Imported, Table};
use super::types::{Api, RawAval, RawBuffer, RawDevice, RawOp, RawResult};
use crate::op::{Binary, Op, OpCode, Unary};
use crate::registry::{Named, Open};
use crate::{
    Arg, Aval, Backend, DType, Device, DeviceInfo, DeviceSpec, ErrorKind, Outs, Result, Shape,
    Tensor, bail,
};

const MANIFEST: &str = "inocula backend\nabi=1.1\nname=toy\nversion=3\n";

/// Arrays of f64 that count how many of them there are.
struct Toy {
    info: DeviceInfo,
    alive: Arc<AtomicUsize>,
}

struct Cells(Vec<f64>, Arc<AtomicUsize>);

impl Drop for Cells {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Arrays that were left when their device was closed, over all devices of all tests.
static LEFT: AtomicUsize = AtomicUsize::new(0);

impl Toy {
    fn cells(&self, values: Vec<f64>) -> Cells {
        self.alive.fetch_add(1, Ordering::SeqCst);
        Cells(values, self.alive.clone())
    }
}

impl Drop for Toy {
    fn drop(&mut self) {
        LEFT.fetch_add(self.alive.load(Ordering::SeqCst), Ordering::SeqCst);
    }
}

impl Named for Toy {
    const NAME: &'static str = "toy";
}

impl Open for Toy {
    fn open(mut spec: DeviceSpec) -> Result<Self> {
        let threads = spec.take_count("threads")?.unwrap_or(1);
        spec.finish(&["threads"])?;
        match spec.device.as_str() {
            "" | "one" => {}
            "cursed" => panic!("opened {}", spec.device),
            other => bail!(NotFound, "toy: no device {other:?}; it has one"),
        }
        let info = DeviceInfo {
            backend: "toy".into(),
            device: "one".into(),
            version: "3 of\nlibtoy".into(),
            threads,
        };
        Ok(Toy { info, alive: Arc::default() })
    }

    fn devices() -> Result<Vec<String>> {
        Ok(vec!["one".into(), "cursed".into()])
    }
}

impl Backend for Toy {
    type Buf = Cells;

    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn supports(&self, op: OpCode, dtype: DType) -> bool {
        op != OpCode::Erf && dtype == DType::F64
    }

    fn upload(&self, _: &Aval, bytes: &[u8]) -> Result<Cells> {
        Ok(self.cells(bytemuck::allocation::pod_collect_to_vec(bytes)))
    }

    fn download(&self, buf: &Cells, bytes: &mut [u8]) -> Result<()> {
        bytes.copy_from_slice(bytemuck::cast_slice(&buf.0));
        Ok(())
    }

    fn host_memory<'a>(&self, buf: &'a mut Cells) -> Option<&'a mut [u8]> {
        Some(bytemuck::cast_slice_mut(&mut buf.0))
    }

    fn execute(&self, op: &Op, args: &mut [Arg<'_, Cells>], out: &[Aval]) -> Result<Outs<Cells>> {
        let values = match op {
            Op::Binary(Binary::Add) => {
                let pairs = args[0].get().0.iter().zip(&args[1].get().0);
                pairs.map(|(a, b)| a + b).collect()
            }
            Op::Unary(Unary::Neg) => match &mut args[0] {
                Arg::Donated(slot) => {
                    let mut cells = slot.take().unwrap();
                    cells.0.iter_mut().for_each(|v| *v = -*v);
                    return Ok(smallvec![cells]);
                }
                Arg::Shared(x) => x.0.iter().map(|v| -v).collect(),
            },
            Op::Iota { .. } => panic!("no iota for {}", out[0]),
            Op::Concat { .. } => return Ok(smallvec![]),
            _ => bail!(Unsupported, "toy: {} is not there", op.code()),
        };
        Ok(smallvec![self.cells(values)])
    }
}

static API: Api = table::<Toy>(MANIFEST);

fn read(api: &Api) -> Result<Table> {
    // SAFETY: a table of this module's own, or a broken copy whose functions are still that table's.
    unsafe { Table::read(api) }
}

fn spec(text: &str) -> DeviceSpec {
    DeviceSpec::parse(text).unwrap()
}

fn opened() -> Device {
    Device::new(Imported::open(&read(&API).unwrap(), &spec("toy")).unwrap())
}

fn tensor(device: &Device, values: &[f64]) -> Tensor {
    Tensor::from_slice(device, values, &[values.len()]).unwrap()
}

#[test]
fn arrays_go_over_and_come_back() {
    let device = opened();
    let (a, b) = (tensor(&device, &[1.0, 2.0]), tensor(&device, &[10.0, 20.0]));
    assert_eq!((&a + &b).to_vec::<f64>().unwrap(), [11.0, 22.0]);
    assert_eq!(tensor(&device, &[]).to_vec::<f64>().unwrap(), [0.0; 0]);
    device.sync().unwrap();
}

#[test]
fn what_describes_plugin_and_device_comes_over() {
    let table = read(&API).unwrap();
    assert_eq!(table.manifest().unwrap().name, "toy");
    assert_eq!(table.devices().unwrap(), ["one", "cursed"]);
    let device = Imported::open(&table, &spec("toy:one?threads=3")).unwrap();
    let info = Backend::info(&device);
    assert_eq!((info.threads, info.device.as_str()), (3, "one"));
    assert_eq!(info.version, "3 of libtoy");
    assert!(Backend::supports(&device, OpCode::Relu, DType::F64));
    assert!(!Backend::supports(&device, OpCode::Erf, DType::F64));
    assert!(!Backend::supports(&device, OpCode::Relu, DType::F32));
}

#[test]
fn donated_operands_are_consumed_on_success_and_on_failure() {
    let device = opened();
    let x = tensor(&device, &[1.0, -2.0]);
    assert_eq!((-(&x)).to_vec::<f64>().unwrap(), [-1.0, 2.0]);
    assert_eq!((-x).to_vec::<f64>().unwrap(), [-1.0, 2.0]);
    let lost = tensor(&device, &[4.0]) / tensor(&device, &[2.0]);
    assert_eq!(lost.check().unwrap_err().kind(), ErrorKind::Unsupported);
    drop((device, lost));
    assert_eq!(LEFT.load(Ordering::SeqCst), 0, "a device was closed before its arrays were freed");
}

#[test]
fn errors_keep_kind_and_words() {
    let table = read(&API).unwrap();
    for (text, kind, words) in [
        ("toy:two", ErrorKind::NotFound, "toy: no device \"two\"; it has one"),
        ("toy?size=3", ErrorKind::Config, "toy: no option \"size\"; it knows threads"),
        ("toy?threads=x", ErrorKind::Config, "toy: threads=x must be a whole number of at least 1"),
    ] {
        let err = Imported::open(&table, &spec(text)).err().unwrap();
        assert_eq!((err.kind(), err.message()), (kind, words));
    }
}

#[test]
fn a_panic_is_an_error_and_poisons_its_device_only() {
    let table = read(&API).unwrap();
    let err = Imported::open(&table, &spec("toy:cursed")).err().unwrap().to_string();
    assert!(err.contains("panicked: opened cursed"), "{err}");

    let (device, other) = (opened(), opened());
    let x = tensor(&device, &[1.0]);
    let err = Tensor::iota(&device, 3).check().unwrap_err().to_string();
    assert!(err.contains("panicked: no iota for i64[3]"), "{err}");
    let err = x.to_vec::<f64>().unwrap_err();
    assert!(err.message().contains("failed earlier by a panic"), "{err}");
    assert_eq!(tensor(&other, &[1.0]).to_vec::<f64>().unwrap(), [1.0]);
}

#[test]
fn too_few_results_are_an_error() {
    let device = opened();
    let x = tensor(&device, &[1.0]);
    let err = x.concat(std::slice::from_ref(&x), 0).check().unwrap_err().to_string();
    assert!(err.contains("concat gave 0 results for 1"), "{err}");
}

#[test]
fn elements_are_changed_where_they_lie_unless_another_reads_them() {
    let device = opened();
    let double = |values: &mut [f64]| values.iter_mut().for_each(|value| *value *= 2.0);
    let mut x = tensor(&device, &[1.0, -2.0]);
    assert!(x.write_in_place(double));
    assert_eq!(x.to_vec::<f64>().unwrap(), [2.0, -4.0]);
    let kept = x.clone();
    assert!(!x.write_in_place(double));
    assert_eq!(kept.to_vec::<f64>().unwrap(), [2.0, -4.0]);
}

/// Lends a byte less than an array of one number has.
unsafe extern "C" fn too_little(
    _: *const RawDevice,
    _: *mut RawBuffer,
    len: *mut usize,
) -> *mut u8 {
    // SAFETY: the caller gives a place for the number.
    unsafe { len.write(7) };
    ptr::NonNull::<u64>::dangling().as_ptr().cast()
}

#[test]
fn memory_of_another_size_is_not_written_to() {
    for host_memory in [None, Some(too_little as unsafe extern "C" fn(_, _, _) -> _)] {
        let table = read(&Api { host_memory, ..API }).unwrap();
        let device = Device::new(Imported::open(&table, &spec("toy")).unwrap());
        let mut x = tensor(&device, &[1.0]);
        assert!(!x.write_in_place(|values: &mut [f64]| values.fill(9.0)));
        assert_eq!(x.to_vec::<f64>().unwrap(), [1.0]);
    }
}

#[test]
fn shorter_and_longer_tables_are_read_as_far_as_both_go() {
    // A table of version 1.0 ends before the function that lends memory.
    let first = Api { struct_size: std::mem::offset_of!(Api, host_memory), minor: 0, ..API };
    let device = Device::new(Imported::open(&read(&first).unwrap(), &spec("toy")).unwrap());
    let mut x = tensor(&device, &[2.0]);
    assert!(!x.write_in_place(|values: &mut [f64]| values.fill(9.0)));
    assert_eq!((-x).to_vec::<f64>().unwrap(), [-2.0]);
    // Nothing works without the function before that.
    let short = Api { struct_size: std::mem::offset_of!(Api, buffer_free), ..API };
    let err = read(&short).err().unwrap().to_string();
    assert!(err.contains("lacks buffer_free"), "{err}");
    let tiny = Api { struct_size: 8, ..API };
    assert!(read(&tiny).err().unwrap().message().contains("too few"));

    #[repr(C)]
    struct Longer(Api, [usize; 4]);
    let longer = Longer(Api { struct_size: size_of::<Longer>(), ..API }, [7; 4]);
    let device = Imported::open(&read(&longer.0).unwrap(), &spec("toy")).unwrap();
    let x = tensor(&Device::new(device), &[2.0]);
    assert_eq!((-x).to_vec::<f64>().unwrap(), [-2.0]);
}

#[test]
fn tables_that_cannot_be_used_say_why() {
    for (api, words) in
        [(Api { major: 2, ..API }, "version 2"), (Api { open: None, ..API }, "lacks open")]
    {
        let err = read(&api).err().unwrap().to_string();
        assert!(err.contains(words), "{err}");
    }
    // SAFETY: null is allowed.
    assert!(unsafe { Table::read(ptr::null()) }.is_err());
}

#[test]
fn functions_that_may_be_missing_have_a_meaning() {
    let table = read(&Api { supports: None, sync: None, devices: None, ..API }).unwrap();
    assert!(table.devices().unwrap().is_empty());
    let device = Imported::open(&table, &spec("toy")).unwrap();
    assert!(Backend::supports(&device, OpCode::Add, DType::F32));
    assert!(!Backend::supports(&device, OpCode::Relu, DType::F32));
    Backend::sync(&device).unwrap();
}

/// Says that it succeeded and returns nothing.
unsafe extern "C" fn no_result(
    _: *const RawDevice,
    _: *const RawOp,
    _: *const super::types::RawArg,
    _: usize,
    _: *const RawAval,
    _: usize,
    _: *mut *mut RawBuffer,
) -> RawResult {
    ptr::null_mut()
}

#[test]
fn success_without_a_result_is_an_error() {
    let table = read(&Api { execute: Some(no_result), ..API }).unwrap();
    let device = Device::new(Imported::open(&table, &spec("toy")).unwrap());
    let err = Tensor::iota(&device, 3).check().unwrap_err().to_string();
    assert!(err.contains("no array and no error"), "{err}");
}

#[test]
fn null_pointers_from_the_host_are_errors() {
    let table = API;
    let table = read(&table).unwrap();
    let device = Imported::open(&table, &spec("toy")).unwrap();
    let aval = Aval::new(DType::F64, Shape::new(&[2]).unwrap());
    let (raw, upload) = (RawAval::from(&aval), API.upload.unwrap());
    let mut out = ptr::null_mut();
    // SAFETY: null is what is tested; the functions check for it before they read.
    unsafe {
        let message = API.error_message.unwrap();
        let free = API.error_free.unwrap();
        for err in [
            upload(ptr::null(), &raw, ptr::null(), 16, &mut out),
            (API.download.unwrap())(ptr::null(), ptr::null(), ptr::null_mut(), 0),
            (API.sync.unwrap())(ptr::null()),
        ] {
            assert!(!err.is_null());
            assert!(message(err).len > 0);
            free(err);
        }
        free(ptr::null_mut());
        assert_eq!((API.error_code.unwrap())(ptr::null()), 0);
    }
    drop(device);
}

#[test]
fn a_device_is_used_from_several_threads() {
    let device = opened();
    std::thread::scope(|scope| {
        for n in 0..4 {
            let device = &device;
            scope.spawn(move || {
                for _ in 0..50 {
                    let x = tensor(device, &[f64::from(n)]);
                    assert_eq!((&x + &x).to_vec::<f64>().unwrap(), [f64::from(2 * n)]);
                }
            });
        }
    });
}
