//! What a federation is, as configured, and what may not be combined.

use serde::{Deserialize, Serialize};

use super::{Aggregate, Attackers, ClientPrivacy, Partition, Secure, ServerOptimizer};
use crate::data::Dataset;
use crate::train::{Rule, TrainConfig};
use crate::{Result, bail};

/// A federation; how its clients train stands in a [`TrainConfig`], whose epochs are those of a
/// client in a round and whose monitor is the attack of each evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Federation {
    /// Clients.
    pub clients: usize,
    /// Rounds.
    pub rounds: usize,
    /// Clients of a round, drawn anew for each; with `privacy` their expected number. All if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_round: Option<usize>,
    /// Probability with which a client of a round drops out of it.
    pub dropout: f64,
    /// mu of FedProx (Li et al. 2020, equation 2); 0 for none.
    pub proximal: f64,
    /// Whether clients add the logarithms of their class shares to the logits (Chen et al. 2022,
    /// CalFAT).
    pub calibrate: bool,
    /// Rounds between two evaluations; there is one after the last.
    pub evaluate_every: usize,
    /// Clients that are slow; none by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stragglers: Option<Stragglers>,
    /// How samples are divided among clients.
    pub partition: Partition,
    /// How updates become one.
    pub aggregate: Aggregate,
    /// What the server does with it.
    pub server: ServerOptimizer,
    /// Clients that attack; none by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attackers: Option<Attackers>,
    /// Privacy of whole clients; none by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub privacy: Option<ClientPrivacy>,
    /// Secure aggregation; none by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secure: Option<Secure>,
}

/// Clients that are slow in a round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stragglers {
    /// Probability with which a client is.
    pub share: f64,
    /// What becomes of it.
    #[serde(default)]
    pub late: Late,
}

/// What becomes of a client that is slow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Late {
    /// The server does not wait for it.
    Dropped,
    /// It trains a number of epochs drawn from one to all of them (Li et al. 2020, section 5.2).
    #[default]
    Partial,
}

impl Default for Federation {
    fn default() -> Self {
        Federation {
            clients: 10,
            rounds: 10,
            per_round: None,
            dropout: 0.0,
            proximal: 0.0,
            calibrate: false,
            evaluate_every: 1,
            stragglers: None,
            partition: Partition::Iid {},
            aggregate: Aggregate::default(),
            server: ServerOptimizer::default(),
            attackers: None,
            privacy: None,
            secure: None,
        }
    }
}

impl Federation {
    /// Clients of a round, or their expected number.
    pub fn sampled(&self) -> usize {
        self.per_round.unwrap_or(self.clients)
    }

    /// One line for tables: `FedAvg, mean by samples, 10 of 100 clients, dirichlet 0.1`.
    pub fn describe(&self) -> String {
        let mut parts = match (&self.server, self.aggregate.is_mean()) {
            (ServerOptimizer::Sgd { lr: 1.0 }, false) => Vec::new(),
            (server, _) => vec![server.describe()],
        };
        match self.privacy.is_some() {
            true => parts.push("mean".into()),
            false => parts.push(self.aggregate.describe()),
        }
        if self.proximal > 0.0 {
            parts.push(format!("FedProx {}", self.proximal));
        }
        if self.calibrate {
            parts.push("calibrated".into());
        }
        parts.push(match self.per_round {
            Some(some) => format!("{some} of {} clients", self.clients),
            None => format!("{} clients", self.clients),
        });
        parts.push(self.partition.describe());
        if let Some(Attackers { count, attacker }) = &self.attackers {
            parts.push(format!("{count} {} attackers", attacker.name()));
        }
        parts.extend(self.privacy.as_ref().map(ClientPrivacy::describe));
        if self.secure.is_some() {
            parts.push("secure aggregation".into());
        }
        parts.join(", ")
    }

    /// Checks every constant of it and of the training of its clients, before any data are read.
    ///
    /// # Errors
    /// Names what is out of range or does not go together.
    pub fn check(&self, train: &TrainConfig) -> Result<()> {
        train.check()?;
        self.check_numbers()?;
        self.partition.check()?;
        self.server.check()?;
        self.aggregate.check(self.sampled())?;
        self.check_attackers()?;
        if let Some(privacy) = &self.privacy {
            privacy.check()?;
        }
        if let Some(secure) = &self.secure {
            secure.check()?;
        }
        self.check_clients(train)?;
        self.check_privacy(train)?;
        self.check_secure()
    }

