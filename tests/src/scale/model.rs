//! Models of S3, of Lambda's environments and of the controller's line, in virtual time.

use stagger_forecast::FunctionRates;

/// Chance that depends on a seed alone (SplitMix64).
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number in [0, 1), another one each time.
    pub fn fraction(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Requests a second of S3's partitions: above the rate it answers 503, and [`stagger_storage::Policy`] says when to ask again.
#[derive(Clone, Debug)]
pub struct Bucket {
    rate: f64,
    tokens: f64,
    last: f64,
    /// Answers to slow down.
    pub refused: u64,
}

/// Seconds of requests at full rate that come before the first 503: the limit is one a second.
const BURST: f64 = 1.0;

impl Bucket {
    /// Full.
    pub fn new(rate: f64) -> Self {
        Self { rate, tokens: rate * BURST, last: 0.0, refused: 0 }
    }

    /// Whether so many requests are answered at this time.
    pub fn admits(&mut self, now: f64, requests: f64) -> bool {
        self.tokens = (self.tokens + (now - self.last).max(0.0) * self.rate).min(self.rate * BURST);
        self.last = self.last.max(now);
        let admitted = self.tokens >= requests.min(self.rate * BURST);
        if admitted {
            self.tokens -= requests;
        } else {
            self.refused += 1;
        }
        admitted
    }
}

/// Environments of a function: a thousand at once, then so many a second; those that are idle are used first.
#[derive(Clone, Debug)]
pub struct Environments {
    idle: usize,
    /// How many there are.
    pub all: usize,
    most: usize,
    room: f64,
    rates: FunctionRates,
    last: f64,
}

/// An environment for an invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// It ran before.
    Warm,
    /// It starts.
    Cold,
    /// There is none: 429.
    None,
}

impl Environments {
    /// None yet, of an account that has at most `most`.
    pub fn new(most: usize, rates: FunctionRates) -> Self {
        Self { idle: 0, all: 0, most, room: rates.at_once, rates, last: 0.0 }
    }

    /// One for an invocation.
    pub fn take(&mut self, now: f64) -> Environment {
        let FunctionRates { at_once, ramp, .. } = self.rates;
        self.room = (self.room + (now - self.last).max(0.0) * ramp).min(at_once);
        self.last = now;
        if self.idle > 0 {
            self.idle -= 1;
            return Environment::Warm;
        }
        if self.all >= self.most || self.room < 1.0 {
            return Environment::None;
        }
        self.room -= 1.0;
        self.all += 1;
        Environment::Cold
    }

    /// It is free again.
    pub fn give_back(&mut self) {
        self.idle += 1;
    }
}

/// Something that serves one after the other: the controller's line, or its sending of invocations.
#[derive(Clone, Copy, Debug, Default)]
pub struct Server {
    free: f64,
}

impl Server {
    /// When something that comes at `now` and takes `seconds` is done.
    pub fn serve(&mut self, now: f64, seconds: f64) -> f64 {
        self.free = self.free.max(now) + seconds;
        self.free
    }
}
