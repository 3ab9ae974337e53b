//! Bootstrap multipliers that depend on (seed, domain, key, replicate) only (DESIGN §3).
//!
//! A multiplier takes one of two values, so a draw is a bit. The bits of 64 replicates of one key come from a `rand_pcg`
//! generator whose state and stream are a full-avalanche hash of (seed, domain, key, block of 64 draws): the digits of 64
//! uniforms are compared with the probability, most significant first, so the probability is exact to 2⁻⁶⁴.
//! Draws are therefore additive over shards, and the same for every layout of the data.

use serde::{Deserialize, Serialize};

use crate::dispatch::multiversion;
use crate::lanes::LANES;
use crate::options::Multiplier;

#[cfg(target_arch = "x86_64")]
mod avx2;

/// The kind of thing that the key names; it keeps units and clusters of equal keys apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// Key of a unit.
    Unit,
    /// Key of a cluster.
    Cluster,
}

/// The two values of a multiplier and the probability of the second one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TwoPoint {
    /// Value where the bit is 0.
    pub low: f64,
    /// Value where the bit is 1.
    pub high: f64,
    /// P(bit = 1), in units of 2⁻⁶⁴.
    pub probability: u64,
}

impl TwoPoint {
    /// The distribution of a [`Multiplier`]: mean 0 and variance 1 both.
    pub fn of(multiplier: Multiplier) -> Self {
        match multiplier {
            Multiplier::Mammen => {
                let root = 5f64.sqrt();
                // P(high) = (√5 − 1)/(2√5), written as 64 binary digits.
                Self {
                    low: (1.0 - root) / 2.0,
                    high: (1.0 + root) / 2.0,
                    probability: 5_098_554_665_619_180_949,
                }
            }
            Multiplier::Rademacher => Self { low: -1.0, high: 1.0, probability: 1 << 63 },
        }
    }
}

const PCG_MULTIPLIER: u64 = 6_364_136_223_846_793_005;

/// Finaliser of SplitMix64: every input bit changes every output bit with probability one half.
#[inline(always)]
fn avalanche(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

const BLOCK_STEP: u64 = 0x9e37_79b9_7f4a_7c15;
const STREAM_SALT: u64 = 0xd134_2543_de82_ef95;

/// Source of multiplier bits for one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bits {
    base: u64,
    probability: u64,
}

impl Bits {
    /// Bits with probability `distribution.probability` of being 1.
    pub fn new(seed: u64, domain: Domain, distribution: TwoPoint) -> Self {
        let salt = match domain {
            Domain::Unit => 0x7c1d_9a3e_55b0_21f7,
            Domain::Cluster => 0x3f84_d5b5_b547_0917,
        };
        Self {
            base: avalanche(avalanche(seed ^ salt).wrapping_add(salt)),
            probability: distribution.probability,
        }
    }

    /// Returns the parameters with which another generator gives the same words: the hashed seed, and the probability in units of 2⁻⁶⁴.
    pub fn parameters(&self) -> (u64, u64) {
        (self.base, self.probability)
    }

    /// The 64 bits of draws `64·block..64·(block + 1)` of every key; bit i is draw `64·block + i`.
    pub fn words(&self, keys: &[u64; LANES], block: u64) -> [u64; LANES] {
        eight_words(self.base, self.probability, keys, block)
    }

    /// Fills `out[block]` for all blocks of eight keys.
    pub fn fill(&self, keys: &[u64; LANES], out: &mut [[u64; LANES]]) {
        fill_words(self.base, self.probability, keys, out);
    }
}

/// One step of eight PCG-XSH-RR 64/32 generators; returns their 32-bit outputs.
#[inline(always)]
fn step(state: &mut [u64; LANES], increment: &[u64; LANES]) -> [u64; LANES] {
    let mut out = [0; LANES];
    for lane in 0..LANES {
        let old = state[lane];
        state[lane] = old.wrapping_mul(PCG_MULTIPLIER).wrapping_add(increment[lane]);
        let xored = (((old >> 18) ^ old) >> 27) & 0xffff_ffff;
        // Rotation right of 32 bits, written on a doubled word.
        out[lane] = (((xored << 32) | xored) >> (old >> 59)) & 0xffff_ffff;
    }
    out
}

