//! The key that a node is known by, and the signature of its calls.
//!
//! A SuperLink knows a node by its public key, so whoever keeps the key rejoins as the same node. It is
//! on the curve P-256, which is what SuperLinks verify; the signature is of the time of the call, in
//! ASCII, so that a call that was overheard is worth something for five minutes only.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use inocula_core::{Error, ErrorKind, Result, bail, fs};
use p256::SecretKey;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, EncodePublicKey as _, LineEnding};

/// Larger files of keys are refused, in bytes.
const MAX_BYTES: u64 = 4096;

/// A private key, and its public one in the form that goes over the wire.
pub struct Key {
    signing: SigningKey,
    public: String,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("public", &self.public).finish_non_exhaustive()
    }
}

impl Key {
    /// A new key of the operating system's randomness.
    ///
    /// # Errors
    /// The operating system gives none.
    pub fn generate() -> Result<Self> {
        loop {
            let mut bytes = [0; 32];
            if let Err(err) = getrandom::fill(&mut bytes) {
                bail!(Io, "key: the operating system gives no randomness: {err}");
            }
            // One in 2^32 draws is no number below the order of the curve.
            if let Ok(secret) = SecretKey::from_slice(&bytes) {
                return Self::of(&secret);
            }
        }
    }

    /// The key in the file, PEM of PKCS #8; a new one that is written there if there is no file.
    ///
    /// # Errors
    /// The file cannot be read or written, or holds no such key.
    pub fn load_or_create(path: &Path) -> Result<Self> {
        if !path.exists() {
            let key = Self::generate()?;
            key.save(path)?;
            return Ok(key);
        }
        let shown = path.display();
        let bytes = fs::read(path, MAX_BYTES)?;
        let text = String::from_utf8(bytes).unwrap_or_default();
        match SecretKey::from_pkcs8_pem(&text) {
            Ok(secret) => Self::of(&secret),
            Err(_) => bail!(
                Data,
                "{shown}: no private key of P-256 in PEM of PKCS #8; restore it from a copy, or remove it \
                 to join as a new node"
            ),
        }
    }

    fn of(secret: &SecretKey) -> Result<Self> {
        let public = secret.public_key().to_public_key_pem(LineEnding::LF).map_err(|e| odd(&e))?;
        Ok(Key { signing: SigningKey::from(secret), public })
    }

    /// Readable by the owner alone from its first byte, and whole or not there.
    fn save(&self, path: &Path) -> Result<()> {
        let pem = self.signing.to_pkcs8_pem(LineEnding::LF).map_err(|e| odd(&e))?;
        let beside = path.with_extension("new");
        let failed = |e: std::io::Error| Error::io(path, "write", &e);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&beside).map_err(failed)?;
        file.write_all(pem.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        std::fs::rename(&beside, path).map_err(failed)
    }

    /// PEM of the public key.
    pub fn public_pem(&self) -> &str {
        &self.public
    }

    /// Names and values of the headers that sign a call made `at` that time.
    pub fn headers(&self, at: SystemTime) -> [(&'static str, String); 3] {
        let time = humantime::format_rfc3339_micros(at).to_string();
        let time = format!("{}+00:00", time.trim_end_matches('Z'));
        let signature: Signature = self.signing.sign(time.as_bytes());
        [
            ("flwr-public-key", STANDARD.encode(&self.public)),
            ("flwr-signature", STANDARD.encode(signature.to_der())),
            ("flwr-timestamp", time),
        ]
    }
}

fn odd(err: &dyn std::fmt::Display) -> Error {
    Error::new(ErrorKind::Data, format!("key: cannot be put into PEM: {err}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use p256::ecdsa::VerifyingKey;
    use p256::ecdsa::signature::Verifier as _;
    use p256::pkcs8::DecodePublicKey as _;
    use std::time::Duration;

    #[test]
    fn a_key_is_kept_and_signs_what_verifies() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.pem");
        let key = Key::load_or_create(&path).unwrap();
        let again = Key::load_or_create(&path).unwrap();
        assert_eq!(key.public_pem(), again.public_pem());
        let at = SystemTime::UNIX_EPOCH + Duration::from_micros(1_518_563_312_000_789);
        let [public, signature, time] = again.headers(at);
        assert_eq!(time.1, "2018-02-13T23:08:32.000789+00:00");
        let pem = String::from_utf8(STANDARD.decode(public.1).unwrap()).unwrap();
        assert_eq!(pem, key.public_pem());
        let verifying = VerifyingKey::from_public_key_pem(&pem).unwrap();
        let signature = Signature::from_der(&STANDARD.decode(signature.1).unwrap()).unwrap();
        verifying.verify(time.1.as_bytes(), &signature).unwrap();
    }

    #[test]
    fn a_damaged_key_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.pem");
        std::fs::write(&path, "no key").unwrap();
        let text = Key::load_or_create(&path).unwrap_err().to_string();
        assert!(text.contains("node.pem") && text.contains("restore"), "{text}");
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_reads_the_key() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.pem");
        Key::load_or_create(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
