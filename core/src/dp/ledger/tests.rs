//! Ledgers that were cut, damaged, or are somebody else's: none may count less than was recorded.

use std::fs;

use super::*;
use crate::dp::accounting::Accountant;

const TERMS: Terms = Terms { samples: 1000, delta: 1e-5 };

fn mechanism(q: f64, sigma: f64, steps: u64) -> Mechanism {
    Mechanism::new(q, sigma, steps).unwrap()
}

fn entry(step: u64) -> Entry {
    Entry { step, mechanism: mechanism(0.01, 1.1, 1) }
}

/// A ledger of `count` steps in a folder of its own, and its bytes.
fn recorded(count: u64) -> (tempfile::TempDir, PathBuf, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let mut ledger = Ledger::create(&path, TERMS).unwrap();
    (0..count).for_each(|step| ledger.append(entry(step)).unwrap());
    drop(ledger);
    let bytes = fs::read(&path).unwrap();
    assert_eq!(bytes.len(), (count as usize + 1) * SIZE);
    (folder, path, bytes)
}

fn refusal(path: &Path, bytes: &[u8]) -> String {
    fs::write(path, bytes).unwrap();
    let read = read(path).unwrap_err().to_string();
    assert_eq!(Ledger::open(path).unwrap_err().to_string(), read);
    assert_eq!(fs::read(path).unwrap(), bytes, "a refused file was changed");
    assert!(read.contains("ledger") && !read.contains('\n'), "{read}");
    read
}

#[test]
fn what_was_appended_is_read() {
    let (_folder, path, _) = recorded(3);
    let mut ledger = Ledger::open_or_create(&path, TERMS).unwrap();
    let other = Entry { step: 3, mechanism: mechanism(0.5, 2.0, 7) };
    ledger.append(other).unwrap();
    let contents = read(&path).unwrap();
    assert_eq!(&contents, ledger.contents());
    assert_eq!(contents.terms, TERMS);
    assert_eq!(contents.entries, [entry(0), entry(1), entry(2), other]);
    assert_eq!((contents.steps(), contents.torn), (10, 0));
    assert_eq!(contents.composition(), [mechanism(0.01, 1.1, 3), mechanism(0.5, 2.0, 7)]);
}

#[test]
fn a_cut_at_any_byte_counts_every_step_that_was_whole_and_one_that_was_not() {
    let (_folder, path, bytes) = recorded(5);
    for length in SIZE..=bytes.len() {
        fs::write(&path, &bytes[..length]).unwrap();
        let whole = (length / SIZE - 1) as u64;
        let torn = u64::from(!length.is_multiple_of(SIZE));
        let before = read(&path).unwrap();
        assert_eq!((before.entries.len() as u64, before.torn), (whole, torn), "{length}");
        // Looking at it changes nothing; opening it puts a whole record there, which counts the same.
        assert_eq!(fs::read(&path).unwrap().len(), length);
        let mut ledger = Ledger::open(&path).unwrap();
        assert_eq!(ledger.contents(), &before, "{length}");
        ledger.append(entry(whole)).unwrap();
        drop(ledger);
        let after = read(&path).unwrap();
        assert_eq!((after.entries.len() as u64, after.torn), (whole + 1, torn), "{length}");
        assert_eq!(after.steps(), whole + torn + 1);
        assert_eq!(after.composition(), [mechanism(0.01, 1.1, whole + torn + 1)]);
        assert!(fs::read(&path).unwrap().len().is_multiple_of(SIZE));
    }
}

#[test]
fn a_repair_that_is_cut_at_any_byte_counts_the_same() {
    let (_folder, path, bytes) = recorded(2);
    let torn = &bytes[..3 * SIZE - 20];
    fs::write(&path, torn).unwrap();
    drop(Ledger::open(&path).unwrap());
    let repaired = fs::read(&path).unwrap();
    for written in 0..=SIZE {
        let mut between = torn.to_vec();
        let end = 2 * SIZE + written;
        between.resize(between.len().max(end), 0);
        between[2 * SIZE..end].copy_from_slice(&repaired[2 * SIZE..end]);
        fs::write(&path, &between).unwrap();
        let ledger = Ledger::open(&path).unwrap();
        assert_eq!((ledger.contents().steps(), ledger.contents().torn), (2, 1), "{written}");
    }
}