/// What the generators of all blocks of a key are made from.
#[inline(always)]
fn mixed_keys(base: u64, keys: &[u64; LANES]) -> [u64; LANES] {
    keys.map(|key| avalanche(key ^ base))
}

/// State and increment of the generators of one block, as `Pcg32::new` sets them.
#[inline(always)]
fn generators(mixed: &[u64; LANES], block: u64) -> ([u64; LANES], [u64; LANES]) {
    let (mut state, mut increment) = ([0; LANES], [0; LANES]);
    for lane in 0..LANES {
        let seed = avalanche(mixed[lane].wrapping_add((block + 1).wrapping_mul(BLOCK_STEP)));
        increment[lane] = (avalanche(seed ^ mixed[lane].rotate_left(32) ^ STREAM_SALT) << 1) | 1;
        state[lane] =
            seed.wrapping_add(increment[lane]).wrapping_mul(PCG_MULTIPLIER).wrapping_add(increment[lane]);
    }
    (state, increment)
}

#[inline(always)]
fn bernoulli_words(probability: u64, mixed: &[u64; LANES], block: u64) -> [u64; LANES] {
    let (mut state, increment) = generators(mixed, block);
    let mut undecided = [u64::MAX; LANES];
    let mut ones = [0u64; LANES];
    let mut digits = probability;
    while digits != 0 {
        let low = step(&mut state, &increment);
        let high = step(&mut state, &increment);
        let digit = 0u64.wrapping_sub(digits >> 63);
        let mut open = 0;
        for lane in 0..LANES {
            let word = low[lane] | (high[lane] << 32);
            ones[lane] |= undecided[lane] & !word & digit;
            undecided[lane] &= !(word ^ digit);
            open |= undecided[lane];
        }
        if open == 0 {
            break;
        }
        digits <<= 1;
    }
    ones
}

multiversion! {
    fn eight_words(base: u64, probability: u64, keys: &[u64; LANES], block: u64) -> [u64; LANES] {
        bernoulli_words(probability, &mixed_keys(base, keys), block)
    }
}

fn fill_words(base: u64, probability: u64, keys: &[u64; LANES], out: &mut [[u64; LANES]]) {
    let done = fill_by_vectors(base, probability, keys, out);
    for (block, words) in out.iter_mut().enumerate().skip(done) {
        *words = eight_words(base, probability, keys, block as u64);
    }
}

/// Fills the first blocks with the processor's vector instructions; returns their number.
#[cfg(target_arch = "x86_64")]
fn fill_by_vectors(base: u64, probability: u64, keys: &[u64; LANES], out: &mut [[u64; LANES]]) -> usize {
    use crate::dispatch::InstructionSet;
    let mixed = mixed_keys(base, keys);
    let mut done = 0;
    match crate::dispatch::level() {
        InstructionSet::Portable => {}
        InstructionSet::Avx2 => {
            for words in out.as_chunks_mut::<{ avx2::WIDE }>().0 {
                // SAFETY: the level says that the processor has these instructions.
                #[allow(unsafe_code)]
                unsafe {
                    avx2::words(&mixed, probability, done as u64, words);
                }
                done += avx2::WIDE;
            }
        }
        InstructionSet::Avx512 => {
            for words in out.as_chunks_mut::<{ avx512::WIDE }>().0 {
                // SAFETY: as above.
                #[allow(unsafe_code)]
                unsafe {
                    avx512::words(&mixed, probability, done as u64, words);
                }
                done += avx512::WIDE;
            }
        }
    }
    done
}

#[cfg(not(target_arch = "x86_64"))]
fn fill_by_vectors(_: u64, _: u64, _: &[u64; LANES], _: &mut [[u64; LANES]]) -> usize {
    0
}

