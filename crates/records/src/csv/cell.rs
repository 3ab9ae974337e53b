//! Parsing of CSV cells, and tests for their canonical spelling.

/// A whole number, and its spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Number {
    /// The value, or `None` if it exceeds a signed 64-bit integer.
    pub(super) value: Option<i64>,
    /// `true` if the text is the one that the value would be written as: no sign `+` and no leading zeros.
    pub(super) canonical: bool,
}

/// Parses a cell that consists of digits, with a sign or without.
pub(super) fn integer(cell: &[u8]) -> Option<Number> {
    let (sign, digits) = match cell {
        [sign @ (b'-' | b'+'), rest @ ..] => (Some(*sign), rest),
        rest => (None, rest),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let canonical = sign != Some(b'+') && (digits[0] != b'0' || (digits.len() == 1 && sign.is_none()));
    let mut value = Some(0i64);
    for &digit in digits {
        let digit = i64::from(digit - b'0');
        // Negative numbers reach one further than positive ones.
        value = value.and_then(|v| v.checked_mul(10)?.checked_sub(digit));
    }
    let value = value.and_then(|v| if sign == Some(b'-') { Some(v) } else { v.checked_neg() });
    Some(Number { value, canonical })
}

/// Parses a cell as a number with the decimal mark `mark`. Texts such as `nan` give NaN.
pub(super) fn decimal(cell: &[u8], mark: u8) -> Option<f64> {
    let text = std::str::from_utf8(cell).ok()?;
    if mark == b'.' {
        return text.parse().ok();
    }
    if text.contains('.') {
        return None;
    }
    let mut parts = text.splitn(2, char::from(mark));
    match (parts.next(), parts.next()) {
        (Some(whole), Some(rest)) => format!("{whole}.{rest}").parse().ok(),
        _ => text.parse().ok(),
    }
}

/// Tests whether `cell` is the shortest spelling of `value`, and whether it is the shortest with a decimal point.
pub(super) fn canonical(cell: &[u8], value: f64) -> (bool, bool) {
    let text = std::str::from_utf8(cell).unwrap_or_default();
    (format!("{value}") == text, format!("{value:?}") == text)
}

/// Parses a cell as a logical value, in any case of letters.
pub(super) fn boolean(cell: &[u8]) -> Option<bool> {
    if cell.eq_ignore_ascii_case(b"true") {
        return Some(true);
    }
    cell.eq_ignore_ascii_case(b"false").then_some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_and_their_spelling() {
        let of = |text: &str| integer(text.as_bytes()).map(|n| (n.value, n.canonical));
        assert_eq!(of("0"), Some((Some(0), true)));
        assert_eq!(of("-17"), Some((Some(-17), true)));
        assert_eq!(of("-9223372036854775808"), Some((Some(i64::MIN), true)));
        assert_eq!(of("9223372036854775808"), Some((None, true)));
        for text in ["01", "+1", "-0", "00"] {
            assert_eq!(of(text).map(|n| n.1), Some(false), "{text}");
        }
        for text in ["", "-", "1.0", "1e2", "1 ", "x"] {
            assert_eq!(of(text), None, "{text}");
        }
    }

    #[test]
    fn decimals_and_their_spelling() {
        assert_eq!(decimal(b"1.5", b'.'), Some(1.5));
        assert_eq!(decimal(b"-1,5e3", b','), Some(-1500.0));
        assert_eq!(decimal(b"7", b','), Some(7.0));
        for text in ["1.5", "1.234,5", "1,2,3", "a,5"] {
            assert_eq!(decimal(text.as_bytes(), b','), None, "{text}");
        }
        assert_eq!(canonical(b"1.0", 1.0), (false, true));
        assert_eq!(canonical(b"0.25", 0.25), (true, true));
        assert_eq!(canonical(b"1E2", 100.0), (false, false));
        assert_eq!(canonical(b"1.50", 1.5), (false, false));
    }
}
