//! Objects of a reply.
//!
//! JSON bodies are written as Python's `json.dumps` does, with a space behind commas and colons: a name
//! is the digest of bytes, and what a receiver writes anew should have the same.

use prost::Message as _;
use serde_json::Value as Json;

use super::{Array, ArraySpec, CHUNK, Scalar, id, npy};
use crate::messages::{Failure, Item, Items, Kind, Message, Metadata, ObjectTree, Value};

/// Objects of a message: the tree, whose top is the message, and the bytes of each, by name.
#[derive(Debug, Clone, PartialEq)]
pub struct Deflated {
    /// The tree.
    pub tree: ObjectTree,
    /// Name and bytes of each, those without children first.
    pub objects: Vec<(String, Vec<u8>)>,
}

/// The objects of a message with metrics, and arrays where there are any: the name of their record, and
/// each with its name and shape. Metrics go into a record called `metrics`.
pub fn reply(
    metadata: &Metadata,
    arrays: Option<(&str, &[(ArraySpec, Array)])>,
    metrics: &[(String, Scalar)],
) -> Deflated {
    let mut made = Vec::new();
    let mut records = Vec::new();
    if let Some((name, arrays)) = arrays {
        let children: Vec<(&str, ObjectTree)> = arrays
            .iter()
            .map(|(spec, array)| (spec.name.as_str(), put_array(&mut made, spec, array)))
            .collect();
        records.push((name, put_names(&mut made, "ArrayRecord", children)));
    }
    let items = metrics.iter().map(|(key, value)| item(key, value)).collect();
    let body = Items { items }.encode_to_vec();
    records.push(("metrics", put(&mut made, "MetricRecord", Vec::new(), &body)));
    let content = put_names(&mut made, "RecordDict", records);
    let body = Message { metadata: Some(nameless(metadata)), content: None, error: None };
    let tree = put(&mut made, "Message", vec![content], &body.encode_to_vec());
    Deflated { tree, objects: made }
}

/// The objects of a message that says why there is no content.
pub fn failure(metadata: &Metadata, failure: &Failure) -> Deflated {
    let mut made = Vec::new();
    let body =
        Message { metadata: Some(nameless(metadata)), content: None, error: Some(failure.clone()) };
    let tree = put(&mut made, "Message", Vec::new(), &body.encode_to_vec());
    Deflated { tree, objects: made }
}

/// A message does not contain its own name.
fn nameless(metadata: &Metadata) -> Metadata {
    Metadata { message_id: String::new(), ..metadata.clone() }
}

fn item(key: &str, value: &Scalar) -> Item {
    let kind = match value {
        Scalar::Float(value) => Kind::Double(*value),
        Scalar::Int(value) => Kind::Sint(*value),
        Scalar::Bool(value) => Kind::Bool(*value),
        Scalar::Text(value) => Kind::Text(value.clone()),
    };
    Item { key: key.to_owned(), value: Some(Value { kind: Some(kind) }) }
}

/// Adds an object, unless there is one of the same bytes.
fn put(
    made: &mut Vec<(String, Vec<u8>)>,
    kind: &str,
    mut children: Vec<ObjectTree>,
    body: &[u8],
) -> ObjectTree {
    // Equal children are one.
    let mut seen = Vec::new();
    children.retain(|child| {
        let new = !seen.contains(&child.object_id);
        seen.push(child.object_id.clone());
        new
    });
    let names: Vec<&str> = children.iter().map(|child| child.object_id.as_str()).collect();
    let mut bytes = format!("{kind} {} {}\0", names.join(","), body.len()).into_bytes();
    bytes.extend_from_slice(body);
    let object_id = id(&bytes);
    if !made.iter().any(|(name, _)| *name == object_id) {
        made.push((object_id.clone(), bytes));
    }
    ObjectTree { object_id, children }
}

/// Adds an object whose body gives each child a name.
fn put_names(
    made: &mut Vec<(String, Vec<u8>)>,
    kind: &str,
    children: Vec<(&str, ObjectTree)>,
) -> ObjectTree {
    let pair = |(name, child): &(&str, ObjectTree)| {
        format!("{}: \"{}\"", Json::from(*name), child.object_id)
    };
    let pairs: Vec<String> = children.iter().map(pair).collect();
    let body = format!("{{{}}}", pairs.join(", "));
    put(made, kind, children.into_iter().map(|(_, child)| child).collect(), body.as_bytes())
}

fn put_array(made: &mut Vec<(String, Vec<u8>)>, spec: &ArraySpec, array: &Array) -> ObjectTree {
    let file = npy::write(array, &spec.shape);
    let chunk = |bytes: &[u8]| put(made, "ArrayChunk", Vec::new(), bytes);
    let chunks: Vec<ObjectTree> = file.chunks(CHUNK).map(chunk).collect();
    let mut different: Vec<&str> = Vec::new();
    let mut places = Vec::new();
    for chunk in &chunks {
        let known = different.iter().position(|name| *name == chunk.object_id);
        places.push(known.unwrap_or_else(|| {
            different.push(&chunk.object_id);
            different.len() - 1
        }));
    }
    let list = |values: &[usize]| {
        let texts: Vec<String> = values.iter().map(usize::to_string).collect();
        format!("[{}]", texts.join(", "))
    };
    let body = format!(
        "{{\"dtype\": \"{}\", \"shape\": {}, \"stype\": \"numpy.ndarray\", \"arraychunk_ids\": {}}}",
        npy::dtype(array).0,
        list(&spec.shape),
        list(&places)
    );
    put(made, "Array", chunks, body.as_bytes())
}
