//! Linear combinations of stretches of memory: what is left of a matrix product when one operand is
//! mostly zeros.
//!
//! Terms lie in groups, and a group is combined into one stretch, whose elements stay in registers
//! while its terms are walked. Terms come in the order in which they were added, and a stretch
//! begins with what it holds or with zero, so a sum has the bits that it would have with the zeros in it.

#![allow(clippy::needless_range_loop, reason = "loops of constant length over several arrays")]

use crate::simd::{Isa, Lanes, Portable};

/// Registers of a block of a stretch.
const BLOCK: usize = 12;

/// Elements of the widest register.
const MOST_LANES: usize = 16;

/// `value` times the stretch that begins at `at`.
#[derive(Debug, Clone, Copy, Default)]
struct Term {
    at: u32,
    value: f32,
}

/// Groups of terms, of a fixed capacity each.
#[derive(Default)]
pub(crate) struct Terms {
    terms: Vec<Term>,
    counts: Vec<u32>,
    capacity: usize,
    /// The largest beginning of any stretch.
    furthest: usize,
}

impl Terms {
    /// Empty groups. Keeps its memory.
    pub(crate) fn clear(&mut self, groups: usize, capacity: usize) {
        self.counts.clear();
        self.counts.resize(groups, 0);
        self.capacity = capacity;
        self.furthest = 0;
        self.terms.resize(groups * capacity, Term::default());
    }

    /// Adds a term to a group, which has had fewer than its capacity of them, unless it is zero.
    /// Counts instead of branching, which no predictor could guess.
    #[inline(always)]
    pub(crate) fn push(&mut self, group: usize, at: usize, value: f32) {
        let count = &mut self.counts[group];
        let place = group * self.capacity + *count as usize;
        debug_assert!((*count as usize) < self.capacity);
        self.terms[place] = Term { at: at as u32, value };
        *count += u32::from(value != 0.0);
        self.furthest = self.furthest.max(at);
    }

    /// One group, of all `values`, zeros among them, with stretches that begin `step` apart.
    pub(crate) fn all(&mut self, values: &[f32], step: usize) {
        self.clear(1, values.len());
        for (i, (term, &value)) in self.terms.iter_mut().zip(values).enumerate() {
            *term = Term { at: (i * step) as u32, value };
        }
        self.counts[0] = values.len() as u32;
        self.furthest = values.len().saturating_sub(1) * step;
    }

    /// Whether every stretch of a slice of `length` elements can be told.
    pub(crate) fn reach(length: usize) -> bool {
        length <= u32::MAX as usize
    }

    /// `out[i] = sum over the group's terms of value * from[shift + at + i]`, or that added to what is
    /// there.
    pub(crate) fn combine(
        &self,
        isa: Isa,
        group: usize,
        from: &[f32],
        shift: usize,
        accumulate: bool,
        out: &mut [f32],
    ) {
        let count = self.counts[group] as usize;
        if count == 0 {
            if !accumulate {
                out.fill(0.0);
            }
            return;
        }
        let terms = &self.terms[group * self.capacity..][..count];
        assert!(shift + self.furthest + out.len() <= from.len());
        let from = &from[shift..];
        // SAFETY: a device holds only an instruction set that is available, and every stretch ends
        // before `from` does, as `furthest` is the largest beginning.
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => unsafe { avx512(terms, from, accumulate, out) },
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => unsafe { avx2(terms, from, accumulate, out) },
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => unsafe { all::<crate::simd::arm::Neon>(terms, from, accumulate, out) },
            _ => unsafe { all::<Portable>(terms, from, accumulate, out) },
        }
    }
}

/// # Safety
/// The machine has AVX-512F, AVX2 and FMA; as [`all`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx2,fma")]
unsafe fn avx512(terms: &[Term], from: &[f32], accumulate: bool, out: &mut [f32]) {
    // SAFETY: the contract of this function.
    unsafe { all::<crate::simd::x86::Avx512>(terms, from, accumulate, out) }
}

