//! Tables, NumPy archives, and sources by flag or configuration.

use std::io::Cursor;
use std::path::Path;

use inocula_core::ErrorKind;
use inocula_core::data::csv::{self, CsvConfig, Header, LabelColumn, Scale};
use inocula_core::data::npz::{self, NpzConfig};
use inocula_core::data::{DataSource, Dataset};
use inocula_core::rng::Rng;
use ndarray::{Array1, Array2, ArrayD, IxDyn, ShapeBuilder as _};
use ndarray_npy::NpzWriter;

use super::{assert_says, counts, real_mnist, written};

fn csv_text(text: &str, change: impl FnOnce(&mut CsvConfig)) -> inocula_core::Result<Dataset> {
    csv_bytes(text.as_bytes(), change)
}

fn csv_bytes(bytes: &[u8], change: impl FnOnce(&mut CsvConfig)) -> inocula_core::Result<Dataset> {
    let folder = tempfile::tempdir().unwrap();
    let mut config = CsvConfig::new(written(folder.path(), "table.csv", bytes));
    change(&mut config);
    csv::load(&config)
}

#[test]
fn csv_reads_numbers_text_and_headers() {
    let iris = "long,wide,kind\n1,10,setosa\n3,20,virginica\n2,20,setosa\n";
    let data = csv_text(iris, |_| ()).unwrap();
    assert_eq!((&data.name[..], &data.shape[..], data.bounds), ("table", &[2][..], (0.0, 1.0)));
    assert_eq!(data.features, [0.0, 0.0, 1.0, 1.0, 0.5, 1.0]);
    assert_eq!(data.labels, [0, 1, 0]);
    assert_eq!(data.class_names, ["setosa", "virginica"]);

    let raw = |bounds: [f32; 2]| {
        csv_text(iris, |c| {
            c.scale = Scale::None;
            c.bounds = bounds;
        })
    };
    let wide = raw([0.0, 20.0]).unwrap();
    assert_eq!((&wide.features[..2], wide.bounds), (&[1.0, 10.0][..], (0.0, 20.0)));
    let text = raw([0.0, 1.0]).unwrap_err().to_string();
    assert_says(&text, &["sample 0 has 10", "outside [0, 1]", "scale the values", "bounds"]);
    for label in [LabelColumn::Index(0), LabelColumn::Name("long".into())] {
        let data = csv_text(iris, |c| {
            c.label = Some(label);
            c.categorical = true;
        })
        .unwrap();
        assert_eq!((&data.labels[..], &data.shape[..]), (&[0, 2, 1][..], &[3][..]));
        assert_eq!(data.features, [0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0]);
    }
    // Numbers as labels are ordered as numbers, and a header of numbers is only one if said so.
    let numbers = "5,10\n7,9\n";
    let data = csv_text(numbers, |_| ()).unwrap();
    assert_eq!(
        (&data.class_names[..], &data.labels[..]),
        (&["9".into(), "10".into()][..], &[1, 0][..])
    );
    let more = "5,10\n7,9\n6,8\n";
    assert_eq!(csv_text(more, |c| c.header = Header::Present).unwrap().len(), 2);
    assert_eq!(csv_text("a,b\n1,p\n2,q\n", |_| ()).unwrap().len(), 2);
    // A mark of byte order, spaces, quotes and Windows line ends.
    let data = csv_text("\u{feff}a,b\r\n 1 ,\"p, q\"\r\n2,r\r\n", |_| ()).unwrap();
    assert_eq!(data.class_names, ["p, q", "r"]);
    // A constant column carries nothing, and a wide one must not overflow.
    let data = csv_text("5,-3e38,0\n5,3e38,1\n", |_| ()).unwrap();
    assert_eq!(data.features, [0.0, 0.0, 0.0, 1.0]);
}

