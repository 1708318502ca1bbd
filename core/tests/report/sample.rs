//! A report as a run makes it: three models, ten classes, pictures of 8 x 8. Generated, so that it
//! is the same everywhere and no file goes stale.

use inocula_core::metrics::{Confusion, Norm, Roc};
use inocula_core::report::{
    Access, AttackReport, BackendSection, ClassificationReport, CurvePoint, DatasetSection,
    EpochRecord, HostSection, MembershipReport, ModelReport, PerturbationToFool, Picture,
    PictureGrid, PictureRow, PrivacyBudget, ProgramSection, Report, RobustnessCurve,
    SCHEMA_VERSION, ThreatSection, TrainingReport, TransferMatrix, TransferQuantity, Verdict,
};
use serde_json::json;

pub(crate) const BASELINE: &str = "Standard training";
pub(crate) const PGD: &str = "PGD adversarial training";
pub(crate) const TRADES: &str = "TRADES with DP-SGD";

/// Numbers in `[0, 1)` that look random and are always the same (splitmix64).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// What sets the models of the sample apart.
struct Traits {
    name: &'static str,
    rule: &'static str,
    clean: f64,
    /// Robust accuracy at the threat's budget under the strongest attack.
    robust: f64,
    /// Budget at which accuracy has fallen by half.
    half: f64,
    leak: f64,
    to_fool: f64,
    seconds: f64,
}

const TRAITS: [Traits; 3] = [
    Traits {
        name: BASELINE,
        rule: "Cross-entropy, SGD 0.1 with momentum 0.9, 12 epochs",
        clean: 0.990,
        robust: 0.031,
        half: 0.045,
        leak: 0.118,
        to_fool: 1.41,
        seconds: 41.3,
    },
    Traits {
        name: PGD,
        rule: "Each batch half clean, half PGD-7 at 0.1; SGD 0.1, 12 epochs",
        clean: 0.984,
        robust: 0.903,
        half: 0.21,
        leak: 0.146,
        to_fool: 2.87,
        seconds: 312.0,
    },
    Traits {
        name: TRADES,
        rule: "TRADES, beta 3; gradients clipped at 1 with noise 1.1; 12 epochs",
        clean: 0.951,
        robust: 0.842,
        half: 0.18,
        leak: 0.021,
        to_fool: 2.44,
        seconds: 1290.0,
    },
];

pub(crate) fn report() -> Report {
    let mut noise = Noise(7);
    let mut report = Report {
        schema_version: SCHEMA_VERSION,
        title: "Handwritten digits: adversarial training that keeps its samples private".into(),
        created: "2026-11-23T05:12:44Z".into(),
        program: ProgramSection { name: "inocula".into(), version: "0.1.0".into() },
        backend: BackendSection {
            spec: "ndarray?threads=2".into(),
            backend: "ndarray".into(),
            device: "cpu".into(),
            version: "0.17.1".into(),
            threads: 2,
        },
        host: HostSection { os: "linux".into(), arch: "x86_64".into(), cpus: 2 },
        seed: 20_261_123,
        config: json!({
            "seed": 20_261_123, "backend": "ndarray?threads=2", "init": null,
            "dataset": { "name": "digits", "train": 1437, "test": 360 },
            "train": [{ "rule": "adversarial", "attack": { "name": "pgd", "steps": 7 }, "ratio": 0.5 }],
        }),
        dataset: DatasetSection {
            name: "Optical digits (8 × 8)".into(),
            source: "E. Alpaydin and C. Kaynak (1998), https://doi.org/10.24432/C50P49".into(),
            licence: "CC BY 4.0".into(),
            train: 1437,
            test: 360,
            classes: (0..10).map(|c| c.to_string()).collect(),
            sample_shape: vec![1, 8, 8],
            bounds: [0.0, 1.0],
        },
        threat: Some(ThreatSection {
            norm: Norm::Linf,
            epsilon: 0.1,
            scale: "Pixels are in [0, 1]; 0.1 is 25.5 of 255 grey levels".into(),
            knowledge: "Architecture, weights and defence; not the seed".into(),
        }),
        models: TRAITS.iter().map(|t| model(t, &mut noise)).collect(),
        transfer: vec![transfer()],
        curves: TRAITS.iter().map(curve).collect(),
        steps: Vec::new(),
        also: Vec::new(),
        pictures: vec![pictures(&mut noise)],
        warnings: vec![
            "Membership figures rest on 360 non-members: rates below 0.3% false positives cannot \
             be shown."
                .into(),
        ],
        summary: Vec::new(),
    };
    report.summary = report.draft_summary();
    report
}

