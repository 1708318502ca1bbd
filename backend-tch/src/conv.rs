//! The convolution triple, by oneDNN, cuDNN or libtorch's own kernels.

use inocula_core::op::Conv;
use inocula_core::{Arg, Aval};
use tch::Tensor;

use crate::buf::{Buf, kind, operand, signed, sizes};
use crate::dispatch::{Derivative, Geometry, convolution_backward};
use crate::failure::Made;
use crate::layout::{self, four, interleaved, interleaves, with_zero_channel};
use crate::per_sample::Sample;

fn geometry(conv: &Conv) -> Geometry {
    Geometry {
        stride: signed(conv.stride),
        padding: signed(conv.padding),
        dilation: signed(conv.dilation),
        groups: conv.groups as i64,
    }
}

/// Whether the result is zeros because an operand is empty. Not all of libtorch's kernels take that.
fn is_barren(args: &[Arg<'_, Buf>], out: &Aval) -> bool {
    out.shape.numel() == 0 || args[..2].iter().any(|a| a.get().aval().shape.numel() == 0)
}

fn zeros(args: &[Arg<'_, Buf>], out: &Aval) -> Made<Tensor> {
    Ok(Tensor::f_zeros(sizes(&out.shape), (kind(out.dtype), operand(args, 0).device()))?)
}

/// The weight as the kernels want it, which decides the order of everything else.
fn weight(w: &Tensor, out: &Aval) -> Made<Tensor> {
    if interleaves(w.device(), out.dtype) { interleaved(w) } else { Ok(w.shallow_clone()) }
}

/// Input and weight of a convolution as the kernels want them.
///
/// oneDNN adds up the taps of a window row by row, except for interleaved images of one channel: there
/// column by column. A second channel, of zeros, costs less than noticeable and gives the same bits as
/// PyTorch has for images that are not interleaved. Greyscale images have many windows with equal sums
/// but for rounding, and which of them wins a pool decides where a gradient goes.
fn forward_operands(x: &Tensor, w: &Tensor, out: &Aval) -> Made<(Tensor, Tensor)> {
    if interleaves(x.device(), out.dtype) && four(x)[1] == 1 {
        return Ok((with_zero_channel(x)?, with_zero_channel(w)?));
    }
    Ok((x.shallow_clone(), weight(w, out)?))
}

/// `(x, w)` or `(x, w, bias)`: the convolution, plus the bias if there is one, and its ReLU if asked.
pub(crate) fn forward(conv: &Conv, relu: bool, args: &[Arg<'_, Buf>], out: &Aval) -> Made<Tensor> {
    let bias = (args.len() > 2).then(|| operand(args, 2));
    let mut made = if is_barren(args, out) {
        let mut made = zeros(args, out)?;
        match bias {
            Some(bias) => made.f_add_(&bias.f_reshape([-1, 1, 1])?)?,
            None => made,
        }
    } else {
        let Geometry { stride, padding, dilation, groups } = geometry(conv);
        let (x, w) = forward_operands(operand(args, 0), operand(args, 1), out)?;
        x.f_convolution(&w, bias, stride, padding, dilation, false, [0, 0], groups)?
    };
    Ok(if relu { made.f_relu_()? } else { made })
}

/// `(g, w)`: the derivative in the input.
pub(crate) fn input_grad(conv: &Conv, args: &[Arg<'_, Buf>], out: &Aval) -> Made<Tensor> {
    if is_barren(args, out) {
        return zeros(args, out);
    }
    let (g, w) = (operand(args, 0), operand(args, 1));
    if g.device() == tch::Device::Cpu && out.shape[1] == 1 {
        return fold_products(conv, g, w, out);
    }
    let x = unread(out, g)?;
    convolution_backward(g, &x, &weight(w, out)?, &geometry(conv), Derivative::Input)
}

/// `(x, g)`: the derivative in the weight.
pub(crate) fn weight_grad(conv: &Conv, args: &[Arg<'_, Buf>], out: &Aval) -> Made<Tensor> {
    if is_barren(args, out) {
        return zeros(args, out);
    }
    let (x, g) = (operand(args, 0), operand(args, 1));
    let w = unread(out, g)?;
    convolution_backward(g, x, &w, &geometry(conv), Derivative::Weight)
}

/// `(x, g)`: the derivative in the weight from each sample alone.
pub(crate) fn weight_grads(conv: &Conv, args: &[Arg<'_, Buf>], out: &Aval) -> Made<Tensor> {
    if is_barren(args, out) {
        return zeros(args, out);
    }
    let (x, g) = (operand(args, 0), operand(args, 1));
    if interleaves(x.device(), out.dtype)
        && let Some(sample) = Sample::new(conv, x, g, out)
    {
        return sample.weight_grads(x, g);
    }
    samples_as_groups(conv, x, g, out)
}

/// The same as one convolution in which every sample is a group.
fn samples_as_groups(conv: &Conv, x: &Tensor, g: &Tensor, out: &Aval) -> Made<Tensor> {
    let ([n, c, h, w], [_, o, oh, ow]) = (four(x), four(g));
    let [x, g] = [x.f_reshape([1, n * c, h, w])?, g.f_reshape([1, n * o, oh, ow])?];
    let [channels, kh, kw] = [2, 3, 4].map(|axis| out.shape[axis] as i64);
    let weight = Tensor::f_empty([n * o, channels, kh, kw], (kind(out.dtype), x.device()))?;
    let geometry = geometry(conv);
    let apart = Geometry { groups: geometry.groups * n, ..geometry };
    let made = convolution_backward(&g, &x, &weight, &apart, Derivative::Weight)?;
    Ok(made.f_reshape(sizes(&out.shape))?)
}

/// Stands for the operand of this shape that is derived by: only its shape and order are read.
fn unread(out: &Aval, like: &Tensor) -> Made<Tensor> {
    let options = (kind(out.dtype), like.device());
    if !interleaves(like.device(), out.dtype) {
        return Ok(Tensor::f_empty(sizes(&out.shape), options)?);
    }
    layout::empty(signed([out.shape[0], out.shape[1], out.shape[2], out.shape[3]]), options)
}

/// The derivative in an input of one channel: columns of the products, added up. oneDNN pads the
/// channels to a vector register and takes five times as long.
fn fold_products(conv: &Conv, g: &Tensor, w: &Tensor, out: &Aval) -> Made<Tensor> {
    let ([n, o, oh, ow], [_, _, kh, kw]) = (four(g), four(w));
    let w = w.f_reshape([o, kh * kw])?.f_transpose(0, 1)?.f_unsqueeze(0)?;
    let columns = w.f_expand([n, kh * kw, o], false)?.f_bmm(&g.f_reshape([n, o, oh * ow])?)?;
    let Geometry { stride, padding, dilation, .. } = geometry(conv);
    let size = signed([out.shape[2], out.shape[3]]);
    Ok(columns.f_col2im(size, [kh, kw], dilation, padding, stride)?)
}
