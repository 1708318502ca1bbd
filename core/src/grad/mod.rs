//! Reverse-mode differentiation of any order.
//!
//! The graph lives in the values: a tensor computed from a tracked one holds a node, nothing else is
//! recorded and there is no global mode. Each operation has one rule, built from the same operations
//! as everything else, so a gradient can be differentiated again: [`grad`] hands the rules detached
//! operands and records nothing, [`grad_graph`] hands them the originals.
//!
//! Only paths that lead to the requested tensors are walked: an attack, which asks for the input's
//! gradient alone, computes no weight gradient, and does not keep the activations for one.

pub mod check;
mod node;
pub mod per_sample;
mod vjp;

use std::cell::Cell;
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;

pub(crate) use node::Node;
use smallvec::{SmallVec, smallvec};

use crate::op::Op;
use crate::tensor::Tensor;
use crate::{Result, bail};

/// A flag for each input of an operation.
type Needs = SmallVec<[bool; 3]>;

/// Gradients of the sum of `y` with respect to `xs`, without history.
///
/// `xs` may be variables ([`Tensor::tracked`]) or intermediate results. One that `y` does not
/// depend on has gradient zero.
///
/// # Errors
/// The first error of the formula that gave `y`, an untracked `x`, or a failure of the device.
///
/// ```
/// use inocula_core::{Registry, grad::grad, tensor::Tensor};
///
/// let device = Registry::new().with(inocula_backend_ndarray::ENTRY).open("ndarray")?;
/// let x = Tensor::from_slice(&device, &[1.0, 2.0, 3.0], &[3])?.tracked();
/// let gx = &grad(&x.square().sum_all(), &[&x])?[0];
/// assert_eq!(gx.to_vec::<f64>()?, [2.0, 4.0, 6.0]);
/// # Ok::<(), inocula_core::Error>(())
/// ```
pub fn grad(y: &Tensor, xs: &[&Tensor]) -> Result<Vec<Tensor>> {
    backward(y, &y.fill(1.0), xs, false)
}

/// As [`grad`], but the gradients can be differentiated again.
///
/// # Errors
/// As [`grad`].
pub fn grad_graph(y: &Tensor, xs: &[&Tensor]) -> Result<Vec<Tensor>> {
    backward(y, &y.fill(1.0), xs, true)
}

/// The vector-Jacobian product: gradients of `<seed, y>` for a `seed` of the shape of `y`, without
/// history.
///
/// # Errors
/// As [`grad`], or `seed` is not shaped like `y`.
pub fn vector_jacobian(y: &Tensor, seed: &Tensor, xs: &[&Tensor]) -> Result<Vec<Tensor>> {
    if seed.check()?.aval() != y.check()?.aval() {
        bail!(Shape, "vector_jacobian: seed {} for an output {}", seed.aval(), y.aval());
    }
    backward(y, &seed.detach(), xs, false)
}

thread_local! {
    /// How many gradients this thread has taken.
    static WALKS: Cell<u64> = const { Cell::new(0) };
}

/// How many gradients this thread has taken so far: tells a model that takes some while it answers.
pub(crate) fn walks() -> u64 {
    WALKS.get()
}

fn backward(y: &Tensor, seed: &Tensor, xs: &[&Tensor], graph: bool) -> Result<Vec<Tensor>> {
    WALKS.set(WALKS.get() + 1);
    if !y.check()?.is_tracked() {
        bail!(
            Usage,
            "grad: the output {} depends on nothing that is tracked (a black-box model gives no \
             gradients)",
            y.aval()
        );
    }
    let targets = ids(xs)?;
    let mut walk = Walk::new(y, &targets);
    walk.seed(y, seed);
    walk.run(&targets, graph);
    let grads = xs.iter().zip(&targets).map(|(x, id)| {
        let found = walk.cotangent(*id).unwrap_or_else(|| x.fill(0.0));
        found.check()?;
        Ok(found)
    });
    grads.collect()
}

/// What identifies each of `xs` in the graph.
fn ids(xs: &[&Tensor]) -> Result<Vec<u64>> {
    let id = |x: &&Tensor| match x.check()?.node() {
        Some(node) => Ok(node.id()),
        None => bail!(Usage, "grad: {} is not tracked; call `tracked` on it first", x.aval()),
    };
    xs.iter().map(id).collect()
}

