//! A node: it joins a SuperLink, takes messages, has them worked on, and answers.
//!
//! What may go wrong is of three kinds, and each ends in its own way. The connection fails: the node
//! waits, longer each time, and gives up when its patience ends. The SuperLink has forgotten the node or
//! the run, as after a restart: the node joins anew and goes on. What was sent is wrong: the node says
//! so to the server, so that its round does not wait, and ends, because what is wrong once for this
//! configuration is wrong every time.
//!
//! A message lies on the disk from before its receipt is confirmed until it is answered ([`Options`]), so
//! a node that was killed in the middle takes it up again: the SuperLink sends each message once.

mod heartbeat;
mod message;
mod turn;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use inocula_core::{Error, ErrorKind, Result, bail, fs};

use crate::SUPPORTED;
use crate::messages::{
    ActivateRequest, DeactivateRequest, Empty, HeartbeatReply, HeartbeatRequest,
    Node as NodeNumber, NodeReply, RegisterRequest,
};
use crate::objects::{Array, ArraySpec, Limits, Scalar, shown};
use crate::transport::{Failure, SMALL, Transport};
use heartbeat::Heartbeat;

/// The longest time between two tries.
const SLOWEST: Duration = Duration::from_secs(5);
/// Times that a node joins anew without anything having gone well in between.
const REJOINS: usize = 3;
/// Flower's numbers of refusals.
mod code {
    /// The SuperLink knows the key already.
    pub(super) const KEY_IN_USE: u32 = 23;
    /// The node cannot be activated: it is active.
    pub(super) const NOT_ACTIVATED: u32 = 2004;
    /// Nodes are registered by an administrator.
    pub(super) const REGISTRATION_DISABLED: u32 = 2001;
}

/// How a node behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// Between two heartbeats; a SuperLink takes a node for dead after two of them. At least 10 s.
    pub heartbeat: Duration,
    /// How long a SuperLink may be away.
    pub patience: Duration,
    /// Between two questions for messages.
    pub poll: Duration,
    /// File of the message that is being worked on.
    pub pending: PathBuf,
    /// File of the number that the SuperLink gave the node.
    pub number: PathBuf,
}

impl Options {
    /// The usual times, as stock nodes have them, and files in that folder.
    pub fn new(folder: &Path) -> Self {
        Options {
            heartbeat: Duration::from_secs(30),
            patience: Duration::from_secs(300),
            poll: Duration::from_secs(1),
            pending: folder.join("pending"),
            number: folder.join("number"),
        }
    }
}

/// What a message asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskKind {
    /// To train from the weights, and to send others.
    Train,
    /// To judge the weights.
    Evaluate,
}

/// Work that a server asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// What is asked for.
    pub kind: TaskKind,
    /// Name of the message: the same if work is asked for again after a kill.
    pub message: String,
    /// The run of a ServerApp.
    pub run: u64,
    /// Round of the run, from 1, if the server says it.
    pub round: Option<u64>,
    /// The weights, in the order of [`Worker::specs`].
    pub arrays: Vec<Array>,
}

/// What comes of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// Trained weights, in the order of [`Worker::specs`]; none for an evaluation.
    pub arrays: Option<Vec<Array>>,
    /// Metrics; servers weigh by `num-examples`.
    pub metrics: Vec<(String, Scalar)>,
}

/// Who does the work of a node.
pub trait Worker {
    /// The parameters of its network.
    fn specs(&self) -> &[ArraySpec];

    /// Does what is asked for.
    ///
    /// # Errors
    /// Of the kind `Numeric` if this cannot be done with these weights, and the node goes on; of the
    /// kind `Cancelled` to stop, and the message waits for the next start; others end the node.
    fn work(&mut self, task: &Task) -> Result<Reply>;

    /// Fails once the node is to leave.
    ///
    /// # Errors
    /// Of the kind `Cancelled`.
    fn check(&self) -> Result<()>;

    /// Hears what happens.
    fn hear(&mut self, event: &Event);
}

/// Something that happened to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It joined, with this number.
    Joined(u64),
    /// The SuperLink cannot be reached, and why.
    Waiting(String),
    /// It is there again.
    Back,
    /// The SuperLink had forgotten the node.
    Forgotten,
    /// A message that an earlier process of this node left is taken up.
    TakenUp,
    /// A message is left unanswered, and why.
    Dropped(String),
    /// The server was told that a message cannot be answered, and why.
    Refused(String),
}