/// The same words by 512-bit intrinsics, several blocks at once: one generator alone would wait for its own
/// multiplications, and the compiler shuffles the lanes of interleaved ones.
#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::{
        __m512i, _mm512_add_epi64, _mm512_mullo_epi64, _mm512_or_si512, _mm512_rorv_epi32, _mm512_set1_epi64,
        _mm512_setr_epi64, _mm512_setzero_si512, _mm512_slli_epi64, _mm512_srli_epi64, _mm512_storeu_si512,
        _mm512_ternarylogic_epi64, _mm512_test_epi64_mask, _mm512_xor_si512,
    };

    use super::{LANES, PCG_MULTIPLIER, generators};

    pub(super) const WIDE: usize = 4;

    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw")]
    fn load(words: &[u64; LANES]) -> __m512i {
        let [a, b, c, d, e, f, g, h] = words.map(|w| w as i64);
        _mm512_setr_epi64(a, b, c, d, e, f, g, h)
    }

    /// One step: the output is right in the lower half of each lane, the upper half is arbitrary.
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw")]
    fn step(state: &mut __m512i, increment: __m512i, multiplier: __m512i) -> __m512i {
        let old = *state;
        *state = _mm512_add_epi64(_mm512_mullo_epi64(old, multiplier), increment);
        let xored = _mm512_srli_epi64::<27>(_mm512_xor_si512(_mm512_srli_epi64::<18>(old), old));
        _mm512_rorv_epi32(xored, _mm512_srli_epi64::<59>(old))
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw")]
    pub(super) fn words(mixed: &[u64; LANES], probability: u64, first: u64, out: &mut [[u64; LANES]; WIDE]) {
        let multiplier = _mm512_set1_epi64(PCG_MULTIPLIER as i64);
        let lower = _mm512_set1_epi64(0xffff_ffff);
        let mut state = [_mm512_setzero_si512(); WIDE];
        let mut increment = state;
        for n in 0..WIDE {
            let (s, i) = generators(mixed, first + n as u64);
            (state[n], increment[n]) = (load(&s), load(&i));
        }
        let mut undecided = [_mm512_set1_epi64(-1); WIDE];
        let mut ones = [_mm512_setzero_si512(); WIDE];
        let mut digits = probability;
        while digits != 0 {
            let digit = _mm512_set1_epi64(-((digits >> 63) as i64));
            let mut open = _mm512_setzero_si512();
            for n in 0..WIDE {
                let low = step(&mut state[n], increment[n], multiplier);
                let high = _mm512_slli_epi64::<32>(step(&mut state[n], increment[n], multiplier));
                // lower ? low : high
                let word = _mm512_ternarylogic_epi64::<0xca>(lower, low, high);
                // ones |= undecided & !word & digit, then undecided &= !(word ^ digit)
                let below = _mm512_ternarylogic_epi64::<0x20>(undecided[n], word, digit);
                ones[n] = _mm512_or_si512(ones[n], below);
                undecided[n] = _mm512_ternarylogic_epi64::<0x90>(undecided[n], word, digit);
                open = _mm512_or_si512(open, undecided[n]);
            }
            if _mm512_test_epi64_mask(open, open) == 0 {
                break;
            }
            digits <<= 1;
        }
        for (words, ones) in out.iter_mut().zip(ones) {
            // SAFETY: `words` are the 64 bytes that the store writes.
            #[allow(unsafe_code)]
            unsafe {
                _mm512_storeu_si512(words.as_mut_ptr().cast(), ones);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::Rng;
    use rand_pcg::Pcg32;

    use super::*;
    use crate::dispatch::InstructionSet;

    /// Seeds of a key: (state, stream) of the generator of its draws `64·block..64·(block + 1)`.
    fn seeds(base: u64, key: u64, block: u64) -> (u64, u64) {
        let mixed = avalanche(key ^ base);
        let state = avalanche(mixed.wrapping_add((block + 1).wrapping_mul(BLOCK_STEP)));
        (state, avalanche(state ^ mixed.rotate_left(32) ^ STREAM_SALT))
    }

    /// The definition, one key at a time, on the public generator.
    fn reference(bits: &Bits, key: u64, block: u64) -> u64 {
        let (state, stream) = seeds(bits.base, key, block);
        let mut generator = Pcg32::new(state, stream);
        let (mut undecided, mut ones, mut digits) = (u64::MAX, 0, bits.probability);
        while undecided != 0 && digits != 0 {
            let word = generator.next_u64();
            if digits >> 63 == 1 {
                ones |= undecided & !word;
                undecided &= word;
            } else {
                undecided &= !word;
            }
            digits <<= 1;
        }
        ones
    }

    #[test]
    fn lanes_equal_rand_pcg() {
        for multiplier in [Multiplier::Mammen, Multiplier::Rademacher] {
            let bits = Bits::new(7, Domain::Unit, TwoPoint::of(multiplier));
            for block in 0..20 {
                let keys = std::array::from_fn(|lane| lane as u64 * 0x1234_5678 + block);
                let words = bits.words(&keys, block);
                for (word, &key) in words.iter().zip(&keys) {
                    assert_eq!(*word, reference(&bits, key, block));
                }
            }
        }
    }

    #[test]
    fn every_level_gives_the_same_words() {
        let before = crate::dispatch::level();
        for multiplier in [Multiplier::Mammen, Multiplier::Rademacher] {
            let bits = Bits::new(11, Domain::Unit, TwoPoint::of(multiplier));
            let keys = std::array::from_fn(|lane| (lane as u64) << 40 | 5);
            let filled = |level| {
                crate::dispatch::force(level);
                let mut out = vec![[0; LANES]; 11];
                bits.fill(&keys, &mut out);
                out
            };
            let portable = filled(InstructionSet::Portable);
            assert_eq!(portable, filled(InstructionSet::Avx2));
            assert_eq!(portable, filled(InstructionSet::Avx512));
            let one_by_one: Vec<_> = (0..11).map(|block| bits.words(&keys, block)).collect();
            assert_eq!(portable, one_by_one);
        }
        crate::dispatch::force(before);
    }

    #[test]
    fn frozen_vectors() {
        let bits = Bits::new(20_210_101, Domain::Unit, TwoPoint::of(Multiplier::Mammen));
        let words = bits.words(&[0, 1, 2, 3, 4, 5, 6, u64::MAX], 0);
        assert_eq!(words, FROZEN_MAMMEN);
        let bits = Bits::new(20_210_101, Domain::Cluster, TwoPoint::of(Multiplier::Rademacher));
        assert_eq!(bits.words(&[0, 1, 2, 3, 4, 5, 6, u64::MAX], 15), FROZEN_RADEMACHER);
    }

    const FROZEN_MAMMEN: [u64; 8] = [
        0x04150b5d6903d120,
        0x352008c15c0863c5,
        0x43084001680606c0,
        0x00c2de8001c00802,
        0x84c2015413380059,
        0xa80a60c282320460,
        0x4400010005210004,
        0x0280401020510001,
    ];
    const FROZEN_RADEMACHER: [u64; 8] = [
        0xc86ca10153dd57c7,
        0x26e649100bb69a79,
        0xa89558888ddd5183,
        0x18f2d360011578c3,
        0x09226ea813c47bf7,
        0x99455387b3c92569,
        0xbffd5c0da36773ae,
        0xc026912f73d5476c,
    ];

    /// Variance over draws of Σ_i v_i must be the number of keys, also for sequential ids and every tenth id.
    #[test]
    fn sums_over_sequential_and_strided_keys_have_the_right_variance() {
        for multiplier in [Multiplier::Mammen, Multiplier::Rademacher] {
            let two = TwoPoint::of(multiplier);
            for stride in [1u64, 10, 1 << 32] {
                let bits = Bits::new(3, Domain::Unit, two);
                let (keys, blocks) = (4096usize, 64u64);
                let mut sums = vec![0.0; 64 * blocks as usize];
                for group in 0..keys / LANES {
                    let lanes = std::array::from_fn(|lane| (group * LANES + lane) as u64 * stride);
                    for block in 0..blocks {
                        for word in bits.words(&lanes, block) {
                            for bit in 0..64 {
                                let value = if word >> bit & 1 == 1 { two.high } else { two.low };
                                sums[block as usize * 64 + bit] += value;
                            }
                        }
                    }
                }
                let draws = sums.len() as f64;
                let mean = sums.iter().sum::<f64>() / draws;
                let variance = sums.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / draws / keys as f64;
                assert!((variance - 1.0).abs() < 0.1, "{multiplier:?} stride {stride}: {variance}");
                assert!(mean.abs() < 4.0 * (keys as f64 / draws).sqrt(), "{mean}");
            }
        }
    }

    #[test]
    fn the_mammen_probability_is_exact() {
        let exact = (5f64.sqrt() - 1.0) / (2.0 * 5f64.sqrt());
        let two = TwoPoint::of(Multiplier::Mammen);
        assert!((two.probability as f64 / 2f64.powi(64) - exact).abs() < 1e-15);
        let mean = two.low * (1.0 - exact) + two.high * exact;
        let variance = two.low.powi(2) * (1.0 - exact) + two.high.powi(2) * exact;
        assert!(mean.abs() < 1e-15 && (variance - 1.0).abs() < 1e-15);
    }
}
