//! Attacks that learn a field from records of the attacker's own: a small network from what is known of
//! a record, with or without what the attacked model says of it.
//!
//! With the model's outputs on the whole record, masked fields included, it is the black-box attack: what
//! it finds may be read off any record that the model is asked about, so only members against others
//! tell of the training data. Without, it is the baseline that every other
//! attack has to beat, because correlations among the fields are in the world and not in the model
//! (Jayaraman and Evans 2022 found most published attribute inference to be no better than this).

use super::Question;
use super::model_based::{log_softmax, logits};
use crate::data::Dataset;
use crate::model::{Network, predict_rows};
use crate::nn::layers::{Linear, Relu};
use crate::nn::{Layer, ModelSpec, init_params};
use crate::optim::{Adam, OptimizerConfig};
use crate::place::Placement;
use crate::rng::Rng;
use crate::train::{TrainConfig, fit};
use crate::{DType, Result};

/// Hidden units, passes over the auxiliary records, records of a step, and L2 penalty.
const HIDDEN: usize = 32;
const EPOCHS: usize = 40;
const BATCH: usize = 32;
const WEIGHT_DECAY: f64 = 1e-3;

/// The value of each masked field of the records `rows` of `data`, by networks that were trained on
/// `auxiliary`; `asked` if what the attacked model says of a record is among what is known.
pub(super) fn run(
    question: &Question<'_>,
    auxiliary: &Dataset,
    data: &Dataset,
    rows: &[usize],
    asked: bool,
    rng: &Rng,
) -> Result<Vec<Vec<usize>>> {
    let all: Vec<usize> = (0..auxiliary.len()).collect();
    let learnt = known(question, auxiliary, &all, asked)?;
    let wanted = known(question, data, rows, asked)?;
    let mut found = vec![Vec::new(); rows.len()];
    for (i, field) in question.fields.iter().enumerate() {
        let labels = all.iter().map(|&row| field.of(auxiliary, row) as i64).collect();
        let values = field.values.len();
        let train = set(learnt.clone(), labels, values);
        let network = trained(question, &train, &rng.index(i as u64))?;
        let test = set(wanted.clone(), vec![0; rows.len()], values);
        let place = Placement::new(question.network.device());
        let every: Vec<usize> = (0..rows.len()).collect();
        let guesses = predict_rows(&network, &test, &every, &place)?;
        found.iter_mut().zip(guesses).for_each(|(all, value)| all.push(value as usize));
    }
    Ok(found)
}

fn trained(question: &Question<'_>, train: &Dataset, rng: &Rng) -> Result<Network> {
    let linear = |features| Layer::Linear(Linear { features, bias: true });
    let spec = ModelSpec {
        input: train.shape.clone(),
        classes: train.classes,
        bounds: [f64::from(train.bounds.0), f64::from(train.bounds.1)],
        layers: vec![linear(HIDDEN), Layer::Relu(Relu {}), linear(train.classes)],
    };
    let device = question.network.device();
    let params = init_params(&spec, device, DType::F32, &rng.child("init"))?;
    let mut network = Network::new(spec, params, device)?;
    let adam = Adam { lr: 3e-3, weight_decay: WEIGHT_DECAY, ..Adam::default() };
    let config = TrainConfig {
        epochs: EPOCHS,
        batch_size: BATCH,
        optimizer: OptimizerConfig::Adam(adam),
        ..TrainConfig::default()
    };
    fit(&mut network, train, None, &config, &rng.child("train"), &mut ())?;
    Ok(network)
}

/// A table of what is known, with the number of a value as label.
fn set(features: Vec<f32>, labels: Vec<i64>, classes: usize) -> Dataset {
    let width = features.len() / labels.len().max(1);
    let least = features.iter().copied().fold(0.0, f32::min);
    let most = features.iter().copied().fold(1.0, f32::max);
    Dataset {
        name: "what is known".into(),
        source: String::new(),
        licence: String::new(),
        features,
        shape: vec![width],
        labels,
        classes,
        class_names: (0..classes).map(|class| class.to_string()).collect(),
        bounds: (least, most),
    }
}

/// What is known of records: the columns that are not masked, the label, and the probabilities that
/// the attacked model gives to the whole record.
fn known(question: &Question<'_>, data: &Dataset, rows: &[usize], asked: bool) -> Result<Vec<f32>> {
    let each: usize = data.shape.iter().product();
    let open: Vec<usize> = (0..each).filter(|c| !question.is_masked(*c)).collect();
    let outputs = if asked { Some(outputs(question, data, rows)?) } else { None };
    let mut known = Vec::new();
    for (i, &row) in rows.iter().enumerate() {
        known.extend(open.iter().map(|c| data.features[row * each + c]));
        let label = data.labels[row];
        known.extend((0..data.classes as i64).map(|class| f32::from(u8::from(class == label))));
        if let Some(outputs) = &outputs {
            known.extend_from_slice(&outputs[i]);
        }
    }
    Ok(known)
}

/// Probabilities that the attacked model gives to records.
fn outputs(question: &Question<'_>, data: &Dataset, rows: &[usize]) -> Result<Vec<Vec<f32>>> {
    let each: usize = data.shape.iter().product();
    let features = rows.iter().flat_map(|r| &data.features[r * each..(r + 1) * each]).copied();
    let part = Dataset {
        features: features.collect(),
        labels: rows.iter().map(|&r| data.labels[r]).collect(),
        ..question.empty.clone()
    };
    let of = |z: Vec<f64>| (0..z.len()).map(|c| log_softmax(&z, c).exp() as f32).collect();
    Ok(logits(question.network, &part)?.into_iter().map(of).collect())
}
