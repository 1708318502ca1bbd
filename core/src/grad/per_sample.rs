//! Where parameters entered a computation, for gradients of each sample alone.
//!
//! A weight that a sample multiplies once has a gradient that is an outer product, whose norm needs
//! no gradient at all (Goodfellow 2015, arXiv 1510.01799). So the walk here stops one step before
//! the weights, and hands out what the gradient would be made from: the inputs of each linear map
//! and the cotangents of its outputs. One walk gives the uses of all parameters.

use std::sync::Arc;

use super::vjp::Rule;
use super::{Node, Walk};
use crate::op::{Axes, Binary, Conv, Fused, Op};
use crate::tensor::Tensor;
use crate::{Error, ErrorKind, Result, bail};

/// One linear map by a parameter, over samples along the first axis.
#[derive(Debug, Clone)]
pub enum Use {
    /// A weight `[O, I]` in `x w^T`: the gradient of sample n is `g_n x_n^T`.
    Matrix {
        /// Inputs, `[N, I]`.
        x: Tensor,
        /// Cotangents, `[N, O]`.
        g: Tensor,
    },
    /// A weight `[O, C/groups, kh, kw]` of a convolution.
    Conv {
        /// Inputs, `[N, C, H, W]`.
        x: Tensor,
        /// Cotangents, `[N, O, OH, OW]`.
        g: Tensor,
        /// Geometry.
        conv: Conv,
        /// Extent of the weight, `[kh, kw]`.
        kernel: [usize; 2],
    },
    /// A table `[V, D]` of which each sample takes rows.
    Rows {
        /// Numbers of the rows, `[N, T]`, i64.
        rows: Tensor,
        /// Cotangents, `[N, T, D]`.
        g: Tensor,
    },
    /// A bias `[O]`: the gradient of sample n is `g_n` summed over all axes behind `O`.
    Bias {
        /// Cotangents, `[N, O, ...]`.
        g: Tensor,
    },
    /// A scale or shift of every sample alike, whose gradient is as cheap made as kept in parts.
    Each {
        /// The gradient of each sample, `[N, ...]` with the shape of the parameter.
        grads: Tensor,
    },
}

/// A parameter as it enters a computation: itself, or reshaped so that it broadcasts.
#[derive(Clone, Copy)]
struct Form {
    id: u64,
    /// Place among the parameters.
    param: usize,
    reshaped: bool,
}

/// Every form of the parameters `targets`.
fn forms(walk: &Walk, targets: &[u64]) -> Vec<Form> {
    let whole = |(param, &id): (usize, &u64)| Form { id, param, reshaped: false };
    let mut forms: Vec<Form> = targets.iter().enumerate().map(whole).collect();
    for node in &walk.nodes {
        if let (Some(Op::Reshape { .. }), Some(of)) = (node.op(), node.parents().next())
            && let Some(&Form { param, .. }) = forms.iter().find(|form| form.id == of.id())
        {
            forms.push(Form { id: node.id(), param, reshaped: true });
        }
    }
    forms
}

/// The uses of each of `params` in `losses` `[N]`, for the gradients of `losses[n]` in them.
///
/// Sample n must reach `losses[n]` alone: a computation that mixes the samples of a batch, as batch
/// normalisation does, has no per-sample gradients, and is not recognised here.
///
/// # Errors
/// `losses` is not of one axis, a parameter is not tracked, or one was used in another way than by
/// a linear map of a batch of `N`; or the device failed.
pub fn uses(losses: &Tensor, params: &[&Tensor]) -> Result<Vec<Vec<Use>>> {
    let [samples] = losses.check()?.shape()[..] else {
        bail!(Shape, "per-sample gradients: the losses are {}, not [N]", losses.shape());
    };
    let targets = super::ids(params)?;
    let mut walk = Walk::new(losses, &targets);
    walk.seed(losses, &losses.fill(1.0));
    let forms = forms(&walk, &targets);
    let mut found: Result<Vec<Vec<Use>>> = Ok(vec![Vec::new(); params.len()]);
    walk.each(&[], |walk, op, node, g| {
        let mut needs = walk.needs(node);
        let entering = |i: usize| {
            let id = node.inputs()[i].node()?.id();
            Some((i, *forms.iter().find(|form| form.id == id)?))
        };
        let entering: Vec<(usize, Form)> = (0..needs.len()).filter_map(entering).collect();
        if entering.is_empty() || matches!(op, Op::Reshape { .. }) {
            return walk.step(op, node, g, &needs, false);
        }
        let (op, g) = Rule { op, node, g, needs: &needs, graph: false }.before_relu();
        for (input, form) in entering {
            needs[input] = false;
            let shape = params[form.param].shape();
            let new = match scaled(&op, node, input, &g, samples, &shape) {
                Some(grads) => Ok(Use::Each { grads }),
                None if form.reshaped => Err(unsupported(&op, node, input, &g, samples)),
                None => use_of(&op, node, input, &g, samples),
            };
            match (&mut found, new) {
                (Ok(found), Ok(new)) => found[form.param].push(new),
                (Ok(_), Err(err)) => found = Err(err),
                (Err(_), _) => {}
            }
        }
        if needs.contains(&true) {
            walk.step(&op, node, g, &needs, false);
        }
    });
    found
}