/// # Safety
/// The machine has AVX2 and FMA; as [`all`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(terms: &[Term], from: &[f32], accumulate: bool, out: &mut [f32]) {
    // SAFETY: the contract of this function.
    unsafe { all::<crate::simd::x86::Avx2>(terms, from, accumulate, out) }
}

/// # Safety
/// The machine has the instruction set of `L`, and `from` holds `out.len()` elements from the
/// beginning of every term's stretch on.
#[inline(always)]
unsafe fn all<L: Lanes>(terms: &[Term], from: &[f32], accumulate: bool, out: &mut [f32]) {
    let registers = out.len() / L::COUNT;
    let blocks = registers.div_ceil(BLOCK).max(1);
    let each = registers.div_ceil(blocks);
    let mut done = 0;
    while done < registers {
        let now = each.min(registers - done);
        let (from, out) = (&from[done * L::COUNT..], &mut out[done * L::COUNT..]);
        // SAFETY: the contract of this function; the block lies within the stretch.
        unsafe {
            match now {
                1 => block::<L, 1>(terms, from, accumulate, out),
                2 => block::<L, 2>(terms, from, accumulate, out),
                3 => block::<L, 3>(terms, from, accumulate, out),
                4 => block::<L, 4>(terms, from, accumulate, out),
                5 => block::<L, 5>(terms, from, accumulate, out),
                6 => block::<L, 6>(terms, from, accumulate, out),
                7 => block::<L, 7>(terms, from, accumulate, out),
                8 => block::<L, 8>(terms, from, accumulate, out),
                9 => block::<L, 9>(terms, from, accumulate, out),
                10 => block::<L, 10>(terms, from, accumulate, out),
                11 => block::<L, 11>(terms, from, accumulate, out),
                _ => block::<L, BLOCK>(terms, from, accumulate, out),
            }
        }
        done += now;
    }
    // SAFETY: the contract of this function; these are the last elements of the stretch.
    unsafe { rest::<L>(terms, &from[done * L::COUNT..], accumulate, &mut out[done * L::COUNT..]) };
}

/// # Safety
/// As [`all`], for less than a register of `out` and of every stretch.
#[inline(always)]
unsafe fn rest<L: Lanes>(terms: &[Term], from: &[f32], accumulate: bool, out: &mut [f32]) {
    let count = out.len();
    if count == 0 {
        return;
    }
    let mut whole = [0.0; MOST_LANES];
    // SAFETY: the contract of this function; a register fits `whole`.
    unsafe {
        let mut sum = if accumulate { L::load_first(out.as_ptr(), count) } else { L::splat(0.0) };
        for term in terms {
            let stretch = L::load_first(from.as_ptr().add(term.at as usize), count);
            sum = L::multiply_add(L::splat(term.value), stretch, sum);
        }
        L::store(whole.as_mut_ptr(), sum);
    }
    out.copy_from_slice(&whole[..count]);
}

/// # Safety
/// As [`all`], for `R` registers of `out` and of every stretch.
#[inline(always)]
unsafe fn block<L: Lanes, const R: usize>(
    terms: &[Term],
    from: &[f32],
    accumulate: bool,
    out: &mut [f32],
) {
    // SAFETY: the contract of this function.
    unsafe {
        let out = out.as_mut_ptr();
        let mut sums = [L::splat(0.0); R];
        if accumulate {
            for r in 0..R {
                sums[r] = L::load(out.add(r * L::COUNT));
            }
        }
        for term in terms {
            let value = L::splat(term.value);
            let stretch = from.as_ptr().add(term.at as usize);
            for r in 0..R {
                sums[r] = L::multiply_add(value, L::load(stretch.add(r * L::COUNT)), sums[r]);
            }
        }
        for r in 0..R {
            L::store(out.add(r * L::COUNT), sums[r]);
        }
    }
}
