//! A node of a [Flower](https://flower.ai) federation, in Rust.
//!
//! Flower is the federated engine that many already run: a SuperLink that keeps messages, a ServerApp
//! with the strategy, and nodes that train. Speaking its protocol lets a federation of others use
//! adversarial and private training without a change on the server. The alternative, a protocol of
//! our own, would have been shorter and joined nobody.
//!
//! Supported are SuperLinks of Flower 1.40 to 1.42, which speak protobuf over HTTP/1.1; older ones speak
//! gRPC. There is no description of the wire but the programs themselves: what stands here was measured
//! on theirs, and is tested against a stock SuperLink.
//!
//! The parts: what is said ([`messages`]), what is carried ([`objects`]), how a call is made and signed
//! ([`transport`], [`key`]), and what a node does ([`node`]). What training is, the caller says by a
//! [`Worker`].
//!
//! Everything that comes from the other side is untrusted. Sizes are bounded before memory is taken,
//! arrays are held to the names, shapes and dtypes that the caller expects, and values that are no
//! numbers are refused.

pub mod key;
pub mod messages;
pub mod node;
pub mod objects;
pub mod transport;

pub use key::Key;
pub use node::{Event, Node, Options, Reply, Task, TaskKind, Worker};
pub use objects::{Array, ArraySpec, Content, Scalar};
pub use transport::{Failure, Security, Transport};

/// Oldest and newest minor release of Flower 1 that this was tested with.
pub const SUPPORTED: [u32; 2] = [40, 42];
