//! Calls to a SuperLink: protobuf over HTTP/1.1, each signed by the node's key.
//!
//! A call ends in an answer or in a [`Failure`], whose kind says what may be done: wait, join anew, or
//! give up. Answers are cut off at a size that the caller states, redirections are not followed (a
//! signed call is for this server), and what is no answer of Flower's is told apart from a refusal.

use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use inocula_core::{Error, ErrorKind, Result, bail, fs};
use prost::Message;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use crate::objects::shown;
use crate::{Key, SUPPORTED};

/// Answers without objects are not longer, in bytes.
pub(crate) const SMALL: usize = 1 << 20;
/// The description of a server's interface, in bytes.
const MAX_DESCRIPTION: usize = 8 << 20;
/// Files of certificates are not larger, in bytes.
const MAX_CERTIFICATES: u64 = 4 << 20;
/// The part of a refusal that is shown.
const SHOWN: usize = 200;

/// How the connection is secured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Security {
    /// TLS, with the certificate authorities that browsers trust.
    Usual,
    /// TLS, with the authorities in a file of PEM.
    Roots(PathBuf),
    /// No TLS: who is on the way reads and changes everything.
    Insecure,
}

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Nobody answers now; later somebody may.
    Unreachable(String),
    /// The connection is not the one that was asked for: certificates, or TLS on one side only.
    Untrusted(String),
    /// What answers is no SuperLink that this speaks with.
    Foreign(String),
    /// The SuperLink does not know the key, or takes its clock to be wrong.
    Unknown,
    /// The SuperLink refuses; the number is Flower's own of the reason, 0 if it says none.
    Refused(u32, String),
}

impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Unreachable(why) => write!(f, "does not answer ({why})"),
            Failure::Untrusted(why) => f.write_str(why),
            Failure::Foreign(why) => write!(
                f,
                "answers, but not as a SuperLink of Flower 1.{} to 1.{} does ({why}); check --superlink \
                 and the server's version",
                SUPPORTED[0], SUPPORTED[1]
            ),
            Failure::Unknown => f.write_str(
                "does not accept this node's signature; compare the clocks of both machines, and where the \
                 server authenticates nodes, register the key with `flwr supernode register`",
            ),
            Failure::Refused(_, why) => write!(f, "refuses: {why}"),
        }
    }
}

/// A SuperLink, and the key to call it with.
#[derive(Debug, Clone)]
pub struct Transport {
    agent: ureq::Agent,
    base: String,
    /// As the user wrote it.
    address: String,
    key: Arc<Key>,
}

impl Transport {
    /// For the SuperLink at `HOST:PORT`.
    ///
    /// # Errors
    /// The address is none, or the certificates cannot be read.
    pub fn new(address: &str, security: &Security, key: Arc<Key>) -> Result<Self> {
        let port = address.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>()));
        if !matches!(port, Some((host, Ok(_))) if !host.is_empty() && !host.contains('/')) {
            bail!(Config, "--superlink {address:?}: write HOST:PORT, say 127.0.0.1:8000");
        }
        let roots = match security {
            Security::Roots(path) => roots(path)?,
            Security::Usual | Security::Insecure => RootCerts::WebPki,
        };
        let agent = ureq::Agent::config_builder()
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(Duration::from_secs(10)))
            .timeout_global(Some(Duration::from_secs(120)))
            .build()
            .into();
        let scheme = if *security == Security::Insecure { "http" } else { "https" };
        let base = format!("{scheme}://{address}");
        Ok(Transport { agent, base, address: address.to_owned(), key })
    }

    /// The key that calls are signed with.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// A failure as an error that names the server.
    pub fn error(&self, failure: &Failure) -> Error {
        let kind = match failure {
            Failure::Unreachable(_) | Failure::Untrusted(_) => ErrorKind::Io,
            Failure::Foreign(_) => ErrorKind::Data,
            Failure::Unknown | Failure::Refused(..) => ErrorKind::Usage,
        };
        Error::new(kind, format!("the SuperLink at {} {failure}", self.address))
    }

    /// Calls `verb` of the Fleet API; an answer of more than `most` bytes is none.
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn call<Q: Message, A: Message + Default>(
        &self,
        verb: &str,
        request: &Q,
        most: usize,
    ) -> Result<A, Failure> {
        let mut call = self.agent.post(format!("{}/v1/fleet/{verb}", self.base));
        for (name, value) in self.key.headers(SystemTime::now()) {
            call = call.header(name, value);
        }
        let call = call
            .header("content-type", "application/protobuf")
            .header("accept", "application/protobuf");
        let answer = call.send(&request.encode_to_vec()[..]).map_err(|e| self.failed(&e))?;
        let status = answer.status().as_u16();
        let kind = answer.headers().get("content-type").and_then(|v| v.to_str().ok());
        let protobuf = kind.is_some_and(|kind| kind.contains("protobuf"));
        let body = self.body(answer, most)?;
        if status != 200 {
            return Err(refused(status, &body));
        }
        if !protobuf {
            return Err(Failure::Foreign("what it sends is no protobuf".into()));
        }
        A::decode(&body[..]).map_err(|_| Failure::Foreign(format!("{verb}: it cannot be read")))
    }

    /// The server's version, where it tells it.
    ///
    /// # Errors
    /// It cannot be asked, or is no SuperLink.
    pub fn version(&self) -> Result<Option<String>, Failure> {
        let answer = self.agent.get(format!("{}/openapi.json", self.base)).call();
        let answer = answer.map_err(|e| self.failed(&e))?;
        if answer.status() != 200 {
            // Whether it speaks the Fleet API the first call tells.
            return Ok(None);
        }
        let body = self.body(answer, MAX_DESCRIPTION)?;
        let said: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let text = |key: &str| said["info"][key].as_str().unwrap_or_default();
        if !text("title").contains("SuperLink") {
            let what = text("title");
            return Err(Failure::Foreign(format!("it calls itself {}", shown(what))));
        }
        Ok(Some(text("version").to_owned()))
    }

    fn body(
        &self,
        answer: ureq::http::Response<ureq::Body>,
        most: usize,
    ) -> Result<Vec<u8>, Failure> {
        let limit = most as u64;
        answer.into_body().into_with_config().limit(limit).read_to_vec().map_err(|e| match e {
            ureq::Error::BodyExceedsLimit(_) => {
                Failure::Foreign(format!("an answer of more than {most} bytes"))
            }
            other => self.failed(&other),
        })
    }

    /// What a failed connection means.
    fn failed(&self, err: &ureq::Error) -> Failure {
        let text = one_line(&err.to_string());
        let tls = self.base.starts_with("https");
        let of_tls = matches!(err, ureq::Error::Rustls(_) | ureq::Error::Tls(_))
            || matches!(err, ureq::Error::Io(e) if e.kind() == std::io::ErrorKind::InvalidData);
        if tls && of_tls && text.to_lowercase().contains("certificate") {
            return Failure::Untrusted(format!(
                "has a certificate that is not trusted ({text}); pass the certificate of its authority by \
                 --root-certificates"
            ));
        }
        if tls && of_tls {
            return Failure::Untrusted(format!(
                "does not speak TLS ({text}); pass --insecure if that is meant"
            ));
        }
        match err {
            ureq::Error::Protocol(_) | ureq::Error::LargeResponseHeader(..) => {
                Failure::Foreign(format!("no HTTP/1.1, as the gRPC of older ones: {text}"))
            }
            ureq::Error::Http(_) | ureq::Error::BadUri(_) => Failure::Foreign(text),
            _ => Failure::Unreachable(text),
        }
    }
}

