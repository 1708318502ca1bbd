//! Attacks whose threat is more than a ball for each sample: one change for all, patches, rotations. Each is
//! held to closed forms of linear models and to its limits, and so is whoever claims limits.

#[path = "threats/patches.rs"]
mod patches;
#[path = "threats/spatial.rs"]
mod spatial;
#[path = "blackbox/subjects.rs"]
#[allow(dead_code, reason = "the suite of black-box attacks has more use of them")]
mod subjects;
#[path = "threats/universal.rs"]
mod universal;

use std::process::ExitCode;

use inocula_core::attack::{
    Access, Aim, Attack, AttackConfig, Draws, Goal, Limits, Motions, Norm, Outcome as Found,
    Threat, perturb, perturb_rows,
};
use inocula_core::data::{Dataset, digits};
use inocula_core::model::{Classifier, Network};
use inocula_core::nn::{Preset, init_params};
use inocula_core::place::Placement;
use inocula_core::rng::Rng;
use inocula_core::train::{Rule, TrainConfig, fit};
use inocula_core::{DType, Device, Result, Tensor};
use inocula_tests::harness::{Case, Check, Outcome, ensure, run};

fn main() -> ExitCode {
    let cases: &[(&str, Check)] = &[
        ("universal::one_change_for_all", universal::one_change),
        ("universal::linear_models_closed_form", universal::closed_form),
        ("universal::stronger_than_chance_weaker_than_one_each", universal::strength),
        ("universal::does_not_depend_on_batches", universal::batches),
        ("patch::one_square_of_each_sample", patches::one_square),
        ("patch::linear_models_closed_form", patches::closed_form),
        ("patch::places_and_values_add_up", patches::strength),
        ("universal_patch::the_same_patch_everywhere", patches::same_patch),
        ("universal_patch::stronger_than_chance", patches::trained),
        ("spatial::where_the_light_is", spatial::light),
        ("spatial::queries_are_motions", spatial::queries),
        ("spatial::more_motions_fool_no_fewer", spatial::strength),
        ("limits::who_breaks_them_is_told", broken),
        ("limits::bad_requests", bad_requests),
    ];
    run(cases.iter().map(|&(name, check)| Case::new(name, check)).collect())
}

/// The digits, a network that knows them, and rows to attack.
struct Subject {
    network: Network,
    test: Dataset,
    rows: Vec<usize>,
}

impl Subject {
    fn new(device: &Device, count: usize) -> Result<Self> {
        let (train, test) = digits()?.split_stratified(0.25, &Rng::new(5));
        let spec = Preset::find("mlp")?.spec(&[1, 8, 8], 10, [0.0, 1.0])?;
        let params = init_params(&spec, device, DType::F32, &Rng::new(3))?;
        let mut network = Network::new(spec, params, device)?;
        let config = TrainConfig { epochs: 12, rule: Rule::Standard {}, ..TrainConfig::default() };
        fit(&mut network, &train, None, &config, &Rng::new(4), &mut ())?;
        Ok(Subject { network, test, rows: (0..count).collect() })
    }

    fn attack(&self, config: &AttackConfig, aim: Aim, batch: usize) -> Result<Found> {
        let place = Placement { batch, ..Placement::new(self.network.device()) };
        let (rng, attack) = (Rng::new(9), config.check()?);
        let (net, test, rows) = (&self.network, &self.test, &self.rows);
        perturb_rows(&*attack, net, test, rows, aim, &place, &rng, &mut |_| Ok(()))
    }

    /// How many are fooled.
    fn fooled(&self, config: &AttackConfig) -> Result<usize> {
        let found = self.attack(config, Aim::Untargeted, 64)?;
        Ok(found.success.iter().filter(|s| **s).count())
    }

    /// Inputs, labels.
    fn samples(&self) -> Result<(Tensor, Tensor)> {
        Placement::new(self.network.device()).tensors(&self.test, &self.rows)
    }
}

/// An attack that returns what a function makes of its samples, and claims limits.
struct Claims {
    threat: Threat,
    limits: Limits,
    made: fn(&Tensor) -> Tensor,
}