/// The nodes between the targets and the output, with what has been accumulated at each.
struct Walk {
    /// Ascending by id, which is an order in which inputs come before what uses them.
    nodes: Vec<Arc<Node>>,
    /// Whether the node leads to a target.
    needed: SmallVec<[bool; SMALL]>,
    cotangents: SmallVec<[Option<Tensor>; SMALL]>,
}

/// Nodes of a small network's loss.
const SMALL: usize = 16;

impl Walk {
    fn new(y: &Tensor, targets: &[u64]) -> Self {
        let nodes = reachable(y, targets.iter().copied().min().unwrap_or(u64::MAX));
        let mut walk = Walk {
            needed: smallvec![false; nodes.len()],
            cotangents: smallvec![None; nodes.len()],
            nodes,
        };
        for i in 0..walk.nodes.len() {
            let node = &walk.nodes[i];
            walk.needed[i] =
                targets.contains(&node.id()) || node.parents().any(|p| walk.is_needed(p));
        }
        walk
    }

    fn position(&self, id: u64) -> Option<usize> {
        self.nodes.binary_search_by_key(&id, |n| n.id()).ok()
    }

    fn is_needed(&self, node: &Arc<Node>) -> bool {
        self.position(node.id()).is_some_and(|i| self.needed[i])
    }

    fn cotangent(&self, id: u64) -> Option<Tensor> {
        self.position(id).and_then(|i| self.cotangents[i].clone())
    }

    fn seed(&mut self, y: &Tensor, seed: &Tensor) {
        if let Some(i) = y.node().and_then(|n| self.position(n.id())) {
            self.cotangents[i] = Some(seed.clone());
        }
    }

    fn run(&mut self, targets: &[u64], graph: bool) {
        self.each(targets, |walk, op, node, g| {
            let needs = walk.needs(node);
            walk.step(op, node, g, &needs, graph);
        });
    }

    /// Calls `visit` with each operation on the way and the cotangent that has arrived there,
    /// users before what they use. That of a target is kept.
    fn each(&mut self, targets: &[u64], mut visit: impl FnMut(&mut Self, &Op, &Arc<Node>, Tensor)) {
        for i in (0..self.nodes.len()).rev() {
            let node = Arc::clone(&self.nodes[i]);
            let Some(op) = node.op() else { continue };
            if !self.needed[i] {
                continue;
            }
            let g = if targets.contains(&node.id()) {
                self.cotangents[i].clone()
            } else {
                self.cotangents[i].take()
            };
            if let Some(g) = g {
                visit(self, op, &node, g);
            }
        }
    }

    /// Which inputs of an operation lead to a target.
    fn needs(&self, node: &Node) -> Needs {
        node.inputs().iter().map(|s| s.node().is_some_and(|p| self.is_needed(p))).collect()
    }

    /// Sends the cotangent of one node, the result of `op`, to its inputs.
    fn step(&mut self, op: &Op, node: &Arc<Node>, g: Tensor, needs: &[bool], graph: bool) {
        let rule = vjp::Rule { op, node, g, needs, graph };
        for (saved, part) in node.inputs().iter().zip(rule.apply()) {
            let place = saved.node().and_then(|p| self.position(p.id()));
            if let (Some(part), Some(i)) = (part, place) {
                // The one place where what broadcasting repeated is summed again.
                let part = if part.check().is_ok() { part.sum_to(saved.shape()) } else { part };
                let slot = &mut self.cotangents[i];
                *slot = Some(match slot.take() {
                    None => part,
                    Some(sum) => sum + part,
                });
            }
        }
    }
}

/// Every node that `y` was computed from, ascending by id, without those older than `oldest`.
fn reachable(y: &Tensor, oldest: u64) -> Vec<Arc<Node>> {
    // The newest first: whatever uses a node is newer, so a node that is met again is met at once.
    let mut queue: BinaryHeap<ById<'_>> = BinaryHeap::with_capacity(SMALL);
    queue.extend(y.node().map(ById));
    let mut found: Vec<Arc<Node>> = Vec::with_capacity(SMALL);
    while let Some(ById(node)) = queue.pop() {
        let again = found.last().is_some_and(|last| last.id() == node.id());
        if node.id() >= oldest && !again {
            found.push(Arc::clone(node));
            queue.extend(node.parents().map(ById));
        }
    }
    found.reverse();
    found
}

/// A node in the order of ids.
struct ById<'a>(&'a Arc<Node>);

impl Ord for ById<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.id().cmp(&other.0.id())
    }
}

impl PartialOrd for ById<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ById<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for ById<'_> {}
