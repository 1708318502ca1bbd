//! The messages of the Fleet API, as far as a node needs them: structs with field numbers, and no
//! compiler of protobuf in the build.
//!
//! Names and numbers are those of the package `flwr.proto`. Fields that a node does not read are left
//! out; the decoder skips what it does not know.

use prost::{Message as Encoded, Oneof};

/// A node by its number.
#[derive(Clone, PartialEq, Encoded)]
pub struct Node {
    /// Number that the SuperLink gave it.
    #[prost(uint64, tag = "1")]
    pub node_id: u64,
}

/// Makes a key known to the SuperLink.
#[derive(Clone, PartialEq, Encoded)]
pub struct RegisterRequest {
    /// PEM of the public key.
    #[prost(bytes = "vec", tag = "1")]
    pub public_key: Vec<u8>,
}

/// What registering and activating answer.
#[derive(Clone, PartialEq, Encoded)]
pub struct NodeReply {
    /// Number of the node.
    #[prost(uint64, tag = "1")]
    pub node_id: u64,
}

/// Says that the node of a key is there.
#[derive(Clone, PartialEq, Encoded)]
pub struct ActivateRequest {
    /// PEM of the public key.
    #[prost(bytes = "vec", tag = "1")]
    pub public_key: Vec<u8>,
    /// Seconds between two heartbeats.
    #[prost(double, tag = "2")]
    pub heartbeat_interval: f64,
}

/// Says that a node leaves.
#[derive(Clone, PartialEq, Encoded)]
pub struct DeactivateRequest {
    /// The node.
    #[prost(uint64, tag = "1")]
    pub node_id: u64,
}

/// Says that a node is alive.
#[derive(Clone, PartialEq, Encoded)]
pub struct HeartbeatRequest {
    /// The node.
    #[prost(message, optional, tag = "1")]
    pub node: Option<Node>,
    /// Seconds until the next.
    #[prost(double, tag = "2")]
    pub heartbeat_interval: f64,
}

/// Whether the SuperLink knows the node.
#[derive(Clone, PartialEq, Encoded)]
pub struct HeartbeatReply {
    /// Whether it does.
    #[prost(bool, tag = "1")]
    pub success: bool,
}

/// An object and those that it is made of, by name.
#[derive(Clone, PartialEq, Encoded)]
pub struct ObjectTree {
    /// SHA-256 of the object, in hexadecimal digits.
    #[prost(string, tag = "1")]
    pub object_id: String,
    /// What it is made of.
    #[prost(message, repeated, tag = "2")]
    pub children: Vec<ObjectTree>,
}

/// Whose message it is and what about.
#[derive(Clone, PartialEq, Encoded)]
pub struct Metadata {
    /// The run of a ServerApp.
    #[prost(uint64, tag = "1")]
    pub run_id: u64,
    /// Name of the message: that of its object.
    #[prost(string, tag = "2")]
    pub message_id: String,
    /// Who sent it.
    #[prost(uint64, tag = "3")]
    pub src_node_id: u64,
    /// Who gets it.
    #[prost(uint64, tag = "4")]
    pub dst_node_id: u64,
    /// What it answers, if anything.
    #[prost(string, tag = "5")]
    pub reply_to_message_id: String,
    /// What else belongs to it: the round.
    #[prost(string, tag = "6")]
    pub group_id: String,
    /// Seconds after `created_at` at which it ends.
    #[prost(double, tag = "7")]
    pub ttl: f64,
    /// `train`, `evaluate` or `query`, maybe with `.ACTION` behind it.
    #[prost(string, tag = "8")]
    pub message_type: String,
    /// Seconds since 1970.
    #[prost(double, tag = "9")]
    pub created_at: f64,
    /// Task of the sender.
    #[prost(uint64, optional, tag = "10")]
    pub src_task_id: Option<u64>,
    /// Task of the receiver.
    #[prost(uint64, optional, tag = "11")]
    pub dst_task_id: Option<u64>,
}

/// Why there is no content.
#[derive(Clone, PartialEq, Encoded)]
pub struct Failure {
    /// Kind of it.
    #[prost(sint64, tag = "1")]
    pub code: i64,
    /// In words.
    #[prost(string, tag = "2")]
    pub reason: String,
}

/// Content that travels as objects, so that nothing of it is here.
#[derive(Clone, PartialEq, Encoded)]
pub struct Elsewhere {}

/// A message.
#[derive(Clone, PartialEq, Encoded)]
pub struct Message {
    /// Whose and what about.
    #[prost(message, optional, tag = "1")]
    pub metadata: Option<Metadata>,
    /// Present, and empty, if its content travels as objects.
    #[prost(message, optional, tag = "2")]
    pub content: Option<Elsewhere>,
    /// Why there is no content.
    #[prost(message, optional, tag = "3")]
    pub error: Option<Failure>,
}

/// Asks for messages.
#[derive(Clone, PartialEq, Encoded)]
pub struct PullMessagesRequest {
    /// For whom.
    #[prost(message, optional, tag = "1")]
    pub node: Option<Node>,
}

/// Messages, each with the tree of its objects.
#[derive(Clone, PartialEq, Encoded)]
pub struct PullMessagesReply {
    /// The messages.
    #[prost(message, repeated, tag = "2")]
    pub messages: Vec<Message>,
    /// Their trees.
    #[prost(message, repeated, tag = "3")]
    pub trees: Vec<ObjectTree>,
}

