//! The inputs that every side reads from one file: arrays, weights, and the constants of attacks.
//!
//! They are drawn once, from addressed streams, so that a result can be compared between backends and
//! with tools in other languages, and so that two runs measure the same work. The file is a
//! safetensors file; the constants, as text, are its metadata.

use std::collections::HashMap;
use std::path::Path;

use inocula_core::attack::AttackConfig;
use inocula_core::model::Classifier as _;
use inocula_core::nn::{ModelSpec, init_params};
use inocula_core::rng::Rng;
use inocula_core::{DType, Device, Error, ErrorKind, Result, Tensor, bail, fs};
use inocula_tests::rows::registry;
use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::row::Context;
use crate::scale::{self, Scale};
use crate::subject::{Net, PREDICTED, Subject};
use crate::train::{ADVERSARIAL, short_inner};

/// How the values of an array are drawn.
#[derive(Clone, Copy)]
enum Draw {
    /// Standard normal.
    Normal,
    /// Uniform in [0, 1): images.
    Unit,
    /// Whole numbers below: labels, indices.
    Below(usize),
}

/// An array on the host, little-endian.
struct Array {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Array {
    fn floats(name: String, shape: &[usize], values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Array { name, dtype: Dtype::F32, shape: shape.to_vec(), bytes }
    }

    fn whole(name: String, shape: &[usize], values: &[i64]) -> Self {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Array { name, dtype: Dtype::I64, shape: shape.to_vec(), bytes }
    }