impl std::fmt::Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Event::Joined(node) => write!(f, "joined as node {node}"),
            Event::Waiting(why) => write!(f, "the SuperLink {why}; trying again"),
            Event::Back => f.write_str("the SuperLink answers again"),
            Event::Forgotten => {
                f.write_str("the SuperLink does not know this node any more; joining anew")
            }
            Event::TakenUp => f.write_str("taking up the message that was being worked on"),
            Event::Dropped(why) => write!(f, "a message is left unanswered: {why}"),
            Event::Refused(why) => write!(f, "told the server: {why}"),
        }
    }
}

/// Why a turn came to nothing.
enum Trouble {
    /// The SuperLink does not know the node.
    Forgotten,
    /// This message cannot be answered.
    Lost(String),
    /// The node ends.
    Fatal(Error),
}

impl From<Error> for Trouble {
    fn from(err: Error) -> Self {
        Trouble::Fatal(err)
    }
}

/// A node of a federation.
pub struct Node<'a> {
    transport: Transport,
    options: Options,
    worker: &'a mut dyn Worker,
    limits: Limits,
    number: Arc<AtomicU64>,
    forgotten: Arc<AtomicBool>,
}

impl<'a> Node<'a> {
    /// A node that has not joined.
    pub fn new(transport: Transport, options: Options, worker: &'a mut dyn Worker) -> Self {
        let limits = Limits::of(worker.specs());
        let (number, forgotten) = Default::default();
        Node { transport, options, worker, limits, number, forgotten }
    }

    /// Joins, and answers messages until the worker wants to leave or something ends the node; it then
    /// leaves the federation.
    ///
    /// # Errors
    /// Why it ended; of the kind `Cancelled` if the worker wanted to leave.
    pub fn run(mut self) -> Result<()> {
        self.check_version()?;
        self.join()?;
        let heartbeat = Heartbeat::start(
            &self.transport,
            self.options.heartbeat,
            self.number.clone(),
            self.forgotten.clone(),
        );
        let ended = self.serve();
        drop(heartbeat);
        // Whoever is gone is gone: a server that does not hear of it notices by the heartbeats.
        let leave = DeactivateRequest { node_id: self.id() };
        let _ = self.transport.call::<_, Empty>("deactivate-node", &leave, SMALL);
        ended
    }

    fn id(&self) -> u64 {
        self.number.load(Ordering::Relaxed)
    }

    fn node(&self) -> Option<NodeNumber> {
        Some(NodeNumber { node_id: self.id() })
    }

    fn check_version(&mut self) -> Result<()> {
        let version = self.patiently(|transport| transport.version())?;
        let version = match version {
            Ok(version) => version.unwrap_or_default(),
            Err(failure) => return Err(self.transport.error(&failure)),
        };
        let mut parts = version.split('.').map(str::parse);
        let [oldest, newest] = SUPPORTED;
        match (parts.next(), parts.next()) {
            // A server that hides its version is judged by what it answers.
            (Some(Ok(1)), Some(Ok(minor))) if (oldest..=newest).contains(&minor) => Ok(()),
            _ if version.is_empty() => Ok(()),
            _ => bail!(
                Unsupported,
                "the SuperLink runs Flower {}, and this node speaks with 1.{oldest} to 1.{newest}; install \
                 one of them there",
                shown(&version)
            ),
        }
    }

    /// Registers the key unless the SuperLink knows it, and says that the node is there.
    fn join(&mut self) -> Result<()> {
        let public_key = self.transport.key().public_pem().as_bytes().to_vec();
        let register = RegisterRequest { public_key: public_key.clone() };
        let registered =
            self.patiently(|t| t.call::<_, NodeReply>("register-node", &register, SMALL))?;
        match registered {
            Ok(_) => {}
            Err(Failure::Refused(code::KEY_IN_USE | code::REGISTRATION_DISABLED, _)) => {}
            Err(failure) => return Err(self.transport.error(&failure)),
        }
        let node = self.activate(public_key)?;
        self.number.store(node, Ordering::Relaxed);
        self.forgotten.store(false, Ordering::Relaxed);
        fs::write_bytes(&self.options.number, node.to_string().as_bytes())?;
        self.worker.hear(&Event::Joined(node));
        Ok(())
    }

