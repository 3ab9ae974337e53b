//! `STAGGER_SIMD=portable|avx2|avx512` forces an instruction set; results are the same with each.

use stagger_estimator::dispatch::{self, InstructionSet};
use stagger_model::failure::Failure;

/// Applies the environment variable, if set. A level above the processor's is lowered to the best one.
pub(crate) fn force() -> Result<(), Failure> {
    let Some(wanted) = std::env::var_os("STAGGER_SIMD") else { return Ok(()) };
    let level = match wanted.to_string_lossy().as_ref() {
        "" => return Ok(()),
        "portable" => InstructionSet::Portable,
        "avx2" => InstructionSet::Avx2,
        "avx512" => InstructionSet::Avx512,
        other => {
            return Err(Failure::input(format!("STAGGER_SIMD is `{other}`"))
                .hint("it must be portable, avx2 or avx512"));
        }
    };
    dispatch::force(level);
    Ok(())
}
