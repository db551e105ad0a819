//! Shares, times, speeds and sizes as people write them: `20%`, `50ms`, `10mbit`, `300kB`.
//!
//! Whole numbers throughout, so that what is shown reads back as exactly what it was.

use std::fmt;
use std::time::Duration;

/// A share in millionths: `0.2`, `20%` or `2000ppm`.
pub fn parse_share(text: &str) -> Result<u32, QuantityError> {
    let (number, unit) = split_unit(text)?;
    let millionths = match unit {
        "" => 1_000_000,
        "%" => 10_000,
        "ppm" => 1,
        _ => {
            return Err(QuantityError::Unit { text: text.into(), example: "0.2 or 20%" });
        }
    };
    let share = scaled(number, millionths, text)?;
    u32::try_from(share)
        .ok()
        .filter(|share| *share <= 1_000_000)
        .ok_or_else(|| QuantityError::ShareAboveOne { text: text.into() })
}

/// A time with its unit: `200us`, `50ms`, `1.5s`, `2min`, `1h`. Only nothing at all, `0`, needs none.
pub fn parse_duration(text: &str) -> Result<Duration, QuantityError> {
    let (number, unit) = split_unit(text)?;
    let nanos = match unit {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "min" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "" if number == "0" => 1,
        _ => {
            return Err(QuantityError::Unit { text: text.into(), example: "50ms or 1.5s" });
        }
    };
    Ok(Duration::from_nanos(scaled(number, nanos, text)?))
}

/// Bits a second with their unit: `9600bit`, `500kbit`, `10mbit`, `1gbit`.
pub fn parse_rate(text: &str) -> Result<u64, QuantityError> {
    let (number, unit) = split_unit(text)?;
    let bits = match unit.to_ascii_lowercase().as_str() {
        "bit" => 1,
        "kbit" => 1_000,
        "mbit" => 1_000_000,
        "gbit" => 1_000_000_000,
        _ => {
            return Err(QuantityError::Unit { text: text.into(), example: "10mbit or 500kbit" });
        }
    };
    match scaled(number, bits, text)? {
        0 => Err(QuantityError::Zero { text: text.into() }),
        rate => Ok(rate),
    }
}

/// Bytes, with or without a unit: `1200`, `300kB`, `64KiB`, `1MB`.
pub fn parse_size(text: &str) -> Result<u64, QuantityError> {
    let (number, unit) = split_unit(text)?;
    let bytes = match unit {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "MiB" => 1 << 20,
        _ => {
            return Err(QuantityError::Unit { text: text.into(), example: "1200 or 300kB" });
        }
    };
    scaled(number, bytes, text)
}

/// A number with its unit, in the largest unit that shows it whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// Millionths.
    Share(u32),
    /// A time.
    Time(Duration),
    /// Bits a second.
    Rate(u64),
    /// Bytes.
    Size(u64),
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Share(ppm) => write_decimal(f, u64::from(ppm), 10_000, "%"),
            Self::Time(time) => write_time(f, u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)),
            Self::Rate(bits) => write_whole(
                f,
                bits,
                &[(1_000_000_000, "gbit"), (1_000_000, "mbit"), (1_000, "kbit"), (1, "bit")],
            ),
            Self::Size(bytes) => write_whole(f, bytes, &[(1_000_000, "MB"), (1_000, "kB"), (1, "B")]),
        }
    }
}

fn write_time(f: &mut fmt::Formatter<'_>, nanos: u64) -> fmt::Result {
    match nanos {
        0 => f.write_str("0ms"),
        1..1_000 => write!(f, "{nanos}ns"),
        1_000..1_000_000 => write_decimal(f, nanos, 1_000, "us"),
        1_000_000..1_000_000_000 => write_decimal(f, nanos, 1_000_000, "ms"),
        _ => write_decimal(f, nanos, 1_000_000_000, "s"),
    }
}

fn write_whole(f: &mut fmt::Formatter<'_>, value: u64, units: &[(u64, &str)]) -> fmt::Result {
    let (size, name) =
        units.iter().find(|(size, _)| value != 0 && value.is_multiple_of(*size)).unwrap_or(&(1, "B"));
    write!(f, "{}{name}", value / size)
}

/// Writes `value` / `one` with as many decimals as it needs. `one` is a power of ten.
fn write_decimal(f: &mut fmt::Formatter<'_>, value: u64, one: u64, unit: &str) -> fmt::Result {
    write!(f, "{}", value / one)?;
    if !value.is_multiple_of(one) {
        let width = one.ilog10() as usize;
        let digits = format!("{:0width$}", value % one);
        write!(f, ".{}", digits.trim_end_matches('0'))?;
    }
    f.write_str(unit)
}

