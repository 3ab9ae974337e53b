//! Runs in virtual time: every fault under a seed, the guards against them, and the pages and recordings that are made of such runs.

mod guards;
mod recording;
mod scale;
mod seeds;
