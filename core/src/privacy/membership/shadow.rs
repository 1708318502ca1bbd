//! The shadow attack (Shokri et al. 2017): a classifier, one for each class, that learns from shadow
//! models how posteriors of members look, and is then shown those of the target.
//!
//! Its input are the posteriors as log-odds, that of the label first and the others in falling order:
//! the position of the label is what the unsorted vector of the paper tells beyond the sorted one.
//! Log-odds because posteriors of an over-fitted model are all 0 and 1 to the eye of a network.

use super::answers::Answers;
use super::scored::Scored;
use super::signals::phi;
use super::{MembershipEntry, Needs, Progress, Scene, views_of};
use crate::data::Dataset;
use crate::model::{Classifier as _, Network};
use crate::nn::layers::{Linear, Relu};
use crate::nn::{Layer, ModelSpec, init_params};
use crate::optim::{Adam, OptimizerConfig};
use crate::place::Placement;
use crate::rng::Rng;
use crate::train::{TrainConfig, fit};
use crate::{DType, Device, Result};

pub(super) const ENTRY: MembershipEntry = MembershipEntry {
    name: "shadow",
    summary: "a classifier per class that learns from shadow models (Shokri et al.)",
    needs: Needs::Shadows,
    run,
};

/// Log-odds are clipped here and divided by it.
const CLIP: f64 = 40.0;
/// Records of a class that its classifier learns from at the most.
const RECORDS: usize = 20_000;
/// Hidden units, as in the paper.
const HIDDEN: usize = 64;

fn run(scene: &Scene<'_>, progress: Progress<'_>) -> Result<Vec<Scored>> {
    let views = views_of(scene)?;
    let panel = &views.queried;
    let Some(target) = panel.target.first() else { return Ok(Vec::new()) };
    let mut scores = vec![0.0; target.len()];
    let classes = target.classes();
    for class in 0..classes {
        progress("shadow attack", class, classes)?;
        let rows: Vec<usize> = (0..target.len()).filter(|&r| target.labels()[r] == class).collect();
        if rows.is_empty() {
            continue;
        }
        let rng = scene.rng.child("shadow attack").index(class as u64);
        let mut records = Records::new(classes);
        for (answers, inside) in panel.shadows.iter().zip(&panel.inside) {
            for &row in &rows {
                records.add(&answers[0], row, inside[row]);
            }
        }
        let attack = learn(records.limited(&rng), &scene.place.device, &rng)?;
        let mut asked = Records::new(classes);
        rows.iter().for_each(|&row| asked.add(target, row, false));
        let place = Placement::new(&scene.place.device);
        for (portion, part) in rows.chunks(place.batch).enumerate() {
            let from = portion * place.batch;
            let at: Vec<usize> = (from..from + part.len()).collect();
            let (x, _) = place.tensors(&asked.data, &at)?;
            let logits = attack.logits(&x)?.to_f64_vec()?;
            for (&row, pair) in part.iter().zip(logits.chunks(2)) {
                scores[row] = pair[1] - pair[0];
            }
        }
    }
    let scored = Scored::split("shadow attack", scores, views.members);
    let scored = Scored { threshold: Some(0.0), ..scored };
    Ok(vec![views.notes.iter().fold(scored, |scored, note| scored.noted(note))])
}

/// What an attack classifier is shown.
struct Records {
    data: Dataset,
}

impl Records {
    fn new(classes: usize) -> Self {
        let names = ["non-member", "member"].map(str::to_owned).to_vec();
        Records {
            data: Dataset {
                name: "posteriors".into(),
                source: "shadow models".into(),
                licence: "not stated".into(),
                features: Vec::new(),
                shape: vec![classes],
                labels: Vec::new(),
                classes: 2,
                class_names: names,
                bounds: (-1.0, 1.0),
            },
        }
    }

    fn add(&mut self, answers: &Answers, row: usize, member: bool) {
        let Some((logits, label)) = answers.rows().nth(row) else { return };
        let mut others: Vec<f64> =
            (0..logits.len()).filter(|&i| i != label).map(|i| phi(logits, i)).collect();
        others.sort_by(|a, b| b.total_cmp(a));
        let all = std::iter::once(phi(logits, label)).chain(others);
        self.data.features.extend(all.map(|odds| (odds.clamp(-CLIP, CLIP) / CLIP) as f32));
        self.data.labels.push(i64::from(member));
    }

    fn limited(self, rng: &Rng) -> Dataset {
        match self.data.len() {
            n if n > RECORDS => self.data.select(&rng.child("records").choose(n, RECORDS)),
            _ => self.data,
        }
    }
}

fn learn(records: Dataset, device: &Device, rng: &Rng) -> Result<Network> {
    let linear = |features| Layer::Linear(Linear { features, bias: true });
    let spec = ModelSpec {
        input: records.shape.clone(),
        classes: 2,
        bounds: [-1.0, 1.0],
        layers: vec![linear(HIDDEN), Layer::Relu(Relu {}), linear(2)],
    };
    let params = init_params(&spec, device, DType::F32, &rng.child("init"))?;
    let mut network = Network::new(spec, params, device)?;
    let config = TrainConfig {
        epochs: 20,
        batch_size: 128,
        optimizer: OptimizerConfig::Adam(Adam { lr: 3e-3, ..Adam::default() }),
        ..TrainConfig::default()
    };
    fit(&mut network, &records, None, &config, &rng.child("train"), &mut ())?;
    Ok(network)
}