#[test]
fn errors_name_the_line_as_an_editor_counts_it() {
    for text in ["a,b,y\n1,2,0\n3,x,1\n", "a,b,y\r\n1,2,0\r\n3,x,1\r\n"] {
        let err = csv_text(text, |_| ()).unwrap_err().to_string();
        assert_says(&err, &["line 3, column 2"]);
    }
    let err = csv_text("a,b,y\n\n1,2,0\n\n3,x,1\n", |_| ()).unwrap_err().to_string();
    assert_says(&err, &["line 5, column 2"]);
}

#[test]
fn a_quantity_is_no_class() {
    let err = csv_text("a,y\n1,0.5\n2,1\n3,2\n", |_| ()).unwrap_err().to_string();
    assert_says(&err, &["'0.5' is a fraction", "set label"]);
}

#[test]
fn malformed_tables_are_refused() {
    type Change = fn(&mut CsvConfig);
    let plain: Change = |_| ();
    let table: &[(&str, Change, &[&str])] = &[
        ("", plain, &["table.csv: the file is empty"]),
        ("1\n2\n", plain, &["one column only"]),
        ("1,a\n2,3,b\n", plain, &["line 2 has 3 columns where line 1 has 2"]),
        ("1,2,a\n3,,b\n", plain, &["line 2, column 2: the field is empty"]),
        ("1,2,a\n3,4,\n", plain, &["line 2, column 3: the field is empty"]),
        ("x,y\n1,a\nnan,b\n", plain, &["line 3, column 1: 'nan' is not a finite"]),
        ("1,a\ninf,b\n", plain, &["line 2, column 1: 'inf' is not a finite"]),
        ("1,a\n1e39,b\n", plain, &["'1e39' is not a finite 32-bit number"]),
        ("1,a\nred,b\n", plain, &["line 2, column 1: 'red' is not a number", "categorical"]),
        ("1,a\n2,a\n", plain, &["1 classes among 2 samples"]),
        ("x,y\n", |c| c.header = Header::Present, &["0 classes among 0 samples"]),
        ("1,a\n2,nan\n", plain, &["line 2, column 2: 'nan' is no label"]),
        ("a,b\nc,d\n", |c| c.categorical = true, &["lines 1 and 2 are text", "set header"]),
        ("1,a\n2,b\n", |c| c.label = Some(LabelColumn::Index(2)), &["no column 2 among 2", "0..2"]),
        ("1,a\n2,b\n", |c| c.label = Some(LabelColumn::Name("y".into())), &["there is no header"]),
        (
            "wide,kind\n1,a\n2,b\n",
            |c| c.label = Some(LabelColumn::Name("knd".into())),
            &["no column is called 'knd'; did you mean 'kind'?"],
        ),
    ];
    for (text, change, parts) in table {
        let err = csv_text(text, *change).unwrap_err();
        assert!(matches!(err.kind(), ErrorKind::Data | ErrorKind::Config), "{err:?}");
        assert_says(&err.to_string(), parts);
    }
    let err = csv_bytes(b"1,a\n\xff\xfe,b\n", |_| ()).unwrap_err().to_string();
    assert_says(&err, &["line 2, column 1: the text is not UTF-8"]);
    let many: String = (0..400).map(|i| format!("v{i},{}\n", i % 2)).collect();
    let err = csv_text(&many, |c| c.categorical = true).unwrap_err().to_string();
    assert_says(&err, &["line 257, column 1: 'v256' makes more than 256 different texts"]);
    let err = csv::load(&CsvConfig::new("/nowhere/t.csv")).unwrap_err();
    assert_says(&err.to_string(), &["/nowhere/t.csv", "check the path"]);
}

/// An archive of what `fill` adds.
fn npz_file(folder: &Path, fill: impl FnOnce(&mut NpzWriter<Cursor<Vec<u8>>>)) -> NpzConfig {
    let mut writer = NpzWriter::new_compressed(Cursor::new(Vec::new()));
    fill(&mut writer);
    let bytes = writer.finish().unwrap().into_inner();
    NpzConfig::new(written(folder, "arrays.npz", &bytes))
}

