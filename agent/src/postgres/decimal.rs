//! Exact decimals, as PostgreSQL's numeric holds them: money is never a floating-point number here.

use std::fmt;
use std::ops::Neg;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Decimals after the point that are kept. Odoo's currencies have at most 6.
const PLACES: u32 = 12;
const ONE: i128 = 10_i128.pow(PLACES);
/// The least decimals that are shown.
const SHOWN_MIN: usize = 2;
/// The sign word of a numeric below zero; any other than this and 0 is NaN or infinite.
const NEGATIVE: u16 = 0x4000;

/// A number with at most 12 decimals, up to about 10^26. Serialized as text: JSON numbers are not exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Decimal(i128);

/// A number that has no exact [`Decimal`]: not a number, infinite, or with too many digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inexact;

impl fmt::Display for Inexact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the number has too many digits, or is not a number")
    }
}

impl std::error::Error for Inexact {}

impl Decimal {
    /// Zero.
    pub const ZERO: Decimal = Decimal(0);

    /// A whole number.
    pub fn whole(number: i64) -> Decimal {
        Decimal(i128::from(number) * ONE)
    }

    /// The sum, unless it is too large.
    pub fn plus(self, other: Decimal) -> Option<Decimal> {
        self.0.checked_add(other.0).map(Decimal)
    }

    /// The product, rounded half away from zero at the last place that is kept, unless it is too large.
    pub fn times(self, other: Decimal) -> Option<Decimal> {
        Some(Decimal(nearest(self.0.checked_mul(other.0)?, ONE)))
    }

    /// The quotient, rounded in the same way; `None` also for a division by zero.
    pub fn over(self, other: Decimal) -> Option<Decimal> {
        if other.0 == 0 {
            return None;
        }
        let sign = other.0.signum();
        Some(Decimal(nearest(self.0.checked_mul(ONE)?.checked_mul(sign)?, other.0.checked_mul(sign)?)))
    }

    /// The nearest multiple of `step`, half away from zero; itself where the step is not positive.
    pub fn rounded(self, step: Decimal) -> Decimal {
        if step.0 <= 0 { self } else { Decimal(nearest(self.0, step.0) * step.0) }
    }

    /// Its distance from zero.
    pub fn size(self) -> Decimal {
        Decimal(self.0.abs())
    }

    /// The nearest floating-point number, for comparisons of size alone.
    pub fn about(self) -> f64 {
        self.0 as f64 / ONE as f64
    }

    /// A numeric in PostgreSQL's binary format (`numeric_send`): digits of base 10,000, the first of them
    /// worth 10,000^weight.
    ///
    /// # Errors
    /// [`Inexact`], also if the bytes are not a numeric.
    pub fn of_binary(bytes: &[u8]) -> Result<Decimal, Inexact> {
        let word = |at: usize| {
            let bytes = bytes.get(2 * at..2 * at + 2).ok_or(Inexact)?;
            Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
        };
        let (count, weight, sign) = (word(0)?, word(1)? as i16, word(2)?);
        if sign != 0 && sign != NEGATIVE {
            return Err(Inexact);
        }
        let mut value: i128 = 0;
        for at in 0..usize::from(count) {
            let digit = i128::from(word(4 + at)?);
            // how many decimal zeros stand to the right of this digit, counted from the last place we keep
            let zeros = i64::from(PLACES) + 4 * (i64::from(weight) - at as i64);
            value = value.checked_add(shifted(digit, zeros)?).ok_or(Inexact)?;
        }
        Ok(Decimal(if sign == NEGATIVE { -value } else { value }))
    }
}

/// `value / by`, rounded half away from zero; `by` is positive.
fn nearest(value: i128, by: i128) -> i128 {
    let (whole, rest) = (value / by, value % by);
    if 2 * rest.abs() >= by { whole + value.signum() } else { whole }
}

/// `digit * 10^zeros`, if that is a whole number and fits.
fn shifted(digit: i128, zeros: i64) -> Result<i128, Inexact> {
    if digit == 0 {
        return Ok(0);
    }
    let factor = u32::try_from(zeros.unsigned_abs()).ok().and_then(|zeros| 10_i128.checked_pow(zeros));
    match (factor, zeros >= 0) {
        (Some(factor), true) => digit.checked_mul(factor).ok_or(Inexact),
        (Some(factor), false) if digit % factor == 0 => Ok(digit / factor),
        _ => Err(Inexact),
    }
}