#[test]
fn a_header_that_is_cut_at_any_byte_is_written_again() {
    let (_folder, path, bytes) = recorded(0);
    for length in 0..SIZE {
        fs::write(&path, &bytes[..length]).unwrap();
        assert!(Ledger::open(&path).unwrap_err().to_string().contains("header"), "{length}");
        let other = Terms { samples: 999, ..TERMS };
        // What cannot have become this header is somebody else's file.
        let refused = Ledger::open_or_create(&path, other);
        assert_eq!(refused.is_err(), length > 24, "{length}");
        drop(refused);
        fs::write(&path, &bytes[..length]).unwrap();
        let ledger = Ledger::open_or_create(&path, TERMS).unwrap();
        assert_eq!(ledger.contents().steps(), 0);
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
    fs::write(&path, "a note of mine").unwrap();
    assert!(Ledger::open_or_create(&path, TERMS).is_err());
    assert_eq!(fs::read(&path).unwrap(), b"a note of mine");
}

#[test]
fn damage_of_the_last_record_is_counted_and_elsewhere_is_an_error() {
    let (_folder, path, bytes) = recorded(3);
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        if at >= 3 * SIZE {
            fs::write(&path, &damaged).unwrap();
            let contents = read(&path).unwrap();
            assert_eq!((contents.steps(), contents.torn), (3, 1), "{at}");
            continue;
        }
        let line = refusal(&path, &damaged);
        let remedy = if at < SIZE {
            ["restore", "right file", "program that wrote it"]
        } else {
            ["restore"; 3]
        };
        assert!(remedy.iter().any(|part| line.contains(part)), "{at}: {line}");
    }
}

#[test]
fn records_that_were_taken_out_moved_or_repeated_are_missed() {
    let (_folder, path, bytes) = recorded(4);
    let block = |i: usize| &bytes[(i + 1) * SIZE..(i + 2) * SIZE];
    for order in [vec![0, 2, 3], vec![1, 0, 2, 3], vec![0, 1, 1, 2, 3]] {
        let records: Vec<u8> = order.iter().flat_map(|i| block(*i).to_vec()).collect();
        let line = refusal(&path, &[&bytes[..SIZE], &records].concat());
        assert!(line.contains("damaged"), "{line}");
    }
}

#[test]
fn other_versions_and_kinds_ask_for_the_program_that_wrote_them() {
    let (_folder, path, bytes) = recorded(2);
    let mut later = bytes.clone();
    later[16] = 3;
    assert!(refusal(&path, &later).contains("version 3"));
    // Of before it was recorded how batches and noise were drawn.
    let mut earlier = bytes.clone();
    earlier[16] = 1;
    assert!(refusal(&path, &earlier).contains("version 1"));
    for [sampling, source] in [[9, 1], [1, 9], [0, 1], [1, 0]] {
        let mut header = *bytes.first_chunk::<SIZE>().unwrap();
        (header[40], header[44]) = (sampling, source);
        let header = format::sealed(header, &[0; 16]);
        let line = refusal(&path, &header);
        assert!(line.contains(&format!("sampling {sampling}")), "{line}");
    }
    // A record of another kind, sealed as it should be.
    let terms_seal = format::read_header(&bytes).unwrap().1;
    let mut unknown = *bytes[SIZE..].first_chunk::<SIZE>().unwrap();
    unknown[8] = 9;
    let unknown = format::sealed(unknown, &terms_seal);
    let line = refusal(&path, &[&bytes[..SIZE], &unknown].concat());
    assert!(line.contains("kind"), "{line}");
    assert!(refusal(&path, b"epoch,loss\n1,0.5\n").contains("right file"));
}