#[test]
fn npz_reads_every_dtype() {
    let folder = tempfile::tempdir().unwrap();
    let y = Array1::from(vec![1i64, 0]);
    macro_rules! labels {
        ($($dtype:ty),*) => {$(
            let config = npz_file(folder.path(), |w| {
                w.add_array("x", &Array2::from_elem((2, 3), 0.5f32)).unwrap();
                w.add_array("y", &y.mapv(|v| v as $dtype)).unwrap();
            });
            let data = npz::load(&config).unwrap();
            assert_eq!((&data.labels[..], data.classes), (&[1, 0][..], 2), stringify!($dtype));
        )*};
    }
    labels!(i8, u8, i16, u16, i32, u32, i64, u64);

    let values: Vec<f64> = (0..12).map(|v| f64::from(v) - 2.0).collect();
    let x = ArrayD::from_shape_vec(IxDyn(&[2, 2, 3]), values.clone()).unwrap();
    // The same array in the order of Fortran.
    let mut fortran = ArrayD::<f64>::zeros(IxDyn(&[2, 2, 3]).f());
    fortran.assign(&x);
    assert!(!fortran.is_standard_layout());
    for x in [x, fortran] {
        let mut config = npz_file(folder.path(), |w| {
            w.add_array("images", &x).unwrap();
            w.add_array("classes", &y).unwrap();
        });
        (config.x, config.y) = ("images".into(), "classes".into());
        let text = npz::load(&config).unwrap_err().to_string();
        assert_says(&text, &["sample 0 has -2", "outside [0, 1]", "bounds"]);
        config.bounds = [-2.0, 9.0];
        let data = npz::load(&config).unwrap();
        assert!(data.features.iter().zip(&values).all(|(&a, &b)| f64::from(a) == b));
        assert_eq!((&data.shape[..], data.bounds), (&[2, 3][..], (-2.0, 9.0)));
    }
    let config = npz_file(folder.path(), |w| {
        w.add_array("x", &Array2::from_shape_vec((2, 2), vec![0u8, 51, 255, 0]).unwrap()).unwrap();
        w.add_array("y", &y).unwrap();
    });
    assert_eq!(npz::load(&config).unwrap().features, [0.0, 0.2, 1.0, 0.0]);
}

/// An archive with one stored member per array, so that a test can write any header.
fn raw_npz(folder: &Path, members: &[(&str, Vec<u8>)]) -> NpzConfig {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in members {
        let mut crc = flate2::Crc::new();
        crc.update(data);
        let (offset, size) = (file.len() as u32, data.len() as u32);
        // Version 2.0, no flags, stored, no time; then checksum, sizes and lengths of names.
        let mut common = vec![20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
        for number in [crc.sum(), size, size] {
            common.extend(number.to_le_bytes());
        }
        common.extend([name.len() as u8, 0, 0, 0]);
        file.extend([b'P', b'K', 3, 4].iter().chain(&common).copied());
        file.extend(name.bytes().chain(data.iter().copied()));
        directory.extend([b'P', b'K', 1, 2, 20, 0].iter().chain(&common).copied());
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes().into_iter().chain(name.bytes()));
    }
    let (count, start) = (members.len() as u16, file.len() as u32);
    file.extend(&directory);
    file.extend([b'P', b'K', 5, 6, 0, 0, 0, 0]);
    file.extend(count.to_le_bytes().into_iter().chain(count.to_le_bytes()));
    file.extend((directory.len() as u32).to_le_bytes().into_iter().chain(start.to_le_bytes()));
    file.extend([0, 0]);
    NpzConfig::new(written(folder, "raw.npz", &file))
}

fn npy(dtype: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let text = format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((text.len() as u16).to_le_bytes());
    bytes.extend(text.bytes().chain(data.iter().copied()));
    bytes
}