    /// Says that the node is there. A SuperLink that has not noticed that an earlier process of it died
    /// activates no other; that process's number is then gone on with, by a heartbeat, so that what it was
    /// sent can be answered.
    fn activate(&mut self, public_key: Vec<u8>) -> Result<u64> {
        let heartbeat_interval = self.options.heartbeat.as_secs_f64();
        let activate = ActivateRequest { public_key, heartbeat_interval };
        let started = Instant::now();
        loop {
            let active = self.patiently(|t| t.call("activate-node", &activate, SMALL))?;
            let failure = match active {
                Ok(NodeReply { node_id }) => return Ok(node_id),
                Err(failure) => failure,
            };
            let still_active = matches!(failure, Failure::Refused(code::NOT_ACTIVATED, _));
            if !still_active || started.elapsed() > self.options.patience {
                return Err(self.transport.error(&failure));
            }
            if let Some(node_id) = self.earlier_number() {
                let beat =
                    HeartbeatRequest { node: Some(NodeNumber { node_id }), heartbeat_interval };
                let beat = self.patiently(|t| t.call("send-node-heartbeat", &beat, SMALL))?;
                if beat == Ok(HeartbeatReply { success: true }) {
                    return Ok(node_id);
                }
            }
            // It is active no longer once two heartbeats have not come.
            self.sleep(SLOWEST)?;
        }
    }

    /// The number that an earlier process of this node had.
    fn earlier_number(&self) -> Option<u64> {
        let text = fs::read(&self.options.number, 32).ok()?;
        std::str::from_utf8(&text).ok()?.trim().parse().ok()
    }

    fn serve(&mut self) -> Result<()> {
        let mut rejoined = 0;
        let mut first = true;
        loop {
            self.worker.check()?;
            let turn = match (first, self.forgotten.load(Ordering::Relaxed)) {
                (_, true) => Err(Trouble::Forgotten),
                (true, _) => self.take_up(),
                (false, _) => self.turn(),
            };
            match turn {
                Ok(()) => (first, rejoined) = (false, 0),
                Err(Trouble::Fatal(err)) => return Err(err),
                Err(Trouble::Lost(why)) => {
                    self.worker.hear(&Event::Dropped(why));
                    self.forget()?;
                    first = false;
                }
                Err(Trouble::Forgotten) if rejoined == REJOINS => {
                    return Err(self.transport.error(&Failure::Unknown));
                }
                Err(Trouble::Forgotten) => {
                    rejoined += 1;
                    self.worker.hear(&Event::Forgotten);
                    self.join()?;
                    // Looks whether what lies on the disk is still of this node.
                    first = true;
                }
            }
        }
    }

    /// Calls in the middle of a message.
    fn call<Q: prost::Message, A: prost::Message + Default>(
        &mut self,
        verb: &str,
        request: &Q,
        most: usize,
    ) -> Result<A, Trouble> {
        let result = self.patiently(|transport| transport.call(verb, request, most))?;
        result.map_err(|failure| match failure {
            Failure::Unknown => Trouble::Forgotten,
            Failure::Refused(_, why) => Trouble::Lost(format!("the SuperLink says: {why}")),
            other => Trouble::Fatal(self.transport.error(&other)),
        })
    }

    /// Calls again while nobody answers, as long as patience lasts.
    fn patiently<A>(
        &mut self,
        call: impl Fn(&Transport) -> Result<A, Failure>,
    ) -> Result<Result<A, Failure>> {
        let (started, mut pause, mut waited) = (Instant::now(), Duration::from_millis(250), false);
        loop {
            self.worker.check()?;
            match call(&self.transport) {
                Err(Failure::Unreachable(why)) => {
                    let failure = Failure::Unreachable(why);
                    if started.elapsed() >= self.options.patience {
                        let waited = self.options.patience.as_secs();
                        let err = self.transport.error(&failure);
                        let why = format!(
                            "{} for {waited} s; what was learnt is kept: start it, and this node again",
                            err.message()
                        );
                        return Err(Error::new(ErrorKind::Io, why));
                    }
                    if !waited {
                        self.worker.hear(&Event::Waiting(failure.to_string()));
                    }
                    waited = true;
                    self.sleep(pause)?;
                    pause = (2 * pause).min(SLOWEST);
                }
                other => {
                    if waited {
                        self.worker.hear(&Event::Back);
                    }
                    return Ok(other);
                }
            }
        }
    }

    /// Waits, and stops waiting when the worker wants to leave.
    fn sleep(&self, time: Duration) -> Result<()> {
        let until = Instant::now() + time;
        loop {
            self.worker.check()?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(Duration::from_millis(100)));
        }
    }
}
