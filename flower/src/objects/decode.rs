//! From objects to what a message carries, with nothing believed that was not checked.

use std::collections::HashMap;

use inocula_core::{Result, bail};
use prost::Message as _;
use serde_json::{Map, Value as Json};

use super::{
    Array, ArraySpec, Content, Limits, MAX_DEPTH, MAX_RECORDS, MAX_TEXT, Parts, Scalar, is_id, npy,
    parts, shown, shown_shape,
};
use crate::messages::{Items, Kind, Message, ObjectTree, Value};

/// The names of all objects of a tree, each once, those below before those above.
///
/// # Errors
/// There are more than `limits` allows, they are nested too deeply, or a name is none.
pub fn names(tree: &ObjectTree, limits: &Limits) -> Result<Vec<String>> {
    let (mut found, mut known) = (Vec::new(), HashMap::new());
    walk(tree, 1, limits, &mut |name: &str| {
        if known.insert(name.to_owned(), ()).is_none() {
            found.push(name.to_owned());
        }
    })?;
    Ok(found)
}

fn walk(
    tree: &ObjectTree,
    depth: usize,
    limits: &Limits,
    found: &mut impl FnMut(&str),
) -> Result<usize> {
    if depth > MAX_DEPTH {
        bail!(Data, "objects: nested deeper than {MAX_DEPTH}; the sender does not follow Flower");
    }
    if !is_id(&tree.object_id) {
        bail!(Data, "objects: {} is no name of 64 hexadecimal digits", shown(&tree.object_id));
    }
    let mut count = 1;
    for child in &tree.children {
        count += walk(child, depth + 1, limits, found)?;
        if count > limits.objects {
            let most = limits.objects;
            bail!(Data, "objects: a message of more than {most}; is it for this network?");
        }
    }
    found(&tree.object_id);
    Ok(count)
}

/// What the message carries whose object is called `top`; `objects` has all of it by name, and `specs`
/// is what its arrays must be, if it has any.
///
/// # Errors
/// An object is missing, damaged, or not what it must be.
pub fn decode(
    top: &str,
    objects: &HashMap<String, Vec<u8>>,
    specs: &[ArraySpec],
) -> Result<Content> {
    let source = Source { objects };
    let message = source.get(top, "Message")?;
    // Whose message it is came beside it; this is the copy that its name vouches for.
    if Message::decode(message.body).is_err() {
        bail!(Data, "object: a message whose metadata cannot be read");
    }
    let [content] = message.children[..] else {
        bail!(Data, "object: a message with {} contents", message.children.len());
    };
    let mut found = Content::default();
    let records = source.named(content, "RecordDict", MAX_RECORDS)?;
    for (name, record) in records {
        match source.kind(&record)? {
            "ArrayRecord" if found.arrays.is_some() => {
                bail!(Data, "message: more than one record of arrays; send the weights as one");
            }
            "ArrayRecord" => found.arrays = Some((name, arrays(&source, &record, specs)?)),
            "ConfigRecord" => found.config.extend(settings(source.get(&record, "ConfigRecord")?)?),
            // Metrics are for servers.
            "MetricRecord" => {}
            other => bail!(Data, "message: a record of the type {}", shown(other)),
        }
    }
    Ok(found)
}

struct Source<'a> {
    objects: &'a HashMap<String, Vec<u8>>,
}