/// Hands in messages.
#[derive(Clone, PartialEq, Encoded)]
pub struct PushMessagesRequest {
    /// Whose.
    #[prost(message, optional, tag = "1")]
    pub node: Option<Node>,
    /// The messages.
    #[prost(message, repeated, tag = "2")]
    pub messages: Vec<Message>,
    /// Their trees.
    #[prost(message, repeated, tag = "3")]
    pub trees: Vec<ObjectTree>,
    /// Seconds that each took.
    #[prost(double, repeated, tag = "4")]
    pub runtimes: Vec<f64>,
}

/// Which objects are still wanted.
#[derive(Clone, PartialEq, Encoded)]
pub struct PushMessagesReply {
    /// Their names.
    #[prost(string, repeated, tag = "3")]
    pub objects_to_push: Vec<String>,
    /// What the objects are to be handed in under.
    #[prost(string, tag = "4")]
    pub session_id: String,
}

/// Asks for an object.
#[derive(Clone, PartialEq, Encoded)]
pub struct PullObjectRequest {
    /// Who asks.
    #[prost(message, optional, tag = "1")]
    pub node: Option<Node>,
    /// Of which run.
    #[prost(uint64, tag = "2")]
    pub run_id: u64,
    /// Its name.
    #[prost(string, tag = "3")]
    pub object_id: String,
}

/// An object, if it is there.
#[derive(Clone, PartialEq, Encoded)]
pub struct PullObjectReply {
    /// Whether it is known.
    #[prost(bool, tag = "1")]
    pub object_found: bool,
    /// Whether it has come in.
    #[prost(bool, tag = "2")]
    pub object_available: bool,
    /// Its bytes.
    #[prost(bytes = "vec", tag = "3")]
    pub object_content: Vec<u8>,
}

/// Hands in an object.
#[derive(Clone, PartialEq, Encoded)]
pub struct PushObjectRequest {
    /// Who does.
    #[prost(message, optional, tag = "1")]
    pub node: Option<Node>,
    /// Of which run.
    #[prost(uint64, tag = "2")]
    pub run_id: u64,
    /// Its name.
    #[prost(string, tag = "3")]
    pub object_id: String,
    /// Its bytes.
    #[prost(bytes = "vec", tag = "4")]
    pub object_content: Vec<u8>,
    /// What [`PushMessagesReply`] said.
    #[prost(string, tag = "5")]
    pub session_id: String,
}

/// Whether an object was taken.
#[derive(Clone, PartialEq, Encoded)]
pub struct PushObjectReply {
    /// Whether it was.
    #[prost(bool, tag = "1")]
    pub stored: bool,
}

/// Says that all objects of a message have arrived.
#[derive(Clone, PartialEq, Encoded)]
pub struct ConfirmRequest {
    /// Who says so.
    #[prost(message, optional, tag = "1")]
    pub node: Option<Node>,
    /// Of which run.
    #[prost(uint64, tag = "2")]
    pub run_id: u64,
    /// Name of the message.
    #[prost(string, tag = "3")]
    pub message_object_id: String,
}

/// Nothing.
#[derive(Clone, PartialEq, Encoded)]
pub struct Empty {}

/// A metric or a setting by name.
#[derive(Clone, PartialEq, Encoded)]
pub struct Item {
    /// The name.
    #[prost(string, tag = "1")]
    pub key: String,
    /// The value.
    #[prost(message, optional, tag = "2")]
    pub value: Option<Value>,
}

/// The value of a metric or a setting; lists are not read.
#[derive(Clone, PartialEq, Encoded)]
pub struct Value {
    /// It.
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 5")]
    pub kind: Option<Kind>,
}

/// What a value is.
#[derive(Clone, PartialEq, Oneof)]
pub enum Kind {
    /// A number.
    #[prost(double, tag = "1")]
    Double(f64),
    /// An integer.
    #[prost(sint64, tag = "2")]
    Sint(i64),
    /// A natural number.
    #[prost(uint64, tag = "3")]
    Uint(u64),
    /// Yes or no.
    #[prost(bool, tag = "4")]
    Bool(bool),
    /// A text.
    #[prost(string, tag = "5")]
    Text(String),
}

/// Metrics or settings.
#[derive(Clone, PartialEq, Encoded)]
pub struct Items {
    /// They.
    #[prost(message, repeated, tag = "1")]
    pub items: Vec<Item>,
}

/// A message with its objects as it lies on a node's disk: first the one that was received, then the
/// answer to it, until the SuperLink has all of that.
#[derive(Clone, PartialEq, Encoded)]
pub struct Stored {
    /// Number of the node that got it.
    #[prost(uint64, tag = "1")]
    pub node_id: u64,
    /// The message.
    #[prost(message, optional, tag = "2")]
    pub message: Option<Message>,
    /// The tree of its objects.
    #[prost(message, optional, tag = "3")]
    pub tree: Option<ObjectTree>,
    /// Its objects, in any order.
    #[prost(bytes = "vec", repeated, tag = "4")]
    pub objects: Vec<Vec<u8>>,
    /// Whether this is the answer.
    #[prost(bool, tag = "5")]
    pub is_answer: bool,
}
