//! Numbers as the texts that people read write them.

/// Returns a count with its noun, in the plural unless it is one: `1 unit`, `2,500 rows`.
pub fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(count))
}

/// Returns a whole number with its digits in groups of three: `1,234,567`.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns the level of a band in percent from the significance level `alp`, without the noise of binary fractions: `95` of 0.05.
pub fn percent(alp: f64) -> String {
    let text = format!("{:.6}", 100.0 * (1.0 - alp));
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_groups_of_digits_and_a_noun() {
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(counted(1, "unit"), "1 unit");
        assert_eq!(counted(2500, "row"), "2,500 rows");
    }

    #[test]
    fn levels_are_in_percent() {
        assert_eq!([0.05, 0.001, 0.1].map(percent), ["95", "99.9", "90"]);
    }
}
