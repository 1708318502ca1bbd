//! The tables of the three fields: the real files where they are, and damaged ones.

use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use inocula_core::ErrorKind;
use inocula_core::data::{DataSource, records};
use inocula_core::rng::Rng;

use crate::{assert_says, counts, real, written};

#[test]
fn biopsies_are_built_in() {
    let data = records::breast_cancer().unwrap();
    assert_eq!((data.len(), &data.shape[..], data.classes), (569, &[30][..], 2));
    assert_eq!(counts(&data), [212, 357]);
    assert_eq!(data.class_names, ["malignant", "benign"]);
    // The first radius is 17.99 of 6.981 to 28.11.
    assert!((data.features[0] - (17.99 - 6.981) / (28.11 - 6.981)).abs() < 1e-6);
    let (train, test) =
        DataSource::parse("breast-cancer").unwrap().load(0.3, &Rng::new(1)).unwrap();
    assert_eq!((train.len(), test.len()), (398, 171));
}

#[test]
fn credit_has_its_attributes() {
    let Some(folder) = real("INOCULA_GERMAN_CREDIT", "german-credit") else { return };
    let data = records::german_credit(&folder).unwrap();
    // 13 categorical attributes have 54 values among them that occur, 7 are numbers.
    assert_eq!((data.len(), &data.shape[..], data.classes), (1000, &[61][..], 2));
    assert_eq!(counts(&data), [700, 300]);
    // Each record has one value of each category: the numbers aside, the sum of ones is 13.
    let numbers = [4, 20, 31, 39, 44, 51, 56];
    for row in data.features.chunks(61) {
        let ones = row.iter().enumerate().filter(|(i, v)| !numbers.contains(i) && **v == 1.0);
        assert_eq!(ones.count(), 13);
    }
}

#[test]
fn profiles_are_sets_of_places() {
    let Some(folder) = real("INOCULA_LOCATION30", "location30") else { return };
    let data = records::location30(&folder).unwrap();
    assert_eq!((data.len(), &data.shape[..], data.classes), (5010, &[446][..], 30));
    assert!(data.features.iter().all(|v| *v == 0.0 || *v == 1.0));
}

#[test]
fn what_is_missing_or_damaged_is_named() {
    let home = tempfile::tempdir().unwrap();
    let nowhere = || Some(home.path().join("nowhere"));
    let load = |source: DataSource| source.load(0.2, &Rng::new(1)).unwrap_err();
    let err = load(DataSource::GermanCredit { folder: nowhere() });
    assert_eq!(err.kind(), ErrorKind::NotFound);
    assert_says(&err.to_string(), &["German credit", "put german.data there"]);
    let err = load(DataSource::Location30 { folder: nowhere() });
    assert_says(&err.to_string(), &["Location-30", "INOCULA_LOCATION30"]);

    let credit = |text: &str| {
        written(home.path(), "german.data", text.as_bytes());
        records::german_credit(home.path()).unwrap_err().to_string()
    };
    assert_says(&credit("A11 6 1\nA12 2\n"), &["german.data", "line 2"]);
    assert_says(&credit("A11 6 3\nA12 7 4\n"), &["[\"3\", \"4\"]", "instead of 1 and 2"]);

    let places = |bytes: &[u8]| {
        written(home.path(), "dataset_location.tgz", bytes);
        records::location30(home.path()).unwrap_err().to_string()
    };
    assert_says(&places(b"no archive"), &["dataset_location.tgz", "get it again"]);
    assert_says(&places(&archive("paris", b"\"1\",0\n\"2\",1\n")), &["no file bangkok"]);
    assert_says(&places(&archive("bangkok", b"\"1\",0,1\n\"2\",1,2\n")), &["sample 1 has 2"]);
    assert_says(
        &places(&archive("bangkok", b"\"1\",0,1\n\"2\",1,0.5\n")),
        &["line 2", "not 0 or 1"],
    );
    let whole = archive("bangkok", b"\"1\",0,1\n\"2\",1,0\n");
    assert_says(&places(&whole[..whole.len() / 2]), &["not a complete .tgz"]);
}

fn archive(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    archive.append_data(&mut header, Path::new(name), bytes).unwrap();
    archive.into_inner().unwrap().finish().unwrap()
}

#[test]
fn names_lead_to_their_sources() {
    let given = Some(PathBuf::from("x"));
    let text = toml::to_string(&DataSource::Location30 { folder: given }).unwrap();
    assert!(text.contains("kind = \"location30\""), "{text}");
    assert_says(
        &DataSource::parse("german_credit").unwrap_err().to_string(),
        &["did you mean 'german-credit'"],
    );
}
