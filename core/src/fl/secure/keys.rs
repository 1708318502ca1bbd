//! Keys that two clients agree on: X25519 (RFC 7748), then HKDF with SHA-256 (RFC 5869), which makes of
//! a point of the curve 256 bits that are uniform, bound to what they are for and to both public keys.

use hkdf::Hkdf;
use sha2::Sha256;
use x25519_dalek::{PublicKey, StaticSecret};

use crate::{Error, ErrorKind, Result, bail};

const SALT: &[u8] = b"inocula secure aggregation 1";

/// A key pair of X25519.
pub(super) struct KeyPair {
    secret: StaticSecret,
    public: [u8; 32],
}

impl KeyPair {
    /// The pair of a secret of 32 random bytes.
    pub(super) fn of(secret: [u8; 32]) -> Self {
        let secret = StaticSecret::from(secret);
        let public = PublicKey::from(&secret).to_bytes();
        KeyPair { secret, public }
    }

    pub(super) fn public(&self) -> [u8; 32] {
        self.public
    }

    pub(super) fn secret(&self) -> [u8; 32] {
        self.secret.to_bytes()
    }

    /// The key for `purpose` that this pair and that of `other` have in common; `context` is part of the
    /// purpose.
    ///
    /// # Errors
    /// `other` is a point of small order, with which everybody agrees on the same.
    pub(super) fn agree(
        &self,
        other: &[u8; 32],
        purpose: &[u8],
        context: &[u8],
    ) -> Result<[u8; 32]> {
        let shared = self.secret.diffie_hellman(&PublicKey::from(*other));
        if !shared.was_contributory() {
            bail!(Data, "secure: a public key of small order; leave out the client that sent it");
        }
        let (low, high) = (self.public.min(*other), self.public.max(*other));
        let info = [purpose, context, &low, &high].concat();
        derived(SALT, shared.as_bytes(), &info)
    }
}

/// 32 bytes by HKDF-SHA-256.
fn derived(salt: &[u8], secret: &[u8], info: &[u8]) -> Result<[u8; 32]> {
    let mut key = [0; 32];
    expand(salt, secret, info, &mut key)?;
    Ok(key)
}

fn expand(salt: &[u8], secret: &[u8], info: &[u8], out: &mut [u8]) -> Result<()> {
    Hkdf::<Sha256>::new(Some(salt), secret)
        .expand(info, out)
        .map_err(|e| Error::new(ErrorKind::Usage, format!("secure: key derivation: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unhex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
            .collect()
    }

    fn key(text: &str) -> [u8; 32] {
        unhex(text).try_into().unwrap()
    }

    /// RFC 7748, section 6.1.
    #[test]
    fn x25519_of_the_rfc() {
        let alice =
            KeyPair::of(key("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"));
        let bob =
            KeyPair::of(key("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"));
        let alices = key("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
        let bobs = key("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
        assert_eq!((alice.public(), bob.public()), (alices, bobs));
        let shared = key("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
        for (own, other) in [(&alice, bobs), (&bob, alices)] {
            let made = own.secret.diffie_hellman(&PublicKey::from(other));
            assert_eq!(made.to_bytes(), shared);
        }
    }

    /// RFC 5869, appendix A.1.
    #[test]
    fn hkdf_of_the_rfc() {
        let mut out = [0; 42];
        let info = unhex("f0f1f2f3f4f5f6f7f8f9");
        expand(&unhex("000102030405060708090a0b0c"), &[0x0b; 22], &info, &mut out).unwrap();
        let want =
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865";
        assert_eq!(out.to_vec(), unhex(want));
    }

    #[test]
    fn both_agree_and_purposes_differ() {
        let (a, b) = (KeyPair::of([1; 32]), KeyPair::of([2; 32]));
        let one = a.agree(&b.public(), b"mask", b"1").unwrap();
        assert_eq!(one, b.agree(&a.public(), b"mask", b"1").unwrap());
        assert_ne!(one, a.agree(&b.public(), b"mask", b"2").unwrap());
        assert_ne!(one, a.agree(&b.public(), b"share", b"1").unwrap());
        // The points of order one and four.
        assert!(a.agree(&[0; 32], b"mask", b"1").is_err());
        let mut order_four = [0; 32];
        order_four[0] = 1;
        assert!(a.agree(&order_four, b"mask", b"1").is_err());
    }
}
