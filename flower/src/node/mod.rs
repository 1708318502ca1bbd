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

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use inocula_core::{Error, ErrorKind, Result, bail, fs};
use prost::Message as _;

use crate::SUPPORTED;
use crate::messages::{
    ActivateRequest, ConfirmRequest, DeactivateRequest, Empty, Message, Node as NodeNumber,
    NodeReply, ObjectTree, PullMessagesReply, PullMessagesRequest, PullObjectReply,
    PullObjectRequest, PushMessagesReply, PushMessagesRequest, PushObjectReply, PushObjectRequest,
    RegisterRequest, Stored,
};
use crate::objects::{
    Array, ArraySpec, Content, Deflated, Limits, MAX_OBJECT, Scalar, decode, id, names,
};
use crate::transport::{Failure, SMALL, Transport};
use heartbeat::Heartbeat;

/// The longest time between two tries.
const SLOWEST: Duration = Duration::from_secs(5);
/// Tries to get an object whose bytes are not those of its name.
const TRIES: usize = 3;
/// Times that a node joins anew without anything having gone well in between.
const REJOINS: usize = 3;
/// Flower's numbers of refusals.
mod code {
    /// The SuperLink knows the key already.
    pub(super) const KEY_IN_USE: u32 = 23;
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
}

impl Options {
    /// The usual times, as stock nodes have them, and that file.
    pub fn new(pending: PathBuf) -> Self {
        Options {
            heartbeat: Duration::from_secs(30),
            patience: Duration::from_secs(300),
            poll: Duration::from_secs(1),
            pending,
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

/// A message with all of its objects, as it lies on the disk.
struct Pending(Stored);

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
                "the SuperLink runs Flower {version:.20}, and this node speaks with 1.{oldest} to 1.{newest}; \
                 install one of them there"
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
        let heartbeat_interval = self.options.heartbeat.as_secs_f64();
        let activate = ActivateRequest { public_key, heartbeat_interval };
        let active =
            self.patiently(|t| t.call::<_, NodeReply>("activate-node", &activate, SMALL))?;
        let node = active.map_err(|failure| self.transport.error(&failure))?.node_id;
        self.number.store(node, Ordering::Relaxed);
        self.forgotten.store(false, Ordering::Relaxed);
        self.worker.hear(&Event::Joined(node));
        Ok(())
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

    /// Goes on with what an earlier process left.
    fn take_up(&mut self) -> Result<(), Trouble> {
        let path = self.options.pending.clone();
        if !path.exists() {
            return Ok(());
        }
        let most = (self.limits.bytes + 4 * SMALL) as u64;
        let stored = Stored::decode(&fs::read(&path, most)?[..]);
        match stored {
            Ok(stored) if stored.node_id == self.id() => {
                self.worker.hear(&Event::TakenUp);
                self.answer(&Pending(stored))
            }
            Ok(_) => Err(Trouble::Lost("it was for this node before it joined anew".into())),
            Err(_) => Err(Trouble::Lost(format!("{} is damaged", path.display()))),
        }
    }

    /// Takes a message and answers it, or waits a moment if there is none.
    fn turn(&mut self) -> Result<(), Trouble> {
        let ask = PullMessagesRequest { node: self.node() };
        let mut reply: PullMessagesReply = match self.call("pull-messages", &ask, SMALL) {
            Err(Trouble::Lost(why)) => {
                return Err(Trouble::Fatal(self.transport.error(&Failure::Refused(0, why))));
            }
            other => other?,
        };
        if reply.messages.is_empty() {
            self.sleep(self.options.poll)?;
            return Ok(());
        }
        if reply.messages.len() != 1 || reply.trees.len() != 1 {
            let n = reply.messages.len();
            let why = format!("{n} messages at once, {} trees", reply.trees.len());
            return Err(self.transport.error(&Failure::Foreign(why)).into());
        }
        let (message, tree) = (reply.messages.remove(0), reply.trees.remove(0));
        let pending = match self.fetch(message.clone(), tree) {
            Err(Trouble::Fatal(err)) if err.kind() != ErrorKind::Cancelled => {
                return Err(self.refuse_and_end(&message, err));
            }
            other => other?,
        };
        self.answer(&pending)
    }

    /// Gets the objects of a message, writes all to the disk, and only then confirms that they came.
    fn fetch(&mut self, message: Message, tree: ObjectTree) -> Result<Pending, Trouble> {
        let run_id = message.metadata.as_ref().map_or(0, |m| m.run_id);
        let (mut objects, mut total) = (Vec::new(), 0);
        for name in names(&tree, &self.limits)? {
            let bytes = self.object(run_id, &name)?;
            total += bytes.len();
            if total > self.limits.bytes {
                let most = self.limits.bytes;
                let why = format!(
                    "objects: a message of more than {most} bytes; is it for this network?"
                );
                return Err(Error::new(ErrorKind::Data, why).into());
            }
            objects.push(bytes);
        }
        let message_object_id = tree.object_id.clone();
        let node_id = self.id();
        let stored = Stored { node_id, message: Some(message), tree: Some(tree), objects };
        fs::write_bytes(&self.options.pending, &stored.encode_to_vec())?;
        let confirm = ConfirmRequest { node: self.node(), run_id, message_object_id };
        self.call::<_, Empty>("confirm-message-received", &confirm, SMALL)?;
        Ok(Pending(stored))
    }

    fn object(&mut self, run_id: u64, name: &str) -> Result<Vec<u8>, Trouble> {
        let ask = PullObjectRequest { node: self.node(), run_id, object_id: name.to_owned() };
        let (started, mut pause, mut wrong) = (Instant::now(), Duration::from_millis(50), 0);
        loop {
            let reply: PullObjectReply = self.call("pull-object", &ask, MAX_OBJECT + SMALL)?;
            if !reply.object_found {
                return Err(Trouble::Lost("the server has dropped a part of it".into()));
            }
            if reply.object_available && id(&reply.object_content) == name {
                return Ok(reply.object_content);
            }
            if reply.object_available {
                wrong += 1;
            } else if started.elapsed() > self.options.patience {
                return Err(Trouble::Lost("a part of it did not come".into()));
            }
            if wrong == TRIES {
                let why = format!(
                    "object {name:.8}: the bytes that came {TRIES} times are not those of its name; the \
                     connection or the server's store damages them"
                );
                return Err(Error::new(ErrorKind::Data, why).into());
            }
            self.sleep(pause)?;
            pause = (2 * pause).min(SLOWEST);
        }
    }

    /// Has a message worked on, and sends what comes of it.
    fn answer(&mut self, pending: &Pending) -> Result<(), Trouble> {
        let message = pending.0.message.clone().unwrap_or_default();
        let asked = match message::read(pending, self.worker.specs()) {
            Ok(asked) => asked,
            Err(err) => return Err(self.refuse_and_end(&message, err)),
        };
        let started = Instant::now();
        let reply = match asked {
            message::Asked::Task(task, record) => {
                self.worker.work(&task).map(|reply| (record, reply))
            }
            message::Asked::Other(kind) => {
                return self.refuse(&message, &format!("this node does not answer {kind:.40?}"));
            }
            message::Asked::Over => return Err(Trouble::Lost("its time is over".into())),
        };
        let specs = self.worker.specs().to_vec();
        match reply {
            Ok((record, reply)) => {
                let made = message::reply(&message, &record, reply, &specs, self.id());
                self.push(made, started.elapsed())?;
                self.forget()?;
                Ok(())
            }
            Err(err) if err.kind() == ErrorKind::Numeric => self.refuse(&message, err.message()),
            Err(err) if err.kind() == ErrorKind::Cancelled => Err(err.into()),
            Err(err) => Err(self.refuse_and_end(&message, err)),
        }
    }

    /// Tells the server that there is no answer, so that it does not wait for one.
    fn refuse(&mut self, message: &Message, why: &str) -> Result<(), Trouble> {
        let made = message::refusal(message, why, self.id());
        self.push(made, Duration::ZERO)?;
        self.worker.hear(&Event::Refused(why.to_owned()));
        self.forget()?;
        Ok(())
    }

    /// The same where the node ends for that reason, which is the one to be told.
    fn refuse_and_end(&mut self, message: &Message, err: Error) -> Trouble {
        let _ = self.refuse(message, err.message());
        let _ = self.forget();
        Trouble::Fatal(err)
    }

    fn push(&mut self, made: (Message, Deflated), took: Duration) -> Result<(), Trouble> {
        let (message, Deflated { tree, objects }) = made;
        let run_id = message.metadata.as_ref().map_or(0, |m| m.run_id);
        let request = PushMessagesRequest {
            node: self.node(),
            messages: vec![message],
            trees: vec![tree],
            runtimes: vec![took.as_secs_f64()],
        };
        let reply: PushMessagesReply = self.call("push-messages", &request, SMALL)?;
        for (object_id, object_content) in objects {
            if !reply.objects_to_push.contains(&object_id) {
                continue;
            }
            let session_id = reply.session_id.clone();
            let node = self.node();
            let push = PushObjectRequest { node, run_id, object_id, object_content, session_id };
            let reply: PushObjectReply = self.call("push-object", &push, SMALL)?;
            if !reply.stored {
                return Err(Trouble::Lost("the server does not take a part of the answer".into()));
            }
        }
        Ok(())
    }

    /// Removes the message that is being worked on.
    fn forget(&self) -> Result<()> {
        let path = &self.options.pending;
        match std::fs::remove_file(path) {
            Err(err) if err.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io(path, "remove", &err))
            }
            _ => Ok(()),
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

impl Pending {
    /// What the message carries, checked from its name downwards.
    fn content(&self, specs: &[ArraySpec]) -> Result<Content> {
        let Some(tree) = &self.0.tree else { bail!(Data, "message: it has no objects") };
        let objects = self.0.objects.iter().map(|bytes| (id(bytes), bytes.clone())).collect();
        decode(&tree.object_id, &objects, specs)
    }
}
