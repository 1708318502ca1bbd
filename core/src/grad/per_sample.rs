//! Where parameters entered a computation, for gradients of each sample alone.
//!
//! A weight that a sample multiplies once has a gradient that is an outer product, whose norm needs
//! no gradient at all (Goodfellow 2015, arXiv 1510.01799). So the walk here stops one step before
//! the weights, and hands out what the gradient would be made from: the inputs of each linear map
//! and the cotangents of its outputs. One walk gives the uses of all parameters.

use std::sync::Arc;

use super::vjp::Rule;
use super::{Node, Walk};
use crate::op::{Conv, Fused, Op};
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
    /// A bias `[O]`: the gradient of sample n is `g_n` summed over all axes behind `O`.
    Bias {
        /// Cotangents, `[N, O, ...]`.
        g: Tensor,
    },
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
    let mut found: Result<Vec<Vec<Use>>> = Ok(vec![Vec::new(); params.len()]);
    walk.each(&[], |walk, op, node, g| {
        let mut needs = walk.needs(node);
        let entering = |i: usize| {
            let id = node.inputs()[i].node()?.id();
            Some((i, targets.iter().position(|&target| target == id)?))
        };
        let entering: Vec<(usize, usize)> = (0..needs.len()).filter_map(entering).collect();
        if entering.is_empty() {
            return walk.step(op, node, g, &needs, false);
        }
        let (op, g) = Rule { op, node, g, needs: &needs, graph: false }.before_relu();
        for (input, param) in entering {
            needs[input] = false;
            match (&mut found, use_of(&op, node, input, &g, samples)) {
                (Ok(found), Ok(new)) => found[param].push(new),
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
        _ if !of_batch => None,
        (Op::Fused(Fused::Linear { .. }) | Op::MatMul { trans_a: false, trans_b: true }, 1)
            if g.shape().rank() == 2 =>
        {
            Some(Use::Matrix { x: x(), g: g.clone() })
        }
        (Op::Fused(Fused::ConvBias { conv, .. }) | Op::Conv2d(conv), 1) => {
            Some(Use::Conv { x: x(), g: g.clone(), conv: *conv, kernel: kernel() })
        }
        (Op::Fused(Fused::Linear { .. } | Fused::ConvBias { .. }), 2) => {
            Some(Use::Bias { g: g.clone() })
        }
        _ => None,
    };
    found.ok_or_else(|| {
        let what = format!(
            "per-sample gradients: a parameter {} enters {} {} for {samples} samples; only linear \
             layers, convolutions and their biases have them",
            node.inputs()[input].shape(),
            op.code(),
            g.shape(),
        );
        Error::new(ErrorKind::Unsupported, what)
    })
}
