//! Layers without configuration. Empty structs rather than unit variants, so that a key which does
//! not belong to them is an error.

use serde::{Deserialize, Serialize};

/// `max(x, 0)`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Relu {}

/// Hyperbolic tangent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tanh {}

/// `[N, C, H, W]` to `[N, C * H * W]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flatten {}
