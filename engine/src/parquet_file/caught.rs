//! The one place where panics of the crates that decode files are caught: what they don't check of damaged bytes is an error here.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use super::Damage;

thread_local! {
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic of this thread is caught where a file is decoded: hooks that tell of panics, or give a terminal back, leave it alone.
pub fn is_caught() -> bool {
    CAUGHT.get()
}

/// Decodes. A panic in it is damage, and nothing is printed of it.
pub(super) fn caught<T>(decode: impl FnOnce() -> T) -> Result<T, Damage> {
    stay_quiet();
    CAUGHT.set(true);
    // What it worked on is not looked at again.
    let result = catch_unwind(AssertUnwindSafe(decode));
    CAUGHT.set(false);
    result.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let text = text.unwrap_or_default();
        Damage::new(format!("it can't be decoded ({})", text.lines().next().unwrap_or_default()))
    })
}

/// Wraps the process's hook once, so that it is not called for what is caught.
fn stay_quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let told = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !is_caught() {
                told(panic);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_damage_and_the_next_one_is_not_hidden() {
        let empty: Vec<u8> = Vec::new();
        let index = empty.len();
        let damage = caught(|| empty[index]).expect_err("a panic");
        assert!(damage.to_string().contains("index out of bounds"), "{damage}");
        assert!(!is_caught());
        assert_eq!(caught(|| 3), Ok(3));
    }
}