fn model(traits: &Traits, noise: &mut Noise) -> ModelReport {
    let baseline = traits.name == BASELINE;
    let (labels, predicted): (Vec<i64>, Vec<i64>) = (0..360)
        .map(|i| {
            let label = i % 10;
            let wrong = noise.next() > traits.clean;
            (label, if wrong { (label + 1 + (noise.next() * 9.0) as i64) % 10 } else { label })
        })
        .unzip();
    let confusion = Confusion::from_labels(&labels, &predicted, 10).unwrap();
    let classes: Vec<String> = (0..10).map(|c| c.to_string()).collect();
    let clean = ClassificationReport::new(&confusion, &classes).unwrap();
    let attack = |name: &str, access, share: f64, gradients: u64| AttackReport {
        name: name.into(),
        access,
        norm: Norm::Linf,
        epsilon: Some(0.1),
        targeted: false,
        target: None,
        queries_each: None,
        per_class: Vec::new(),
        samples: 360,
        robust_accuracy: share,
        success_rate: Some(1.0 - share / clean.accuracy),
        mean_perturbation: Some(0.0987),
        queries: 360 * gradients.max(2000),
        gradient_calls: 360 * gradients,
        seconds: Some(gradients as f64 * 0.11 + 0.4),
    };
    let weaker = |by: f64| traits.robust + (clean.accuracy - traits.robust) * by;
    let attacks = vec![
        attack("FGSM", Access::WhiteBox, weaker(0.24), 1),
        attack("PGD-40", Access::WhiteBox, weaker(0.03), 40),
        attack("APGD", Access::WhiteBox, traits.robust, 100),
        attack("Square", Access::Score, weaker(0.2), 0),
    ];
    let members: Vec<f64> = (0..1437)
        .map(|_| noise.next().powf(1.0 - traits.leak) + traits.leak * noise.next())
        .collect();
    let others: Vec<f64> = (0..360).map(|_| noise.next()).collect();
    let roc = Roc::new(&members, &others).unwrap();
    ModelReport {
        inversion: None,
        reconstruction: None,
        attributes: None,
        audited_epsilon: None,
        name: traits.name.into(),
        baseline,
        parameters: 21_802,
        training: Some(TrainingReport {
            description: traits.rule.into(),
            seconds: traits.seconds,
            history: history(traits, noise),
            warnings: Vec::new(),
            privacy: None,
        }),
        clean,
        calibration: None,
        distributions: Vec::new(),
        certificates: Vec::new(),
        attacks,
        worst_case_accuracy: Some(traits.robust - 0.008),
        findings: Vec::new(),
        mean_perturbation_to_fool: Some(PerturbationToFool {
            attack: "DeepFool".into(),
            norm: Norm::L2,
            mean: traits.to_fool,
            median: traits.to_fool * 0.97,
            fooled_fraction: 1.0,
        }),
        membership: vec![
            MembershipReport::new("loss threshold", &roc, &[0.1, 0.01, 0.001]),
            MembershipReport {
                roc: Vec::new(),
                advantage: traits.leak * 0.2,
                auc: 0.5 + traits.leak * 0.1,
                ..MembershipReport::new("confidence", &roc, &[0.1])
            },
        ],
        privacy_budget: (traits.name == TRADES).then(|| PrivacyBudget {
            epsilon: 7.93,
            delta: 1e-5,
            accountant: "pld".into(),
            conversion: "Doroshenko et al. 2022".into(),
            rdp_epsilon: Some(8.61),
            neighbours: "one sample added or removed".into(),
            sampling: "poisson".into(),
            accounted_as: "poisson".into(),
            noise_multiplier: 1.1,
            clipping: "flat".into(),
            clipping_norm: 1.0,
            sampling_rate: 0.0446,
            steps: 270,
            phases: Vec::new(),
            warnings: Vec::new(),
        }),
    }
}