impl<'a> Source<'a> {
    fn parts(&self, name: &str) -> Result<Parts<'a>> {
        match self.objects.get(name) {
            Some(bytes) => parts(bytes),
            None => bail!(Data, "object: {name:.8} is part of another and was not sent"),
        }
    }

    fn kind(&self, name: &str) -> Result<&'a str> {
        Ok(self.parts(name)?.kind)
    }

    fn get(&self, name: &str, kind: &str) -> Result<Parts<'a>> {
        let found = self.parts(name)?;
        if found.kind != kind {
            bail!(Data, "object: a {} where a {kind} must be", shown(found.kind));
        }
        Ok(found)
    }

    /// Children by name, of an object whose body gives them names.
    fn named(&self, name: &str, kind: &str, most: usize) -> Result<Vec<(String, String)>> {
        let object = self.get(name, kind)?;
        let names = json(&object)?;
        if names.len() > most {
            bail!(Data, "object: a {kind} of {} where {most} may be", names.len());
        }
        let mut found = Vec::new();
        for (name, child) in names {
            match child {
                Json::String(child) if object.children.contains(&child.as_str()) => {
                    found.push((name, child));
                }
                _ => bail!(Data, "object: {} of a {kind} is none of its children", shown(&name)),
            }
        }
        Ok(found)
    }
}

fn json(object: &Parts<'_>) -> Result<Map<String, Json>> {
    if object.body.len() > MAX_TEXT {
        bail!(Data, "object: a {} of more than {MAX_TEXT} bytes", object.kind);
    }
    match serde_json::from_slice(object.body) {
        Ok(Json::Object(map)) => Ok(map),
        _ => bail!(Data, "object: the body of a {} is no object of JSON", object.kind),
    }
}

/// The arrays of a record, in the order of `specs`.
fn arrays(source: &Source<'_>, record: &str, specs: &[ArraySpec]) -> Result<Vec<Array>> {
    let mut there = source.named(record, "ArrayRecord", specs.len() + MAX_RECORDS)?;
    let mut found = Vec::new();
    for spec in specs {
        let Some(at) = there.iter().position(|(name, _)| *name == spec.name) else {
            let name = &spec.name;
            bail!(Data, "message: no array is called {name:?}; make the weights of this model");
        };
        let (_, object) = there.swap_remove(at);
        found.push(array(source, &object, spec)?);
    }
    match there.first() {
        None => Ok(found),
        Some((name, _)) => {
            bail!(
                Data,
                "message: this network has no parameter {}; use one model for all",
                shown(name)
            )
        }
    }
}

fn array(source: &Source<'_>, object: &str, spec: &ArraySpec) -> Result<Array> {
    let object = source.get(object, "Array")?;
    let said = json(&object)?;
    let name = &spec.name;
    let shape: Option<Vec<usize>> = said.get("shape").and_then(integers);
    if shape.as_ref() != Some(&spec.shape) {
        let wanted = &spec.shape;
        bail!(
            Data,
            "{name}: the shape {} is not this network's {wanted:?}",
            shown_shape(&shape.unwrap_or_default())
        );
    }
    let text = |key: &str| said.get(key).and_then(Json::as_str).unwrap_or_default();
    if text("stype") != "numpy.ndarray" {
        bail!(Data, "{name}: values of the kind {}; send NumPy's", shown(text("stype")));
    }
    let Some(places) = said.get("arraychunk_ids").and_then(integers) else {
        bail!(Data, "{name}: it does not say of which chunks it is made");
    };
    // Double precision and a header.
    let most = spec.len().saturating_mul(8).saturating_add(4200);
    let mut file = Vec::new();
    for place in places {
        let Some(chunk) = object.children.get(place) else {
            bail!(Data, "{name}: chunk {place} of {}", object.children.len());
        };
        let chunk = source.get(chunk, "ArrayChunk")?.body;
        if file.len() + chunk.len() > most || chunk.is_empty() {
            bail!(Data, "{name}: its chunks are empty or larger than the array");
        }
        file.extend_from_slice(chunk);
    }
    let array = npy::read(&file, spec)?;
    if npy::dtype(&array).0 != text("dtype") {
        bail!(Data, "{name}: said to be {}, and is not", shown(text("dtype")));
    }
    Ok(array)
}

fn integers(value: &Json) -> Option<Vec<usize>> {
    let one = |value: &Json| usize::try_from(value.as_u64()?).ok();
    value.as_array()?.iter().map(one).collect()
}

