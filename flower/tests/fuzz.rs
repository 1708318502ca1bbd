//! The decoder on what was changed at random: it ends in an error or in arrays of the shapes that were
//! expected, all of them numbers, and in nothing else. The changes are the same in every run.

use std::collections::HashMap;

use inocula_core::rng::Rng;
use inocula_flower::messages::{Metadata, PullMessagesReply, Stored};
use inocula_flower::objects::{Array, ArraySpec, Deflated, Limits, Scalar, decode, names, reply};
use prost::Message as _;

/// Changed messages that are decoded.
const ROUNDS: u64 = 20_000;

fn specs() -> Vec<ArraySpec> {
    let spec = |name: &str, shape: &[usize]| ArraySpec { name: name.into(), shape: shape.to_vec() };
    vec![spec("conv1.weight", &[2, 1, 3, 3]), spec("fc1.weight", &[3, 2]), spec("fc1.bias", &[3])]
}

fn valid() -> Deflated {
    let array = |(i, spec): (usize, ArraySpec)| {
        let values = (0..spec.len()).map(|v| (v as f64 - 3.0) / 7.0);
        let array = match i % 2 {
            0 => Array::F32(values.map(|v| v as f32).collect()),
            _ => Array::F64(values.collect()),
        };
        (spec, array)
    };
    let arrays: Vec<_> = specs().into_iter().enumerate().map(array).collect();
    let metrics =
        [("num-examples".to_owned(), Scalar::Int(3)), ("loss".into(), Scalar::Float(0.5))];
    reply(
        &Metadata { run_id: 1, ttl: 10.0, ..Metadata::default() },
        Some(("arrays", &arrays)),
        &metrics,
    )
}

/// Changes some bytes: one is set, some are cut out, doubled, or taken from elsewhere.
fn change(bytes: &mut Vec<u8>, rng: &mut Rng) {
    for _ in 0..1 + rng.below(3) {
        if bytes.is_empty() {
            return;
        }
        let at = rng.below(bytes.len());
        let length = 1 + rng.below((bytes.len() - at).min(16));
        match rng.below(6) {
            0 => bytes[at] = rng.below(256) as u8,
            1 => bytes[at] ^= 1 << rng.below(8),
            2 => drop(bytes.drain(at..at + length)),
            3 => bytes.truncate(at),
            4 => {
                let part = bytes[at..at + length].to_vec();
                let to = rng.below(bytes.len());
                bytes.splice(to..to, part);
            }
            // What numbers and shapes are made of.
            _ => bytes[at] = b"0123456789,()[]{}\"' -"[rng.below(21)],
        }
    }
}

fn check(found: Vec<Array>) {
    let specs = specs();
    assert_eq!(found.len(), specs.len());
    for (spec, array) in specs.iter().zip(found) {
        let values = array.to_f64();
        assert_eq!(values.len(), spec.len());
        assert!(values.iter().all(|v| v.is_finite()));
    }
}

#[test]
fn changed_objects_end_in_an_error_or_in_what_was_expected() {
    let made = valid();
    let (mut refused, mut taken) = (0, 0);
    for round in 0..ROUNDS {
        let mut rng = Rng::new(11).index(round);
        let mut objects: HashMap<String, Vec<u8>> = made.objects.iter().cloned().collect();
        // One object in most rounds, several in some; sometimes one stands in for another.
        for _ in 0..1 + rng.below(4) / 3 {
            let name = &made.objects[rng.below(made.objects.len())].0;
            let other = made.objects[rng.below(made.objects.len())].1.clone();
            let Some(bytes) = objects.get_mut(name) else { continue };
            match rng.below(10) {
                0 => *bytes = other,
                _ => change(bytes, &mut rng),
            }
        }
        match decode(&made.tree.object_id, &objects, &specs()) {
            Err(err) => {
                assert_eq!(err.to_string().lines().count(), 1, "{err}");
                assert!(err.to_string().len() < 400, "{err}");
                refused += 1;
            }
            Ok(content) => {
                if let Some((_, arrays)) = content.arrays {
                    check(arrays);
                }
                taken += 1;
            }
        }
    }
    // A test that only ever met one of the two would test little.
    assert!(refused > ROUNDS / 2 && taken > ROUNDS / 100, "{refused} refused, {taken} taken");
}

#[test]
fn changed_messages_end_in_an_error_or_in_few_names() {
    let made = valid();
    let reply = PullMessagesReply { messages: Vec::new(), trees: vec![made.tree.clone()] };
    let objects = made.objects.iter().map(|(_, bytes)| bytes.clone()).collect();
    let stored = Stored { tree: Some(made.tree), objects, ..Stored::default() };
    let (reply, stored) = (reply.encode_to_vec(), stored.encode_to_vec());
    let limits = Limits::of(&specs());
    for round in 0..ROUNDS {
        let mut rng = Rng::new(12).index(round);
        let mut bytes = if round % 2 == 0 { reply.clone() } else { stored.clone() };
        change(&mut bytes, &mut rng);
        let trees = match round % 2 {
            0 => PullMessagesReply::decode(&bytes[..]).map(|r| r.trees).unwrap_or_default(),
            _ => Stored::decode(&bytes[..]).ok().and_then(|s| s.tree).into_iter().collect(),
        };
        for tree in trees {
            if let Ok(names) = names(&tree, &limits) {
                assert!(names.len() <= limits.objects && names.iter().all(|n| n.len() == 64));
            }
        }
    }
}

#[test]
fn a_record_of_many_chunks_takes_no_more_memory_than_the_array() {
    let made = valid();
    let mut objects: HashMap<String, Vec<u8>> = made.objects.iter().cloned().collect();
    let array = made.objects.iter().find(|(_, bytes)| bytes.starts_with(b"Array ")).cloned();
    let Some((name, bytes)) = array else { panic!("no array was made") };
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let many = vec!["0"; 100_000].join(", ");
    let (head, body) = text.split_once('\0').unwrap_or_default();
    let body = body.replace("[0]", &format!("[{many}]"));
    let head = head.rsplit_once(' ').unwrap_or_default().0;
    objects.insert(name, format!("{head} {}\0{body}", body.len()).into_bytes());
    let text = decode(&made.tree.object_id, &objects, &specs()).unwrap_err().to_string();
    assert!(text.contains("larger than the array"), "{text}");
}