    /// Checks what depends on the data.
    ///
    /// # Errors
    /// There are too few samples, or the attackers aim at no class.
    pub fn check_for(&self, train: &Dataset) -> Result<()> {
        if train.len() < self.clients {
            let (n, clients) = (train.len(), self.clients);
            bail!(
                Config,
                "federation: {n} training samples for {clients} clients; every client needs one"
            );
        }
        self.attackers.as_ref().map_or(Ok(()), |a| a.attacker.check_for(train))
    }

    fn check_numbers(&self) -> Result<()> {
        let Federation { clients, rounds, evaluate_every, .. } = *self;
        if clients == 0 || rounds == 0 || evaluate_every == 0 {
            bail!(
                Config,
                "federation: clients = {clients}, rounds = {rounds} and evaluate_every = \
                 {evaluate_every} must be at least 1"
            );
        }
        if self.sampled() == 0 || self.sampled() > clients {
            let sampled = self.sampled();
            bail!(
                Config,
                "federation: per_round = {sampled} must be in 1..={clients}, the clients"
            );
        }
        if !(0.0..1.0).contains(&self.dropout) {
            bail!(Config, "federation: dropout = {} must be in [0, 1)", self.dropout);
        }
        if !(self.proximal >= 0.0 && self.proximal.is_finite()) {
            let mu = self.proximal;
            bail!(Config, "federation: proximal = {mu} must be finite and not negative");
        }
        match &self.stragglers {
            Some(s) if !(0.0..=1.0).contains(&s.share) => {
                bail!(Config, "federation: stragglers: share = {} must be in [0, 1]", s.share)
            }
            _ => Ok(()),
        }
    }

    fn check_attackers(&self) -> Result<()> {
        let Some(Attackers { count, attacker }) = &self.attackers else { return Ok(()) };
        if *count == 0 || *count > self.clients {
            bail!(
                Config,
                "federation: attackers: count = {count} must be in 1..={}, the clients; remove the \
                 section for none",
                self.clients
            );
        }
        attacker.check()
    }

    /// What clients cannot train.
    fn check_clients(&self, train: &TrainConfig) -> Result<()> {
        let certified = match &train.rule {
            Rule::Awp { rule, .. } => matches!(**rule, Rule::Certified { .. }),
            rule => matches!(rule, Rule::Certified { .. }),
        };
        if self.calibrate && certified {
            bail!(
                Config,
                "federation: calibrated logits have no part in certified bounds; choose another rule"
            );
        }
        let Some(private) = &train.private else { return Ok(()) };
        if private.epsilon.is_some() {
            bail!(
                Config,
                "federation: clients of different sizes have no one noise for an epsilon; set \
                 noise_multiplier, which `inocula dp calibrate` finds"
            );
        }
        if self.proximal > 0.0 {
            bail!(
                Config,
                "federation: the proximal term has no gradient of one sample; set proximal to 0 for \
                 private clients"
            );
        }
        if self.calibrate {
            bail!(
                Config,
                "federation: calibrated logits show the classes of a client, so its training is not \
                 private; set calibrate to false"
            );
        }
        if matches!(self.aggregate, Aggregate::Slack { .. }) {
            bail!(
                Config,
                "federation: slack reads the losses of clients, which private ones do not tell; choose \
                 another aggregate"
            );
        }
        Ok(())
    }

    fn check_privacy(&self, train: &TrainConfig) -> Result<()> {
        if self.privacy.is_none() {
            return Ok(());
        }
        if train.private.is_some() {
            bail!(
                Config,
                "federation: privacy of clients and private training within them are two claims; choose \
                 one"
            );
        }
        if !self.aggregate.is_mean() {
            bail!(
                Config,
                "client privacy: noise covers what one client does to a sum, not to {}; choose the mean",
                self.aggregate.describe()
            );
        }
        if self.secure.is_some() && (self.dropout > 0.0 || self.stragglers.is_some()) {
            bail!(
                Config,
                "client privacy: a secure sum that is lost to drop-outs tells how many clients came; set \
                 dropout to 0 and no stragglers, or leave out secure"
            );
        }
        Ok(())
    }

