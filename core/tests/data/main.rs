//! Data sets: the real files where they are, and malformed ones for every loader.

// The lints spare functions marked as tests, but not what these call.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod records;
mod tables;

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use inocula_core::ErrorKind;
use inocula_core::data::{Dataset, digits, idx, known};
use inocula_core::rng::Rng;
use sha2::{Digest as _, Sha256};

/// The folder that a variable names, by default one beside the checkout; or `None` after a line that says
/// why.
fn real(variable: &str, name: &str) -> Option<PathBuf> {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let folder = std::env::var_os(variable).map_or_else(|| shared.join(name), PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    let required = std::env::var_os("INOCULA_REQUIRE_DATA").is_some_and(|value| value == "1");
    assert!(!required, "INOCULA_REQUIRE_DATA is set but {} is no folder", folder.display());
    println!("not run: there is no folder {}; set {variable} to it", folder.display());
    None
}

fn real_mnist() -> Option<PathBuf> {
    real("INOCULA_MNIST", "mnist")
}

fn counts(data: &Dataset) -> Vec<usize> {
    let mut counts = vec![0; data.classes];
    data.labels.iter().for_each(|&label| counts[label as usize] += 1);
    counts
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn idx_file(magic: u32, extents: &[u32], bytes: &[u8]) -> Vec<u8> {
    let numbers = [magic].into_iter().chain(extents.iter().copied());
    numbers.flat_map(u32::to_be_bytes).chain(bytes.iter().copied()).collect()
}

fn written(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// One line that has all of `parts`.
fn assert_says(text: &str, parts: &[&str]) {
    assert!(!text.contains('\n'), "{text}");
    for part in parts {
        assert!(text.contains(part), "'{part}' is not in: {text}");
    }
}

#[test]
fn mnist_is_mnist() {
    let Some(folder) = real_mnist() else { return };
    let (train, test) = idx::mnist(&folder).unwrap();
    assert_eq!((train.len(), test.len()), (60_000, 10_000));
    assert_eq!((&train.name[..], &train.shape[..], train.classes), ("MNIST", &[1, 28, 28][..], 10));
    assert_eq!(counts(&test), [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]);
    assert_eq!(counts(&train)[..3], [5923, 6742, 5958]);
    let sum: f64 = train.features.iter().map(|&v| f64::from(v)).sum();
    let mean = sum / train.features.len() as f64;
    assert!((mean - 0.1307).abs() < 1e-4, "{mean}");
    assert_eq!(train.labels[..8], [5, 0, 4, 1, 9, 2, 1, 3]);
}

/// The digests of the contents are those of real files, however these were compressed; where a
/// copy has the size that the mirrors serve, its own digest must agree too.
#[test]
fn known_digests_are_those_of_the_files() {
    let Some(folder) = real_mnist() else { return };
    let hex = |bytes: &[u8]| -> String {
        Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
    };
    for file in known::find("mnist").unwrap().files {
        let Ok(served) = std::fs::read(folder.join(file.name)) else {
            println!("not run: {} is not compressed here", file.name);
            continue;
        };
        let mut content = Vec::new();
        flate2::read::GzDecoder::new(&served[..]).read_to_end(&mut content).unwrap();
        assert_eq!(content.len() as u64, file.content_bytes, "{}", file.name);
        assert_eq!(hex(&content), file.content_sha256, "{}", file.name);
        if served.len() as u64 == file.bytes {
            assert_eq!(hex(&served), file.sha256, "{}", file.name);
        }
    }
}

#[test]
fn known_sets_are_found_by_name() {
    let set = known::find("mnist").unwrap();
    assert!(set.mirrors.iter().all(|m| m.starts_with("https://") && m.ends_with('/')));
    assert!(set.files.iter().all(|f| f.sha256.len() == 64 && f.content_sha256.len() == 64));
    assert_says(&known::find("mnits").unwrap_err().to_string(), &["did you mean 'mnist'?"]);
    assert_says(&known::find("imagenet-21k").unwrap_err().to_string(), &["there is mnist"]);
}

#[test]
fn digits_are_the_digits() {
    let data = digits().unwrap();
    assert_eq!((data.len(), &data.shape[..]), (1797, &[1, 8, 8][..]));
    assert_eq!(counts(&data), [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
    assert_eq!(data.features[2..6], [5.0 / 16.0, 13.0 / 16.0, 9.0 / 16.0, 1.0 / 16.0]);
    assert_eq!(data.features.iter().copied().fold(0.0, f32::max), 1.0);
    assert_eq!(data.licence, "CC BY 4.0");
}

/// Three samples of shape [1, 2] and two classes.
fn small() -> Dataset {
    Dataset {
        name: "small".into(),
        source: "here".into(),
        licence: "none".into(),
        features: vec![0.0, 0.5, 1.0, 0.25, 0.75, 0.125],
        shape: vec![1, 2],
        labels: vec![0, 1, 1],
        classes: 2,
        class_names: vec!["a".into(), "b".into()],
        bounds: (0.0, 1.0),
    }
}

#[test]
fn an_inconsistent_data_set_is_refused() {
    type Spoil = fn(&mut Dataset);
    let table: &[(Spoil, &[&str])] = &[
        (|d| d.features.truncate(5), &["5 values do not make 3 samples of shape [1, 2]"]),
        (|d| d.labels.truncate(2), &["6 values do not make 2 samples"]),
        (|d| d.shape = vec![0], &["shape [0]"]),
        (|d| d.shape = vec![usize::MAX, 2], &["or too many"]),
        (|d| d.labels[1] = 2, &["sample 1 has the label 2", "0..2"]),
        (|d| d.labels[2] = -1, &["sample 2 has the label -1"]),
        (|d| d.class_names.truncate(1), &["1 names for 2 classes"]),
        (|d| d.features[3] = f32::NAN, &["sample 1 has NaN at [0, 1]", "mend that sample"]),
        (|d| d.features[4] = f32::INFINITY, &["sample 2 has inf at [0, 0]"]),
        (|d| d.features[0] = -0.5, &["sample 0 has -0.5 at [0, 0], outside [0, 1]"]),
        (|d| d.bounds = (1.0, 0.0), &["bounds [1, 0] are no range"]),
        (|d| d.bounds = (f32::NAN, 0.0), &["bounds [NaN, 0] are no range"]),
        (|d| d.bounds = (0.0, f32::INFINITY), &["bounds [0, inf] are no range"]),
    ];
    assert_eq!(small().checked().unwrap(), small());
    for (spoil, parts) in table {
        let mut data = small();
        spoil(&mut data);
        let err = data.checked().unwrap_err();
        assert_eq!(err.kind(), ErrorKind::Data);
        assert_says(&err.to_string(), parts);
    }
}

#[test]
fn select_takes_rows_in_the_order_asked_for() {
    let part = small().select(&[2, 0, 2]);
    assert_eq!(part.labels, [1, 0, 1]);
    assert_eq!(part.features, [0.75, 0.125, 0.0, 0.5, 0.75, 0.125]);
    assert!(small().select(&[]).is_empty());
}

/// A data set whose one feature is the number of the sample.
fn numbered_samples(labels: Vec<i64>, classes: usize) -> Dataset {
    let n = labels.len();
    Dataset {
        features: (0..n).map(|i| i as f32).collect(),
        shape: vec![1],
        labels,
        classes,
        class_names: (0..classes).map(|c| c.to_string()).collect(),
        bounds: (0.0, n as f32),
        ..small()
    }
    .checked()
    .unwrap()
}

#[test]
fn splits_are_stratified_disjoint_and_seeded() {
    // 60 : 30 : 10, interleaved.
    let labels = (0..1000).map(|i| [0, 0, 0, 0, 0, 0, 1, 1, 1, 2][i % 10]).collect();
    let data = numbered_samples(labels, 3);
    let (train, test) = data.split_stratified(0.2, &Rng::new(1));
    assert_eq!((counts(&train), counts(&test)), (vec![480, 240, 80], vec![120, 60, 20]));
    let ids = |d: &Dataset| -> BTreeSet<i64> { d.features.iter().map(|&v| v as i64).collect() };
    assert!(ids(&train).is_disjoint(&ids(&test)));
    assert_eq!(ids(&train).len() + ids(&test).len(), 1000);
    for part in [&train, &test] {
        let kept = part.features.iter().zip(&part.labels);
        assert!(kept.clone().all(|(&id, &label)| data.labels[id as usize] == label));
        assert!(part.features.is_sorted());
    }
    assert_eq!(data.split_stratified(0.2, &Rng::new(1)), (train, test.clone()));
    assert_ne!(data.split_stratified(0.2, &Rng::new(2)).1, test);

    let few = data.take_stratified(50, &Rng::new(1));
    assert_eq!(counts(&few), [30, 15, 5]);
    assert_eq!(data.take_stratified(5000, &Rng::new(1)), data);
    for (fraction, expected) in [(-1.0, 0), (0.0, 0), (1.0, 1000), (7.0, 1000), (f64::NAN, 0)] {
        assert_eq!(data.split_stratified(fraction, &Rng::new(1)).1.len(), expected, "{fraction}");
    }
}

#[test]
fn idx_reads_what_was_written_compressed_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let images = idx_file(0x803, &[2, 1, 3], &[0, 51, 255, 102, 153, 204]);
    let labels = idx_file(0x801, &[2], &[1, 3]);
    let plain = written(folder.path(), "images", &images);
    // The name says nothing about the compression.
    let packed = written(folder.path(), "images.raw", &gzip(&images));
    let labels = written(folder.path(), "labels", &gzip(&labels));
    for path in [plain, packed] {
        let data = idx::load(&path, &labels).unwrap();
        assert_eq!(data.features, [0.0, 0.2, 1.0, 0.4, 0.6, 0.8]);
        assert_eq!((&data.shape[..], &data.labels[..]), (&[1, 1, 3][..], &[1, 3][..]));
        assert_eq!((data.classes, data.class_names.len(), &data.name[..]), (4, 4, "images"));
    }
}

#[test]
fn a_folder_is_read_in_either_spelling() {
    for (joint, end) in [("-", ""), ("-", ".gz"), (".", ""), (".", ".gz")] {
        let folder = tempfile::tempdir().unwrap();
        for (part, n) in [("train", 3u32), ("t10k", 2)] {
            let pixels = vec![7; 4 * n as usize];
            let classes: Vec<u8> = (0..n as u8).collect();
            let mut images = idx_file(0x803, &[n, 2, 2], &pixels);
            let mut labels = idx_file(0x801, &[n], &classes);
            if end == ".gz" {
                (images, labels) = (gzip(&images), gzip(&labels));
            }
            let name = |what: &str| format!("{part}-{what}{end}");
            written(folder.path(), &name(&format!("images{joint}idx3-ubyte")), &images);
            written(folder.path(), &name(&format!("labels{joint}idx1-ubyte")), &labels);
        }
        let (train, test) = idx::mnist(folder.path()).unwrap();
        assert_eq!((train.len(), test.len()), (3, 2));
        // Both parts have the classes of the larger, and these are not the labels of MNIST.
        assert_eq!((train.classes, test.classes, &test.class_names.len()), (3, 3, &3));
        assert_ne!(train.name, "MNIST");

        let removed = folder.path().join(format!("t10k-labels{joint}idx1-ubyte{end}"));
        std::fs::remove_file(removed).unwrap();
        let err = idx::mnist(folder.path()).unwrap_err();
        assert_eq!(err.kind(), ErrorKind::NotFound);
        assert_says(&err.to_string(), &["t10k-labels-idx1-ubyte", "inocula data get mnist"]);
    }
}

#[test]
fn malformed_idx_files_are_refused() {
    let good_images = || idx_file(0x803, &[2, 2, 2], &[9; 8]);
    let good_labels = || idx_file(0x801, &[2], &[0, 1]);
    let cut = |mut bytes: Vec<u8>, n: usize| {
        bytes.truncate(n);
        bytes
    };
    let mut flipped = gzip(&idx_file(0x803, &[2, 2, 2], &[9, 1, 8, 2, 7, 3, 6, 4]));
    let tail = flipped.len() - 6;
    flipped[tail] ^= 0x40;
    let bomb = gzip(&idx_file(0x803, &[1, 1, 1], &vec![0; 1 << 22]));
    let table: Vec<(Vec<u8>, Vec<u8>, &[&str])> = vec![
        (vec![], good_labels(), &["images: truncated, expected 4 bytes but there are 0"]),
        (cut(good_images(), 3), good_labels(), &["expected 4 bytes but there are 3"]),
        (cut(good_images(), 9), good_labels(), &["expected 16 bytes but there are 9"]),
        (cut(good_images(), 21), good_labels(), &["expected 24 bytes but there are 21", "again"]),
        (good_images(), cut(good_labels(), 9), &["labels: truncated, expected 10 bytes", "are 9"]),
        (idx_file(0x802, &[2, 2], &[1; 4]), good_labels(), &["0x00000802, wanted 0x00000803"]),
        (good_labels(), good_images(), &["holds labels: swap the images and the labels"]),
        (good_images(), good_images(), &["labels: magic", "holds images: swap"]),
        (idx_file(0x803, &[2, 2, 2], &[9; 9]), good_labels(), &["bytes after the 24"]),
        (bomb, good_labels(), &["bytes after the 17"]),
        (idx_file(0x803, &[u32::MAX; 3], &[]), good_labels(), &["more than the 2147483648"]),
        (idx_file(0x803, &[1 << 20, 64, 64], &[]), good_labels(), &["more than the 2147483648"]),
        (idx_file(0x803, &[1 << 18, 64, 64], &[1]), good_labels(), &["expected 1073741840 bytes"]),
        (idx_file(0x803, &[3, 2, 2], &[1; 12]), good_labels(), &["has 3 images but", "2 labels"]),
        (idx_file(0x803, &[2, 0, 2], &[]), good_labels(), &["there are no pixels"]),
        (
            cut(gzip(&good_images()), 20),
            good_labels(),
            &["images: the gzip compression is damaged"],
        ),
        (flipped, good_labels(), &["the gzip compression is damaged"]),
        (vec![0x1f, 0x8b], good_labels(), &["the gzip compression is damaged"]),
    ];
    for (images, labels, parts) in table {
        let folder = tempfile::tempdir().unwrap();
        let images = written(folder.path(), "images", &images);
        let labels = written(folder.path(), "labels", &labels);
        let err = idx::load(&images, &labels).unwrap_err();
        assert_eq!(err.kind(), ErrorKind::Data, "{err}");
        assert_says(&err.to_string(), parts);
    }
    let missing = Path::new("/nowhere/images");
    let err = idx::load(missing, missing).unwrap_err();
    assert_eq!(err.kind(), ErrorKind::Io);
    assert_says(&err.to_string(), &["/nowhere/images", "check the path"]);
}

#[test]
fn parts_of_unequal_image_size_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (part, side) in [("train", 2u32), ("t10k", 3)] {
        let pixels = vec![1; (side * side) as usize];
        let images = idx_file(0x803, &[1, side, side], &pixels);
        written(folder.path(), &format!("{part}-images-idx3-ubyte"), &images);
        let labels = idx_file(0x801, &[1], &[0]);
        written(folder.path(), &format!("{part}-labels-idx1-ubyte"), &labels);
    }
    let text = idx::mnist(folder.path()).unwrap_err().to_string();
    assert_says(&text, &["training images are [1, 2, 2] but test images [1, 3, 3]"]);
}

/// Whatever happens to the bytes, the outcome is a checked data set or one line of text.
#[test]
fn mutated_idx_files_never_panic() {
    let folder = tempfile::tempdir().unwrap();
    let labels = written(folder.path(), "labels", &idx_file(0x801, &[4], &[0, 1, 2, 1]));
    let plain = idx_file(0x803, &[4, 3, 3], &(0..36).collect::<Vec<u8>>());
    let (mut good, mut bad) = (0, 0);
    for (form, seed) in [plain.clone(), gzip(&plain)].into_iter().enumerate() {
        for round in 0..1500u64 {
            let mut rng = Rng::new(9).index(form as u64).index(round);
            let bytes = mutate(&seed, &mut rng);
            match idx::load(&written(folder.path(), "mutated", &bytes), &labels) {
                Ok(data) => {
                    good += 1;
                    data.checked().unwrap();
                }
                Err(err) => {
                    bad += 1;
                    assert!(!err.to_string().contains('\n'), "{err}");
                }
            }
        }
    }
    assert!(good > 10 && bad > 1000, "{good} read, {bad} refused: the mutations miss one side");
}

fn mutate(seed: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=rng.below(3) {
        let at = rng.below(bytes.len());
        match rng.below(4) {
            0 => bytes.truncate(at.max(1)),
            1 => bytes.insert(at, rng.below(256) as u8),
            2 => bytes[at] = rng.below(256) as u8,
            _ => bytes[at] ^= 1 << rng.below(8),
        }
    }
    bytes
}
