//! Quantities with units, read and printed exactly: all arithmetic is on integers.

/// A kind of quantity: its units and what an example looks like.
pub(crate) struct Quantity {
    /// For messages: "a duration such as ...".
    pub(crate) what: &'static str,
    units: &'static [Unit],
    /// Whether values may be sums, such as `2h30min`.
    sums: bool,
}

struct Unit {
    name: &'static str,
    /// How many base units it is.
    size: u64,
    /// Whether values are printed in it.
    printed: bool,
}

const fn unit(name: &'static str, size: u64) -> Unit {
    Unit { name, size, printed: true }
}

const fn read_only(name: &'static str, size: u64) -> Unit {
    Unit { name, size, printed: false }
}

/// Nanoseconds in a second.
pub(crate) const SECOND: u64 = 1_000_000_000;
/// Nanoseconds in a minute.
pub(crate) const MINUTE: u64 = 60 * SECOND;
/// Nanoseconds in an hour.
pub(crate) const HOUR: u64 = 60 * MINUTE;
/// Nanoseconds in a day.
pub(crate) const DAY: u64 = 24 * HOUR;

/// Durations, in nanoseconds. Units are listed from large to small, as sums must be.
pub(crate) const DURATION: Quantity = Quantity {
    what: "a duration such as \"100ms\", \"30s\" or \"2h30min\"",
    units: &[
        read_only("d", DAY),
        read_only("h", HOUR),
        read_only("min", MINUTE),
        read_only("m", MINUTE),
        unit("s", SECOND),
        unit("ms", 1_000_000),
        unit("us", 1_000),
        unit("ns", 1),
    ],
    sums: true,
};

/// Sizes, in bytes.
pub(crate) const SIZE: Quantity = Quantity {
    what: "a size such as \"200B\", \"4kB\" or \"1MiB\"",
    units: &[
        unit("GiB", 1 << 30),
        unit("GB", 1_000_000_000),
        unit("MiB", 1 << 20),
        unit("MB", 1_000_000),
        unit("KiB", 1 << 10),
        unit("kB", 1_000),
        unit("B", 1),
    ],
    sums: false,
};

/// Rates of links, in bits per second.
pub(crate) const RATE: Quantity = Quantity {
    what: "a rate such as \"400kbps\" or \"12Mbps\"",
    units: &[
        unit("Gbps", 1_000_000_000),
        unit("Mbps", 1_000_000),
        unit("kbps", 1_000),
        unit("bps", 1),
    ],
    sums: false,
};

/// Rates of storage, in bytes per second.
pub(crate) const BYTE_RATE: Quantity = Quantity {
    what: "a rate such as \"40MB/s\"",
    units: &[
        unit("GB/s", 1_000_000_000),
        unit("MB/s", 1_000_000),
        unit("kB/s", 1_000),
        unit("B/s", 1),
    ],
    sums: false,
};

/// Powers, in milliwatts.
pub(crate) const POWER: Quantity = Quantity {
    what: "a power such as \"1060mW\" or \"1.2W\"",
    units: &[unit("W", 1_000), unit("mW", 1)],
    sums: false,
};

/// Small powers, in microwatts.
pub(crate) const FINE_POWER: Quantity = Quantity {
    what: "a power such as \"438.39mW\"",
    units: &[unit("W", 1_000_000), unit("mW", 1_000), unit("uW", 1)],
    sums: false,
};

/// Energies, in millijoules. A charge is taken at the nominal 3.85 V of a lithium cell (numbers.md, B.6):
/// 1 mAh = 3.6 As × 3.85 V = 13.86 J.
pub(crate) const ENERGY: Quantity = Quantity {
    what: "an energy such as \"59600J\", \"50Wh\" or \"4300mAh\" (at 3.85 V)",
    units: &[
        read_only("Wh", 3_600_000),
        unit("kJ", 1_000_000),
        read_only("mAh", 13_860),
        unit("J", 1_000),
        unit("mJ", 1),
    ],
    sums: false,
};

/// Why a text is no value of a quantity.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is not made of numbers and units.
    Shape,
    /// A unit is not one of this quantity's; the whole text with the nearest unit, if any is near.
    Unit(Option<String>),
    /// It is no whole number of base units.
    Inexact(&'static str),
    /// It does not fit.
    TooLarge,
}

impl Quantity {
    /// Reads a text, in base units.
    pub(crate) fn parse(&self, text: &str) -> Result<u64, Fault> {
        let mut rest = text;
        let mut total: u128 = 0;
        let mut largest_allowed = u64::MAX;
        while !rest.is_empty() {
            let number_end =
                rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            let (number, after) = rest.split_at(number_end);
            let unit_end =
                after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
            let (name, after) = after.split_at(unit_end);
            if number.is_empty() || name.is_empty() {
                return Err(Fault::Shape);
            }
            let Some(unit) = self.units.iter().find(|unit| unit.name == name) else {
                let near = self.nearest_unit(name);
                return Err(Fault::Unit(near.map(|near| text.replacen(name, near, 1))));
            };
            // Sums go from large to small, each unit once: anything else is more likely a slip than meant.
            if unit.size >= largest_allowed || (!self.sums && !after.is_empty()) {
                return Err(Fault::Shape);
            }
            largest_allowed = unit.size;
            total += self.scaled(number, unit.size)?;
            rest = after;
        }
        if largest_allowed == u64::MAX {
            return Err(Fault::Shape);
        }
        u64::try_from(total).map_err(|_| Fault::TooLarge)
    }

