//! Parsing of sizes in bytes.

/// Returns the bytes of `1GB`, `512 MiB` or `2e9`: a unit with B means powers of 1,000, one with iB or without B powers
/// of 1,024.
///
/// # Errors
/// A text that is not a positive size, with an example of one.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || "expected a size such as 1GB or 512MiB".to_owned();
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "tb" => 1e12,
        "k" | "kib" => 1024.0,
        "m" | "mib" => 1_048_576.0,
        "g" | "gib" => 1_073_741_824.0,
        "t" | "tib" => 1_099_511_627_776.0,
        _ => return Err(wrong()),
    };
    let bytes = digits.trim().parse::<f64>().map_err(|_| wrong())? * unit;
    // Larger numbers of bytes have no use.
    if bytes > 0.0 && bytes < 1e18 { Ok(bytes as u64) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::parse_size;

    #[test]
    fn units_are_those_that_people_write() {
        for (text, bytes) in [
            ("1GB", 1_000_000_000),
            ("1.5 GiB", 1_610_612_736),
            ("2e9", 2_000_000_000),
            ("64m", 64 << 20),
            ("7b", 7),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for wrong in ["", "GB", "1 pound", "-1MB", "0", "inf", "nanGB", "1e30", "é"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
    }
}
