//! One message: its objects, its work, its answer.

use std::time::{Duration, Instant};

use inocula_core::{Error, ErrorKind, Result, bail, fs};
use prost::Message as _;

use super::{Event, Node, SLOWEST, Trouble, message};
use crate::messages::{
    ConfirmRequest, Empty, Message, ObjectTree, PullMessagesReply, PullMessagesRequest,
    PullObjectReply, PullObjectRequest, PushMessagesReply, PushMessagesRequest, PushObjectReply,
    PushObjectRequest, Stored,
};
use crate::objects::{ArraySpec, Content, Deflated, MAX_OBJECT, decode, id, names, shown};
use crate::transport::{Failure, SMALL};

/// Tries to get an object whose bytes are not those of its name.
const TRIES: usize = 3;

/// A message with all of its objects, as it lies on the disk.
pub(super) struct Pending(pub(super) Stored);

impl Node<'_> {
    /// Goes on with what an earlier process left.
    pub(super) fn take_up(&mut self) -> Result<(), Trouble> {
        let path = self.options.pending.clone();
        if !path.exists() {
            return Ok(());
        }
        let most = (self.limits.bytes + 4 * SMALL) as u64;
        let stored = Stored::decode(&fs::read(&path, most)?[..]);
        match stored {
            Ok(stored) if stored.node_id == self.id() => {
                self.worker.hear(&Event::TakenUp);
                match stored.is_answer {
                    true => self.push(stored, Duration::ZERO),
                    false => self.answer(&Pending(stored)),
                }
            }
            Ok(_) => Err(Trouble::Lost("it was for this node before it joined anew".into())),
            Err(_) => Err(Trouble::Lost(format!("{} is damaged", path.display()))),
        }
    }

    /// Takes a message and answers it, or waits a moment if there is none.
    pub(super) fn turn(&mut self) -> Result<(), Trouble> {
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
        let (run_id, name) =
            message.metadata.as_ref().map_or((0, ""), |m| (m.run_id, m.message_id.as_str()));
        if name != tree.object_id {
            let why = "message: it is called otherwise than its object";
            return Err(Error::new(ErrorKind::Data, why).into());
        }
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
        let stored =
            Stored { node_id, message: Some(message), tree: Some(tree), objects, is_answer: false };
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
                return self
                    .refuse(&message, &format!("this node does not answer {}", shown(&kind)));
            }
            message::Asked::Over => return Err(Trouble::Lost("its time is over".into())),
        };
        let specs = self.worker.specs().to_vec();
        match reply {
            Ok((record, reply)) => {
                let made = message::reply(&message, &record, reply, &specs, self.id());
                self.send(made, started.elapsed())
            }
            Err(err) if err.kind() == ErrorKind::Numeric => self.refuse(&message, err.message()),
            Err(err) if err.kind() == ErrorKind::Cancelled => Err(err.into()),
            Err(err) => Err(self.refuse_and_end(&message, err)),
        }
    }

    /// Tells the server that there is no answer, so that it does not wait for one.
    fn refuse(&mut self, message: &Message, why: &str) -> Result<(), Trouble> {
        let made = message::refusal(message, why, self.id());
        self.send(made, Duration::ZERO)?;
        self.worker.hear(&Event::Refused(why.to_owned()));
        Ok(())
    }

    /// The same where the node ends for that reason, which is the one to be told.
    fn refuse_and_end(&mut self, message: &Message, err: Error) -> Trouble {
        let _ = self.refuse(message, err.message());
        let _ = self.forget();
        Trouble::Fatal(err)
    }

    /// Writes an answer to the disk, and sends it. A SuperLink takes one answer to a message and no other,
    /// so a process that was killed in between must send the same again.
    fn send(&mut self, made: (Message, Deflated), took: Duration) -> Result<(), Trouble> {
        let (message, Deflated { tree, objects }) = made;
        let objects = objects.into_iter().map(|(_, bytes)| bytes).collect();
        let (message, tree) = (Some(message), Some(tree));
        let stored = Stored { node_id: self.id(), message, tree, objects, is_answer: true };
        fs::write_bytes(&self.options.pending, &stored.encode_to_vec())?;
        self.push(stored, took)
    }

    /// Sends an answer, and forgets it once the SuperLink has all of it.
    fn push(&mut self, answer: Stored, took: Duration) -> Result<(), Trouble> {
        let Stored { message, tree, objects, .. } = answer;
        let run_id = message.as_ref().and_then(|m| m.metadata.as_ref()).map_or(0, |m| m.run_id);
        let request = PushMessagesRequest {
            node: self.node(),
            messages: message.into_iter().collect(),
            trees: tree.into_iter().collect(),
            runtimes: vec![took.as_secs_f64()],
        };
        let reply: PushMessagesReply = self.call("push-messages", &request, SMALL)?;
        for object_content in objects {
            let object_id = id(&object_content);
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
        self.forget()?;
        Ok(())
    }

    /// Removes the message that is being worked on.
    pub(super) fn forget(&self) -> Result<()> {
        let path = &self.options.pending;
        match std::fs::remove_file(path) {
            Err(err) if err.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io(path, "remove", &err))
            }
            _ => Ok(()),
        }
    }
}

impl Pending {
    /// What the message carries, checked from its name downwards.
    pub(super) fn content(&self, specs: &[ArraySpec]) -> Result<Content> {
        let Some(tree) = &self.0.tree else { bail!(Data, "message: it has no objects") };
        let objects = self.0.objects.iter().map(|bytes| (id(bytes), bytes.clone())).collect();
        decode(&tree.object_id, &objects, specs)
    }
}
