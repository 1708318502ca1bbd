//! Sums, drop-outs, and what the server sees.

use super::*;
use crate::rng::Rng;

fn secret(seed: u64) -> Secret {
    Secret::seeded(&Rng::new(seed))
}

fn vectors(clients: usize, length: usize) -> Vec<Vec<u32>> {
    let mut rng = Rng::new(8);
    let word = |rng: &mut Rng| rng.below(1 << 32) as u32;
    (0..clients).map(|_| (0..length).map(|_| word(&mut rng)).collect()).collect()
}

fn plain_sum(vectors: &[Vec<u32>], of: &[bool]) -> Vec<u32> {
    let mut sum = vec![0_u32; vectors[0].len()];
    for (vector, _) in vectors.iter().zip(of).filter(|(_, of)| **of) {
        sum.iter_mut().zip(vector).for_each(|(s, v)| *s = s.wrapping_add(*v));
    }
    sum
}

/// A round in which those of `stays` send their vectors, and those of `helps` their shares.
fn round(
    vectors: &[Vec<u32>],
    threshold: usize,
    stays: &[bool],
    helps: &[bool],
) -> Result<Vec<u32>> {
    let mut all = begin(vectors.len(), threshold, &secret(1))?;
    let published = all.iter().map(Participant::published).collect();
    let mut server = Server::new(published, threshold, vectors[0].len());
    for (place, vector) in vectors.iter().enumerate().filter(|(i, _)| stays[*i]) {
        let mut masked = vector.clone();
        all[place].mask(&mut masked)?;
        server.add(place, &masked)?;
    }
    let stayed = server.stayed().to_vec();
    let helping = all.iter_mut().enumerate().filter(|(i, _)| helps[*i]);
    let revealed: Vec<_> = helping.map(|(_, p)| p.reveal(&stayed)).collect::<Result<_>>()?;
    server.unmask(&revealed)
}

fn members(set: u32, n: usize) -> Vec<bool> {
    (0..n).map(|i| set >> i & 1 == 1).collect()
}

/// All sets of drop-outs of up to five clients and all thresholds: the exact sum of those who stayed
/// down to the threshold, an error below.
#[test]
fn the_sum_is_exact_for_every_set_of_drop_outs() {
    for n in 1..=5 {
        let vectors = vectors(n, 7);
        for threshold in 1..=n {
            for set in 0_u32..1 << n {
                let stays = members(set, n);
                let got = round(&vectors, threshold, &stays, &stays);
                match set.count_ones() as usize >= threshold {
                    true => assert_eq!(got.unwrap(), plain_sum(&vectors, &stays), "{n} {set:b}"),
                    false => assert!(got.unwrap_err().to_string().contains("the sum is lost")),
                }
            }
        }
    }
}

/// Clients may also go after their vectors came: as many as the threshold have to help, no matter who.
#[test]
fn late_drop_outs_count_too() {
    let (n, threshold) = (5, 3);
    let vectors = vectors(n, 3);
    let stays = members(0b11101, n);
    for set in 0_u32..1 << n {
        let helps = members(set & 0b11101, n);
        let count = (set & 0b11101).count_ones() as usize;
        let got = round(&vectors, threshold, &stays, &helps);
        match count >= threshold {
            true => assert_eq!(got.unwrap(), plain_sum(&vectors, &stays)),
            false => assert!(got.is_err()),
        }
    }
}

/// Pearson's statistic of the bytes of some words against uniformity: 255 degrees of freedom, whose
/// 0.999 quantile is 330.5.
fn chi_square(words: &[u32]) -> f64 {
    let mut counts = [0_usize; 256];
    words.iter().flat_map(|w| w.to_le_bytes()).for_each(|b| counts[usize::from(b)] += 1);
    let expected = words.len() as f64 * 4.0 / 256.0;
    counts.iter().map(|&c| (c as f64 - expected).powi(2) / expected).sum()
}

