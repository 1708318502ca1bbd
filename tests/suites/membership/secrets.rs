//! Exposure of secrets: exact ranks on a model whose order is known, and a small network that was or
//! was not shown them.

use inocula_core::data::Dataset;
use inocula_core::model::{Classifier, Network};
use inocula_core::nn::{ModelSpec, init_params};
use inocula_core::optim::{Adam, OptimizerConfig};
use inocula_core::place::Placement;
use inocula_core::privacy::exposure::{
    Canary, Encoding, ExposureSummary, Field, Ranking, canaries, exposure, insert,
};
use inocula_core::rng::Rng;
use inocula_core::train::{TrainConfig, fit};
use inocula_core::{DType, Device, Result, Tensor};
use inocula_tests::harness::{Outcome, ensure};

/// `rows` records of `length` random tokens, whose class is whether the last is at least 5.
fn records(rows: usize, length: usize) -> Result<Dataset> {
    let mut rng = Rng::new(41);
    let features: Vec<f32> = (0..rows * length).map(|_| rng.below(10) as f32).collect();
    let labels = features.chunks(length).map(|row| i64::from(row[length - 1] >= 5.0)).collect();
    Dataset {
        name: "records".into(),
        source: "random".into(),
        licence: "none".into(),
        features,
        shape: vec![length],
        labels,
        classes: 2,
        class_names: vec!["low".into(), "high".into()],
        bounds: (0.0, 9.0),
    }
    .checked()
}

/// A model whose logit of class 0 is a weighted sum of the features.
struct Weighted(Vec<f64>);

impl Classifier for Weighted {
    fn logits(&self, x: &Tensor) -> Result<Tensor> {
        let sums = x.to_f64_vec()?;
        let sums = sums.chunks(self.0.len()).flat_map(|row| {
            let sum: f64 = row.iter().zip(&self.0).map(|(v, w)| v * w).sum();
            [sum as f32, 0.0]
        });
        Tensor::from_slice(x.device(), &sums.collect::<Vec<f32>>(), &[x.dim(0), 2])
    }

    fn bounds(&self) -> [f64; 2] {
        [0.0, 9.0]
    }

    fn classes(&self) -> usize {
        2
    }
}

/// The loss falls as the number grows, so number `s` of 100 has `99 - s` before it; a model that does
/// not look at the field likes all alike, and exposes nothing.
pub(crate) fn ranks(device: &Device) -> Outcome {
    let (like, rng) = (records(3, 4)?, Rng::new(1));
    let place = Placement { batch: 7, ..Placement::new(device) };
    let field = Field { digits: 2, at: 1, encoding: Encoding::Level };
    let canary = |secret: u64| {
        let record = vec![3.0, (secret / 10) as f32, (secret % 10) as f32, 5.0];
        Canary { record, label: 0, secret }
    };
    let ordered = Weighted(vec![0.0, 1.0, 0.1, 0.0]);
    for (secret, rank) in [(99, 1), (98, 2), (35, 65), (0, 100)] {
        let of =
            |ranking| exposure(&ordered, &canary(secret), &field, ranking, (&like, &place), &rng);
        let exact = of(Ranking::Exact)?;
        ensure(exact.rank == rank && exact.tried == 100, || format!("{secret}: {exact:?}"))?;
        ensure((exact.bits - (100.0 / rank as f64).log2()).abs() < 1e-12, || format!("{exact:?}"))?;
        // A share of 2,000, within five standard errors.
        let sampled = of(Ranking::Sampled(2000))?;
        let (share, p) = (sampled.rank as f64 / 2001.0, rank as f64 / 100.0);
        let bound = 5.0 * (p * (1.0 - p) / 2000.0).sqrt() + 1e-3;
        ensure((share - p).abs() < bound, || format!("{secret}: a share of {share}, not {p}"))?;
    }
    let blind = Weighted(vec![1.0, 0.0, 0.0, 1.0]);
    let none = exposure(&blind, &canary(42), &field, Ranking::Exact, (&like, &place), &rng)?;
    ensure(none.rank == 100 && none.bits == 0.0, || format!("{none:?}"))
}

/// A card number of four digits in a record of ten tokens, for a network of an embedding and dense
/// layers.
pub(crate) fn inserted(device: &Device) -> Outcome {
    let data = records(150, 10)?;
    let field = Field { digits: 4, at: 2, encoding: Encoding::Level };
    let rng = Rng::new(43);
    let all = canaries(&data, &field, 16, &rng)?;
    let (present, absent) = all.split_at(8);
    let spec: ModelSpec = serde_json::from_str(
        r#"{"input": [10], "classes": 2, "bounds": [0, 9], "layers": [
            {"type": "embedding", "vocabulary": 10, "features": 8}, {"type": "flatten"},
            {"type": "linear", "features": 64}, {"type": "relu"},
            {"type": "linear", "features": 2}]}"#,
    )?;
    let params = init_params(&spec, device, DType::F32, &Rng::new(44))?;
    let mut network = Network::new(spec, params, device)?;
    let optimizer = OptimizerConfig::Adam(Adam { lr: 3e-3, ..Adam::default() });
    let config = TrainConfig { epochs: 40, batch_size: 32, optimizer, ..TrainConfig::default() };
    let with = insert(&data, present, 4);
    ensure(with.len() == 150 + 8 * 4, || format!("{} records", with.len()))?;
    fit(&mut network, &with, None, &config, &Rng::new(45), &mut ())?;
    let place = Placement { batch: 5000, ..Placement::new(device) };
    let summary = |which: &[Canary]| -> Result<ExposureSummary> {
        let each = which.iter().map(|canary| {
            exposure(&network, canary, &field, Ranking::Exact, (&data, &place), &rng)
        });
        ExposureSummary::new(each.collect::<Result<_>>()?)
    };
    let (shown, kept_out) = (summary(present)?, summary(absent)?);
    ensure(shown.p_value < 1e-4, || format!("inserted: {shown:?}"))?;
    ensure(shown.verdict().starts_with("secrets are exposed"), || shown.verdict())?;
    ensure(kept_out.p_value > 0.01, || format!("kept out: {kept_out:?}"))
}