impl Neg for Decimal {
    type Output = Decimal;
    fn neg(self) -> Decimal {
        Decimal(-self.0)
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, rest) = (self.0.unsigned_abs() / ONE as u128, self.0.unsigned_abs() % ONE as u128);
        let rest = format!("{rest:0width$}", width = PLACES as usize);
        let kept = rest.trim_end_matches('0').len().max(SHOWN_MIN);
        write!(f, "{sign}{whole}.{}", &rest[..kept])
    }
}

impl FromStr for Decimal {
    type Err = Inexact;
    fn from_str(text: &str) -> Result<Decimal, Inexact> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let (whole, rest) = digits.split_once('.').unwrap_or((digits, ""));
        let fits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !fits(whole) || !fits(rest) || rest.len() > PLACES as usize {
            return Err(Inexact);
        }
        let all = format!("{whole}{rest:0<width$}", width = PLACES as usize);
        let value: i128 = all.parse().map_err(|_| Inexact)?;
        Ok(Decimal(if digits.len() < text.len() { -value } else { value }))
    }
}

impl TryFrom<String> for Decimal {
    type Error = Inexact;
    fn try_from(text: String) -> Result<Decimal, Inexact> {
        text.parse()
    }
}

impl From<Decimal> for String {
    fn from(number: Decimal) -> String {
        number.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary(weight: i16, sign: u16, digits: &[u16]) -> Result<Decimal, Inexact> {
        let head = [digits.len() as u16, weight as u16, sign, 2];
        let words = head.iter().chain(digits);
        Decimal::of_binary(&words.flat_map(|word| word.to_be_bytes()).collect::<Vec<_>>())
    }

    #[test]
    fn taxes_round_half_up_and_not_as_binary_floats_do() {
        let of = |text: &str| text.parse::<Decimal>().unwrap();
        let cent = of("0.01");
        let tax = of("95.70").times(of("15")).unwrap().over(of("100")).unwrap();
        assert_eq!((tax.to_string(), tax.rounded(cent).to_string()), ("14.355".into(), "14.36".into()));
        assert_eq!(of("-14.355").rounded(cent), of("-14.36"));
        assert_eq!(of("121").over(of("1.21")), Some(of("100")));
        assert_eq!((of("1").over(of("-3")).unwrap().rounded(cent), of("-2").size()), (of("-0.33"), of("2")));
        assert_eq!((of("1").over(Decimal::ZERO), of("7").rounded(of("0.05"))), (None, of("7")));
    }

    #[test]
    fn a_numeric_is_read_exactly() {
        let shown = |number: Result<Decimal, Inexact>| number.map(|number| number.to_string());
        assert_eq!(shown(binary(0, 0, &[])), Ok("0.00".into()));
        assert_eq!(shown(binary(1, 0, &[1, 2345, 6700])), Ok("12345.67".into()));
        assert_eq!(shown(binary(-1, NEGATIVE, &[500])), Ok("-0.05".into()));
        assert_eq!(shown(binary(2, 0, &[1])), Ok("100000000.00".into()), "trailing zeros are not stored");
        assert_eq!(shown(binary(-3, 0, &[1])), Ok("0.000000000001".into()));
        assert_eq!(binary(-4, 0, &[1]), Err(Inexact), "more decimals than are kept");
        assert_eq!(shown(binary(-4, 0, &[0])), Ok("0.00".into()));
        assert_eq!(binary(0, 0xC000, &[]), Err(Inexact), "NaN");
        assert_eq!(binary(9, 0, &[1]), Err(Inexact), "too large");
        assert_eq!(Decimal::of_binary(&[0, 1, 0, 0]), Err(Inexact), "cut");
    }

    #[test]
    fn text_round_trips_and_sums_are_exact() {
        for text in ["0.00", "-12.50", "99999999999999.123456", "0.000000000001"] {
            assert_eq!(text.parse::<Decimal>().map(|number| number.to_string()).as_deref(), Ok(text));
        }
        for bad in ["", "-", "1e3", "0.0000000000001", "1.2.3", "+1"] {
            assert!(bad.parse::<Decimal>().is_err(), "{bad:?}");
        }
        let tenth: Decimal = "0.1".parse().unwrap();
        let sum = (0..10).try_fold(Decimal::ZERO, |sum, _| sum.plus(tenth));
        assert_eq!(sum, Some(Decimal::whole(1)));
        assert_eq!((-Decimal::whole(3)).to_string(), "-3.00");
    }
}