/// Whatever a client sends, what the server gets of it looks like nothing: as long as one mask that the
/// server does not know is on it. With all masks but one known the rest is still uniform.
#[test]
fn what_the_server_sees_of_one_client_is_uniform() {
    const LENGTH: usize = 20_000;
    for (n, value) in [(2, 0), (3, 0), (3, 12_345), (4, u32::MAX)] {
        let mut all = begin(n, 2, &secret(5)).unwrap();
        let plain = vec![value; LENGTH];
        assert!(chi_square(&plain) > 1e5, "the statistic can fail");
        let mut masked = plain.clone();
        all[0].mask(&mut masked).unwrap();
        assert!(chi_square(&masked) < 330.5, "{n} {value}: {}", chi_square(&masked));
        // The client drops out: its masking key is known, its own seed is not.
        let mut without_pairs = masked.clone();
        let key = KeyPair::of(all[0].masking.secret());
        for (other, peer) in all.iter().enumerate().skip(1) {
            let seed = key.agree(&peer.masking.public(), MASK, &[]).unwrap();
            apply(&mut without_pairs, seed, Side::of(other, 0));
        }
        assert!(chi_square(&without_pairs) < 330.5, "{n} {value}");
        apply(&mut without_pairs, all[0].own, Side::Minus);
        assert_eq!(without_pairs, plain, "all masks off");
        // It stays: its own seed is known, the masks that it shares are not.
        let own = all[0].own;
        apply(&mut masked, own, Side::Minus);
        assert!(chi_square(&masked) < 330.5, "{n} {value}");
        // Other rounds have other masks.
        all = begin(n, 2, &secret(6)).unwrap();
        let mut again = plain.clone();
        all[0].mask(&mut again).unwrap();
        assert_ne!(again, masked);
    }
}

#[test]
fn a_client_gives_its_shares_once_and_of_one_kind() {
    let mut all = begin(3, 2, &secret(2)).unwrap();
    let told = all[0].reveal(&[true, true, false]).unwrap();
    assert!(matches!(told[..], [Revealed::Own(_), Revealed::Own(_), Revealed::Masking(_)]));
    assert!(all[0].reveal(&[true, false, false]).unwrap_err().to_string().contains("already"));
    assert!(all[1].reveal(&[true]).is_err());
}

#[test]
fn shares_that_were_changed_or_sent_astray_are_refused() {
    let mut all: Vec<Participant> =
        (0..3).map(|i| Participant::new(i, &secret(3).index(i as u64))).collect();
    let everyone: Vec<Published> = all.iter().map(Participant::published).collect();
    let sent = all[0].share(&everyone, 2).unwrap();
    all[1].share(&everyone, 2).unwrap();
    all[2].share(&everyone, 2).unwrap();
    let mut changed = sent[0].clone();
    changed.text[0] ^= 1;
    assert!(all[1].receive(&changed).unwrap_err().to_string().contains("cannot be opened"));
    let mut astray = sent[1].clone();
    astray.to = 1;
    assert!(all[1].receive(&astray).is_err());
    assert!(all[1].receive(&sent[0]).is_ok());
    // The text says nothing of the shares: it differs from them and between receivers.
    assert_ne!(sent[0].text, sent[1].text);
    let wrong = vec![everyone[1]; 3];
    assert!(Participant::new(0, &secret(3).index(0)).share(&wrong, 2).is_err());
}

#[test]
fn vectors_that_are_not_expected_are_refused() {
    let all = begin(2, 2, &secret(4)).unwrap();
    let mut server = Server::new(all.iter().map(Participant::published).collect(), 2, 3);
    assert!(server.add(0, &[1, 2]).is_err() && server.add(2, &[1, 2, 3]).is_err());
    server.add(0, &[1, 2, 3]).unwrap();
    assert!(server.add(0, &[1, 2, 3]).is_err(), "twice");
}