impl Attack for Claims {
    fn threat(&self) -> Threat {
        self.threat
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn access(&self) -> Access {
        Access::Gradient
    }

    fn run(&self, _: &dyn Classifier, x: &Tensor, _: &Goal, _: &Draws) -> Result<Tensor> {
        Ok((self.made)(x))
    }
}

/// Whether an attack keeps to its limits is not for the attack to say.
fn broken(device: &Device) -> Outcome {
    let weights: Vec<f32> = (0..40).map(|i| i as f32 / 40.0).collect();
    let model = subjects::linear(device, &[1, 4, 5], &weights, &[0.0, 50.0], [0.0, 1.0])?;
    let values: Vec<f32> = (0..20).map(|i| i as f32 / 20.0).collect();
    let x = Tensor::from_slice(device, &values, &[1, 1, 4, 5])?;
    let goal = Goal::Untargeted(Tensor::from_slice(device, &[1i64], &[1])?);
    let patch = (Threat::new(Norm::L0, 4.0), Limits::Square);
    let motions = Motions { degrees: 0.0, pixels: 1.0, angles: 1, shifts: 3 };
    let moved = (Threat::unbounded(Norm::L2), Limits::Motions(motions));
    type Change = fn(&Tensor) -> Tensor;
    let cases: [((Threat, Limits), Change, &str); 6] = [
        (patch, |x| x.narrow(3, 0, 1).fill(1.0).concat(&[x.narrow(3, 1, 4)], 3), "4 x 1 pixels"),
        (patch, |x| x.narrow(2, 0, 2).concat(&[x.narrow(2, 2, 2).flip(&[3])], 2), "2 x 5 pixels"),
        (patch, Tensor::clone, ""),
        (moved, |x| x.flip(&[3]), "none of the motions"),
        (moved, |x| x.affine(0.9, 0.0), "none of the motions"),
        (moved, |x| x.narrow(3, 1, 4).pad(&[0; 4], &[0, 0, 0, 1]), ""),
    ];
    for ((threat, limits), made, expected) in cases {
        let attack = Claims { threat, limits, made };
        let draws = Draws::new(Rng::new(1), vec![0]);
        let told = perturb(&attack, &model, &x, &goal, &draws).err().map(|err| err.to_string());
        let fits = match &told {
            Some(text) => !expected.is_empty() && text.contains(expected),
            None => expected.is_empty(),
        };
        ensure(fits, || format!("{limits:?}: {told:?} for {expected:?}"))?;
    }
    Ok(())
}

fn bad_requests(device: &Device) -> Outcome {
    use inocula_core::attack::{Patch, Spatial, Universal, UniversalPatch};
    let universal = Universal::new(Norm::Linf, 0.1);
    let (patch, sticker, spatial) = (Patch::new(9.0), UniversalPatch::new(9.0), Spatial::new());
    let refused = [
        (AttackConfig::Universal(Universal { norm: Norm::L0, ..universal.clone() }), "choose linf"),
        (AttackConfig::Universal(Universal { epochs: 0, ..universal.clone() }), "epochs = 0"),
        (AttackConfig::Universal(Universal { batch: 0, ..universal.clone() }), "batch = 0"),
        (AttackConfig::Universal(Universal { cap: 0.0, ..universal.clone() }), "cap = 0"),
        (AttackConfig::Universal(Universal { step: Some(0.0), ..universal }), "step = 0"),
        (AttackConfig::Patch(Patch { norm: Norm::L2, ..patch.clone() }), "choose l0"),
        (AttackConfig::Patch(Patch { eps: f64::NAN, ..patch.clone() }), "eps = NaN"),
        (AttackConfig::Patch(Patch { places: 0, ..patch.clone() }), "places = 0"),
        (AttackConfig::Patch(Patch { step: 1.5, ..patch.clone() }), "step = 1.5"),
        (AttackConfig::UniversalPatch(UniversalPatch { step: 0.0, ..sticker }), "step = 0"),
        (AttackConfig::Spatial(Spatial { degrees: 181.0, ..spatial.clone() }), "degrees = 181"),
        (AttackConfig::Spatial(Spatial { pixels: -1.0, ..spatial.clone() }), "pixels = -1"),
        (AttackConfig::Spatial(Spatial { angles: 0, ..spatial.clone() }), "angles = 0"),
        (AttackConfig::Spatial(Spatial { shifts: 1 << 20, ..spatial.clone() }), "too fine"),
        (AttackConfig::Spatial(Spatial { random: Some(0), ..spatial.clone() }), "random = 0"),
    ];
    for (config, expected) in refused {
        let text = config.check().err().map(|e| e.to_string()).unwrap_or_default();
        ensure(text.contains(expected), || format!("{text:?} lacks {expected:?}"))?;
    }
    let named = AttackConfig::named("spatial", Threat::new(Norm::Linf, 0.1));
    let text = named.err().map(|e| e.to_string()).unwrap_or_default();
    ensure(text.contains("no norm bounds spatial"), || text)?;
    let features = subjects::linear(device, &[6], &[0.5; 12], &[1.0, 0.0], [0.0, 1.0])?;
    let colours = subjects::linear(device, &[3, 2, 2], &[0.5; 24], &[1.0, 0.0], [0.0, 1.0])?;
    let goal = Goal::Untargeted(Tensor::from_slice(device, &[0i64], &[1])?);
    let requests: [(&Network, &[usize], _, &str); 3] = [
        (&features, &[1, 6], AttackConfig::Spatial(spatial), "images rotate"),
        (&colours, &[1, 3, 2, 2], AttackConfig::Patch(Patch::new(2.0)), "at least 3"),
        (&features, &[1, 6], AttackConfig::Patch(Patch { eps: 9.0, ..patch }), "exceeds the box"),
    ];
    for (model, shape, config, expected) in requests {
        let x = Tensor::full(device, DType::F32, shape, 0.5);
        let text = subjects::attack(model, &x, &goal, &config).err().map(|e| e.to_string());
        let text = text.unwrap_or_default();
        ensure(text.contains(expected), || format!("{text:?} lacks {expected:?}"))?;
    }
    Ok(())
}
