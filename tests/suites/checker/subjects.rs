//! Networks on digits, trained once on the reference, and models around them that hide their gradients.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use inocula_core::attack::{
    Aim, AttackConfig, Fgsm, Norm, Outcome as Found, Pgd, Traced, Traces, perturb_rows,
};
use inocula_core::data::{Dataset, digits};
use inocula_core::doubt::{Attacked, Facts, Finding, Subject, findings, measure};
use inocula_core::model::{Classifier, Network, predict_rows};
use inocula_core::nn::{Preset, init_params};
use inocula_core::place::Placement;
use inocula_core::rng::Rng;
use inocula_core::train::{Rule, TrainConfig, fit};
use inocula_core::{DType, Device, Result, Tensor};
use inocula_tests::rows::REFERENCE;

/// Training and test digits.
pub(crate) static DIGITS: LazyLock<(Dataset, Dataset)> = LazyLock::new(|| match digits() {
    Ok(all) => all.split_stratified(0.25, &Rng::new(5)),
    Err(err) => panic!("the digits cannot be read: {err}"),
});

fn trained(preset: &str, rule: Rule, epochs: usize) -> Network {
    let train = || -> Result<Network> {
        let spec = Preset::find(preset)?.spec(&[1, 8, 8], 10, [0.0, 1.0])?;
        let params = init_params(&spec, &REFERENCE, DType::F32, &Rng::new(3))?;
        let mut network = Network::new(spec, params, &REFERENCE)?;
        let config = TrainConfig { epochs, rule, ..TrainConfig::default() };
        fit(&mut network, &DIGITS.0, None, &config, &Rng::new(4), &mut ())?;
        Ok(network)
    };
    train().unwrap_or_else(|err| panic!("the network to check could not be trained: {err}"))
}

/// A perceptron trained on clean digits.
pub(crate) static PLAIN: LazyLock<Network> =
    LazyLock::new(|| trained("mlp", Rule::Standard {}, 15));

/// One trained on examples of PGD.
pub(crate) static ROBUST: LazyLock<Network> = LazyLock::new(|| {
    let attack = AttackConfig::Pgd(Pgd { steps: 5, ..Pgd::new(Norm::Linf, 0.1) });
    trained("mlp", Rule::Madry { attack }, 15)
});

/// A small convolutional one trained on examples of one step so large that it overfits to them.
pub(crate) static OVERFITTED: LazyLock<Network> = LazyLock::new(|| {
    let attack = AttackConfig::Fgsm(Fgsm::new(Norm::Linf, 0.3));
    trained("small-cnn", Rule::Madry { attack }, 20)
});

/// A trained network on another device.
pub(crate) fn on(network: &Network, device: &Device) -> Result<Network> {
    let values: Result<Vec<Tensor>> =
        network.params().values().iter().map(|p| p.to_device(device)).collect();
    let params = network.params().with_values(values?)?;
    Network::new(network.spec().clone(), params, device)
}

/// A model with its inputs or logits changed, at call number so many.
pub(crate) struct Changed<'a> {
    network: &'a Network,
    classes: usize,
    before: fn(&Tensor, u64) -> Result<Tensor>,
    after: fn(&Tensor) -> Tensor,
    calls: AtomicU64,
}

impl<'a> Changed<'a> {
    /// Nothing changed yet.
    pub(crate) fn new(network: &'a Network) -> Self {
        let (before, after) = (|x: &Tensor, _| Ok(x.clone()), Tensor::clone);
        Changed { network, classes: network.classes(), before, after, calls: AtomicU64::new(0) }
    }

    pub(crate) fn before(self, before: fn(&Tensor, u64) -> Result<Tensor>) -> Self {
        Changed { before, ..self }
    }

    pub(crate) fn after(self, after: fn(&Tensor) -> Tensor) -> Self {
        Changed { after, ..self }
    }

    pub(crate) fn classes(self, classes: usize) -> Self {
        Changed { classes, ..self }
    }
}

impl Classifier for Changed<'_> {
    fn logits(&self, x: &Tensor) -> Result<Tensor> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        Ok((self.after)(&self.network.logits(&(self.before)(x, call)?)?))
    }

    fn bounds(&self) -> [f64; 2] {
        self.network.bounds()
    }

    fn classes(&self) -> usize {
        self.classes
    }
}

/// What came of an attack and of its check.
pub(crate) struct Checked {
    pub(crate) facts: Facts,
    pub(crate) findings: Vec<Finding>,
    pub(crate) found: Found,
    pub(crate) traces: Traces,
}

impl Checked {
    pub(crate) fn kinds(&self) -> Vec<&'static str> {
        self.findings.iter().map(|finding| finding.kind.name()).collect()
    }
}

/// Attacks so many test digits and checks the attack on up to `samples` of them.
pub(crate) fn checked(
    model: &dyn Classifier,
    device: &Device,
    config: &AttackConfig,
    digits: usize,
    samples: usize,
) -> Result<Checked> {
    let test = &DIGITS.1;
    let rows: Vec<usize> = (0..digits).collect();
    let place = Placement::new(device);
    let rng = Rng::new(9);
    let classes = predict_rows(model, test, &rows, &place)?;
    let right: Vec<bool> = classes.iter().zip(&test.labels).map(|(c, l)| c == l).collect();
    let attack = config.check()?;
    let traced = Traced::new(&*attack);
    let aim = Aim::Untargeted;
    let found = perturb_rows(&traced, model, test, &rows, aim, &place, &rng, &mut |_| Ok(()))?;
    let traces = traced.traces();
    let subject = Subject {
        name: "model",
        model,
        data: test,
        rows: &rows,
        right: &right,
        place: &place,
        rng: &rng,
        samples,
    };
    let attacked = Attacked { config, fooled: &found.success, traces: &traces, stages: &[] };
    let facts = measure(&subject, &attacked, &[], &mut |_, _| Ok(()))?;
    let findings = findings(&facts, "model", &config.label());
    Ok(Checked { facts, findings, found, traces })
}

/// PGD-40 in Linf.
pub(crate) fn pgd(eps: f64) -> AttackConfig {
    AttackConfig::Pgd(Pgd::new(Norm::Linf, eps))
}