#[test]
fn a_ledger_belongs_to_one_run() {
    let (_folder, path, _) = recorded(1);
    let line = Ledger::create(&path, TERMS).unwrap_err().to_string();
    assert!(line.contains("already"), "{line}");
    for terms in [Terms { samples: 5, ..TERMS }, Terms { delta: 1e-6, ..TERMS }] {
        let line = Ledger::open_or_create(&path, terms).unwrap_err().to_string();
        assert!(line.contains("1000 samples"), "{line}");
    }
    let held = Ledger::open(&path).unwrap();
    let line = Ledger::open_or_create(&path, TERMS).unwrap_err().to_string();
    assert!(line.contains("another process"), "{line}");
    drop(held);
    assert!(Ledger::open(&path).is_ok());
    for terms in [Terms { samples: 0, ..TERMS }, Terms { delta: 1.0, ..TERMS }] {
        assert!(Ledger::create(path.with_extension("new"), terms).is_err());
        assert!(!path.with_extension("new").exists());
    }
}

#[test]
fn steps_that_were_done_again_count_again() {
    let (_folder, path, _) = recorded(10);
    let epsilon = |path: &Path| {
        let accountant = Accountant::named("rdp").unwrap();
        read(path).unwrap().spent(accountant, 1e-5).unwrap().epsilon
    };
    let once = epsilon(&path);
    // Resumed from a checkpoint of step 8.
    let mut ledger = Ledger::open(&path).unwrap();
    (8..10).for_each(|step| ledger.append(entry(step)).unwrap());
    assert_eq!(ledger.contents().steps(), 12);
    let twice = epsilon(&path);
    assert!(twice > once, "{once} {twice}");
}

#[test]
fn a_torn_step_has_the_least_noise_and_the_highest_rate_that_are_known() {
    let (_folder, path, bytes) = recorded(1);
    let mut ledger = Ledger::open(&path).unwrap();
    ledger.append(Entry { step: 1, mechanism: mechanism(0.2, 3.0, 1) }).unwrap();
    ledger.append(entry(2)).unwrap();
    drop(ledger);
    let longer = fs::read(&path).unwrap();
    fs::write(&path, &longer[..longer.len() - 1]).unwrap();
    let contents = read(&path).unwrap();
    assert_eq!(contents.composition()[2], mechanism(0.2, 1.1, 1));
    let spent = contents.spent(Accountant::named("rdp").unwrap(), 1e-5).unwrap();
    assert!(spent.warnings[0].contains("torn"), "{spent:?}");
    // Nothing is known of the only one.
    fs::write(&path, &bytes[..SIZE + 9]).unwrap();
    let spent = read(&path).unwrap().spent(Accountant::named("pld").unwrap(), 1e-5).unwrap();
    assert_eq!(spent.epsilon, f64::INFINITY);
    // Its own warning for a delta that protects nobody.
    let spent = read(&path).unwrap().spent(Accountant::named("rdp").unwrap(), 0.001).unwrap();
    assert!(spent.warnings.iter().any(|w| w.contains("1000 samples")), "{spent:?}");
}

#[test]
fn how_batches_and_noise_were_drawn_is_read_and_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let accountant = Accountant::named("rdp").unwrap();
    for sampling in [Sampling::Poisson, Sampling::Shuffled, Sampling::Fixed] {
        for seeded in [false, true] {
            let header = TERMS.drawn(Origin { sampling, seeded });
            drop(Ledger::create(&path, header).unwrap());
            let mut ledger = Ledger::open_or_create(&path, header).unwrap();
            ledger.append(entry(0)).unwrap();
            assert_eq!(ledger.contents().origin, header.origin);
            drop(ledger);
            let contents = read(&path).unwrap();
            assert_eq!(contents.origin, header.origin);
            let spent = contents.spent(accountant, 1e-5).unwrap();
            assert_eq!(spent.sampling, sampling);
            let warnings = spent.warnings.join("\n");
            assert_eq!(warnings.contains("not private"), seeded, "{warnings}");
            assert_eq!(warnings.contains("Poisson"), sampling != Sampling::Poisson, "{warnings}");
            // Nobody goes on with it who draws in another way.
            let other = TERMS.drawn(Origin { sampling, seeded: !seeded });
            for other in [other, TERMS.into()] {
                let line = Ledger::open_or_create(&path, other).unwrap_err().to_string();
                assert!(line.contains("drawn in another way"), "{line}");
            }
            fs::remove_file(&path).unwrap();
        }
    }
    let (_folder, path, _) = recorded(1);
    let contents = read(&path).unwrap();
    assert_eq!(contents.origin, None);
    let spent = contents.spent(accountant, 1e-5).unwrap();
    assert!(spent.warnings[0].contains("does not record"), "{spent:?}");
}

