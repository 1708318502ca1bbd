//! Vector registers of f32: which instruction sets there are, and what kernels do with a register.
//!
//! A kernel is written once, generic over [`Lanes`], and compiled once for each instruction set in a
//! function with its `target_feature`; which one runs is decided when a device is opened. The
//! portable lanes are plain Rust: they are the fallback, and what the others are tested against.

/// An instruction set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isa {
    /// x86-64 with AVX-512F, and with AVX2 and FMA, which kernels for it use too: 32 registers of 16 lanes.
    Avx512,
    /// x86-64 with AVX2 and FMA: 16 registers of 8 lanes.
    Avx2,
    /// AArch64: 32 registers of 4 lanes.
    Neon,
    /// Whatever the compiler makes of arrays of 4.
    Portable,
}

impl Isa {
    /// Every instruction set, best first.
    pub(crate) const ALL: [Isa; 4] = [Isa::Avx512, Isa::Avx2, Isa::Neon, Isa::Portable];

    /// Name in device specs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Isa::Avx512 => "avx512",
            Isa::Avx2 => "avx2",
            Isa::Neon => "neon",
            Isa::Portable => "portable",
        }
    }

    /// Whether this machine has it.
    pub(crate) fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => is_x86_feature_detected!("avx512f") && Isa::Avx2.is_available(),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => true,
            Isa::Portable => true,
            #[allow(unreachable_patterns)] // of the other architectures
            _ => false,
        }
    }

    /// Those of this machine, best first.
    pub(crate) fn available() -> impl Iterator<Item = Isa> {
        Isa::ALL.into_iter().filter(|isa| isa.is_available())
    }

    /// Runs `work` compiled for this instruction set, as far as the compiler inlines it.
    ///
    /// Loops over slices are then vectorised with its registers. No result changes: without
    /// contraction, which Rust never does by itself, wider registers round alike.
    #[inline(always)]
    pub(crate) fn run<R>(self, work: impl FnOnce() -> R) -> R {
        #[cfg(target_arch = "x86_64")]
        match self {
            // SAFETY: a device holds only an instruction set that is available.
            Isa::Avx512 => return unsafe { run_avx512(work) },
            // SAFETY: as above.
            Isa::Avx2 => return unsafe { run_avx2(work) },
            _ => {}
        }
        work()
    }
}

/// # Safety
/// The machine has AVX-512F, AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx2,fma")]
unsafe fn run_avx512<R>(work: impl FnOnce() -> R) -> R {
    work()
}

/// # Safety
/// The machine has AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn run_avx2<R>(work: impl FnOnce() -> R) -> R {
    work()
}

/// A register of f32, and what kernels do with it.
///
/// # Safety
/// Every function needs the instruction set that it is for; pointers are valid for [`Lanes::COUNT`]
/// elements (the first `n` in [`Lanes::load_first`]) and need no alignment.
pub(crate) trait Lanes {
    /// The register.
    type Vector: Copy;
    /// Elements of a register.
    const COUNT: usize;

    unsafe fn splat(value: f32) -> Self::Vector;
    unsafe fn load(from: *const f32) -> Self::Vector;
    /// The first `n < COUNT` elements, and zeros.
    unsafe fn load_first(from: *const f32, n: usize) -> Self::Vector;
    unsafe fn store(to: *mut f32, value: Self::Vector);
    /// `a * b + c`, rounded once where there is such an instruction.
    unsafe fn multiply_add(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    unsafe fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The positive part; NaN where it was NaN.
    unsafe fn relu(value: Self::Vector) -> Self::Vector;
    unsafe fn sum(value: Self::Vector) -> f32;
}

#[cfg(target_arch = "x86_64")]
pub(crate) mod x86 {
    //! The registers of x86-64.

    use std::arch::x86_64::*;

    use super::Lanes;

    pub(crate) struct Avx512;

    impl Lanes for Avx512 {
        type Vector = __m512;
        const COUNT: usize = 16;