/// How the parameter that is operand `input` of `op` acts on `samples` samples, for a cotangent `g`
/// of the result.
fn use_of(op: &Op, node: &Arc<Node>, input: usize, g: &Tensor, samples: usize) -> Result<Use> {
    let device = g.check()?.device();
    let x = || node.input(0, op, device, false);
    let kernel = || {
        let shape = node.inputs()[1].shape();
        [shape[2], shape[3]]
    };
    let of_batch = g.shape().first() == Some(&samples);
    let found = match (op, input) {
        (Op::Take { axis: 0 }, 0) => rows_of(g, || node.input(1, op, device, false), samples),
        _ if !of_batch => None,
        (Op::Fused(Fused::Linear { .. }) | Op::MatMul { trans_a: false, trans_b: true }, 1)
            if g.shape().rank() == 2 =>
        {
            Some(Use::Matrix { x: x(), g: g.clone() })
        }
        (Op::Fused(Fused::ConvBias { conv, .. }) | Op::Conv2d(conv), 1) => {
            Some(Use::Conv { x: x(), g: g.clone(), conv: *conv, kernel: kernel() })
        }
        // In a gradient that is itself differentiated the same maps run backwards: cotangents of
        // outputs come in, and what arrives here belongs to the inputs.
        (Op::MatMul { trans_a: false, trans_b: false }, 1) if g.shape().rank() == 2 => {
            Some(Use::Matrix { x: g.clone(), g: x() })
        }
        (Op::Conv2dDx { conv, .. }, 1) => {
            Some(Use::Conv { x: g.clone(), g: x(), conv: *conv, kernel: kernel() })
        }
        (Op::Fused(Fused::Linear { .. } | Fused::ConvBias { .. }), 2) => {
            Some(Use::Bias { g: g.clone() })
        }
        _ => None,
    };
    found.ok_or_else(|| unsupported(op, node, input, g, samples))
}

/// The rows that each sample takes out of a table, if as many belong to each, one sample after the other.
fn rows_of(g: &Tensor, rows: impl FnOnce() -> Tensor, samples: usize) -> Option<Use> {
    let [taken, width] = g.shape()[..] else { return None };
    if samples == 0 || !taken.is_multiple_of(samples) {
        return None;
    }
    let each = taken / samples;
    let g = g.reshape(&[samples, each, width]);
    Some(Use::Rows { rows: rows().reshape(&[samples, each]), g })
}

/// The gradient of each sample in a parameter of shape `shape` that, as operand `input` of `op`, was
/// added to every sample or multiplied with it; `None` where it was not.
fn scaled(
    op: &Op,
    node: &Arc<Node>,
    input: usize,
    g: &Tensor,
    samples: usize,
    shape: &[usize],
) -> Option<Tensor> {
    let (rank, own) = (g.shape().rank(), node.inputs()[input].shape());
    let lead = rank.checked_sub(own.rank())?;
    // Extent 1, or none, along the samples: the same for each of them.
    let for_each = g.shape().first() == Some(&samples) && (lead > 0 || own.first() == Some(&1));
    let made = match op {
        Op::Binary(Binary::Add) if for_each => g.clone(),
        Op::Binary(Binary::Mul) if for_each => g * &node.input(1 - input, op, g.device(), false),
        _ => return None,
    };
    let repeated = |i: &usize| *i < lead || own[*i - lead] == 1;
    let axes: Axes = (1..rank).filter(repeated).collect();
    let each: Axes = std::iter::once(samples).chain(shape.iter().copied()).collect();
    Some(made.sum(&axes).reshape(&each))
}

fn unsupported(op: &Op, node: &Arc<Node>, input: usize, g: &Tensor, samples: usize) -> Error {
    let what = format!(
        "per-sample gradients: a parameter {} enters {} {} for {samples} samples; only linear layers, \
         convolutions, their biases, tables, and scales and shifts have them",
        node.inputs()[input].shape(),
        op.code(),
        g.shape(),
    );
    Error::new(ErrorKind::Unsupported, what)
}
