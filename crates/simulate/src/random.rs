//! Random numbers that depend on what they are for, never on when they are drawn.
//!
//! A [`Stream`] is a PCG generator whose state is a hash of (seed, purpose, key, period), so the draws of a unit are
//! the same in whatever order, on whatever thread and into whatever file it is written. [`Permutation`] shuffles row
//! numbers without holding them.

use rand::Rng;
use rand_pcg::Pcg64Mcg;

/// The purpose of a stream; streams with different purposes are unrelated.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    /// The effect of a period, shared by all units.
    Period = 1,
    /// Everything that is constant within a unit.
    Unit = 2,
    /// The noise of one row.
    Row = 3,
    /// The level and the trend of a cluster.
    Cluster = 4,
    /// The round keys of the shuffle.
    Shuffle = 5,
    /// The eligibility of a unit.
    Eligible = 6,
    /// The draw that decides if a row is missing.
    Missing = 7,
}

/// Bijective 64-bit mixing function, the finaliser of SplitMix64 (Steele, Lea & Flood 2014).
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// A sequence of draws.
pub(super) struct Stream(Pcg64Mcg);

impl Stream {
    /// The stream of one (seed, purpose, key, period); neighbouring keys have unrelated streams.
    pub(super) fn new(seed: u64, purpose: Purpose, key: u64, period: u64) -> Self {
        let base = mix(mix(seed.wrapping_add(GOLDEN)) ^ purpose as u64);
        let key = mix(base.wrapping_add(key.wrapping_mul(GOLDEN)));
        let high = mix(key ^ period);
        let low = mix(key.wrapping_add(period.wrapping_add(1).wrapping_mul(GOLDEN)));
        Self(Pcg64Mcg::new(u128::from(high) << 64 | u128::from(low)))
    }

    /// 64 random bits.
    pub(super) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform on the open interval (0, 1): 52 bits at the middle of their interval, so neither end can come up.
    pub(super) fn uniform(&mut self) -> f64 {
        ((self.bits() >> 12) as f64 + 0.5) * (1.0 / (1u64 << 52) as f64)
    }

    /// Uniform on `0..bound`, by multiplication; the bias is below `bound` / 2⁶⁴.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// Standard normal, by inversion: one draw gives one normal, so the count of draws is fixed.
    pub(super) fn normal(&mut self) -> f64 {
        normal_quantile(self.uniform())
    }
}

/// Quantile function of the standard normal for `p` in (0, 1): algorithm AS 241 (Wichura 1988), accurate to about 1e-16.
pub(super) fn normal_quantile(p: f64) -> f64 {
    let centred = p - 0.5;
    if centred.abs() <= 0.425 {
        let r = 0.180625 - centred * centred;
        return centred * horner(&CENTRE_NUMERATOR, r) / horner(&CENTRE_DENOMINATOR, r);
    }
    let tail = if centred < 0.0 { p } else { 1.0 - p };
    let r = (-libm::log(tail)).sqrt();
    let size = if r <= 5.0 {
        horner(&TAIL_NUMERATOR, r - 1.6) / horner(&TAIL_DENOMINATOR, r - 1.6)
    } else {
        horner(&FAR_NUMERATOR, r - 5.0) / horner(&FAR_DENOMINATOR, r - 5.0)
    };
    if centred < 0.0 { -size } else { size }
}

/// The polynomial with these coefficients, highest power first.
fn horner(coefficients: &[f64; 8], x: f64) -> f64 {
    coefficients.iter().fold(0.0, |sum, coefficient| sum * x + coefficient)
}

const CENTRE_NUMERATOR: [f64; 8] = [
    2509.0809287301227,
    33430.57558358813,
    67265.7709270087,
    45921.95393154987,
    13731.69376550946,
    1971.5909503065513,
    133.14166789178438,
    3.3871328727963665,
];
const CENTRE_DENOMINATOR: [f64; 8] = [
    5226.495278852854,
    28729.085735721943,
    39307.89580009271,
    21213.794301586597,
    5394.196021424751,
    687.1870074920579,
    42.31333070160091,
    1.0,
];
const TAIL_NUMERATOR: [f64; 8] = [
    0.0007745450142783414,
    0.022723844989269184,
    0.2417807251774506,
    1.2704582524523684,
    3.6478483247632045,
    5.769497221460691,
    4.630337846156546,
    1.4234371107496835,
];
const TAIL_DENOMINATOR: [f64; 8] = [
    1.0507500716444169e-9,
    0.0005475938084995345,
    0.015198666563616457,
    0.14810397642748008,
    0.6897673349851,
    1.6763848301838038,
    2.053191626637759,
    1.0,
];
const FAR_NUMERATOR: [f64; 8] = [
    2.0103343992922881e-7,
    2.7115555687434876e-5,
    0.0012426609473880784,
    0.026532189526576124,
    0.29656057182850487,
    1.7848265399172913,
    5.463784911164114,
    6.657904643501103,
];
const FAR_DENOMINATOR: [f64; 8] = [
    2.0442631033899397e-15,
    1.421511758316446e-7,
    1.8463183175100548e-5,
    0.0007868691311456133,
    0.014875361290850615,
    0.1369298809227358,
    0.599832206555888,
    1.0,
];

