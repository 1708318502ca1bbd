//! Inference and evasion attacks.
//!
//! PGD is timed as evaluations run it, with a random start, and compared without one and after few
//! steps, which is what other tools can repeat. The last iterate is returned, as other tools do; the
//! row with `best` shows what keeping the best costs.

use inocula_core::attack::{Attack, AttackConfig, Fgsm, Keep, Norm, Pgd};
use inocula_core::grad::grad;
use inocula_core::loss::cross_entropy;
use inocula_core::model::Classifier as _;
use inocula_core::{Result, Tensor};

use crate::row::{Context, Output, Row, Tolerance, Work};
use crate::scale::{CHECKED_STEPS, EPS, PGD_STEP};
use crate::subject::{Net, Subject};

const SUITE: &str = "attacks";

pub(crate) const ROWS: &[Row] = &[
    Row {
        suite: SUITE,
        name: "madry forward",
        flops: |s| Net::Madry.forward_flops(s.batch),
        tolerance: Tolerance::CHAINS,
        prepare: |c| Ok(Box::new(Forward(Subject::new(c, Net::Madry, c.scale.batch)?))),
    },
    Row {
        suite: SUITE,
        name: "madry fgsm",
        flops: |s| Net::Madry.attack_flops(s.batch, 1),
        tolerance: Tolerance::SIGNS,
        prepare: |c| Ok(Box::new(FgsmWork::new(c, Net::Madry, c.scale.batch)?)),
    },
    Row {
        suite: SUITE,
        name: "madry pgd-40",
        flops: |s| Net::Madry.attack_flops(s.batch, s.pgd_steps),
        tolerance: Tolerance::SIGNS,
        prepare: |c| Ok(Box::new(PgdWork::new(c, Keep::Last)?)),
    },
    Row {
        suite: SUITE,
        name: "madry pgd-40 best",
        flops: |s| Net::Madry.attack_flops(s.batch, s.pgd_steps),
        tolerance: Tolerance::SIGNS,
        prepare: |c| Ok(Box::new(PgdWork::new(c, Keep::Best)?)),
    },
    Row {
        suite: SUITE,
        name: "mlp fgsm, batch 1",
        flops: |_| Net::Mlp.attack_flops(1, 1),
        tolerance: Tolerance::SIGNS,
        prepare: |c| Ok(Box::new(FgsmWork::new(c, Net::Mlp, 1)?)),
    },
    Row {
        suite: SUITE,
        name: "mlp fgsm, batch 32",
        flops: |_| Net::Mlp.attack_flops(32, 1),
        tolerance: Tolerance::SIGNS,
        prepare: |c| Ok(Box::new(FgsmWork::new(c, Net::Mlp, 32)?)),
    },
];

impl Subject {
    /// Gradient of the summed cross-entropy in the inputs.
    fn input_gradient(&self) -> Result<Tensor> {
        let x = self.x.tracked();
        let loss = cross_entropy(&self.network.logits(&x)?, &self.y).sum_all();
        Ok(grad(&loss, &[&x])?.swap_remove(0))
    }
}

struct Forward(Subject);

impl Work for Forward {
    fn run(&mut self) -> Result<()> {
        self.0.network.logits(&self.0.x)?.check()?;
        self.0.network.device().sync()
    }

    fn result(&mut self) -> Result<Vec<Output>> {
        Ok(vec![Output::new("logits", &self.0.network.logits(&self.0.x)?)?])
    }
}

struct FgsmWork {
    subject: Subject,
    attack: Box<dyn Attack>,
}

impl FgsmWork {
    fn new(c: &Context, net: Net, batch: usize) -> Result<Self> {
        let attack = AttackConfig::Fgsm(Fgsm::new(Norm::Linf, EPS)).check()?;
        Ok(FgsmWork { subject: Subject::new(c, net, batch)?, attack })
    }
}

impl Work for FgsmWork {
    fn run(&mut self) -> Result<()> {
        self.subject.attack(&*self.attack).map(drop)
    }

    fn result(&mut self) -> Result<Vec<Output>> {
        Ok(vec![
            Output::new("gradient", &self.subject.input_gradient()?)?,
            Output::new("adversarial", &self.subject.attack(&*self.attack)?)?,
        ])
    }
}

struct PgdWork {
    subject: Subject,
    timed: Box<dyn Attack>,
    compared: Box<dyn Attack>,
}

impl PgdWork {
    fn new(c: &Context, keep: Keep) -> Result<Self> {
        let short = Pgd::classic(Norm::Linf, EPS, PGD_STEP, CHECKED_STEPS);
        let timed = Pgd { steps: c.scale.pgd_steps, random_start: true, keep, ..short.clone() };
        Ok(PgdWork {
            subject: Subject::new(c, Net::Madry, c.scale.batch)?,
            timed: AttackConfig::Pgd(timed).check()?,
            compared: AttackConfig::Pgd(Pgd { keep, ..short }).check()?,
        })
    }
}

impl Work for PgdWork {
    fn run(&mut self) -> Result<()> {
        self.subject.attack(&*self.timed).map(drop)
    }

    fn result(&mut self) -> Result<Vec<Output>> {
        Ok(vec![Output::new("adversarial", &self.subject.attack(&*self.compared)?)?])
    }
}
