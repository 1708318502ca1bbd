//! How many threads kernels may use.
//!
//! Burn's CPU kernels ask rayon, which has one pool for the whole process unless a call is made from
//! another one. A device that was opened with a number of threads has a pool of its own, and enters
//! it for the operations that can use more than one thread; going there costs what waking the
//! process-wide pool would.

use inocula_core::op::{Fused, Op};
use inocula_core::{Error, ErrorKind, Result};
use rayon::{ThreadPool, ThreadPoolBuilder};

/// The fewest elements for which a kernel other than a convolution divides its work.
const DIVIDED: usize = 1 << 15;

/// The threads of a device: its own, or those of the process.
#[derive(Default)]
pub(crate) struct Threads {
    own: Option<ThreadPool>,
}

impl Threads {
    /// A pool of this many threads, or the process-wide one.
    ///
    /// # Errors
    /// The operating system refuses to start the threads.
    pub(crate) fn new(count: Option<usize>) -> Result<Self> {
        let pool = |n| ThreadPoolBuilder::new().num_threads(n).build();
        let own = count.map(pool).transpose().map_err(|e| {
            let message = format!("burn: cannot start threads: {e}; ask for fewer with threads=N");
            Error::new(ErrorKind::Backend, message)
        })?;
        Ok(Threads { own })
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.own.as_ref().map_or_else(rayon::current_num_threads, ThreadPool::current_num_threads)
    }

    /// Runs `body`, which executes `op` on arrays of at most `largest` elements.
    pub(crate) fn run<R: Send>(
        &self,
        op: &Op,
        largest: usize,
        body: impl FnOnce() -> R + Send,
    ) -> R {
        match &self.own {
            Some(pool) if divides(op, largest) => pool.install(body),
            _ => body(),
        }
    }
}

/// Whether a kernel of this operation may divide its work among threads.
fn divides(op: &Op, largest: usize) -> bool {
    match op {
        Op::Conv2d(_)
        | Op::Conv2dDx { .. }
        | Op::Conv2dDw { .. }
        | Op::MaxPool2dIdx(_)
        | Op::Fused(Fused::ConvBias { .. } | Fused::MaxPool2d(_) | Fused::MaxPool2dGrad(_)) => true,
        Op::MatMul { .. }
        | Op::Sum { .. }
        | Op::Max { .. }
        | Op::ArgMax { .. }
        | Op::Gather { .. }
        | Op::Take { .. }
        | Op::Unfold2d(_)
        | Op::Fused(Fused::Linear { .. } | Fused::SoftmaxXent | Fused::SoftmaxXentGrad) => {
            largest >= DIVIDED
        }
        _ => false,
    }
}
