//! The four rounds of secure aggregation (Bonawitz et al. 2017, figure 4, without its parts against
//! a server that lies): keys, shares, masked vectors, unmasking.

use chacha20poly1305::aead::{Aead as _, KeyInit as _};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};

use super::keys::KeyPair;
use super::masks::{Side, apply};
use super::shamir::{Share, join, split};
use crate::dp::noise::Secret;
use crate::{Error, ErrorKind, Result, bail};

const MASK: &[u8] = b"mask";
const SHARE: &[u8] = b"share";

/// The public keys of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// For the shares that are sent to it.
    sealing: [u8; 32],
    /// For its masks.
    masking: [u8; 32],
}

/// Shares on their way from one client to another, which the server cannot read.
#[derive(Debug, Clone)]
pub struct Sealed {
    /// Place of the sender.
    pub from: usize,
    /// Place of the receiver.
    pub to: usize,
    text: Vec<u8>,
}

/// What a client tells of another one when it comes to unmasking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revealed {
    /// A share of the seed of its own mask: it stayed.
    Own(Share),
    /// A share of its masking key: it dropped out.
    Masking(Share),
}

/// A client in a round; its place counts from 0.
pub struct Participant {
    place: usize,
    sealing: KeyPair,
    masking: KeyPair,
    own: [u8; 32],
    /// What the polynomials of its shares are drawn from.
    splitting: Secret,
    everyone: Vec<Published>,
    /// Shares that it keeps of each: masking key, own seed.
    kept: Vec<Option<(Share, Share)>>,
    revealed: bool,
}

impl Participant {
    /// The client at `place`, with keys of `secret`, which is for this round and client alone.
    pub fn new(place: usize, secret: &Secret) -> Self {
        let key = |what: &str| secret.child(what).seed();
        Participant {
            place,
            sealing: KeyPair::of(key("sealing")),
            masking: KeyPair::of(key("masking")),
            own: key("own"),
            splitting: secret.child("splitting"),
            everyone: Vec::new(),
            kept: Vec::new(),
            revealed: false,
        }
    }

    /// First round: its public keys.
    pub fn published(&self) -> Published {
        Published { sealing: self.sealing.public(), masking: self.masking.public() }
    }

    /// Second round: shares of its secrets, sealed for each other client, given the keys of all.
    ///
    /// # Errors
    /// The keys are not those of clients who agree, or the threshold is out of range.
    pub fn share(&mut self, everyone: &[Published], threshold: usize) -> Result<Vec<Sealed>> {
        if everyone.get(self.place) != Some(&self.published()) {
            bail!(Data, "secure: the list of keys lacks those of client {}", self.place);
        }
        let n = everyone.len();
        let secret = &self.splitting;
        let masking = split(&self.masking.secret(), threshold, n, secret.child("masking").seed())?;
        let own = split(&self.own, threshold, n, secret.child("own").seed())?;
        self.everyone = everyone.to_vec();
        self.kept = vec![None; n];
        self.kept[self.place] = Some((masking[self.place], own[self.place]));
        let others = (0..n).filter(|&to| to != self.place);
        others.map(|to| self.seal(to, &masking[to], &own[to])).collect()
    }

    fn cipher(&self, from: usize, to: usize) -> Result<ChaCha20Poly1305> {
        let other = if from == self.place { to } else { from };
        let Some(published) = self.everyone.get(other) else {
            bail!(Data, "secure: there is no client {other} in the round");
        };
        let context = [(from as u64).to_le_bytes(), (to as u64).to_le_bytes()].concat();
        let key = self.sealing.agree(&published.sealing, SHARE, &context)?;
        Ok(ChaCha20Poly1305::new(&Key::from(key)))
    }

    fn seal(&self, to: usize, masking: &Share, own: &Share) -> Result<Sealed> {
        let words = masking.values.iter().chain(&own.values);
        let plain: Vec<u8> = words.flat_map(|word| word.to_le_bytes()).collect();
        // A key for each direction and round, and one message under it.
        let text = self
            .cipher(self.place, to)?
            .encrypt(&Nonce::from([0; 12]), &plain[..])
            .map_err(|e| Error::new(ErrorKind::Usage, format!("secure: sealing: {e}")))?;
        Ok(Sealed { from: self.place, to, text })
    }

    /// Takes in what another client sent.
    ///
    /// # Errors
    /// It was sealed for somebody else or was changed.
    pub fn receive(&mut self, sealed: &Sealed) -> Result<()> {
        let Sealed { from, to, text } = sealed;
        let refused = || {
            let what = format!("secure: a share of client {from} cannot be opened; leave it out");
            Error::new(ErrorKind::Data, what)
        };
        if *to != self.place || *from == *to || *from >= self.kept.len() {
            return Err(refused());
        }
        let cipher = self.cipher(*from, *to)?;
        let plain = cipher.decrypt(&Nonce::from([0; 12]), &text[..]).map_err(|_| refused())?;
        let words: Vec<u16> =
            plain.as_chunks::<2>().0.iter().map(|b| u16::from_le_bytes(*b)).collect();
        let at = self.place as u16 + 1;
        let half = |words: &[u16]| -> Result<Share> {
            let values = words.try_into().map_err(|_| refused())?;
            Ok(Share { at, values })
        };
        let (masking, own) = words.split_at_checked(words.len() / 2).ok_or_else(refused)?;
        self.kept[*from] = Some((half(masking)?, half(own)?));
        Ok(())
    }

    /// Third round: puts all masks on `values`.
    ///
    /// # Errors
    /// Another client's key is of small order.
    pub fn mask(&self, values: &mut [u32]) -> Result<()> {
        apply(values, self.own, Side::Plus);
        for (other, published) in self.everyone.iter().enumerate().filter(|(i, _)| *i != self.place)
        {
            let key = self.masking.agree(&published.masking, MASK, &[])?;
            apply(values, key, Side::of(self.place, other));
        }
        Ok(())
    }

