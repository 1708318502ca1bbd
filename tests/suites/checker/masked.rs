//! Models that hide their gradients.

use inocula_core::attack::{AttackConfig, Autoattack, Fgsm, Norm, Threat};
use inocula_core::doubt::SAMPLES;
use inocula_core::evaluate::{Contender, Plan, evaluate};
use inocula_core::grad::grad;
use inocula_core::model::Classifier;
use inocula_core::model::Network;
use inocula_core::nn::Params;
use inocula_core::report::ModelReport;
use inocula_core::rng::Rng;
use inocula_core::{Device, Result, Tensor};
use inocula_tests::harness::{Outcome, ensure};

use crate::subjects::{Changed, Checked, DIGITS, OVERFITTED, PLAIN, checked, on, pgd};

/// Checks that `wanted` are among the kinds found.
pub(crate) fn has(checked: &Checked, wanted: &[&str]) -> Outcome {
    let kinds = checked.kinds();
    ensure(wanted.iter().all(|kind| kinds.contains(kind)), || {
        format!("{wanted:?} in {kinds:?}: {:?}", checked.facts)
    })
}

/// Logits so large that the cross-entropy has no slope in f32: another loss finds the samples at once.
pub(crate) fn saturated(device: &Device) -> Outcome {
    let network = on(&PLAIN, device)?;
    let model = Changed::new(&network).after(|z| z * 1e4);
    let found = checked(&model, device, &pgd(0.15), 80, 48)?;
    let kinds =
        ["zero_gradients", "unadapted_loss", "black_box_beats_white_box", "holds_at_any_size"];
    has(&found, &kinds)?;
    let line = found.findings.iter().find(|f| f.kind.name() == "zero_gradients").map(|f| f.line());
    let line = line.unwrap_or_default();
    ensure(line.starts_with("model, PGD-40: the gradient of the loss of PGD-40"), || line.clone())?;
    ensure(found.findings.iter().all(|f| f.evidence.values().all(|v| v.is_finite())), || {
        format!("{:?}", found.findings)
    })?;
    // A loss that does not saturate is right for this model, and is not doubted.
    let scale_free = inocula_core::attack::Apgd {
        loss: inocula_core::attack::ApgdLoss::Dlr,
        steps: 30,
        ..inocula_core::attack::Apgd::new(Norm::Linf, 0.15)
    };
    let fit = checked(&model, device, &AttackConfig::Apgd(scale_free), 80, 48)?;
    ensure(fit.findings.is_empty(), || format!("{:?}", fit.findings))
}

/// Inputs that are rounded have no slope, whatever the loss.
pub(crate) fn rounded(device: &Device) -> Outcome {
    let network = on(&PLAIN, device)?;
    let model = Changed::new(&network).before(|x, _| Ok((x * 8.0).round() * 0.125));
    let found = checked(&model, device, &pgd(0.15), 80, 48)?;
    has(&found, &["zero_gradients", "black_box_beats_white_box", "holds_at_any_size"])
}

/// Inputs that are moved to where the model is calmer, by a gradient of its own.
pub(crate) fn purified(device: &Device) -> Outcome {
    let network = on(&PLAIN, device)?;
    let calmer = |network: &Network, x: &Tensor| -> Result<Tensor> {
        let at = x.detach().tracked();
        let slope = grad(&network.logits(&at)?.logsumexp(1), &[&at])?.swap_remove(0);
        Ok(x - &(slope.sign() * 1e-3))
    };
    let found = checked(&Purified { network: &network, calmer }, device, &pgd(0.15), 80, 48)?;
    has(&found, &["gradients_in_answers"])
}

/// A model behind a change of its inputs that it takes gradients for.
struct Purified<'a> {
    network: &'a Network,
    calmer: fn(&Network, &Tensor) -> Result<Tensor>,
}

impl Classifier for Purified<'_> {
    fn logits(&self, x: &Tensor) -> Result<Tensor> {
        self.network.logits(&(self.calmer)(self.network, x)?)
    }

    fn bounds(&self) -> [f64; 2] {
        self.network.bounds()
    }

    fn classes(&self) -> usize {
        self.network.classes()
    }
}

/// Inputs with other noise each time: two questions are enough to tell.
pub(crate) fn random(device: &Device) -> Outcome {
    let network = on(&PLAIN, device)?;
    let model = Changed::new(&network).before(|x, call| {
        let noise: Vec<f32> = {
            let mut noise = vec![0.0; x.shape().numel()];
            Rng::new(call).fill_normal(&mut noise);
            noise
        };
        Ok(x + &(Tensor::from_slice(x.device(), &noise, &x.shape())? * 0.2))
    });
    let found = checked(&model, device, &pgd(0.1), 80, 0)?;
    has(&found, &["unstable_predictions"])?;
    ensure(found.facts.answers.is_some_and(|a| a.again > 0.05), || format!("{:?}", found.facts))
}