/// The settings of a record; lists are left out.
fn settings(object: Parts<'_>) -> Result<Vec<(String, Scalar)>> {
    if object.body.len() > MAX_TEXT {
        bail!(Data, "object: settings of more than {MAX_TEXT} bytes");
    }
    let Ok(items) = Items::decode(object.body) else {
        bail!(Data, "object: settings that cannot be read");
    };
    let scalar = |kind: Kind| match kind {
        Kind::Double(value) => Some(Scalar::Float(value)),
        Kind::Sint(value) => Some(Scalar::Int(value)),
        Kind::Uint(value) => i64::try_from(value).ok().map(Scalar::Int),
        Kind::Bool(value) => Some(Scalar::Bool(value)),
        Kind::Text(value) => Some(Scalar::Text(value)),
    };
    let kind = |value: Option<Value>| value.and_then(|value| value.kind);
    let known = items.items.into_iter().filter_map(|i| Some((i.key, scalar(kind(i.value)?)?)));
    Ok(known.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::Metadata;
    use crate::objects::{id, reply};

    fn specs() -> Vec<ArraySpec> {
        let spec =
            |name: &str, shape: &[usize]| ArraySpec { name: name.into(), shape: shape.to_vec() };
        vec![spec("fc1.weight", &[2, 3]), spec("fc1.bias", &[2])]
    }

    fn values() -> Vec<(ArraySpec, Array)> {
        let arrays = [Array::F32(vec![1.0, -2.0, 3.0, 0.5, 0.0, 6.0]), Array::F64(vec![0.25, 7.0])];
        specs().into_iter().zip(arrays).collect()
    }

    fn decoded(made: &super::super::Deflated, specs: &[ArraySpec]) -> Result<Content> {
        let objects = made.objects.iter().cloned().collect();
        decode(&made.tree.object_id, &objects, specs)
    }

    #[test]
    fn what_is_encoded_is_decoded_in_the_order_of_the_network() {
        let mut turned = values();
        turned.reverse();
        let metrics = [("num-examples".to_owned(), Scalar::Int(7))];
        let made = reply(&Metadata::default(), Some(("arrays", &turned)), &metrics);
        let content = decoded(&made, &specs()).unwrap();
        let arrays = values().into_iter().map(|(_, array)| array).collect();
        assert_eq!(content.arrays, Some(("arrays".into(), arrays)));
        for (name, bytes) in &made.objects {
            assert_eq!(*name, id(bytes));
        }
        let limits = Limits::of(&specs());
        assert_eq!(names(&made.tree, &limits).unwrap().len(), made.objects.len());
    }

    #[test]
    fn other_networks_are_refused_by_name() {
        let all = values();
        let made = reply(&Metadata::default(), Some(("arrays", &all)), &[]);
        let mut more = specs();
        more.push(ArraySpec { name: "fc2.bias".into(), shape: vec![1] });
        let text = decoded(&made, &more).unwrap_err().to_string();
        assert!(text.contains("fc2.bias"), "{text}");
        let text = decoded(&made, &specs()[..1]).unwrap_err().to_string();
        assert!(text.contains("fc1.bias"), "{text}");
        let mut other = specs();
        other[1].shape = vec![3];
        let text = decoded(&made, &other).unwrap_err().to_string();
        assert!(text.contains("[2]") && text.contains("[3]"), "{text}");
    }

    #[test]
    fn trees_are_bounded() {
        let name = "0".repeat(64);
        let leaf = ObjectTree { object_id: name.clone(), children: Vec::new() };
        let limits = Limits { objects: 10, bytes: 100 };
        let mut deep = leaf.clone();
        for _ in 0..5 {
            deep = ObjectTree { object_id: name.clone(), children: vec![deep] };
        }
        assert!(names(&deep, &limits).unwrap_err().to_string().contains("deeper"));
        let wide = ObjectTree { object_id: name, children: vec![leaf; 10] };
        assert!(names(&wide, &limits).unwrap_err().to_string().contains("more than 10"));
        let nameless = ObjectTree { object_id: "x".into(), children: Vec::new() };
        assert!(names(&nameless, &limits).is_err());
    }
}