    fn draw(rng: &Rng, name: &str, shape: &[usize], draw: Draw) -> Self {
        let mut rng = rng.child(name);
        let count = shape.iter().product();
        let mut values = vec![0f32; count];
        match draw {
            Draw::Normal => rng.fill_normal(&mut values),
            Draw::Unit => rng.fill_uniform(&mut values, 0.0, 1.0),
            Draw::Below(n) => {
                let values: Vec<i64> = (0..count).map(|_| rng.below(n) as i64).collect();
                return Array::whole(name.into(), shape, &values);
            }
        }
        Array::floats(name.into(), shape, &values)
    }
}

/// Draws all inputs of `scale`, makes an adversarial batch of them, and writes them to `path`.
pub(crate) fn write(path: &Path, scale: &'static Scale) -> Result<()> {
    let rng = Rng::new(1);
    let device = registry().open("ndarray")?;
    let mut arrays: Vec<Array> = listed(scale)
        .into_iter()
        .map(|(name, shape, draw)| Array::draw(&rng, name, &shape, draw))
        .collect();
    for net in [Net::Madry, Net::Mlp, Net::DpCnn] {
        let spec = net.spec()?;
        arrays.extend(weights(&net, &spec, &device, &rng)?);
        let shape: Vec<usize> = [net.batch(scale)].into_iter().chain(spec.input).collect();
        arrays.push(Array::draw(&rng, &net.array("x"), &shape, Draw::Unit));
        arrays.push(Array::draw(&rng, &net.array("y"), &shape[..1], Draw::Below(spec.classes)));
    }
    let inputs = Inputs(serialize(&arrays, scale).map_err(|e| malformed(path, &e))?);
    let context = Context { device, inputs, scale };
    let net = Net::Madry;
    let attack = AttackConfig::Pgd(short_inner()).check()?;
    let subject = Subject::new(&context, net, scale.batch)?;
    let given = subject.attack(&*attack)?;
    let predicted = subject.network.logits(&subject.x)?.argmax(1).to_vec::<i64>()?;
    arrays.push(Array::whole(PREDICTED.into(), &[scale.batch], &predicted));
    arrays.push(Array::floats(net.array(ADVERSARIAL), &given.shape(), &given.to_vec::<f32>()?));
    fs::write_bytes(path, &serialize(&arrays, scale).map_err(|e| malformed(path, &e))?)
}

fn serialize(arrays: &[Array], scale: &Scale) -> Result<Vec<u8>, SafeTensorError> {
    let mut views = Vec::new();
    for array in arrays {
        let view = TensorView::new(array.dtype, array.shape.clone(), &array.bytes)?;
        views.push((array.name.as_str(), view));
    }
    safetensors::serialize(views, Some(constants(scale)))
}

/// Name, shape and distribution of what is not a network's.
fn listed(scale: &Scale) -> Vec<(&'static str, Vec<usize>, Draw)> {
    let [small, large] = scale.matmul;
    let [rows, columns] = scale.flat;
    let [samples, parameters] = scale.per_sample;
    let (n, flat) = (scale.batch, vec![rows, columns]);
    vec![
        ("small.a", vec![small, small], Draw::Normal),
        ("small.b", vec![small, small], Draw::Normal),
        ("large.a", vec![large, large], Draw::Normal),
        ("large.b", vec![large, large], Draw::Normal),
        ("conv1.x", vec![n, 1, 28, 28], Draw::Unit),
        ("conv1.w", vec![32, 1, 5, 5], Draw::Normal),
        ("conv1.g", vec![n, 32, 28, 28], Draw::Normal),
        ("conv2.x", vec![n, 32, 14, 14], Draw::Normal),
        ("conv2.w", vec![64, 32, 5, 5], Draw::Normal),
        ("conv2.g", vec![n, 64, 14, 14], Draw::Normal),
        ("xent.z", scale.logits.to_vec(), Draw::Normal),
        ("xent.y", vec![scale.logits[0]], Draw::Below(scale.logits[1])),
        ("flat.a", flat.clone(), Draw::Normal),
        ("flat.b", flat.clone(), Draw::Normal),
        ("flat.x", flat.clone(), Draw::Unit),
        ("flat.x0", flat, Draw::Unit),
        ("take.rows", vec![scale.picks], Draw::Below(rows)),
        ("gather.columns", vec![rows, columns / 10], Draw::Below(columns)),
        ("dp.grads", vec![samples, parameters], Draw::Normal),
        ("dp.noise", vec![parameters], Draw::Normal),
        ("tiny.a", vec![16], Draw::Normal),
        ("tiny.b", vec![16], Draw::Normal),
    ]
}

fn weights(net: &Net, spec: &ModelSpec, device: &Device, rng: &Rng) -> Result<Vec<Array>> {
    let params = init_params(spec, device, DType::F32, &rng.child(&net.array("weights")))?;
    let array = |(name, value): (&str, &Tensor)| {
        Ok(Array::floats(net.array(name), &value.shape(), &value.to_vec::<f32>()?))
    };
    params.iter().map(array).collect()
}

/// What the peers have to know besides arrays.
fn constants(scale: &Scale) -> HashMap<String, String> {
    let pairs = [
        ("eps", scale::EPS),
        ("pgd_step", scale::PGD_STEP),
        ("inner_step", scale::INNER_STEP),
        ("lr", scale::LR),
        ("beta", scale::BETA),
        ("clip", scale::CLIP),
        ("noise", scale::NOISE),
        ("small_eps", scale::SMALL_EPS),
        ("cw_lr", scale::CW_LR),
        ("cw_weight", scale::CW_WEIGHT),
        ("cw_endless", scale::CW_ENDLESS),
        ("batch", scale.batch as f64),
        ("private_batch", scale.private_batch as f64),
        ("queries", scale.queries as f64),
        ("attack_steps", scale.attack_steps as f64),
        ("pgd_steps", scale.pgd_steps as f64),
        ("inner_steps", scale.inner_steps as f64),
        ("checked_steps", scale::CHECKED_STEPS as f64),
        ("round_seconds", scale.round.as_secs_f64()),
        ("warm_seconds", scale.warm.as_secs_f64()),
    ];
    pairs.map(|(name, value)| (name.to_owned(), value.to_string())).into()
}

/// The contents of a file of inputs.
pub(crate) struct Inputs(Vec<u8>);

impl Inputs {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let bytes = fs::read(path, 4 << 30)?;
        SafeTensors::deserialize(&bytes).map_err(|e| malformed(path, &e))?;
        Ok(Inputs(bytes))
    }

    /// The array of this name on `device`.
    pub(crate) fn get(&self, name: &str, device: &Device) -> Result<Tensor> {
        let file = SafeTensors::deserialize(&self.0)
            .map_err(|e| Error::new(ErrorKind::Data, format!("inputs: {e}")))?;
        let Ok(view) = file.tensor(name) else {
            bail!(NotFound, "inputs: there is no array {name:?}");
        };
        match view.dtype() {
            Dtype::F32 => {
                let words = view.data().as_chunks::<4>().0;
                let values: Vec<f32> = words.iter().map(|w| f32::from_le_bytes(*w)).collect();
                Tensor::from_slice(device, &values, view.shape())
            }
            Dtype::I64 => {
                let words = view.data().as_chunks::<8>().0;
                let values: Vec<i64> = words.iter().map(|w| i64::from_le_bytes(*w)).collect();
                Tensor::from_slice(device, &values, view.shape())
            }
            other => bail!(Data, "inputs: array {name:?} is {other:?}, not f32 or i64"),
        }
    }
}

fn malformed(path: &Path, err: &SafeTensorError) -> Error {
    Error::new(ErrorKind::Data, format!("{}: {err}", path.display()))
}
