//! A real private training: canaries with random labels are learned by heart or not. From outside their
//! losses tell; from inside, how far the weights went along the gradient of each. Its steps go through
//! a ledger, whose epsilon is the claim.

use inocula_core::data::Dataset;
use inocula_core::dp::accounting::{Accountant, Mechanism};
use inocula_core::dp::audit::score::{add_inner_products, loss_drops};
use inocula_core::dp::audit::{Claim, Verdict, coins, judge};
use inocula_core::dp::ledger::{Entry, Ledger, Terms};
use inocula_core::grad::grad;
use inocula_core::loss::cross_entropy;
use inocula_core::model::Network;
use inocula_core::nn::{Mode, ModelSpec, forward, init_params};
use inocula_core::optim::{OptimizerConfig, Sgd};
use inocula_core::rng::Rng;
use inocula_core::train::{Observer, Private, TrainConfig, fit};
use inocula_core::{DType, Device, Result, Tensor};
use inocula_tests::rows::registry;

const CANARIES: usize = 300;
const FEATURES: usize = 64;
const DELTA: f64 = 1e-5;

/// Writes every step down before it is taken.
struct Recording(Ledger);

impl Observer for Recording {
    fn mechanism(&mut self, step: usize, mechanism: &Mechanism) -> Result<()> {
        self.0.append(Entry { step: step as u64, mechanism: *mechanism })
    }
}

/// Random features with random labels: there is nothing to learn in them but who they are.
fn canaries() -> (Vec<f32>, Vec<i64>) {
    let mut rng = Rng::new(40);
    let features = (0..CANARIES * FEATURES).map(|_| rng.uniform(0.0, 1.0) as f32).collect();
    (features, (0..CANARIES).map(|_| rng.below(4) as i64).collect())
}

/// The data set of those canaries whose coin is true.
fn data(coins: &[bool]) -> Dataset {
    let (features, labels) = canaries();
    let inside = |i: &usize| coins[*i];
    let rows = features.chunks(FEATURES).enumerate().filter(|(i, _)| inside(i));
    let features: Vec<f32> = rows.flat_map(|(_, row)| row.to_vec()).collect();
    let labels =
        labels.into_iter().enumerate().filter(|(i, _)| inside(i)).map(|(_, l)| l).collect();
    let dataset = Dataset {
        name: "canaries".into(),
        source: "drawn".into(),
        licence: "none".into(),
        features,
        shape: vec![FEATURES],
        labels,
        classes: 4,
        class_names: ["a", "b", "c", "d"].map(String::from).to_vec(),
        bounds: (0.0, 1.0),
    };
    dataset.checked().unwrap()
}

/// The loss of every canary.
fn losses(network: &Network, spec: &ModelSpec, device: &Device) -> Vec<f64> {
    let (features, labels) = canaries();
    let x = Tensor::from_slice(device, &features, &[CANARIES, FEATURES]).unwrap();
    let y = Tensor::from_slice(device, &labels, &[CANARIES]).unwrap();
    let logits = forward(spec, network.params(), &x, &mut Mode::Eval).unwrap();
    cross_entropy(&logits, &y).to_f64_vec().unwrap()
}

/// The gradient of every canary at these weights, row by row.
fn gradients(network: &Network, device: &Device) -> Vec<f64> {
    let (features, labels) = canaries();
    let of = |n: usize| {
        let row = &features[n * FEATURES..][..FEATURES];
        let x = Tensor::from_slice(device, row, &[1, FEATURES]).unwrap();
        let y = Tensor::from_slice(device, &labels[n..=n], &[1]).unwrap();
        let params = network.params().tracked();
        let logits = network.forward(&params, &x, &mut Mode::Eval).unwrap();
        let loss = cross_entropy(&logits, &y).sum_all();
        flat(grad(&loss, &params.values()).unwrap().iter())
    };
    (0..CANARIES).flat_map(of).collect()
}

