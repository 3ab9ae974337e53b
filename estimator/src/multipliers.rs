//! Bootstrap multipliers that depend on (seed, domain, key, replicate) only (DESIGN §3).
//!
//! A multiplier takes one of two values, so a draw is a bit. The bits of 64 replicates of one key come from a `rand_pcg`
//! generator whose state and stream are a full-avalanche hash of (seed, domain, key, block of 64 draws): the digits of 64
//! uniforms are compared with the probability, most significant first, so the probability is exact to 2⁻⁶⁴.
//! Draws are therefore additive over shards, and the same for every layout of the data.

use crate::dispatch::multiversion;
use crate::lanes::LANES;
use crate::options::Multiplier;

/// What the key names; keeps units and clusters of equal keys apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// Key of a unit.
    Unit,
    /// Key of a cluster.
    Cluster,
}

/// The two values of a multiplier and the probability of the second one.
#[derive(Clone, Copy, Debug, PartialEq)]
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
                Self { low: (1.0 - root) / 2.0, high: (1.0 + root) / 2.0, probability: 5_098_554_665_619_180_949 }
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

/// Seeds of a key: (state, stream) of the generator of its draws `64·block..64·(block + 1)`.
#[inline(always)]
fn seeds(base: u64, key: u64, block: u64) -> (u64, u64) {
    let mixed = avalanche(key ^ base);
    let state = avalanche(mixed.wrapping_add((block + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    (state, avalanche(state ^ mixed.rotate_left(32) ^ 0xd134_2543_de82_ef95))
}

/// Source of multiplier bits for one run.
#[derive(Clone, Copy, Debug)]
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
        Self { base: avalanche(avalanche(seed ^ salt).wrapping_add(salt)), probability: distribution.probability }
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

/// One step of eight PCG-XSH-RR 64/32 generators; returns their outputs.
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

/// Words of `N` consecutive blocks at once: one generator alone would wait for its own multiplications.
#[inline(always)]
fn bernoulli_words<const N: usize>(base: u64, probability: u64, keys: &[u64; LANES], first: u64) -> [[u64; LANES]; N] {
    let mut state = [[0; LANES]; N];
    let mut increment = [[0; LANES]; N];
    for n in 0..N {
        for lane in 0..LANES {
            let (seed_state, stream) = seeds(base, keys[lane], first + n as u64);
            increment[n][lane] = (stream << 1) | 1;
            // `Pcg32::new`: add the increment, then one step.
            state[n][lane] = seed_state
                .wrapping_add(increment[n][lane])
                .wrapping_mul(PCG_MULTIPLIER)
                .wrapping_add(increment[n][lane]);
        }
    }
    let mut undecided = [[u64::MAX; LANES]; N];
    let mut ones = [[0u64; LANES]; N];
    let mut digits = probability;
    while digits != 0 {
        let digit = 0u64.wrapping_sub(digits >> 63);
        let mut open = [0u64; LANES];
        for n in 0..N {
            let low = step(&mut state[n], &increment[n]);
            let high = step(&mut state[n], &increment[n]);
            for lane in 0..LANES {
                let word = low[lane] | (high[lane] << 32);
                ones[n][lane] |= undecided[n][lane] & !word & digit;
                undecided[n][lane] &= !(word ^ digit);
                open[lane] |= undecided[n][lane];
            }
        }
        if open == [0; LANES] {
            break;
        }
        digits <<= 1;
    }
    ones
}

multiversion! {
    fn eight_words(base: u64, probability: u64, keys: &[u64; LANES], block: u64) -> [u64; LANES] {
        bernoulli_words::<1>(base, probability, keys, block)[0]
    }
}

multiversion! {
    fn fill_words(base: u64, probability: u64, keys: &[u64; LANES], out: &mut [[u64; LANES]]) {
        const WIDE: usize = 4;
        let (wide, rest) = out.as_chunks_mut::<WIDE>();
        let mut block = 0;
        for words in wide {
            *words = bernoulli_words::<WIDE>(base, probability, keys, block);
            block += WIDE as u64;
        }
        for words in rest {
            *words = bernoulli_words::<1>(base, probability, keys, block)[0];
            block += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;
    use rand_pcg::Pcg32;

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
    fn frozen_vectors() {
        let bits = Bits::new(20_210_101, Domain::Unit, TwoPoint::of(Multiplier::Mammen));
        let words = bits.words(&[0, 1, 2, 3, 4, 5, 6, u64::MAX], 0);
        assert_eq!(words, FROZEN_MAMMEN);
        let bits = Bits::new(20_210_101, Domain::Cluster, TwoPoint::of(Multiplier::Rademacher));
        assert_eq!(bits.words(&[0, 1, 2, 3, 4, 5, 6, u64::MAX], 15), FROZEN_RADEMACHER);
    }

    const FROZEN_MAMMEN: [u64; 8] = [0; 8];
    const FROZEN_RADEMACHER: [u64; 8] = [0; 8];

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