/// A bijection on `0..len` that looks random and takes no memory.
///
/// A Feistel network of six rounds permutes the smallest range of bit strings that holds `len`; a value outside
/// `0..len` is permuted again until it falls inside (Black & Rogaway 2002, cycle walking), twice at most on average.
pub(super) struct Permutation {
    len: u64,
    low_bits: u32,
    high_bits: u32,
    keys: [u64; 6],
}

impl Permutation {
    /// The permutation of `0..len` that belongs to a seed.
    pub(super) fn new(seed: u64, len: u64) -> Self {
        let bits = (u64::BITS - len.saturating_sub(1).leading_zeros()).max(2);
        let mut stream = Stream::new(seed, Purpose::Shuffle, len, 0);
        Self {
            len,
            low_bits: bits.div_ceil(2),
            high_bits: bits / 2,
            keys: std::array::from_fn(|_| stream.bits()),
        }
    }

    /// Returns the new place of `index`, which must be below `len`.
    pub(super) fn apply(&self, index: u64) -> u64 {
        debug_assert!(index < self.len, "index {index} of {}", self.len);
        let mut value = self.rounds(index);
        while value >= self.len {
            value = self.rounds(value);
        }
        value
    }

    /// The halves change places, and widths, every round; after an even number of rounds the widths are back.
    fn rounds(&self, value: u64) -> u64 {
        let (mut high_bits, mut low_bits) = (self.high_bits, self.low_bits);
        let (mut high, mut low) = (value >> low_bits, value & ((1 << low_bits) - 1));
        for key in self.keys {
            let mixed = high ^ (mix(low ^ key) & ((1 << high_bits) - 1));
            (high, low) = (low, mixed);
            (high_bits, low_bits) = (low_bits, high_bits);
        }
        high << low_bits | low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantile_inverts_the_distribution_function() {
        for p in [1e-300, 1e-16, 1e-9, 0.001, 0.07, 0.075, 0.3, 0.5, 0.6, 0.92, 0.93, 0.999999] {
            let back = 0.5 * libm::erfc(-normal_quantile(p) / std::f64::consts::SQRT_2);
            assert!((back - p).abs() <= 1e-12 * p, "{p}: {back}");
        }
    }

    #[test]
    fn normals_have_mean_0_and_variance_1_over_sequential_keys() {
        let draws: Vec<f64> = (0..200_000).map(|key| Stream::new(1, Purpose::Row, key, 3).normal()).collect();
        let n = draws.len() as f64;
        let mean = draws.iter().sum::<f64>() / n;
        let variance = draws.iter().map(|z| z * z).sum::<f64>() / n - mean * mean;
        let lagged = draws.windows(2).map(|pair| pair[0] * pair[1]).sum::<f64>() / n;
        assert!(
            mean.abs() < 0.01 && (variance - 1.0).abs() < 0.02 && lagged.abs() < 0.01,
            "{mean} {variance} {lagged}"
        );
    }

    /// Frozen: these change only when every simulated panel changes.
    #[test]
    fn streams_are_frozen() {
        let mut stream = Stream::new(7, Purpose::Unit, 42, 3);
        assert_eq!([stream.bits(), stream.bits()], [0xb94f_a718_ad9f_acec, 0x693f_93f1_2cf7_ed17]);
    }

    #[test]
    fn permutation_is_a_bijection() {
        for len in (1..=70).chain([127, 128, 129, 1000, 1023, 1025, 65_537, 100_000]) {
            for seed in 0..3 {
                let permutation = Permutation::new(seed, len);
                let mut seen = vec![false; len as usize];
                (0..len).for_each(|index| seen[permutation.apply(index) as usize] = true);
                assert!(seen.iter().all(|&hit| hit), "length {len}, seed {seed}");
            }
        }
    }

    #[test]
    fn permutation_leaves_no_order() {
        let permutation = Permutation::new(1, 100_000);
        let rising = (1..100_000).filter(|&i| permutation.apply(i) > permutation.apply(i - 1)).count();
        let fixed = (0..100_000).filter(|&i| permutation.apply(i) == i).count();
        assert!((49_000..51_000).contains(&rising) && fixed < 10, "{rising} rising, {fixed} fixed");
    }
}