    /// Fourth round: for each client, in order, a share of its own seed if it stayed, and of its masking
    /// key if it did not. It is given once: two lists of who stayed would give both away.
    ///
    /// # Errors
    /// It was given already, or a share is missing.
    pub fn reveal(&mut self, stayed: &[bool]) -> Result<Vec<Revealed>> {
        if std::mem::replace(&mut self.revealed, true) {
            bail!(Usage, "secure: client {} has given its shares already", self.place);
        }
        if stayed.len() != self.kept.len() {
            bail!(Data, "secure: {} clients are told of, of {}", stayed.len(), self.kept.len());
        }
        let each = self.kept.iter().zip(stayed).enumerate().map(|(i, (kept, stayed))| match kept {
            None => bail!(Data, "secure: client {} has no share of client {i}", self.place),
            Some((_, own)) if *stayed => Ok(Revealed::Own(*own)),
            Some((masking, _)) => Ok(Revealed::Masking(*masking)),
        });
        each.collect()
    }
}

/// The server in a round.
pub struct Server {
    everyone: Vec<Published>,
    threshold: usize,
    sum: Vec<u32>,
    stayed: Vec<bool>,
}

impl Server {
    /// With the keys of all clients, for vectors of `length`.
    pub fn new(everyone: Vec<Published>, threshold: usize, length: usize) -> Self {
        let stayed = vec![false; everyone.len()];
        Server { everyone, threshold, sum: vec![0; length], stayed }
    }

    /// Adds the masked vector of the client at `place`.
    ///
    /// # Errors
    /// It came already, or is of another length.
    pub fn add(&mut self, place: usize, masked: &[u32]) -> Result<()> {
        if masked.len() != self.sum.len() || self.stayed.get(place) != Some(&false) {
            bail!(Data, "secure: a vector of client {place} that is not expected");
        }
        self.stayed[place] = true;
        self.sum.iter_mut().zip(masked).for_each(|(s, v)| *s = s.wrapping_add(*v));
        Ok(())
    }

    /// Whose vectors came.
    pub fn stayed(&self) -> &[bool] {
        &self.stayed
    }

    /// Whether as many came as can unmask the sum.
    pub fn enough(&self) -> bool {
        self.stayed.iter().filter(|s| **s).count() >= self.threshold
    }

    /// The sum modulo 2^32 of the vectors that came, from what clients that stayed revealed.
    ///
    /// # Errors
    /// Fewer revealed than the threshold, or something that does not fit together.
    pub fn unmask(mut self, revealed: &[Vec<Revealed>]) -> Result<Vec<u32>> {
        if !self.enough() || revealed.len() < self.threshold {
            bail!(
                Data,
                "secure: {} clients stayed and {} told their shares, of which {} are needed; the sum \
                 is lost, run the round again",
                self.stayed.iter().filter(|s| **s).count(),
                revealed.len(),
                self.threshold
            );
        }
        for place in 0..self.everyone.len() {
            let secret = self.joined(place, revealed)?;
            match self.stayed[place] {
                true => apply(&mut self.sum, secret, Side::Minus),
                false => self.remove_pairs(place, KeyPair::of(secret))?,
            }
        }
        Ok(self.sum)
    }

    /// The secret of a client from the shares of it that were revealed.
    fn joined(&self, place: usize, revealed: &[Vec<Revealed>]) -> Result<[u8; 32]> {
        let share = |of: &Vec<Revealed>| match (of.get(place), self.stayed[place]) {
            (Some(Revealed::Own(share)), true) | (Some(Revealed::Masking(share)), false) => {
                Ok(*share)
            }
            _ => bail!(Data, "secure: a share of client {place} of the wrong kind"),
        };
        let shares: Vec<Share> = revealed.iter().map(share).collect::<Result<_>>()?;
        join(&shares, self.threshold)
    }

    /// Takes off what the others put on for the client at `place`, who dropped out.
    fn remove_pairs(&mut self, place: usize, masking: KeyPair) -> Result<()> {
        if masking.public() != self.everyone[place].masking {
            bail!(Data, "secure: the shares of client {place} give another key");
        }
        for (other, published) in self.everyone.iter().enumerate() {
            if self.stayed[other] {
                let key = masking.agree(&published.masking, MASK, &[])?;
                apply(&mut self.sum, key, Side::of(other, place).turned());
            }
        }
        Ok(())
    }
}

/// The clients of a round after its first two exchanges.
///
/// # Errors
/// As [`Participant::share`].
pub fn begin(clients: usize, threshold: usize, secret: &Secret) -> Result<Vec<Participant>> {
    let mut all: Vec<Participant> =
        (0..clients).map(|i| Participant::new(i, &secret.index(i as u64))).collect();
    let everyone: Vec<Published> = all.iter().map(Participant::published).collect();
    let mut sent = Vec::new();
    for participant in &mut all {
        sent.extend(participant.share(&everyone, threshold)?);
    }
    sent.iter().try_for_each(|sealed| all[sealed.to].receive(sealed))?;
    Ok(all)
}

/// Unmasks the sum with the help of all clients that stayed.
///
/// # Errors
/// As [`Server::unmask`].
pub fn finish(server: Server, clients: &mut [Participant]) -> Result<Vec<u32>> {
    let stayed = server.stayed().to_vec();
    let there = clients.iter_mut().zip(&stayed).filter(|(_, stayed)| **stayed);
    let revealed: Vec<_> =
        there.map(|(client, _)| client.reveal(&stayed)).collect::<Result<_>>()?;
    server.unmask(&revealed)
}

#[cfg(test)]
mod tests;