    fn check_secure(&self) -> Result<()> {
        if self.secure.is_none() {
            return Ok(());
        }
        if !self.aggregate.is_mean() {
            bail!(
                Config,
                "secure: the server sees nothing but a sum, and {} looks at each update; choose the mean",
                self.aggregate.describe()
            );
        }
        if self.privacy.is_none() && self.sampled() < 3 {
            let n = self.sampled();
            bail!(Config, "secure: the sum of {n} clients hides nobody from the others; sample 3");
        }
        if self.sampled() > 2000 {
            let n = self.sampled();
            bail!(
                Config,
                "secure: {n} clients a round exchange {n} times {n} keys; sample 2000 at most"
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fl::Attacker;
    use crate::train::Private;

    #[test]
    fn configurations_round_trip() {
        let full = Federation {
            per_round: Some(5),
            stragglers: Some(Stragglers { share: 0.5, late: Late::Dropped }),
            attackers: Some(Attackers { count: 2, attacker: Attacker::named("gaussian").unwrap() }),
            privacy: Some(ClientPrivacy::default()),
            secure: Some(Secure::default()),
            ..Federation::default()
        };
        for federation in [Federation::default(), full] {
            let text = toml::to_string(&federation).unwrap();
            assert_eq!(toml::from_str::<Federation>(&text).unwrap(), federation);
        }
        assert!(toml::from_str::<Federation>("client = 3").is_err());
    }

    #[test]
    fn what_does_not_go_together_is_named() {
        let base = Federation { clients: 20, ..Federation::default() };
        let plain = TrainConfig::default();
        let private = TrainConfig {
            private: Some(Private { noise_multiplier: Some(1.0), ..Private::default() }),
            ..TrainConfig::default()
        };
        let epsilon = TrainConfig {
            private: Some(Private { epsilon: Some(1.0), ..Private::default() }),
            ..TrainConfig::default()
        };
        let clients =
            Some(ClientPrivacy { noise_multiplier: Some(1.0), ..ClientPrivacy::default() });
        let secure = Some(Secure::default());
        let krum = Aggregate::Krum { byzantine: 1 };
        let with = |change: &dyn Fn(&mut Federation)| {
            let mut federation = base.clone();
            change(&mut federation);
            federation
        };
        let cases: Vec<(Federation, &TrainConfig, &str)> = vec![
            (with(&|f| f.clients = 0), &plain, "clients = 0"),
            (with(&|f| f.per_round = Some(21)), &plain, "per_round = 21"),
            (with(&|f| f.per_round = Some(0)), &plain, "per_round = 0"),
            (with(&|f| f.dropout = 1.0), &plain, "dropout = 1"),
            (with(&|f| f.proximal = -1.0), &plain, "proximal = -1"),
            (with(&|f| f.aggregate = Aggregate::Krum { byzantine: 9 }), &plain, "n >= 2 f + 3"),
            (with(&|f| f.aggregate = Aggregate::Bulyan { byzantine: 5 }), &plain, "n >= 4 f + 3"),
            (with(&|f| f.proximal = 0.1), &private, "proximal"),
            (with(&|f| f.calibrate = true), &private, "calibrate"),
            (with(&|f| f.aggregate = Aggregate::slack()), &private, "slack"),
            (base.clone(), &epsilon, "noise_multiplier"),
            (with(&|f| f.privacy = clients.clone()), &private, "choose one"),
            (
                with(&|f| {
                    f.privacy = clients.clone();
                    f.aggregate = krum.clone();
                }),
                &plain,
                "choose the mean",
            ),
            (
                with(&|f| {
                    f.secure = secure.clone();
                    f.aggregate = krum.clone();
                }),
                &plain,
                "nothing but a sum",
            ),
            (
                with(&|f| {
                    f.secure = secure.clone();
                    f.per_round = Some(2);
                }),
                &plain,
                "sample 3",
            ),
            (
                with(&|f| {
                    f.secure = secure.clone();
                    f.privacy = clients.clone();
                    f.dropout = 0.1;
                }),
                &plain,
                "leave out secure",
            ),
            (
                with(&|f| f.secure = Some(Secure { range: 0.0, threshold: 0.7 })),
                &plain,
                "range = 0",
            ),
            (
                with(&|f| f.secure = Some(Secure { range: 1.0, threshold: 0.5 })),
                &plain,
                "threshold",
            ),
            (
                with(&|f| f.stragglers = Some(Stragglers { share: 2.0, late: Late::Partial })),
                &plain,
                "share = 2",
            ),
            (
                with(&|f| {
                    let attacker = Attacker::LabelFlip {};
                    f.attackers = Some(Attackers { count: 21, attacker });
                }),
                &plain,
                "count = 21",
            ),
        ];
        for (federation, train, part) in cases {
            let text = federation.check(train).unwrap_err().to_string();
            assert!(text.contains(part) && !text.contains('\n'), "{part}: {text}");
        }
        base.check(&private).unwrap();
        with(&|f| f.privacy = clients.clone()).check(&plain).unwrap();
    }
}