fn flat<'a>(values: impl Iterator<Item = &'a Tensor>) -> Vec<f64> {
    values.flat_map(|value| value.to_f64_vec().unwrap()).collect()
}

/// What the auditor sees.
#[derive(Debug, Clone, Copy)]
enum View {
    /// The losses of the finished model.
    BlackBox,
    /// The weights before and after.
    WhiteBox,
}

/// Trains as `config` says, and audits it against the epsilon of its ledger, or of other steps.
fn audited(config: &TrainConfig, claim_steps: Option<Mechanism>, view: View) -> (Verdict, f64) {
    let device = registry().open("ndarray").unwrap();
    let json = r#"{"input": [64], "classes": 4, "bounds": [0.0, 1.0], "layers": [
        {"type": "linear", "features": 64}, {"type": "relu"}, {"type": "linear", "features": 4}]}"#;
    let spec: ModelSpec = serde_json::from_str(json).unwrap();
    let params = init_params(&spec, &device, DType::F32, &Rng::new(3)).unwrap();
    let mut network = Network::new(spec.clone(), params, &device).unwrap();
    let coins = coins(CANARIES, &Rng::new(41));
    let train = data(&coins);
    let before = losses(&network, &spec, &device);
    let (start, along) =
        (flat(network.params().values().into_iter()), gradients(&network, &device));
    let temp = tempfile::tempdir().unwrap();
    let terms = Terms { samples: train.len() as u64, delta: DELTA };
    let mut recording = Recording(Ledger::create(temp.path().join("ledger"), terms).unwrap());
    fit(&mut network, &train, None, config, &Rng::new(42), &mut recording).unwrap();
    let history = match claim_steps {
        None => recording.0.contents().composition(),
        Some(mechanism) => vec![mechanism],
    };
    let claim = Claim::accounted(&history, Accountant::named("pld").unwrap(), DELTA).unwrap();
    let scores = match view {
        View::BlackBox => loss_drops(&before, &losses(&network, &spec, &device)).unwrap(),
        View::WhiteBox => {
            let end = flat(network.params().values().into_iter());
            let descended: Vec<f64> = start.iter().zip(end).map(|(a, b)| a - b).collect();
            let mut scores = vec![0.0; CANARIES];
            add_inner_products(&mut scores, &along, &descended).unwrap();
            scores
        }
    };
    (judge(&scores, &coins, &claim, 0.95).unwrap(), claim.spent().epsilon)
}

fn config(private: Option<Private>) -> TrainConfig {
    TrainConfig {
        epochs: 150,
        batch_size: 30,
        optimizer: OptimizerConfig::Sgd(Sgd { lr: 0.3, momentum: 0.0, weight_decay: 0.0 }),
        private,
        ..TrainConfig::default()
    }
}

#[test]
fn a_private_training_keeps_the_epsilon_of_its_ledger() {
    for view in [View::BlackBox, View::WhiteBox] {
        let noise_multiplier = Some(6.0);
        let private =
            Private { noise_multiplier, delta: DELTA, seeded: true, ..Private::default() };
        let (verdict, claimed) = audited(&config(Some(private)), None, view);
        assert!(claimed > 0.5 && claimed.is_finite(), "{claimed}: the ledger missed the steps");
        assert!(!verdict.exceeded, "{view:?}: {verdict:?} of {claimed}");
    }
}

/// A claim of much noise of a training without any noise, as if it had been forgotten. The claim is small
/// enough (0.48) that the verdict does not hang on the last bits of the weights: guesses are bounded to 0.9 or more.
#[test]
fn a_training_that_is_private_in_name_only_is_caught() {
    for view in [View::BlackBox, View::WhiteBox] {
        let claimed = Mechanism::new(0.2, 40.0, 150 * 5).unwrap();
        let (verdict, claimed) = audited(&config(None), Some(claimed), view);
        let caught = verdict.exceeded && verdict.epsilon > claimed;
        assert!(caught, "{view:?}: {verdict:?} of {claimed}");
    }
}
