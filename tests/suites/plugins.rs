//! Plugins that are as they should be, and plugins that are wrong in every way we could think of:
//! each must give one clear line, and none may take the program down.

#![allow(clippy::unwrap_used, reason = "all of it is test code, whose failures are panics")]

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::fs;
use std::mem::{offset_of, size_of};
use std::path::{Path, PathBuf};

use inocula_core::abi::types::{Api, Host, KeyValue, RawArg, RawAval, RawInfo, RawOp, Text};
use inocula_core::plugin::{self, Plugin, Search};
use inocula_core::{DType, Device, DeviceSpec, Result, Tensor};
// Linked for nothing but its library beside this program.
use inocula_panics as _;
use inocula_tests::rows::{c_fixture, compile_c, ndarray_plugin, registry};

fn open(path: &Path) -> Result<Device> {
    registry().open(&path.display().to_string())
}

/// The line that opening `path` fails with.
fn refusal(path: &Path) -> String {
    let line = open(path).expect_err("a broken plugin was opened").to_string();
    assert!(!line.contains('\n'), "{line}");
    assert!(
        line.contains(path.file_stem().unwrap().to_str().unwrap()) || line.starts_with("broken"),
        "{line}"
    );
    line
}

fn broken(flag: &str) -> PathBuf {
    compile_c("broken", &[&format!("-D{flag}")]).unwrap()
}

#[test]
fn tables_and_entries_that_do_not_fit_say_why() {
    for (flag, words) in [
        ("TRUNCATED", "lacks execute"),
        ("TINY", "too few"),
        ("OTHER_MAJOR", "speaks version 2"),
        ("OTHER_ENTRY", "version 2"),
        ("NO_ENTRY", "but no backend"),
        ("NULL_TABLE", "returned no table"),
    ] {
        let line = refusal(&broken(flag));
        assert!(line.contains(words), "{flag}: {line}");
    }
}

#[test]
fn plugins_that_fail_are_quoted() {
    for (flag, words) in [
        ("REFUSES", "the licence of this backend has expired; renew it"),
        // A table longer than ours is one of a later version, and used.
        ("OVERSIZED", "the licence of this backend has expired; renew it"),
        ("GENERIC_ENTRY", "the licence of this backend has expired; renew it"),
        ("FAILS_SILENTLY", "does not say why"),
        ("OPENS_NOTHING", "opened no device"),
    ] {
        let line = refusal(&broken(flag));
        assert!(line.contains(words), "{flag}: {line}");
    }
}

#[test]
fn files_that_are_no_libraries_say_why() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = folder.path().join(plugin::file_name(name));
        fs::write(&path, content).unwrap();
        path
    };
    let whole = fs::read(c_fixture().unwrap()).unwrap();
    for (path, words) in [
        (file("text", b"int main;"), "not a shared library"),
        (file("empty", b""), "the file is empty"),
        (file("half", &whole[..whole.len() / 2]), ""),
        (file("header", &whole[..100]), ""),
        (folder.path().join(plugin::file_name("absent")), "no such file"),
    ] {
        let line = refusal(&path);
        assert!(line.contains(words), "{line}");
    }
    fs::create_dir(folder.path().join("libfolder.so")).unwrap();
    let line = open(&folder.path().join("libfolder.so")).unwrap_err().to_string();
    assert!(line.contains("not a file"), "{line}");
}

#[test]
fn bytes_of_a_library_that_were_changed_never_crash_the_look_into_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(plugin::file_name("fixture"));
    let whole = fs::read(c_fixture().unwrap()).unwrap();
    let mut rng = inocula_core::rng::Rng::new(5);
    for _ in 0..300 {
        let mut bytes = whole.clone();
        for _ in 0..8 {
            // Mostly the headers at both ends, which say where everything is.
            let ends = if rng.bernoulli(0.5) { 0 } else { bytes.len() - 2048 };
            let at = ends + rng.below(2048);
            bytes[at] = rng.below(256) as u8;
        }
        fs::write(&path, &bytes).unwrap();
        // Only the look: loading a damaged library runs it.
        if let Err(err) = Plugin::inspect(&path) {
            assert!(!err.to_string().contains('\n'));
        }
    }
}

