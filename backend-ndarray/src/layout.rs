//! Where the elements of an array lie in its storage: offset, extents and strides.
//!
//! Strides may be zero (broadcast) or negative (flip). All operations here are on the description
//! only; whoever needs elements side by side asks [`Layout::is_dense`] first.

use inocula_core::Shape;
use inocula_core::aval::MAX_RANK;
use smallvec::SmallVec;

/// Steps between neighbours along each axis, in elements.
pub(crate) type Strides = [isize; MAX_RANK];

/// Offset, extents and strides of an array within its storage.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    pub(crate) offset: usize,
    pub(crate) shape: Shape,
    pub(crate) strides: Strides,
}

impl Layout {
    /// Row-major from the start of the storage.
    pub(crate) fn dense(shape: Shape) -> Self {
        Layout { offset: 0, shape, strides: shape.strides().map(|s| s as isize) }
    }

    /// Whether the elements lie side by side in row-major order.
    pub(crate) fn is_dense(&self) -> bool {
        let mut step = 1;
        for (axis, &extent) in self.shape.iter().enumerate().rev() {
            if extent == 0 {
                return true;
            }
            if extent != 1 && self.strides[axis] != step {
                return false;
            }
            step *= extent as isize;
        }
        true
    }

    /// The axes in the order in which memory has them, if that is another than row-major and the
    /// elements then lie side by side.
    pub(crate) fn memory_order(&self) -> Option<SmallVec<[usize; MAX_RANK]>> {
        let strides = &self.strides[..self.shape.rank()];
        if self.is_dense() || strides.iter().any(|&s| s <= 0) {
            return None;
        }
        let mut axes: SmallVec<[usize; MAX_RANK]> = (0..self.shape.rank()).collect();
        axes.sort_by_key(|&axis| (std::cmp::Reverse(strides[axis]), axis));
        self.permute(&axes, crate::order::permuted(self.shape, &axes)).is_dense().then_some(axes)
    }

    /// Stretched to `shape`, which the shape broadcasts to.
    pub(crate) fn broadcast(&self, shape: Shape) -> Self {
        let added = shape.rank() - self.shape.rank();
        let mut strides = [0; MAX_RANK];
        for (axis, &extent) in self.shape.iter().enumerate() {
            if extent != 1 {
                strides[added + axis] = self.strides[axis];
            }
        }
        Layout { offset: self.offset, shape, strides }
    }

    /// Axis `i` of the result is axis `axes[i]`; `shape` is the result's.
    pub(crate) fn permute(&self, axes: &[usize], shape: Shape) -> Self {
        let mut strides = [0; MAX_RANK];
        for (to, &from) in axes.iter().enumerate() {
            strides[to] = self.strides[from];
        }
        Layout { offset: self.offset, shape, strides }
    }

    /// With `axes` reversed.
    pub(crate) fn flip(mut self, axes: &[usize]) -> Self {
        for &axis in axes {
            let last = self.shape[axis].saturating_sub(1) as isize;
            self.offset = self.offset.wrapping_add_signed(last * self.strides[axis]);
            self.strides[axis] = -self.strides[axis];
        }
        self
    }

    /// The box from `start` with the extents of `shape`.
    pub(crate) fn slice(&self, start: &[usize], shape: Shape) -> Self {
        let mut offset = self.offset;
        if shape.numel() != 0 {
            for (axis, &first) in start.iter().enumerate() {
                offset = offset.wrapping_add_signed(first as isize * self.strides[axis]);
            }
        }
        Layout { offset, shape, strides: self.strides }
    }

    /// With another shape of as many elements in the same order, if strides can express it.
    pub(crate) fn reshape(&self, shape: Shape) -> Option<Self> {
        if self.is_dense() {
            return Some(Layout { offset: self.offset, ..Layout::dense(shape) });
        }
        let mut strides = [0; MAX_RANK];
        let mut to = shape.rank();
        for (extent, step) in self.merged() {
            // The trailing axes of the result that together have this extent.
            let (mut covered, mut stride) = (1, step);
            while covered < extent {
                to = to.checked_sub(1)?;
                strides[to] = stride;
                covered *= shape[to];
                stride *= shape[to] as isize;
            }
            if covered != extent {
                return None;
            }
        }
        Some(Layout { offset: self.offset, shape, strides })
    }

    /// Extents and strides, innermost first, of the fewest axes that describe the same order.
    fn merged(&self) -> impl Iterator<Item = (usize, isize)> {
        let mut axes: SmallVec<[(usize, isize); MAX_RANK]> = SmallVec::new();
        for (axis, &extent) in self.shape.iter().enumerate().rev() {
            let step = self.strides[axis];
            match axes.last_mut() {
                _ if extent == 1 => {}
                Some((inner, inner_step)) if step == *inner as isize * *inner_step => {
                    *inner *= extent;
                }
                _ => axes.push((extent, step)),
            }
        }
        axes.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(dims: &[usize]) -> Shape {
        Shape::new(dims).unwrap()
    }

    /// Storage positions in row-major order of the array.
    fn positions(layout: &Layout) -> Vec<usize> {
        let dims = layout.shape;
        (0..dims.numel())
            .map(|flat| {
                let mut rest = flat;
                let mut at = layout.offset as isize;
                for axis in (0..dims.rank()).rev() {
                    at += (rest % dims[axis]) as isize * layout.strides[axis];
                    rest /= dims[axis];
                }
                at as usize
            })
            .collect()
    }

    #[test]
    fn density_ignores_axes_of_one_element_and_empty_arrays() {
        let column = Layout::dense(shape(&[4, 3])).slice(&[0, 1], shape(&[4, 1]));
        assert!(!column.is_dense());
        assert!(column.slice(&[2, 0], shape(&[1, 1])).is_dense());
        assert!(Layout::dense(shape(&[0, 3])).permute(&[1, 0], shape(&[3, 0])).is_dense());
        assert!(!Layout::dense(shape(&[2])).broadcast(shape(&[2, 2])).is_dense());
    }

    #[test]
    fn a_reshape_without_a_copy_keeps_the_order() {
        let base = Layout::dense(shape(&[4, 6, 5]));
        let views = [
            base.slice(&[0, 1, 0], shape(&[4, 3, 5])),
            base.permute(&[2, 0, 1], shape(&[5, 4, 6])),
            base.flip(&[0, 1, 2]),
            base.slice(&[1, 0, 0], shape(&[1, 6, 5])).broadcast(shape(&[3, 6, 5])),
        ];
        for view in views {
            let n = view.shape.numel();
            let mut done = 0;
            for dims in [
                vec![n],
                vec![1, n, 1],
                vec![4, n / 4],
                vec![n / 5, 5],
                vec![3, n / 3],
                vec![5, 2, n / 10],
            ] {
                if dims.iter().product::<usize>() != n {
                    continue;
                }
                if let Some(reshaped) = view.reshape(shape(&dims)) {
                    assert_eq!(positions(&reshaped), positions(&view), "{view:?} to {dims:?}");
                    done += 1;
                }
            }
            assert!(done >= 1, "{view:?} could be reshaped to nothing");
        }
    }

    #[test]
    fn a_reshape_that_strides_cannot_express_says_so() {
        let transposed = Layout::dense(shape(&[3, 4])).permute(&[1, 0], shape(&[4, 3]));
        assert!(transposed.reshape(shape(&[12])).is_none());
    }
}