/// What an answer other than 200 means.
fn refused(status: u16, body: &[u8]) -> Failure {
    let said: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let detail = said["detail"].as_str().unwrap_or_default();
    let code = said["code"].as_u64().and_then(|code| u32::try_from(code).ok());
    let extra = said["extra"].as_str().map(|extra| format!(" ({extra})")).unwrap_or_default();
    let text: String = one_line(&format!("{detail}{extra}")).chars().take(SHOWN).collect();
    match (code, status) {
        (Some(1001), _) => Failure::Foreign(format!("it says: {text}")),
        (Some(code), _) => Failure::Refused(code, text),
        (None, 401) => Failure::Unknown,
        (None, 502..=504) => Failure::Unreachable(format!("status {status}")),
        (None, 500) if !detail.is_empty() => Failure::Refused(0, text),
        (None, _) => Failure::Foreign(format!("status {status}")),
    }
}

/// A text as one line, without what moves a terminal's cursor.
fn one_line(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    words.chars().filter(|c| !c.is_control()).collect()
}

fn roots(path: &PathBuf) -> Result<RootCerts> {
    let pem = fs::read(path, MAX_CERTIFICATES)?;
    let mut found: Vec<Certificate<'static>> = Vec::new();
    for item in parse_pem(&pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => found.push(certificate),
            Ok(_) => {}
            Err(_) => {
                found.clear();
                break;
            }
        }
    }
    if found.is_empty() {
        let shown = path.display();
        bail!(Config, "{shown}: no certificates in PEM; pass the file of the server's authority");
    }
    Ok(RootCerts::new_with_certs(&found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked() {
        let key = Arc::new(Key::generate().unwrap());
        for wrong in ["", "host", ":8000", "host:port", "http://host:8000", "host:99999"] {
            let made = Transport::new(wrong, &Security::Insecure, key.clone());
            assert!(made.unwrap_err().to_string().contains("HOST:PORT"), "{wrong}");
        }
        for right in ["127.0.0.1:8000", "host.example:1", "[::1]:8000"] {
            Transport::new(right, &Security::Insecure, key.clone()).unwrap();
        }
    }

    #[test]
    fn refusals_are_told_apart() {
        let of = |status, body: &str| refused(status, body.as_bytes());
        assert_eq!(of(401, r#"{"detail":"Invalid SuperNode authentication"}"#), Failure::Unknown);
        assert!(matches!(of(503, "busy"), Failure::Unreachable(_)));
        assert!(matches!(of(404, "<html>"), Failure::Foreign(_)));
        assert!(matches!(of(500, "<html>"), Failure::Foreign(_)));
        let json = r#"{"code":23,"detail":"Public key already in use."}"#;
        assert_eq!(of(412, json), Failure::Refused(23, "Public key already in use.".into()));
        assert!(matches!(of(412, r#"{"code":1001,"detail":"no"}"#), Failure::Foreign(_)));
        assert!(matches!(of(500, r#"{"detail":"Internal"}"#), Failure::Refused(0, _)));
    }

    #[test]
    fn files_without_certificates_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("roots.pem");
        std::fs::write(&path, "nothing").unwrap();
        let text = roots(&path).unwrap_err().to_string();
        assert!(text.contains("roots.pem") && text.contains("no certificates"), "{text}");
    }
}
