//! Picks the widest vector instructions the processor has, without changing a bit of any result.
//!
//! Kernels are written over eight explicit lanes with fused multiply-add (see [`crate::lanes`]); the compiler only chooses
//! how many registers hold the eight lanes. The same source is compiled once per instruction set.

use std::sync::atomic::{AtomicU8, Ordering};

/// Instruction set that kernels run with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum InstructionSet {
    /// The instructions that the target guarantees; a fused multiply-add may be a library call.
    Portable = 1,
    /// Two 256-bit registers for eight lanes.
    Avx2 = 2,
    /// One 512-bit register for eight lanes.
    Avx512 = 3,
}

static LEVEL: AtomicU8 = AtomicU8::new(0);

/// The best level of this processor.
pub fn detect() -> InstructionSet {
    #[cfg(target_arch = "x86_64")]
    {
        let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        let avx512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512bw");
        if avx2 && avx512 {
            return InstructionSet::Avx512;
        }
        if avx2 {
            return InstructionSet::Avx2;
        }
    }
    InstructionSet::Portable
}

/// The level in use: the one forced, else the best.
pub fn level() -> InstructionSet {
    match LEVEL.load(Ordering::Relaxed) {
        1 => InstructionSet::Portable,
        2 => InstructionSet::Avx2,
        3 => InstructionSet::Avx512,
        _ => {
            let best = detect();
            LEVEL.store(best as u8, Ordering::Relaxed);
            best
        }
    }
}

/// Forces a level for the whole process, at most the best one. Returns the level now in use.
pub fn force(wanted: InstructionSet) -> InstructionSet {
    let best = detect();
    let chosen = if wanted as u8 > best as u8 { best } else { wanted };
    LEVEL.store(chosen as u8, Ordering::Relaxed);
    chosen
}

/// Defines a function whose body is compiled for every [`InstructionSet`] and dispatched at run time.
///
/// Everything the body calls must be `#[inline(always)]`, or it keeps the baseline instructions.
macro_rules! multiversion {
    ($(#[$meta:meta])* $vis:vis fn $name:ident $(<$(const $n:ident: usize),+>)? ($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        #[allow(unsafe_code, clippy::too_many_arguments)]
        $vis fn $name $(<$(const $n: usize),+>)? ($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn body $(<$(const $n: usize),+>)? ($($arg: $ty),*) $(-> $ret)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw,avx2,fma,bmi1,bmi2,popcnt")]
                fn avx512 $(<$(const $n: usize),+>)? ($($arg: $ty),*) $(-> $ret)? { body $(::<$($n),+>)? ($($arg),*) }
                #[target_feature(enable = "avx2,fma,bmi1,bmi2,popcnt")]
                fn avx2 $(<$(const $n: usize),+>)? ($($arg: $ty),*) $(-> $ret)? { body $(::<$($n),+>)? ($($arg),*) }
                match $crate::dispatch::level() {
                    // SAFETY: `level` returns only what the processor was found to have.
                    $crate::dispatch::InstructionSet::Avx512 => return unsafe { avx512 $(::<$($n),+>)? ($($arg),*) },
                    // SAFETY: as above.
                    $crate::dispatch::InstructionSet::Avx2 => return unsafe { avx2 $(::<$($n),+>)? ($($arg),*) },
                    $crate::dispatch::InstructionSet::Portable => {}
                }
            }
            body $(::<$($n),+>)? ($($arg),*)
        }
    };
}
pub(crate) use multiversion;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_above_the_processors_is_lowered() {
        let before = level();
        assert!(force(InstructionSet::Avx512) as u8 <= detect() as u8);
        assert_eq!(force(InstructionSet::Portable), InstructionSet::Portable);
        force(before);
    }
}