fn split_unit(text: &str) -> Result<(&str, &str), QuantityError> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    if end == 0 { Err(QuantityError::NotANumber { text: text.into() }) } else { Ok(text.split_at(end)) }
}

/// The decimal `number` times `scale`, exactly.
fn scaled(number: &str, scale: u64, text: &str) -> Result<u64, QuantityError> {
    let not_a_number = || QuantityError::NotANumber { text: text.into() };
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    let decimals = decimals.trim_end_matches('0');
    if whole.is_empty() || number.ends_with('.') || decimals.contains('.') {
        return Err(not_a_number());
    }
    let too_large = || QuantityError::TooLarge { text: text.into() };
    let whole: u64 = whole.parse().map_err(|_| too_large())?;
    let mut value = u128::from(whole) * u128::from(scale);
    let mut place = u128::from(scale);
    for digit in decimals.bytes() {
        if !place.is_multiple_of(10) {
            return Err(QuantityError::TooFine { text: text.into() });
        }
        place /= 10;
        value += u128::from(digit - b'0') * place;
    }
    u64::try_from(value).map_err(|_| too_large())
}

/// Why a text is not a share, time, speed or size. It is always the text's fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QuantityError {
    /// There is no number at its front.
    NotANumber {
        /// What was given.
        text: String,
    },
    /// The unit is missing or unknown.
    Unit {
        /// What was given.
        text: String,
        /// What it could look like.
        example: &'static str,
    },
    /// A share above 1.
    ShareAboveOne {
        /// What was given.
        text: String,
    },
    /// More decimals than the smallest step.
    TooFine {
        /// What was given.
        text: String,
    },
    /// More than can be counted.
    TooLarge {
        /// What was given.
        text: String,
    },
    /// Nothing, where something is needed.
    Zero {
        /// What was given.
        text: String,
    },
}

impl std::error::Error for QuantityError {}

impl fmt::Display for QuantityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotANumber { text } => write!(f, "`{text}` does not start with a number such as 20 or 0.5"),
            Self::Unit { text, example } => {
                write!(f, "`{text}` has no unit that fits here; write it like {example}")
            }
            Self::ShareAboveOne { text } => {
                write!(f, "`{text}` is more than all; a share goes from 0 to 1, or 0% to 100%")
            }
            Self::TooFine { text } => {
                write!(f, "`{text}` has too many decimals; a share goes in steps of a millionth")
            }
            Self::TooLarge { text } => write!(f, "`{text}` is too large to count"),
            Self::Zero { text } => write!(f, "`{text}` lets nothing through; for that use drop=100%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_exact_millionths() {
        for (text, ppm) in
            [("0", 0), ("0.2", 200_000), ("1", 1_000_000), ("20%", 200_000), ("0.0001%", 1), ("7ppm", 7)]
        {
            assert_eq!(parse_share(text), Ok(ppm), "{text}");
        }
        assert_eq!(parse_share("1.5"), Err(QuantityError::ShareAboveOne { text: "1.5".into() }));
        assert!(matches!(parse_share("0.0000001"), Err(QuantityError::TooFine { .. })));
    }

    #[test]
    fn what_is_no_quantity_is_told_apart() {
        for text in ["", ".", ".5", "5.", "1.2.3", "-1", "x"] {
            assert!(matches!(parse_share(text), Err(QuantityError::NotANumber { .. })), "{text}");
        }
        assert!(matches!(parse_duration("50"), Err(QuantityError::Unit { .. })));
        assert!(matches!(parse_duration("99999999999999999999s"), Err(QuantityError::TooLarge { .. })));
        assert!(matches!(parse_size("18446744073709551615MB"), Err(QuantityError::TooLarge { .. })));
        assert!(matches!(parse_rate("0mbit"), Err(QuantityError::Zero { .. })));
    }

    #[test]
    fn what_is_shown_reads_back() {
        for nanos in [0, 1, 999, 1_500, 50_000_000, 1_000_000_001, 60_000_000_000, u64::MAX] {
            let time = Duration::from_nanos(nanos);
            assert_eq!(parse_duration(&Quantity::Time(time).to_string()), Ok(time));
        }
        for value in [1, 1_500, 10_000_000, 1_000_000_000] {
            assert_eq!(parse_rate(&Quantity::Rate(value).to_string()), Ok(value));
            assert_eq!(parse_size(&Quantity::Size(value).to_string()), Ok(value));
        }
        for ppm in [0, 1, 12_345, 200_000, 1_000_000] {
            assert_eq!(parse_share(&Quantity::Share(ppm).to_string()), Ok(ppm));
        }
        assert_eq!(Quantity::Share(12_345).to_string(), "1.2345%");
        assert_eq!(Quantity::Time(Duration::from_micros(1_500)).to_string(), "1.5ms");
    }
}
