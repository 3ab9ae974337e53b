//! Periods, cohorts and event times as people write them.

/// Significant digits beyond which a label is noise of binary fractions.
const DIGITS: usize = 12;
/// Digits up to which a fraction was written so by someone.
const WRITTEN: usize = 10;
/// Decimals of a fraction that has no end, such as a twelfth.
const DECIMALS: i32 = 4;

/// A label: whole where it is whole, else with the digits that were written, and with four decimals where a fraction has no
/// end: `2004`, `0.25`, `-0.1667`. `NA` for a missing one, `Inf` and `-Inf` for infinite ones.
pub fn label(value: f64) -> String {
    with_decimals(value, DECIMALS)
}

/// Labels of one list: those without an end have as many decimals as tell them apart.
pub fn labels(values: &[f64]) -> Vec<String> {
    let shown = |decimals: i32| values.iter().map(|v| with_decimals(*v, decimals)).collect::<Vec<_>>();
    let apart = |texts: &[String]| {
        let mut pairs: Vec<(&String, u64)> =
            texts.iter().zip(values).map(|(text, value)| (text, exact(*value).to_bits())).collect();
        pairs.sort_unstable();
        pairs.dedup();
        pairs.windows(2).all(|pair| pair[0].0 != pair[1].0)
    };
    let enough = (DECIMALS..DIGITS as i32).map(shown).find(|texts| apart(texts));
    enough.unwrap_or_else(|| shown(DIGITS as i32))
}

/// A label with all digits that tell it from others: 12 significant ones, for files.
pub fn precise_label(value: f64) -> String {
    with_decimals(value, i32::MAX)
}

fn with_decimals(value: f64, decimals: i32) -> String {
    if value.is_nan() {
        return "NA".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Inf".to_owned() } else { "-Inf".to_owned() };
    }
    let exact = exact(value);
    let text = format!("{exact}");
    let fraction = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let digits = text.trim_start_matches(['-', '0', '.']).chars().filter(char::is_ascii_digit).count();
    if fraction <= decimals.max(0) as usize || digits <= WRITTEN {
        return text;
    }
    // Three significant digits of what is below one.
    let size = libm::floor(libm::log10(exact.abs())) as i32;
    let decimals = decimals.max(2 - size).max(0) as usize;
    let short = format!("{exact:.decimals$}");
    short.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The value without the noise of binary fractions, and zero without a sign.
fn exact(value: f64) -> f64 {
    if value == value.trunc() {
        return value + 0.0;
    }
    format!("{value:.*e}", DIGITS - 1).parse().unwrap_or(value) + 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_written_as_people_write_them() {
        let all = [
            2004.0,
            -1.0,
            -0.0,
            0.25,
            -0.166_666_666_666_742_46,
            2000.0 + 1.0 / 12.0,
            2_001.123_456,
            1e-7 / 3.0,
        ];
        assert_eq!(
            all.map(label),
            ["2004", "-1", "0", "0.25", "-0.1667", "2000.0833", "2001.123456", "0.0000000333"]
        );
        assert_eq!([f64::NAN, f64::INFINITY, -f64::INFINITY].map(label), ["NA", "Inf", "-Inf"]);
        assert_eq!(label(20_240_131_235_959.0), "20240131235959");
        assert_eq!(label(0.1 + 0.2), "0.3");
        assert_eq!(precise_label(-0.166_666_666_666_742_46), "-0.166666666667");
    }

    #[test]
    fn lists_have_the_decimals_that_tell_them_apart() {
        assert_eq!(labels(&[-1.0 / 12.0, 0.0, 1.0 / 12.0]), ["-0.0833", "0", "0.0833"]);
        let hours = [2000.0, 2000.0 + 1.0 / 87_600.0, 2000.0 + 2.0 / 87_600.0];
        assert_eq!(labels(&hours), ["2000", "2000.00001", "2000.00002"]);
        let same = [1.0 / 3.0, 1.0 / 3.0];
        assert_eq!(labels(&same), ["0.3333", "0.3333"]);
    }
}
