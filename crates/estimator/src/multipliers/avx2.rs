//! Words of multiplier bits by 256-bit intrinsics. There is no product of 64-bit lanes among them, and left to itself the
//! compiler takes the lanes out one by one for it.

use std::arch::x86_64::{
    __m256i, _mm256_add_epi64, _mm256_and_si256, _mm256_andnot_si256, _mm256_blend_epi32, _mm256_loadu_si256,
    _mm256_mul_epu32, _mm256_or_si256, _mm256_set1_epi64x, _mm256_setzero_si256, _mm256_shuffle_epi32,
    _mm256_slli_epi64, _mm256_srli_epi64, _mm256_srlv_epi64, _mm256_storeu_si256, _mm256_testz_si256,
    _mm256_xor_si256,
};

use super::{BLOCK_STEP, LANES, PCG_MULTIPLIER, STREAM_SALT};

/// Blocks drawn at once: one generator alone would wait for its own multiplications.
pub(super) const WIDE: usize = 2;
/// Registers of the eight lanes of one block.
const HALVES: usize = 2;
/// Generators under way.
const GENERATORS: usize = WIDE * HALVES;

/// Lower 64 bits of the products with a constant.
#[inline]
#[target_feature(enable = "avx2")]
fn times<const FACTOR: u64>(a: __m256i) -> __m256i {
    let (low, high) = (_mm256_set1_epi64x(FACTOR as i64), _mm256_set1_epi64x((FACTOR >> 32) as i64));
    let crossed =
        _mm256_add_epi64(_mm256_mul_epu32(_mm256_srli_epi64::<32>(a), low), _mm256_mul_epu32(a, high));
    _mm256_add_epi64(_mm256_mul_epu32(a, low), _mm256_slli_epi64::<32>(crossed))
}

/// [`super::avalanche`].
#[inline]
#[target_feature(enable = "avx2")]
fn avalanche(z: __m256i) -> __m256i {
    let z = times::<0xbf58_476d_1ce4_e5b9>(_mm256_xor_si256(z, _mm256_srli_epi64::<30>(z)));
    let z = times::<0x94d0_49bb_1331_11eb>(_mm256_xor_si256(z, _mm256_srli_epi64::<27>(z)));
    _mm256_xor_si256(z, _mm256_srli_epi64::<31>(z))
}

/// State and increment of the generators of a block.
#[inline]
#[target_feature(enable = "avx2")]
fn generator(mixed: __m256i, block: u64) -> (__m256i, __m256i) {
    let step = _mm256_set1_epi64x((block + 1).wrapping_mul(BLOCK_STEP) as i64);
    let seed = avalanche(_mm256_add_epi64(mixed, step));
    let salted =
        _mm256_xor_si256(_mm256_shuffle_epi32::<0xb1>(mixed), _mm256_set1_epi64x(STREAM_SALT as i64));
    let stream = avalanche(_mm256_xor_si256(seed, salted));
    let increment = _mm256_or_si256(_mm256_slli_epi64::<1>(stream), _mm256_set1_epi64x(1));
    let state = times::<PCG_MULTIPLIER>(_mm256_add_epi64(seed, increment));
    (_mm256_add_epi64(state, increment), increment)
}

/// One step; the output is in the lower half of each lane, the upper half is arbitrary.
#[inline]
#[target_feature(enable = "avx2")]
fn step(state: &mut __m256i, increment: __m256i) -> __m256i {
    let old = *state;
    *state = _mm256_add_epi64(times::<PCG_MULTIPLIER>(old), increment);
    let xored = _mm256_srli_epi64::<27>(_mm256_xor_si256(_mm256_srli_epi64::<18>(old), old));
    // Rotation right of 32 bits, on a doubled word.
    let doubled = _mm256_blend_epi32::<0xaa>(xored, _mm256_slli_epi64::<32>(xored));
    _mm256_srlv_epi64(doubled, _mm256_srli_epi64::<59>(old))
}

#[target_feature(enable = "avx2")]
pub(super) fn words(mixed: &[u64; LANES], probability: u64, first: u64, out: &mut [[u64; LANES]; WIDE]) {
    let mut state = [_mm256_setzero_si256(); GENERATORS];
    let mut increment = state;
    for n in 0..GENERATORS {
        // SAFETY: half of the eight lanes are the 32 bytes that the load reads.
        #[allow(unsafe_code)]
        let half = unsafe { _mm256_loadu_si256(mixed.as_ptr().add(n % HALVES * (LANES / HALVES)).cast()) };
        (state[n], increment[n]) = generator(half, first + (n / HALVES) as u64);
    }
    let mut undecided = [_mm256_set1_epi64x(-1); GENERATORS];
    let mut ones = [_mm256_setzero_si256(); GENERATORS];
    let mut digits = probability;
    while digits != 0 {
        let digit = _mm256_set1_epi64x(-((digits >> 63) as i64));
        let mut open = _mm256_setzero_si256();
        for n in 0..GENERATORS {
            let low = step(&mut state[n], increment[n]);
            let high = _mm256_slli_epi64::<32>(step(&mut state[n], increment[n]));
            let word = _mm256_blend_epi32::<0xaa>(low, high);
            let below = _mm256_and_si256(_mm256_andnot_si256(word, undecided[n]), digit);
            ones[n] = _mm256_or_si256(ones[n], below);
            undecided[n] = _mm256_andnot_si256(_mm256_xor_si256(word, digit), undecided[n]);
            open = _mm256_or_si256(open, undecided[n]);
        }
        if _mm256_testz_si256(open, open) == 1 {
            break;
        }
        digits <<= 1;
    }
    for (n, ones) in ones.into_iter().enumerate() {
        let half = &mut out[n / HALVES][n % HALVES * (LANES / HALVES)..];
        // SAFETY: half of the eight lanes are the 32 bytes that the store writes.
        #[allow(unsafe_code)]
        unsafe {
            _mm256_storeu_si256(half.as_mut_ptr().cast(), ones);
        }
    }
}
