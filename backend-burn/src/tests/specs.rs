//! Opening devices by spec.

use inocula_core::{DeviceSpec, ErrorKind, Open as _};

use crate::Burn;

fn refused(spec: &str) -> (ErrorKind, String) {
    let err = Burn::open(DeviceSpec::parse(spec).unwrap()).err().unwrap();
    (err.kind(), err.to_string())
}

#[test]
fn the_default_is_the_cpu_and_threads_are_its_own() {
    use inocula_core::Backend as _;
    for spec in ["burn", "burn:flex"] {
        let device = Burn::open(DeviceSpec::parse(spec).unwrap()).unwrap();
        assert_eq!(device.info().device, "flex");
    }
    let one = Burn::open(DeviceSpec::parse("burn?threads=1").unwrap()).unwrap();
    assert_eq!(one.info().threads, 1);
    assert!(one.info().version.contains("Burn 0.22"), "{}", one.info().version);
}

#[test]
fn what_cannot_be_opened_says_what_to_do() {
    for (spec, kind, words) in [
        ("burn:tpu", ErrorKind::NotFound, "choose flex, wgpu"),
        ("burn:wgpu:x", ErrorKind::Config, "\"x\" is no number"),
        ("burn:flex?cores=2", ErrorKind::Config, "it knows threads"),
        ("burn?threads=0", ErrorKind::Config, "at least 1"),
        ("burn:wgpu?threads=2", ErrorKind::Config, "option of burn:flex"),
    ] {
        let (got, text) = refused(spec);
        assert_eq!(got, kind, "{text}");
        assert!(text.contains(words) && text.starts_with("burn:"), "{text}");
    }
    if !cfg!(feature = "cuda") {
        assert!(refused("burn:cuda:0").1.contains("build with the feature cuda"));
    }
}

/// Where a card is emulated or absent: an adapter is found, or a line says that there is none.
#[cfg(feature = "wgpu")]
#[test]
fn a_card_that_is_not_there_is_an_error() {
    let (kind, text) = refused("burn:wgpu:77");
    assert_eq!(kind, ErrorKind::NotFound, "{text}");
    assert!(!text.contains('\n') && text.contains("wgpu:77"), "{text}");
}
