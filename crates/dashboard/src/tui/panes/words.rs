//! Numbers as people read them at a glance.

/// `9500`, `12.3k`, `4.56M`, `7.89G`
pub(super) fn count(n: u64) -> String {
    let x = n as f64;
    match n {
        0..10_000 => n.to_string(),
        10_000..1_000_000 => short(x / 1e3, "k"),
        1_000_000..1_000_000_000 => short(x / 1e6, "M"),
        _ => short(x / 1e9, "G"),
    }
}

/// `12 MB`
pub(super) fn bytes(n: u64) -> String {
    let x = n as f64;
    match n {
        0..1_000 => format!("{n} B"),
        1_000..1_000_000 => short(x / 1e3, " kB"),
        1_000_000..1_000_000_000 => short(x / 1e6, " MB"),
        1_000_000_000..1_000_000_000_000 => short(x / 1e9, " GB"),
        _ => short(x / 1e12, " TB"),
    }
}

/// Memory in the megabytes that Lambda sells.
pub(super) fn lambda_mb(bytes: u64) -> String {
    format!("{} MB", bytes >> 20)
}

/// Three digits and a unit.
fn short(x: f64, unit: &str) -> String {
    match x {
        x if x < 9.995 => format!("{x:.2}{unit}"),
        x if x < 99.95 => format!("{x:.1}{unit}"),
        x => format!("{x:.0}{unit}"),
    }
}

/// `0.42 s`, `12.3 s`, `3m 05s`, `2h 10m`
pub(super) fn seconds(s: f64) -> String {
    let whole = s.max(0.0) as u64;
    match s {
        s if s < 0.995 => format!("{s:.2} s"),
        s if s < 119.95 => format!("{s:.1} s"),
        _ if whole < 7_200 => format!("{}m {:02}s", whole / 60, whole % 60),
        _ => format!("{}h {:02}m", whole / 3_600, whole / 60 % 60),
    }
}

/// `$0.0123`
pub(super) fn dollars(amount: f64) -> String {
    match amount {
        x if x <= 0.0 => "$0".to_owned(),
        x if x < 0.0995 => format!("${x:.4}"),
        x if x < 99.5 => format!("${x:.2}"),
        x => format!("${x:.0}"),
    }
}

/// Time of day in UTC.
pub(super) fn time(unix: f64) -> String {
    let whole = unix.max(0.0) as u64 % 86_400;
    format!("{:02}:{:02}:{:02}", whole / 3_600, whole / 60 % 60, whole % 60)
}

/// Returns a text cut to at most `width` characters; what is left out is marked.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(2)).collect();
    kept + &"..".chars().take(width).collect::<String>()
}

/// Returns lines of at most `width` characters, broken between words where there are any.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut out = vec![String::new()];
    for word in text.split(' ') {
        let mut rest: Vec<char> = word.chars().collect();
        loop {
            let last = out.len() - 1;
            let used = out[last].chars().count();
            let gap = usize::from(used > 0);
            if used + gap + rest.len() <= width {
                out[last] += &" ".repeat(gap);
                out[last].extend(rest);
                break;
            }
            if used == 0 {
                out[last].extend(rest.drain(..width));
            }
            out.push(String::new());
        }
    }
    out
}

/// A period or cohort: whole where it is whole.
pub(super) fn label(x: f64) -> String {
    if x.is_infinite() { "never".to_owned() } else { stagger_estimator::label::label(x) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_and_a_unit() {
        let counts = [0, 999, 1_000, 12_345, 999_999, 4_560_000, 7_890_000_000].map(count).join(" ");
        assert_eq!(counts, "0 999 1000 12.3k 1000k 4.56M 7.89G");
        assert_eq!([12, 1_500, 2_000_000_000].map(bytes).join(" "), "12 B 1.50 kB 2.00 GB");
        assert_eq!([0.42, 12.34, 185.0, 7_800.0].map(seconds).join(" "), "0.42 s 12.3 s 3m 05s 2h 10m");
        assert_eq!([0.0, 0.0123, 4.5, 120.0].map(dollars).join(" "), "$0 $0.0123 $4.50 $120");
        assert_eq!(cut("abcdef", 4), "ab..");
        assert_eq!(wrap("one two threefour", 5), ["one", "two", "three", "four"]);
        assert_eq!(wrap("", 5), [""]);
        assert_eq!(time(3_661.0), "01:01:01");
    }
}