#[test]
fn npz_reads_either_byte_order() {
    let folder = tempfile::tempdir().unwrap();
    let x: Vec<u8> = [0.25f32, 0.75].iter().flat_map(|v| v.to_be_bytes()).collect();
    let y: Vec<u8> = [1i16, 0].iter().flat_map(|v| v.to_be_bytes()).collect();
    let members = [("x.npy", npy(">f4", "(2, 1)", &x)), ("y.npy", npy(">i2", "(2,)", &y))];
    let data = npz::load(&raw_npz(folder.path(), &members)).unwrap();
    assert_eq!((&data.features[..], &data.labels[..]), (&[0.25, 0.75][..], &[1, 0][..]));
}

#[test]
fn malformed_archives_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let y = || npy("|u1", "(2,)", &[0, 1]);
    let x = || npy("|u1", "(2, 1)", &[3, 4]);
    let nan: Vec<u8> = [0.5, f32::NAN].iter().flat_map(|v| v.to_le_bytes()).collect();
    let deep = npy("|u1", &"(".repeat(60_000), &[3, 4]);
    let huge = "(1000000000000000000, 1)";
    let table: Vec<(Vec<u8>, Vec<u8>, &[&str])> = vec![
        (npy("<c8", "(2, 1)", &[0; 16]), y(), &["'x' has dtype <c8", "float32, float64 or uint8"]),
        (npy("<f2", "(2, 1)", &[0; 4]), y(), &["'x' has dtype <f2"]),
        (x(), npy("<f4", "(2,)", &[0; 8]), &["'y' has dtype <f4; convert it to an integer"]),
        (npy("<f4", "(2, 1)", &[0; 7]), y(), &["'x' has fewer values than its header says"]),
        (npy("<f4", "(2, 1)", &[0; 9]), y(), &["'x' is damaged"]),
        (npy("|u1", "(1000000000, 1)", &[0; 9]), y(), &["'x' has fewer values"]),
        (npy("|u1", huge, &[0; 9]), y(), &["larger than the 2147483648 bytes allowed"]),
        (npy("<f4", "(2, 1)", &nan), y(), &["sample 1 has NaN at [0]"]),
        (x(), npy("|u1", "(3,)", &[0; 3]), &["'x' is [2, 1] and 'y' is [3]"]),
        (npy("|u1", "(2,)", &[0; 2]), y(), &["supply [N, ...] features and [N] labels"]),
        (npy("|u1", "(0, 1)", &[]), npy("|u1", "(0,)", &[]), &["there are no samples"]),
        (x(), npy("|i1", "(2,)", &[0, 0xff]), &["labels are in -1..=0"]),
        (x(), npy("<u8", "(2,)", &[0xff; 16]), &["number the classes from 0"]),
        (b"not an array".to_vec(), y(), &["'x' is damaged"]),
        (deep, y(), &["'x' "]),
    ];
    for (x, y, parts) in table {
        let config = raw_npz(folder.path(), &[("x.npy", x), ("y.npy", y)]);
        let err = npz::load(&config).unwrap_err();
        assert_eq!(err.kind(), ErrorKind::Data, "{err}");
        assert_says(&err.to_string(), parts);
        assert_says(&err.to_string(), &["raw.npz: "]);
    }
    let text = npz::load(&raw_npz(folder.path(), &[("a.npy", x()), ("b.npy", y())]));
    assert_says(&text.unwrap_err().to_string(), &["no array is called 'x' among [a, b]"]);
    let text = npz::load(&NpzConfig::new(written(folder.path(), "no.npz", b"PK no")));
    assert_says(&text.unwrap_err().to_string(), &["no.npz: no archive of NumPy arrays"]);
    let text = npz::load(&NpzConfig::new("/nowhere/a.npz")).unwrap_err().to_string();
    assert_says(&text, &["/nowhere/a.npz", "check the path"]);
}

#[test]
fn sources_are_parsed_from_a_flag() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let table = [
        ("digits", DataSource::Digits {}),
        ("mnist", DataSource::Mnist { folder: None }),
        (path, DataSource::Mnist { folder: Some(path.into()) }),
        ("a/b.csv", DataSource::Csv(CsvConfig::new("a/b.csv"))),
        ("b.NPZ", DataSource::Npz(NpzConfig::new("b.NPZ"))),
    ];
    for (text, source) in table {
        assert_eq!(DataSource::parse(text).unwrap(), source);
    }
    assert_says(&DataSource::parse("mnits").unwrap_err().to_string(), &["mean 'mnist'?"]);
    assert_says(&DataSource::parse("/no/folder").unwrap_err().to_string(), &["ends in .csv"]);
}

