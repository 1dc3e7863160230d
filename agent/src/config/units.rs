//! Sizes, rates and durations: a whole number and a unit. The configuration, flags and drill plans all use
//! this grammar. Decimal units (MB, GB) are refused because people read them differently.

const SIZES: [(&str, u64); 5] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];
/// The first unit that fits is written; `m` (minutes) is accepted but never written.
const DURATIONS: [(&str, u64); 6] =
    [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000), ("ms", 1), ("m", 60_000)];

/// Bytes of `64MiB`, `64 MiB`; `None` for anything else.
pub fn size(text: &str) -> Option<u64> {
    measure(text, &SIZES)
}

/// Bytes a second of `50MiB/s`.
pub fn rate(text: &str) -> Option<u64> {
    size(text.strip_suffix("/s")?)
}

/// Milliseconds of `30s`, `5min` or `5m`, `24h`, `7d`, `250ms`.
pub fn duration(text: &str) -> Option<u64> {
    measure(text, &DURATIONS)
}

/// The shortest exact way to write a size.
pub fn size_text(bytes: u64) -> String {
    measure_text(bytes, &SIZES)
}

/// The shortest exact way to write a duration of milliseconds.
pub fn duration_text(milliseconds: u64) -> String {
    if milliseconds == 0 { "0s".to_owned() } else { measure_text(milliseconds, &DURATIONS) }
}

fn measure(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = unit.strip_prefix(' ').unwrap_or(unit);
    let scale = units.iter().find(|(name, _)| *name == unit)?.1;
    number.parse::<u64>().ok()?.checked_mul(scale)
}

fn measure_text(value: u64, units: &[(&str, u64)]) -> String {
    let fits = units.iter().find(|(_, scale)| value >= *scale && value.is_multiple_of(*scale));
    fits.map_or_else(|| value.to_string(), |(name, scale)| format!("{}{name}", value / scale))
}

/// A number such as `0.023`, without a sign or an exponent.
pub fn decimal(text: &str) -> Option<f64> {
    let is_fine = |part: &str| part.len() <= 9 && part.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let has_digits = !whole.is_empty() && !part.is_empty();
    (has_digits && is_fine(whole) && is_fine(part)).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_strict() {
        assert_eq!(size("64MiB"), Some(64 << 20));
        assert_eq!(size("64 MiB"), Some(64 << 20));
        assert_eq!(rate("50MiB/s"), Some(50 << 20));
        assert_eq!((duration("5min"), duration("5m")), (Some(300_000), Some(300_000)));
        assert_eq!(duration("0s"), Some(0));
        for bad in ["", "64", "MiB", "64MB", "64mib", "-1MiB", "+1MiB", "1.5GiB", "64  MiB", "99999999TiB"] {
            assert_eq!(size(bad), None, "{bad}");
        }
        for bad in ["5M", "30", "1 hour", "s", "1h30m"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
        assert_eq!(rate("50MiB"), None);
    }

    #[test]
    fn what_is_written_is_read_back() {
        for bytes in [1, 1023, 1024, 65_536, 3 << 20, 1 << 40] {
            assert_eq!(size(&size_text(bytes)), Some(bytes));
        }
        for milliseconds in [0, 1, 1_000, 61_000, 3_600_000, 86_400_000] {
            assert_eq!(duration(&duration_text(milliseconds)), Some(milliseconds));
        }
    }
}