/// What a state knows after `count` steps of the ledger at `path`.
fn known(path: &Path, count: u64) -> Known {
    let ledger = Ledger::open(path).unwrap();
    assert_eq!(ledger.contents().steps(), count);
    Known { steps: ledger.contents().composition(), mark: Some(ledger.mark()) }
}

#[test]
fn a_ledger_that_lacks_what_is_known_is_refused_and_left_alone() {
    let (_folder, path, bytes) = recorded(5);
    let known = known(&path, 5);
    for length in 0..bytes.len() {
        let cut = &bytes[..length];
        fs::write(&path, cut).unwrap();
        let line = Ledger::resume(&path, TERMS, &known).unwrap_err().to_string();
        assert!(!line.contains('\n'), "{line}");
        for part in ["5 noisy steps", "under-counted", "restore", "--force"] {
            assert!(line.contains(part), "{length}: {line}");
        }
        assert_eq!(fs::read(&path).unwrap(), cut, "{length}: it was changed");
        // Steps alone do without the digest, but for a last step that is torn and counted.
        let steps = Known { mark: None, ..known.clone() };
        if length <= 5 * SIZE {
            assert!(Ledger::resume(&path, TERMS, &steps).is_err(), "{length}");
        }
    }
    fs::remove_file(&path).unwrap();
    let line = Ledger::resume(&path, TERMS, &known).unwrap_err().to_string();
    assert!(line.contains("is missing") && line.contains("5 noisy steps"), "{line}");
    assert!(!path.exists());
}

#[test]
fn a_ledger_that_has_all_that_is_known_and_more_is_gone_on_with() {
    let (_folder, path, bytes) = recorded(3);
    let known = known(&path, 3);
    drop(Ledger::resume(&path, TERMS, &known).unwrap());
    assert_eq!(fs::read(&path).unwrap(), bytes);
    // A step that the state had not seen, and one that was torn.
    let mut ledger = Ledger::open(&path).unwrap();
    ledger.append(Entry { step: 3, mechanism: mechanism(0.5, 2.0, 1) }).unwrap();
    drop(ledger);
    let longer = fs::read(&path).unwrap();
    fs::write(&path, [&longer[..], &[7; 10]].concat()).unwrap();
    let mut ledger = Ledger::resume(&path, TERMS, &known).unwrap();
    assert_eq!((ledger.contents().steps(), ledger.contents().torn), (5, 1));
    // With the torn step in the middle, the next state knows of it, and of the steps in another order.
    let steps = ledger.contents().composition();
    ledger.append(entry(4)).unwrap();
    let next = Known {
        steps: [&steps[..], &[mechanism(0.01, 1.1, 1)]].concat(),
        mark: Some(ledger.mark()),
    };
    drop(ledger);
    assert_eq!(Ledger::resume(&path, TERMS, &next).unwrap().contents().steps(), 6);
    // Nothing known is what a run that was killed at its beginning knows.
    fs::remove_file(&path).unwrap();
    assert_eq!(Ledger::resume(&path, TERMS, &Known::default()).unwrap().contents().steps(), 0);
}

#[test]
fn the_ledger_of_another_run_is_told_by_its_records() {
    let (_folder, path, _) = recorded(4);
    let known = known(&path, 4);
    let (_other, path, _) = recorded(0);
    let mut ledger = Ledger::open(&path).unwrap();
    // As many steps of the same noise, of which one was done again.
    [0, 1, 1, 2, 3].into_iter().for_each(|step| ledger.append(entry(step)).unwrap());
    drop(ledger);
    let line = Ledger::resume(&path, TERMS, &known).unwrap_err().to_string();
    assert!(line.contains("as they were"), "{line}");
    let other = Known { steps: vec![mechanism(0.01, 1.0, 1)], mark: None };
    let line = Ledger::resume(&path, TERMS, &other).unwrap_err().to_string();
    assert!(line.contains("as they were"), "{line}");
    let same = Known { mark: None, ..known };
    let other = Terms { samples: 999, ..TERMS };
    let line = Ledger::resume(&path, other, &same).unwrap_err().to_string();
    assert!(line.contains("1000 samples"), "{line}");
}