/// Inputs that jump by a tenth over a ten-thousandth: the same each time, but no neighbour is like another.
pub(crate) fn jagged(device: &Device) -> Outcome {
    let network = on(&PLAIN, device)?;
    let model = Changed::new(&network).before(|x, _| {
        // The fraction of 5,000 x is a sawtooth with teeth of 0.0002.
        let teeth = x * 5000.0;
        Ok(x + &((&teeth - &teeth.detach().round()) * 0.4))
    });
    let found = checked(&model, device, &pgd(0.1), 80, 0)?;
    has(&found, &["unstable_predictions"])?;
    ensure(found.facts.answers.is_some_and(|a| a.again == 0.0), || format!("{:?}", found.facts))
}

/// What AutoAttack is told of probabilities, it is told by the checker.
pub(crate) fn probabilities(device: &Device) -> Outcome {
    let network = on(&PLAIN, device)?;
    let model = Changed::new(&network).after(|z| z.softmax(1));
    let brief = Autoattack { steps: 5, queries: 20, ..Autoattack::new(Norm::Linf, 0.02) };
    let found = checked(&model, device, &AttackConfig::Autoattack(brief.clone()), 40, 0)?;
    ensure(found.kinds() == ["probabilities_as_logits"], || format!("{:?}", found.kinds()))?;
    let model = Changed::new(&network).after(|z| (z * 20.0).round());
    let found = checked(&model, device, &AttackConfig::Autoattack(brief), 40, 0)?;
    ensure(found.kinds() == ["zero_gradients"], || format!("{:?}", found.kinds()))
}

/// At a size at which noise fools, an attack without a slope fools no more.
pub(crate) fn noise(device: &Device) -> Outcome {
    let network = on(&PLAIN, device)?;
    let model = Changed::new(&network).after(|z| z * 1e4);
    let found = checked(&model, device, &pgd(0.5), 80, 48)?;
    has(&found, &["noise_as_good", "zero_gradients"])
}

/// Catastrophic overfitting: one step finds nothing, more of them do.
pub(crate) fn overfitted(device: &Device) -> Outcome {
    let network = on(&OVERFITTED, device)?;
    let once = AttackConfig::Fgsm(Fgsm::new(Norm::Linf, 0.3));
    let found = checked(&network, device, &once, 100, 48)?;
    has(&found, &["steps_not_saturated"])
}

/// A network whose last layer is larger by a factor.
fn scaled(network: &Network, factor: f64) -> inocula_core::Result<Network> {
    let mut params = Params::new();
    let last =
        network.params().iter().map(|(name, _)| name.to_owned()).filter(|n| n.ends_with("weight"));
    let last = last.last().unwrap_or_default();
    let bias = last.replace("weight", "bias");
    for (name, value) in network.params().iter() {
        let scale = if name == last || name == bias { factor } else { 1.0 };
        params.push(name, value * scale);
    }
    Network::new(network.spec().clone(), params, network.device())
}

/// Two models that decide alike, one of which hides: that one is found out, by the other's examples too,
/// and its figures are marked.
pub(crate) fn evaluation(device: &Device) -> Outcome {
    let plain = on(&PLAIN, device)?;
    let masked = scaled(&plain, 1e4)?;
    let contender = |name: &str, network: Network, baseline| Contender {
        name: name.into(),
        network,
        baseline,
        training: None,
    };
    let contenders = [contender("plain", plain, true), contender("masked", masked, false)];
    let threat = Threat::new(Norm::Linf, 0.15);
    let attacks = vec![AttackConfig::named("fgsm", threat)?, pgd(0.15)];
    let mut plan = Plan {
        radii: vec![0.15],
        samples: Some(60),
        pictures: 0,
        check: 48,
        ..Plan::new(threat, attacks)
    };
    let (train, test) = &*DIGITS;
    let judge =
        |plan: &Plan| evaluate(&contenders, train, test, plan, &Rng::new(1), &mut |_, _, _| Ok(()));
    let told = judge(&plan)?;
    let kinds =
        |m: &ModelReport| -> Vec<&str> { m.findings.iter().map(|f| f.kind.name()).collect() };
    ensure(told.models[0].findings.is_empty(), || format!("{:?}", told.models[0].findings))?;
    let found = kinds(&told.models[1]);
    for kind in ["transfer_beats_white_box", "zero_gradients", "black_box_beats_white_box"] {
        ensure(found.contains(&kind), || format!("{kind} in {found:?}"))?;
    }
    ensure(
        told.models[1].is_doubted("PGD-40 L∞ 0.15") && !told.models[1].is_doubted("FGSM L∞ 0.15"),
        || format!("{:?}", told.models[1].findings),
    )?;
    let same = told.findings == told.models[1].findings;
    ensure(same && told.findings.iter().all(|f| f.model == "masked"), || "findings differ".into())?;
    plan.check = 0;
    ensure(judge(&plan)?.findings.is_empty() && SAMPLES > 0, || "checked all the same".into())
}