    /// `number` times `size`, exactly.
    fn scaled(&self, number: &str, size: u64) -> Result<u128, Fault> {
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        if whole.is_empty() || fraction.is_empty() || fraction.contains('.') {
            return Err(Fault::Shape);
        }
        // Twenty digits hold every value that fits; longer texts are refused before they can overflow.
        if whole.len() > 20 {
            return Err(Fault::TooLarge);
        }
        if fraction.len() > 15 {
            return Err(self.inexact());
        }
        let digits = |text: &str| text.parse::<u128>().map_err(|_| Fault::Shape);
        let divisor = 10_u128.pow(fraction.len() as u32);
        let parts = digits(fraction)? * u128::from(size);
        if parts % divisor != 0 {
            return Err(self.inexact());
        }
        Ok(digits(whole)? * u128::from(size) + parts / divisor)
    }

    fn inexact(&self) -> Fault {
        Fault::Inexact(self.units.last().map_or("", |unit| unit.name))
    }

    fn nearest_unit(&self, wrong: &str) -> Option<&'static str> {
        const MISSPELT: [(&str, &str); 8] = [
            ("sec", "s"),
            ("second", "s"),
            ("minute", "min"),
            ("hr", "h"),
            ("hour", "h"),
            ("day", "d"),
            ("µs", "us"),
            ("byte", "B"),
        ];
        let singular = wrong.strip_suffix('s').filter(|stem| stem.len() > 1).unwrap_or(wrong);
        let meant = MISSPELT.iter().find(|(misspelt, _)| [singular, wrong].contains(misspelt));
        let meant = meant.map_or(wrong, |(_, right)| right);
        self.units.iter().map(|unit| unit.name).find(|name| name.eq_ignore_ascii_case(meant))
    }

    /// The names of all units, for messages.
    pub(crate) fn unit_names(&self) -> String {
        let names: Vec<&str> = self.units.iter().map(|unit| unit.name).collect();
        names.join(", ")
    }

    /// The shortest text that [`Quantity::parse`] reads as exactly `value`.
    pub(crate) fn print(&self, value: u64) -> String {
        if self.sums && value >= SECOND && value.is_multiple_of(SECOND) {
            return sum_of_hours_minutes_seconds(value / SECOND);
        }
        if self.sums && value == 0 {
            return "0s".to_owned();
        }
        let smallest = self.units.last().expect("every quantity has units");
        // The largest unit in which the value is at least 1 and has at most three decimals.
        let unit = self
            .units
            .iter()
            .filter(|unit| unit.printed && unit.size <= value)
            .find(|unit| (u128::from(value) * 1000).is_multiple_of(u128::from(unit.size)))
            .unwrap_or(smallest);
        let milli = u128::from(value) * 1000 / u128::from(unit.size);
        format!("{}{}", decimal(milli, 3), unit.name)
    }
}

fn sum_of_hours_minutes_seconds(seconds: u64) -> String {
    let mut text = String::new();
    for (amount, name) in [(seconds / 3600, "h"), (seconds / 60 % 60, "min"), (seconds % 60, "s")] {
        if amount > 0 {
            text += &format!("{amount}{name}");
        }
    }
    text
}

