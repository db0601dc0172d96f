//! Numbers as people read them: three digits that matter, and a unit. For tables and pages only; files hold exact values.

/// Three significant digits for values below 1,000: `0`, `0.123`, `1.23`, `12.3`, `123`.
fn three_digits(value: f64) -> String {
    match value.abs() {
        v if v >= 99.95 => format!("{value:.0}"),
        v if v >= 9.995 => format!("{value:.1}"),
        v if v >= 0.9995 => format!("{value:.2}"),
        v if v >= 0.0005 => format!("{value:.3}"),
        _ => "0".to_owned(),
    }
}

/// Scales to the largest unit that keeps the number at or above 1.
fn scaled(value: f64, units: &[(f64, &str)]) -> String {
    // 999.7 of one unit would round to 1000; the next unit reads better.
    let fits = |unit: f64| value.abs() >= unit * 0.9995;
    let &(unit, name) = units.iter().rev().find(|(unit, _)| fits(*unit)).unwrap_or(&units[0]);
    match three_digits(value / unit).as_str() {
        "0" => "0".to_owned(),
        digits => format!("{digits} {name}"),
    }
}

/// A duration given in microseconds: `340 µs`, `1.20 s`, `5.40 min`, `2.10 h`, `3.00 d`.
pub fn duration(us: f64) -> String {
    const UNITS: &[(f64, &str)] =
        &[(1.0, "µs"), (1e3, "ms"), (1e6, "s"), (60e6, "min"), (3_600e6, "h"), (86_400e6, "d")];
    scaled(us, UNITS)
}

/// A size in bytes, decimal units: `512 B`, `1.20 kB`.
pub fn bytes(bytes: f64) -> String {
    scaled(bytes, &[(1.0, "B"), (1e3, "kB"), (1e6, "MB"), (1e9, "GB"), (1e12, "TB")])
}

/// An energy given in microjoules: `310 µJ`, `12.0 mJ`, `1.50 J`.
pub fn energy(uj: f64) -> String {
    scaled(uj, &[(1.0, "µJ"), (1e3, "mJ"), (1e6, "J"), (1e9, "kJ"), (1e12, "MJ")])
}

/// A count that may be a mean: whole numbers without a point, others with three significant digits.
pub fn count(value: f64) -> String {
    if value.fract() == 0.0 || value.abs() >= 1_000.0 {
        format!("{value:.0}")
    } else {
        three_digits(value)
    }
}

/// The same value as on an axis, where all are round: `1.00 J` becomes `1 J`.
pub(crate) fn round(text: &str) -> String {
    let (number, unit) =
        text.split_once(' ').map_or((text, None), |(number, unit)| (number, Some(unit)));
    let number = match number.contains('.') {
        true => number.trim_end_matches('0').trim_end_matches('.'),
        false => number,
    };
    unit.map_or(number.to_owned(), |unit| format!("{number} {unit}"))
}

/// A share of 1 as a percentage; one that is not zero never reads as zero.
pub fn share(part: f64) -> String {
    let percent = part * 100.0;
    match percent {
        0.0 => "0 %".to_owned(),
        p if p < 0.01 => "< 0.01 %".to_owned(),
        p if p < 9.995 => format!("{:.2} %", p).replace(".00 %", " %"),
        p if p < 99.95 => format!("{p:.1} %").replace(".0 %", " %"),
        p if p < 100.0 => "> 99.9 %".to_owned(),
        p => format!("{p:.0} %"),
    }
}

/// A list in words: `a`, `a and b`, `a, b and c`.
pub fn list<T: AsRef<str>>(items: &[T]) -> String {
    match items {
        [] => String::new(),
        [one] => one.as_ref().to_owned(),
        [first @ .., last] => {
            let first: Vec<&str> = first.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", first.join(", "), last.as_ref())
        }
    }
}

/// An exact decimal for files: up to `places` digits after the point, without trailing zeros.
pub(crate) fn decimal(value: f64, places: usize) -> String {
    let text = format!("{value:.places$}");
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let texts: Vec<String> =
            [0.0, 7.0, 999.7, 1_500.0, 30e6, 59.98e6, 61e6, 5_400e6, 200_000e6]
                .iter()
                .map(|us| duration(*us))
                .collect();
        assert_eq!(
            texts,
            [
                "0", "7.00 µs", "1.00 ms", "1.50 ms", "30.0 s", "1.00 min", "1.02 min", "1.50 h",
                "2.31 d"
            ]
        );
    }

    #[test]
    fn sizes_and_energies() {
        assert_eq!(bytes(0.2), "0.200 B");
        assert_eq!(bytes(1_234.0), "1.23 kB");
        assert_eq!(energy(12_345.0), "12.3 mJ");
        assert_eq!(energy(2.5e6), "2.50 J");
    }

    #[test]
    fn counts_and_shares() {
        assert_eq!(count(12.0), "12");
        assert_eq!(count(12.25), "12.2");
        assert_eq!(count(1_234.5), "1234");
        assert_eq!(share(0.0), "0 %");
        assert_eq!(share(0.000_01), "< 0.01 %");
        assert_eq!(share(0.0123), "1.23 %");
        assert_eq!(share(0.999_9), "> 99.9 %");
        assert_eq!(share(1.0), "100 %");
    }

    #[test]
    fn round_values() {
        let texts = ["1.00 J", "50.0 %", "10.0", "100 kB", "0", "0.500 B", "0.250"].map(round);
        assert_eq!(texts, ["1 J", "50 %", "10", "100 kB", "0", "0.5 B", "0.25"]);
    }

    #[test]
    fn decimals() {
        assert_eq!(decimal(1.5, 3), "1.5");
        assert_eq!(decimal(100.0, 3), "100");
        assert_eq!(decimal(100.0, 0), "100");
        assert_eq!(decimal(-0.000_01, 3), "0");
        assert_eq!(decimal(0.1 + 0.2, 3), "0.3");
    }

    #[test]
    fn lists() {
        assert_eq!(list::<&str>(&[]), "");
        assert_eq!(list(&["a", "b", "c"]), "a, b and c");
    }
}
