//! What the server keeps of the updates of a round while they come, in the order of the clients.
//!
//! A mean is a running sum, whatever the number of clients. Rules that compare clients keep all updates
//! of a round. With secure aggregation clients hand over masked integers, and there is nothing else to
//! keep than their sum.

use super::super::aggregate::Sum;
use super::super::secure::fixed_point::FixedPoint;
use super::super::secure::protocol::{Participant, Published, Server, begin, finish};
use super::super::update::Update;
use super::super::{Aggregate, ClientPrivacy, Federation};
use crate::Result;
use crate::dp::noise::Secret;

/// What a worker makes of an update before the server gets it.
pub(super) enum Sent {
    /// The update, clipped where clients are private.
    Plain(Update),
    /// Its masked integers, and how many values were cut off.
    Masked(Vec<u32>, usize),
}

/// How the clients of a round hide their updates.
pub(super) struct Masks {
    code: FixedPoint,
    /// That of weights, which are at most 1.
    weights: FixedPoint,
    participants: Vec<Participant>,
    threshold: usize,
    /// Samples of the largest client, by which weights are divided.
    largest: f64,
}

impl Masks {
    /// For the `clients` clients of a round.
    pub(super) fn new(
        federation: &Federation,
        clients: usize,
        largest: usize,
    ) -> Result<Option<Self>> {
        let Some(secure) = federation.secure.as_ref().filter(|_| clients > 0) else {
            return Ok(None);
        };
        let threshold = secure.shares(clients);
        Ok(Some(Masks {
            code: FixedPoint::new(secure.range, clients)?,
            weights: FixedPoint::new(1.0, clients)?,
            participants: begin(clients, threshold, &Secret::from_os()?)?,
            threshold,
            largest: largest as f64,
        }))
    }

    /// The weighted update of the client at `place` and its weight, in masked integers.
    pub(super) fn mask(
        &self,
        federation: &Federation,
        place: usize,
        update: &Update,
    ) -> Result<Sent> {
        let weight = weight(federation, update, self.largest);
        let mut cut_off = 0;
        let mut words: Vec<u32> = Vec::with_capacity(update.delta.len() + 1);
        for value in &update.delta {
            let (word, cut) = self.code.encode(weight * value);
            words.push(word);
            cut_off += usize::from(cut);
        }
        words.push(self.weights.encode(weight).0);
        self.participants[place].mask(&mut words)?;
        Ok(Sent::Masked(words, cut_off))
    }
}

/// What a client weighs in a mean, relative to one of `largest` samples.
fn weight(federation: &Federation, update: &Update, largest: f64) -> f64 {
    match (&federation.privacy, &federation.aggregate) {
        (Some(privacy), _) => privacy.weight(update.samples),
        (None, Aggregate::Mean { uniform: true }) => 1.0,
        (None, _) => update.samples as f64 / largest,
    }
}

/// The updates of a round so far.
pub(super) struct Collector<'a> {
    federation: &'a Federation,
    sum: Sum,
    all: Vec<Update>,
    server: Option<Server>,
    pub(super) answered: usize,
    pub(super) cut_off: usize,
    /// Sums of losses and of samples that tell them.
    losses: [f64; 2],
}

/// What a round came to.
pub(super) enum Step {
    /// A step of the weights.
    Mean(Vec<f64>),
    /// The sum of what private clients sent.
    PrivateSum(Vec<f64>),
    /// Too few came.
    Lost,
}

impl<'a> Collector<'a> {
    /// For updates of `length` values.
    pub(super) fn new(federation: &'a Federation, masks: Option<&Masks>, length: usize) -> Self {
        let server = masks.map(|masks| {
            let keys: Vec<Published> = masks.participants.iter().map(|p| p.published()).collect();
            Server::new(keys, masks.threshold, length + 1)
        });
        let (sum, all, losses) = (Sum::default(), Vec::new(), [0.0; 2]);
        Collector { federation, sum, all, server, answered: 0, cut_off: 0, losses }
    }

    /// Takes in what the client at `place` of the round sent.
    pub(super) fn add(&mut self, place: usize, sent: Sent) -> Result<()> {
        self.answered += 1;
        match sent {
            Sent::Masked(words, cut_off) => {
                self.cut_off += cut_off;
                self.server.as_mut().map_or(Ok(()), |server| server.add(place, &words))
            }
            Sent::Plain(update) => {
                if let Some(loss) = update.loss {
                    let samples = update.samples as f64;
                    self.losses = [self.losses[0] + samples * loss, self.losses[1] + samples];
                }
                match self.federation.aggregate.is_mean() {
                    true => self.sum.add(weight(self.federation, &update, 1.0), &update.delta),
                    false => self.all.push(update),
                }
                Ok(())
            }
        }
    }

    /// Updates that it keeps.
    pub(super) fn kept(&self) -> usize {
        self.all.len()
    }

    /// Mean loss of a sample.
    pub(super) fn loss(&self) -> Option<f64> {
        (self.losses[1] > 0.0).then(|| self.losses[0] / self.losses[1])
    }

    /// What it comes to, for updates of `length` values.
    pub(super) fn finish(mut self, masks: Option<Masks>, length: usize) -> Result<Step> {
        if let (Some(server), Some(masks)) = (self.server.take(), masks) {
            return self.unmask(server, masks);
        }
        if let Some(ClientPrivacy { .. }) = &self.federation.privacy {
            let sum = self.sum.into_values();
            return Ok(Step::PrivateSum(if sum.is_empty() { vec![0.0; length] } else { sum }));
        }
        if self.answered < self.federation.aggregate.needs().0 {
            return Ok(Step::Lost);
        }
        Ok(Step::Mean(match self.federation.aggregate.is_mean() {
            true => self.sum.mean()?,
            false => self.federation.aggregate.combine(&self.all)?,
        }))
    }

    fn unmask(self, server: Server, mut masks: Masks) -> Result<Step> {
        if !server.enough() {
            return Ok(Step::Lost);
        }
        let mut words = finish(server, &mut masks.participants)?;
        let weight = masks.weights.decode(words.pop().unwrap_or(0));
        let sum: Vec<f64> = words.into_iter().map(|word| masks.code.decode(word)).collect();
        Ok(match self.federation.privacy {
            Some(_) => Step::PrivateSum(sum),
            None => Step::Mean(sum.into_iter().map(|value| value / weight).collect()),
        })
    }
}