#[test]
fn sources_are_written_and_read_as_configuration() {
    let sources = [
        (DataSource::Digits {}, "kind = 'digits'"),
        (DataSource::Mnist { folder: None }, "kind = 'mnist'"),
        (DataSource::Mnist { folder: Some("m".into()) }, "kind = 'mnist'\nfolder = 'm'"),
        (
            DataSource::Idx { images: "i".into(), labels: "l".into() },
            "kind = 'idx'\nimages = 'i'\nlabels = 'l'",
        ),
        (
            DataSource::Csv(CsvConfig {
                label: Some(LabelColumn::Index(3)),
                header: Header::Absent,
                scale: Scale::None,
                categorical: true,
                ..CsvConfig::new("t.csv")
            }),
            "kind = 'csv'\npath = 't.csv'\nlabel = 3\nheader = false\nscale = 'none'\ncategorical = true",
        ),
        (
            DataSource::Csv(CsvConfig {
                label: Some(LabelColumn::Name("y".into())),
                ..CsvConfig::new("t.csv")
            }),
            "kind = 'csv'\npath = 't.csv'\nlabel = 'y'\nheader = 'auto'",
        ),
        (DataSource::Npz(NpzConfig::new("a.npz")), "kind = 'npz'\npath = 'a.npz'"),
    ];
    for (source, text) in sources {
        assert_eq!(toml::from_str::<DataSource>(text).unwrap(), source, "{text}");
        let json = serde_json::to_string(&source).unwrap();
        assert_eq!(serde_json::from_str::<DataSource>(&json).unwrap(), source, "{json}");
    }
    for (text, part) in [
        ("kind = 'digits'\nfolder = 'm'", "folder"),
        ("kind = 'mnist'\nflder = 'm'", "flder"),
        ("kind = 'csv'\npath = 't'\nlable = 1", "lable"),
        ("kind = 'npz'\npath = 't'\nz = 'x'", "z"),
        ("kind = 'csv'\npath = 't'\nheader = 'maybe'", "maybe"),
        ("kind = 'cifar'", "cifar"),
    ] {
        let err = toml::from_str::<DataSource>(text).unwrap_err().to_string();
        assert!(err.contains(part), "{err}");
    }
}

#[test]
fn sources_load_both_parts() {
    let rng = Rng::new(4);
    let (train, test) = DataSource::Digits {}.load(0.2, &rng).unwrap();
    assert_eq!((train.len(), test.len()), (1438, 359));
    assert!(counts(&test).iter().all(|count| (34..=37).contains(count)), "{:?}", counts(&test));
    for fraction in [0.0, 1.0, -0.5, f64::NAN] {
        let err = DataSource::Digits {}.load(fraction, &rng).unwrap_err();
        assert_eq!(err.kind(), ErrorKind::Config);
        assert_says(&err.to_string(), &["test_fraction", "try 0.2"]);
    }
    let text = DataSource::Digits {}.load(1e-9, &rng).unwrap_err().to_string();
    assert_says(&text, &["leaves 1797 to train and 0 to test"]);
    let missing = DataSource::Mnist { folder: Some("/nowhere/mnist".into()) };
    let err = missing.load(0.2, &rng).unwrap_err();
    assert_eq!(err.kind(), ErrorKind::NotFound);
    assert_says(&err.to_string(), &["/nowhere/mnist", "inocula data get mnist", "INOCULA_MNIST"]);
    if let Some(folder) = real_mnist() {
        let source = DataSource::parse(folder.to_str().unwrap()).unwrap();
        let (train, test) = source.load(0.5, &rng).unwrap();
        assert_eq!((train.len(), test.len()), (60_000, 10_000));
    }
}