#[test]
fn a_panic_in_a_plugin_is_an_error_and_ends_its_device_only() {
    let file = format!("{DLL_PREFIX}inocula_panics{DLL_SUFFIX}");
    let path = std::env::current_exe().unwrap().with_file_name(file);
    let line = registry().open(&format!("{}:panics", path.display())).unwrap_err().to_string();
    assert!(line.contains("panics: the backend panicked: this device does not like"), "{line}");
    assert!(line.contains("lib.rs:"), "{line}");

    let (device, other) = (open(&path).unwrap(), open(&path).unwrap());
    let x = Tensor::from_slice(&device, &[1.0f32], &[1]).unwrap();
    assert_eq!(x.to_vec::<f32>().unwrap(), [1.0]);
    let line = (&x + &x).check().unwrap_err().to_string();
    assert!(line.contains("panicked: add is too much for me"), "{line}");
    let line = x.to_vec::<f32>().unwrap_err().to_string();
    assert!(line.contains("failed earlier"), "{line}");
    Tensor::from_slice(&other, &[1.0f32], &[1]).unwrap().to_vec::<f32>().unwrap();
}

#[test]
fn the_c_backend_says_what_it_lacks() {
    let path = c_fixture().unwrap();
    let device = open(&path).unwrap();
    assert_eq!(device.info().to_string(), "fixture 1.0 (cpu, 1 threads)");
    let x = Tensor::from_slice(&device, &[4.0f32], &[1]).unwrap();
    let line = x.sqrt().check().unwrap_err().to_string();
    assert!(line.contains("sqrt") || line.contains("operation 4"), "{line}");
    for (spec, words) in [(":gpu", "no device gpu"), ("?threads=2", "no option threads")] {
        let line = registry().open(&format!("{}{spec}", path.display())).unwrap_err().to_string();
        assert!(line.contains(words), "{line}");
    }
}

#[test]
fn plugins_are_listed_without_being_loaded_and_opened_by_name() {
    let library = c_fixture().unwrap();
    let mut search = Search::default();
    search.add("test", library.parent().unwrap().to_owned());
    let found = search.find();
    let manifest = found.plugins[0].manifest.as_ref().unwrap();
    assert_eq!((found.plugins[0].name.as_str(), manifest.devices.as_str()), ("fixture", "cpu"));
    assert_eq!(found.plugins[0].devices().unwrap(), ["cpu"]);
    let spec = DeviceSpec::parse("fixture:cpu").unwrap();
    assert_eq!(search.open(&spec).unwrap().info().backend, "fixture");

    // The first of a name wins, and the other is told of.
    search.add("again", library.clone());
    let attempts = search.find().attempts;
    assert!(attempts.iter().any(|a| a.path == library && a.reason.contains("comes first")));
}

#[test]
fn buffers_outlive_the_handle_on_their_device() {
    let device = open(&ndarray_plugin().unwrap()).unwrap();
    let x = Tensor::full(&device, DType::F32, &[3], 2.0);
    drop(device);
    assert_eq!((&x + &x).to_vec::<f32>().unwrap(), [4.0; 3]);
}

/// `SIZE` and `FIELD` lines for a struct.
macro_rules! layout {
    ($out:ident, $c:literal, $rust:ty, $($field:ident)+) => {
        $out.push_str(&format!("SIZE({}, {})", $c, size_of::<$rust>()));
        $($out.push_str(&format!(
            "FIELD({}, {}, {})",
            $c,
            stringify!($field),
            offset_of!($rust, $field)
        ));)+
    };
}

#[test]
fn the_header_and_the_types_of_the_core_are_laid_out_alike() {
    let mut lines = String::new();
    layout!(lines, "inocula_text", Text, ptr len);
    layout!(lines, "inocula_option", KeyValue, key value);
    layout!(lines, "inocula_array", RawAval, dtype rank dims);
    layout!(lines, "inocula_op", RawOp, code n_ints n_floats reserved ints floats);
    layout!(lines, "inocula_arg", RawArg, buffer donated reserved);
    layout!(lines, "inocula_host", Host, struct_size log);
    layout!(lines, "inocula_device_info", RawInfo, struct_size threads device version);
    layout!(
        lines, "inocula_backend_api", Api,
        struct_size major minor manifest error_code error_message error_free devices open close info
        supports upload download execute sync buffer_free host_memory
    );
    compile_c("layout", &[&format!("-DLAYOUT={lines}")]).unwrap();
    let wrong = lines.replacen("SIZE(inocula_text, 16)", "SIZE(inocula_text, 17)", 1);
    assert!(compile_c("layout", &[&format!("-DLAYOUT={wrong}")]).is_err());
}
