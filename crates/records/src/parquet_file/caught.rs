//! The one place that catches panics of the decoding crates: they don't check damaged bytes everywhere, and here a
//! panic becomes an error.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use super::Damage;

thread_local! {
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// Returns `true` while this thread decodes a file, so that a panic would be caught. Panic hooks that print, or restore
/// a terminal, must then do nothing.
pub fn is_catching_panics() -> bool {
    CAUGHT.get()
}

/// Runs `decode`. A panic in it becomes damage, and nothing is printed.
pub(crate) fn catch_panic<T>(decode: impl FnOnce() -> T) -> Result<T, Damage> {
    stay_quiet();
    CAUGHT.set(true);
    // The closure's data is not used again after a panic.
    let result = catch_unwind(AssertUnwindSafe(decode));
    CAUGHT.set(false);
    result.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let text = text.unwrap_or_default();
        Damage::new(format!("it can't be decoded ({})", text.lines().next().unwrap_or_default()))
    })
}

/// Wraps the panic hook of the process once, so that it is not called for panics that are caught.
fn stay_quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let told = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !is_catching_panics() {
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
        let damage = catch_panic(|| empty[index]).expect_err("a panic");
        assert!(damage.to_string().contains("index out of bounds"), "{damage}");
        assert!(!is_catching_panics());
        assert_eq!(catch_panic(|| 3), Ok(3));
    }
}
