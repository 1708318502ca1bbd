//! From a message to a task, and from what came of it to the message that answers.

use std::time::{SystemTime, UNIX_EPOCH};

use inocula_core::{Result, bail};

use super::turn::Pending;
use super::{Reply, Task, TaskKind};
use crate::messages::{Elsewhere, Failure, Message, Metadata};
use crate::objects::{Array, ArraySpec, Deflated, failure, reply as deflate};

/// Flower's number of an app that failed.
const APP_FAILED: i64 = 2;
/// The longest reason that is sent, in characters.
const MAX_REASON: usize = 500;

/// What a message asks for.
pub(super) enum Asked {
    /// Work, and the name of the record that its arrays came in.
    Task(Task, String),
    /// Something that nodes of this kind do not do.
    Other(String),
    /// Nothing any more: its time is over.
    Over,
}

/// Reads a message.
///
/// # Errors
/// It is damaged, or not for this network.
pub(super) fn read(pending: &Pending, specs: &[ArraySpec]) -> Result<Asked> {
    let Some(metadata) = metadata(pending) else { bail!(Data, "message: it has no metadata") };
    if metadata.created_at + metadata.ttl < now() {
        return Ok(Asked::Over);
    }
    let name = metadata.message_type.split('.').next().unwrap_or_default();
    let kind = match name {
        "train" => TaskKind::Train,
        "evaluate" => TaskKind::Evaluate,
        _ => return Ok(Asked::Other(metadata.message_type.clone())),
    };
    let content = pending.content(specs)?;
    let round = content.int("server-round").and_then(|round| u64::try_from(round).ok());
    let Some((record, arrays)) = content.arrays else {
        bail!(Data, "message: {name} without weights; send them as a record of arrays");
    };
    let (message, run) = (metadata.message_id.clone(), metadata.run_id);
    Ok(Asked::Task(Task { kind, message, run, round, arrays }, record))
}

fn metadata(pending: &Pending) -> Option<&Metadata> {
    pending.0.message.as_ref()?.metadata.as_ref()
}

/// The message that answers, and its objects; arrays come in the record that they were sent in.
pub(super) fn reply(
    message: &Message,
    record: &str,
    reply: Reply,
    specs: &[ArraySpec],
    node: u64,
) -> (Message, Deflated) {
    let metadata = message.metadata.as_ref().map(|m| answering(m, node)).unwrap_or_default();
    let pairs = |arrays: Vec<Array>| specs.iter().cloned().zip(arrays).collect::<Vec<_>>();
    let arrays = reply.arrays.map(pairs);
    let arrays = arrays.as_deref().map(|arrays| (record, arrays));
    let made = deflate(&metadata, arrays, &reply.metrics);
    let metadata = Metadata { message_id: made.tree.object_id.clone(), ..metadata };
    // The server wants a content to be there, though it is empty.
    let content = Some(Elsewhere {});
    (Message { metadata: Some(metadata), content, error: None }, made)
}

/// The message that says why there is no answer.
pub(super) fn refusal(message: &Message, why: &str, node: u64) -> (Message, Deflated) {
    let metadata = message.metadata.as_ref().map(|m| answering(m, node)).unwrap_or_default();
    let error = Failure { code: APP_FAILED, reason: why.chars().take(MAX_REASON).collect() };
    let made = failure(&metadata, &error);
    let metadata = Metadata { message_id: made.tree.object_id.clone(), ..metadata };
    (Message { metadata: Some(metadata), content: None, error: Some(error) }, made)
}

/// Metadata of an answer: from whom it came to whom it goes, for the time that is left.
fn answering(asked: &Metadata, node: u64) -> Metadata {
    let created_at = now();
    Metadata {
        run_id: asked.run_id,
        message_id: String::new(),
        src_node_id: node,
        dst_node_id: asked.src_node_id,
        reply_to_message_id: asked.message_id.clone(),
        group_id: asked.group_id.clone(),
        ttl: (asked.ttl - (created_at - asked.created_at)).max(0.0),
        message_type: asked.message_type.clone(),
        created_at,
        src_task_id: asked.dst_task_id,
        dst_task_id: asked.src_task_id,
    }
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}