        // SAFETY (all of them): the trait's contract is the intrinsic's.
        #[inline(always)]
        unsafe fn splat(value: f32) -> __m512 {
            unsafe { _mm512_set1_ps(value) }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> __m512 {
            unsafe { _mm512_loadu_ps(from) }
        }
        #[inline(always)]
        unsafe fn load_first(from: *const f32, n: usize) -> __m512 {
            unsafe { _mm512_maskz_loadu_ps((1u16 << n) - 1, from) }
        }
        #[inline(always)]
        unsafe fn store(to: *mut f32, value: __m512) {
            unsafe { _mm512_storeu_ps(to, value) }
        }
        #[inline(always)]
        unsafe fn multiply_add(a: __m512, b: __m512, c: __m512) -> __m512 {
            unsafe { _mm512_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        unsafe fn add(a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_add_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn relu(value: __m512) -> __m512 {
            // The second operand is the result where one is NaN.
            unsafe { _mm512_max_ps(_mm512_setzero_ps(), value) }
        }
        #[inline(always)]
        unsafe fn sum(value: __m512) -> f32 {
            unsafe { _mm512_reduce_add_ps(value) }
        }
    }

    pub(crate) struct Avx2;

    impl Lanes for Avx2 {
        type Vector = __m256;
        const COUNT: usize = 8;

        // SAFETY (all of them): the trait's contract is the intrinsic's.
        #[inline(always)]
        unsafe fn splat(value: f32) -> __m256 {
            unsafe { _mm256_set1_ps(value) }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> __m256 {
            unsafe { _mm256_loadu_ps(from) }
        }
        #[inline(always)]
        unsafe fn load_first(from: *const f32, n: usize) -> __m256 {
            unsafe {
                let places = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
                _mm256_maskload_ps(from, _mm256_cmpgt_epi32(_mm256_set1_epi32(n as i32), places))
            }
        }
        #[inline(always)]
        unsafe fn store(to: *mut f32, value: __m256) {
            unsafe { _mm256_storeu_ps(to, value) }
        }
        #[inline(always)]
        unsafe fn multiply_add(a: __m256, b: __m256, c: __m256) -> __m256 {
            unsafe { _mm256_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        unsafe fn add(a: __m256, b: __m256) -> __m256 {
            unsafe { _mm256_add_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn relu(value: __m256) -> __m256 {
            // The second operand is the result where one is NaN.
            unsafe { _mm256_max_ps(_mm256_setzero_ps(), value) }
        }
        #[inline(always)]
        unsafe fn sum(value: __m256) -> f32 {
            unsafe {
                let four =
                    _mm_add_ps(_mm256_castps256_ps128(value), _mm256_extractf128_ps(value, 1));
                let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
                _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)))
            }
        }
    }
}

#[cfg(target_arch = "aarch64")]
pub(crate) mod arm {
    //! The registers of AArch64.

    use std::arch::aarch64::*;

    use super::Lanes;

    pub(crate) struct Neon;

    impl Lanes for Neon {
        type Vector = float32x4_t;
        const COUNT: usize = 4;

        // SAFETY (all of them): the trait's contract is the intrinsic's.
        #[inline(always)]
        unsafe fn splat(value: f32) -> float32x4_t {
            unsafe { vdupq_n_f32(value) }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> float32x4_t {
            unsafe { vld1q_f32(from) }
        }
        #[inline(always)]
        unsafe fn load_first(from: *const f32, n: usize) -> float32x4_t {
            unsafe {
                let mut values = [0.0; 4];
                std::ptr::copy_nonoverlapping(from, values.as_mut_ptr(), n);
                vld1q_f32(values.as_ptr())
            }
        }
        #[inline(always)]
        unsafe fn store(to: *mut f32, value: float32x4_t) {
            unsafe { vst1q_f32(to, value) }
        }
        #[inline(always)]
        unsafe fn multiply_add(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
            unsafe { vfmaq_f32(c, a, b) }
        }
        #[inline(always)]
        unsafe fn add(a: float32x4_t, b: float32x4_t) -> float32x4_t {
            unsafe { vaddq_f32(a, b) }
        }
        #[inline(always)]
        unsafe fn relu(value: float32x4_t) -> float32x4_t {
            unsafe { vmaxq_f32(value, vdupq_n_f32(0.0)) }
        }
        #[inline(always)]
        unsafe fn sum(value: float32x4_t) -> f32 {
            unsafe { vaddvq_f32(value) }
        }
    }
}

/// Arrays of 4, without fused multiply-add: in software that would be a call for each element.
pub(crate) struct Portable;

impl Lanes for Portable {
    type Vector = [f32; 4];
    const COUNT: usize = 4;

    #[inline(always)]
    unsafe fn splat(value: f32) -> [f32; 4] {
        [value; 4]
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> [f32; 4] {
        // SAFETY: the trait's contract; `[f32; 4]` is aligned like f32.
        unsafe { from.cast::<[f32; 4]>().read() }
    }
    #[inline(always)]
    unsafe fn load_first(from: *const f32, n: usize) -> [f32; 4] {
        // SAFETY: the first `n` elements can be read.
        std::array::from_fn(|i| if i < n { unsafe { from.add(i).read() } } else { 0.0 })
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, value: [f32; 4]) {
        // SAFETY: the trait's contract.
        unsafe { to.cast::<[f32; 4]>().write(value) }
    }
    #[inline(always)]
    unsafe fn multiply_add(a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    unsafe fn add(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| a[i] + b[i])
    }
    #[inline(always)]
    unsafe fn relu(value: [f32; 4]) -> [f32; 4] {
        value.map(|v| if v < 0.0 { 0.0 } else { v })
    }
    #[inline(always)]
    unsafe fn sum(value: [f32; 4]) -> f32 {
        (value[0] + value[2]) + (value[1] + value[3])
    }
}