fn history(traits: &Traits, noise: &mut Noise) -> Vec<EpochRecord> {
    (1..=12)
        .map(|epoch| {
            let done = 1.0 - (-0.42 * epoch as f64).exp();
            let wobble = (noise.next() - 0.5) * 0.02;
            EpochRecord {
                epoch,
                loss: Some(
                    2.3 * (1.0 - done)
                        + (1.0 - traits.robust) * 0.05
                        + 0.5 * (1.0 - traits.clean) * 10.0
                        + wobble.abs(),
                ),
                clean_accuracy: Some((0.1 + (traits.clean - 0.1) * done + wobble).min(1.0)),
                robust_accuracy: Some((0.02 + (traits.robust - 0.02) * done + wobble).max(0.0)),
                one_step_accuracy: None,
                epsilon: None,
            }
        })
        .collect()
}

fn curve(traits: &Traits) -> RobustnessCurve {
    let points = [0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3]
        .map(|epsilon: f64| CurvePoint {
            epsilon,
            accuracy: traits.clean / (1.0 + (epsilon / traits.half).powi(4)),
        })
        .to_vec();
    RobustnessCurve { model: traits.name.into(), attack: "PGD-40".into(), norm: Norm::Linf, points }
}

fn transfer() -> TransferMatrix {
    let names: Vec<String> = TRAITS.iter().map(|t| t.name.to_owned()).collect();
    TransferMatrix {
        attack: "PGD-40".into(),
        norm: Norm::Linf,
        epsilon: 0.1,
        quantity: TransferQuantity::RobustAccuracy,
        sources: names.clone(),
        targets: names,
        values: vec![
            vec![0.058, 0.968, 0.934],
            vec![0.617, 0.906, 0.889],
            vec![0.684, 0.921, 0.846],
        ],
    }
}

/// A ring, an arc or a stroke on 8 x 8 pixels: enough like a digit to look at.
fn glyph(kind: usize, noise: &mut Noise) -> Vec<f32> {
    (0..64)
        .map(|i| {
            let (x, y) = ((i % 8) as f64 - 3.5, (i / 8) as f64 - 3.5);
            let radius = (x * x * 1.5 + y * y).sqrt();
            let ink = match kind {
                0 => 1.4 - (radius - 3.0).abs(),
                1 => 1.3 - x.abs(),
                _ => {
                    let upper = ((x * x + (y + 1.8) * (y + 1.8)).sqrt() - 1.6).abs();
                    let lower = ((x * x + (y - 1.8) * (y - 1.8)).sqrt() - 1.6).abs();
                    1.2 - upper.min(lower)
                }
            };
            (ink.clamp(0.0, 1.0) * (0.9 + 0.1 * noise.next())) as f32
        })
        .collect()
}

fn pictures(noise: &mut Noise) -> PictureGrid {
    let rows = [(0, "0", "6"), (1, "1", "1"), (2, "8", "3")]
        .map(|(kind, truth, fooled)| {
            let clean = glyph(kind, noise);
            let change: Vec<f32> =
                clean.iter().map(|_| if noise.next() > 0.5 { 0.1 } else { -0.1 }).collect();
            let attacked: Vec<f32> =
                clean.iter().zip(&change).map(|(c, d)| (c + d).clamp(0.0, 1.0)).collect();
            let shape = [1, 8, 8];
            let show = |values: &[f32], label: String| {
                Picture::from_sample(values, &shape, [0.0, 1.0], label).unwrap()
            };
            let verdict = if truth == fooled { Verdict::Good } else { Verdict::Bad };
            PictureRow {
                label: format!("digit {truth}"),
                cells: vec![
                    show(&clean, format!("{truth} (0.99)")),
                    Picture::from_change(&change, &shape, 0.1, "L∞ 0.1").unwrap(),
                    show(&attacked, format!("{fooled} (0.87)")).judged(verdict),
                    show(&attacked, format!("{truth} (0.93)")).judged(Verdict::Good),
                ],
            }
        })
        .to_vec();
    PictureGrid {
        title: "PGD-40 at L∞ 0.1".into(),
        caption: "Predictions with their confidence. Grey in a perturbation is no change.".into(),
        columns: ["Input", "Perturbation", "To the standard model", "To the PGD-trained model"]
            .map(String::from)
            .to_vec(),
        rows,
    }
}
