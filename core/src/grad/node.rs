//! A step of a computation, with what its gradient rule will read and nothing more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use smallvec::SmallVec;

use crate::backend::DynBuf;
use crate::op::{Binary, Fused, Op, Unary};
use crate::tensor::Tensor;
use crate::{Aval, Device, Error, Shape};

/// How a tracked tensor came about.
pub(crate) struct Node {
    id: u64,
    /// `None` for a variable.
    op: Option<Op>,
    inputs: SmallVec<[Saved; 3]>,
    output: Saved,
}

/// An operand or result as a node remembers it: always its shape, its value only if a rule reads it.
#[derive(Clone)]
pub(crate) struct Saved {
    aval: Aval,
    node: Option<Arc<Node>>,
    buf: Option<DynBuf>,
}

impl Saved {
    pub(crate) fn shape(&self) -> Shape {
        self.aval.shape
    }

    pub(crate) fn aval(&self) -> Aval {
        self.aval
    }

    pub(crate) fn node(&self) -> Option<&Arc<Node>> {
        self.node.as_ref()
    }

    /// The tensor again, with its history or without.
    fn restore(&self, node: Option<Arc<Node>>, op: &Op, device: &Device) -> Tensor {
        match &self.buf {
            Some(buf) => Tensor::ready(self.aval, device.clone(), buf.clone(), node),
            None => Tensor::failed(device, Error::not_saved(op)),
        }
    }
}

/// Ids grow, so that inputs have smaller ones than what is computed from them.
fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Node {
    /// A variable.
    pub(crate) fn leaf(aval: Aval) -> Self {
        let output = Saved { aval, node: None, buf: None };
        Node { id: next_id(), op: None, inputs: SmallVec::new(), output }
    }

    /// The step that computed `output` from `inputs` by `op`.
    pub(crate) fn of(op: Op, inputs: SmallVec<[Saved; 3]>, aval: Aval, output: &DynBuf) -> Self {
        let buf = reads_output(&op).then(|| output.clone());
        Node { id: next_id(), op: Some(op), inputs, output: Saved { aval, node: None, buf } }
    }

    /// What the rule of `op` will need of its operands.
    pub(crate) fn save_inputs(op: &Op, args: &[Tensor]) -> SmallVec<[Saved; 3]> {
        let tracked: SmallVec<[bool; 3]> = args.iter().map(Tensor::is_tracked).collect();
        args.iter()
            .enumerate()
            .map(|(i, arg)| Saved {
                aval: arg.aval(),
                node: arg.node().cloned(),
                buf: if reads_input(op, i, &tracked) { arg.buf().ok().cloned() } else { None },
            })
            .collect()
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn op(&self) -> Option<&Op> {
        self.op.as_ref()
    }

    pub(crate) fn inputs(&self) -> &[Saved] {
        &self.inputs
    }

    pub(crate) fn parents(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.inputs.iter().filter_map(|s| s.node.as_ref())
    }

    /// Operand `i` again; with its history if the gradient is to be differentiated further.
    pub(crate) fn input(&self, i: usize, op: &Op, device: &Device, graph: bool) -> Tensor {
        let saved = &self.inputs[i];
        let node = if graph { saved.node.clone() } else { None };
        saved.restore(node, op, device)
    }

    /// The result again. A node does not hold the tensor that holds it: that would never be freed.
    pub(crate) fn result(self: &Arc<Self>, op: &Op, device: &Device, graph: bool) -> Tensor {
        self.output.restore(graph.then(|| Arc::clone(self)), op, device)
    }
}

impl Drop for Node {
    /// Frees the history without recursion: chains can be longer than the stack.
    fn drop(&mut self) {
        let mut pending: SmallVec<[Arc<Node>; 4]> =
            self.inputs.drain(..).filter_map(|s| s.node).collect();
        while let Some(node) = pending.pop() {
            if let Some(mut last) = Arc::into_inner(node) {
                pending.extend(last.inputs.drain(..).filter_map(|s| s.node));
            }
        }
    }
}

/// Whether the rule of `op` reads the value of operand `i`, given which operands are tracked.
fn reads_input(op: &Op, i: usize, tracked: &[bool]) -> bool {
    match op {
        Op::Unary(u) => matches!(u, Unary::Log | Unary::Erf | Unary::Abs),
        Op::Binary(Binary::Add | Binary::Sub) => false,
        Op::Binary(Binary::Mul) | Op::MatMul { .. } | Op::Conv2d(_) => tracked[1 - i],
        Op::Conv2dDx { .. } | Op::Conv2dDw { .. } => tracked[1 - i],
        Op::Binary(_) | Op::Max { .. } => true,
        Op::Where => i == 0,
        Op::Gather { .. } | Op::ScatterAdd { .. } | Op::Take { .. } | Op::PutAdd { .. } => i == 1,
        Op::Fused(fused) => match fused {
            Fused::Relu => false,
            Fused::ReluGrad => i == 0,
            Fused::Linear { .. } | Fused::ConvBias { .. } => i < 2 && tracked[1 - i],
            Fused::MaxPool2d(_) | Fused::SoftmaxXent => true,
            Fused::MaxPool2dGrad(_) => i == 0,
            // Differentiated through their decomposition, which may read anything.
            Fused::ConvWeightGrads { .. }
            | Fused::SoftmaxXentGrad
            | Fused::PgdStep { .. }
            | Fused::AdamStep { .. } => true,
        },
        _ => false,
    }
}

/// Whether the rule of `op` reads its result.
fn reads_output(op: &Op) -> bool {
    matches!(
        op,
        Op::Unary(Unary::Exp | Unary::Tanh | Unary::Sqrt)
            | Op::Fused(
                Fused::Relu | Fused::Linear { relu: true } | Fused::ConvBias { relu: true, .. }
            )
    )
}