/// `value` / 10^`places`, without trailing zeros.
pub(crate) fn decimal(value: u128, places: u32) -> String {
    let one = 10_u128.pow(places);
    let (whole, fraction) = (value / one, value % one);
    if fraction == 0 {
        return whole.to_string();
    }
    let digits = format!("{fraction:0width$}", width = places as usize);
    format!("{whole}.{}", digits.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read_exactly() {
        let cases: [(&Quantity, &str, u64); 34] = [
            (&DURATION, "0s", 0),
            (&DURATION, "1ns", 1),
            (&DURATION, "20us", 20_000),
            (&DURATION, "100ms", 100_000_000),
            (&DURATION, "30s", 30 * SECOND),
            (&DURATION, "1.5s", 1_500_000_000),
            (&DURATION, "0.000000001s", 1),
            (&DURATION, "40min", 40 * MINUTE),
            (&DURATION, "40m", 40 * MINUTE),
            (&DURATION, "2h30m", 150 * MINUTE),
            (&DURATION, "2h30min15s", 150 * MINUTE + 15 * SECOND),
            (&DURATION, "24h", DAY),
            (&DURATION, "1d", DAY),
            (&DURATION, "1d12h", 36 * HOUR),
            (&DURATION, "90min", 90 * MINUTE),
            (&SIZE, "200B", 200),
            (&SIZE, "4kB", 4_000),
            (&SIZE, "1.5kB", 1_500),
            (&SIZE, "1KiB", 1_024),
            (&SIZE, "1MiB", 1_048_576),
            (&SIZE, "2GB", 2_000_000_000),
            (&RATE, "20bps", 20),
            (&RATE, "400kbps", 400_000),
            (&RATE, "12Mbps", 12_000_000),
            (&RATE, "1.04Mbps", 1_040_000),
            (&RATE, "10Gbps", 10_000_000_000),
            (&BYTE_RATE, "40MB/s", 40_000_000),
            (&POWER, "1060mW", 1_060),
            (&POWER, "1.2W", 1_200),
            (&FINE_POWER, "438.39mW", 438_390),
            (&ENERGY, "59600J", 59_600_000),
            (&ENERGY, "4300mAh", 59_598_000),
            (&ENERGY, "50Wh", 180_000_000),
            (&ENERGY, "0.5mAh", 6_930),
        ];
        for (quantity, text, value) in cases {
            assert_eq!(quantity.parse(text), Ok(value), "{text}");
            assert_eq!(quantity.parse(&quantity.print(value)), Ok(value), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let near = |text: &str| Fault::Unit(Some(text.to_owned()));
        let cases: [(&Quantity, &str, Fault); 28] = [
            (&DURATION, "", Fault::Shape),
            (&DURATION, "30", Fault::Shape),
            (&DURATION, "s", Fault::Shape),
            (&DURATION, "-30s", Fault::Shape),
            (&DURATION, "+30s", Fault::Shape),
            (&DURATION, "30 s", Fault::Unit(None)),
            (&DURATION, "1.s", Fault::Shape),
            (&DURATION, ".5s", Fault::Shape),
            (&DURATION, "1.2.3s", Fault::Shape),
            (&DURATION, "30s2h", Fault::Shape),
            (&DURATION, "2h2h", Fault::Shape),
            (&DURATION, "2min3m", Fault::Shape),
            (&DURATION, "1.5ns", Fault::Inexact("ns")),
            (&DURATION, "0.0000000001s", Fault::Inexact("ns")),
            (&DURATION, "0.00000000000000000000001s", Fault::Inexact("ns")),
            (&DURATION, "999999d", Fault::TooLarge),
            (&DURATION, "99999999999999999999999999999999999999999s", Fault::TooLarge),
            (&DURATION, "30sec", near("30s")),
            (&DURATION, "2hours", near("2h")),
            (&DURATION, "5µs", near("5us")),
            (&DURATION, "30MS", near("30ms")),
            (&DURATION, "30kB", Fault::Unit(None)),
            (&SIZE, "4KB", near("4kB")),
            (&SIZE, "1kB1B", Fault::Shape),
            (&RATE, "12mbps", near("12Mbps")),
            (&POWER, "0.5mW", Fault::Inexact("mW")),
            (&POWER, "1kW", Fault::Unit(None)),
            (&ENERGY, "12W", Fault::Unit(None)),
        ];
        for (quantity, text, fault) in cases {
            assert_eq!(quantity.parse(text), Err(fault), "{text}");
        }
    }

    #[test]
    fn values_are_printed_for_people() {
        let cases: [(&Quantity, u64, &str); 22] = [
            (&DURATION, 0, "0s"),
            (&DURATION, 1, "1ns"),
            (&DURATION, 1_500, "1.5us"),
            (&DURATION, 260_000_000, "260ms"),
            (&DURATION, 11_576_000_000, "11.576s"),
            (&DURATION, 1_000_000_001, "1000000.001us"),
            (&DURATION, 30 * SECOND, "30s"),
            (&DURATION, 90 * SECOND, "1min30s"),
            (&DURATION, 24 * HOUR, "24h"),
            (&DURATION, 7 * HOUR + 45 * MINUTE, "7h45min"),
            (&SIZE, 0, "0B"),
            (&SIZE, 200, "200B"),
            (&SIZE, 1_500, "1.5kB"),
            (&SIZE, 1_048_576, "1MiB"),
            (&RATE, 1_040_000, "1.04Mbps"),
            (&RATE, 768_000, "768kbps"),
            (&RATE, 12_345_678, "12345.678kbps"),
            (&POWER, 1_210, "1.21W"),
            (&POWER, 578, "578mW"),
            (&FINE_POWER, 438_390, "438.39mW"),
            (&ENERGY, 59_598_000, "59.598kJ"),
            (&ENERGY, 999, "999mJ"),
        ];
        for (quantity, value, text) in cases {
            assert_eq!(quantity.print(value), text);
            assert_eq!(quantity.parse(text), Ok(value), "{text}");
        }
        for value in [u64::MAX, u64::MAX - 1, 1 << 63, 10_u64.pow(19)] {
            for quantity in [&DURATION, &SIZE, &RATE, &BYTE_RATE, &POWER, &FINE_POWER, &ENERGY] {
                assert_eq!(quantity.parse(&quantity.print(value)), Ok(value), "{value}");
            }
        }
    }

    #[test]
    fn decimals_lose_trailing_zeros() {
        let cases =
            [(0, "0"), (1, "0.000001"), (20_000, "0.02"), (1_000_000, "1"), (1_500_000, "1.5")];
        for (value, text) in cases {
            assert_eq!(decimal(value, 6), text);
        }
    }
}
