//! CSV (RFC 4180) that no spreadsheet runs: text that begins like a formula gets an apostrophe in front.

/// Appends a row; each cell with whether it is a number of ours, which stays as it is.
pub fn row<'c>(out: &mut String, cells: impl IntoIterator<Item = (&'c str, bool)>) {
    for (at, (cell, is_number)) in cells.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        let formula = !is_number && cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
        let quoted = formula || cell.contains(['"', ',', '\n', '\r', ';']);
        if quoted {
            out.push('"');
        }
        if formula {
            out.push('\'');
        }
        match quoted {
            true => out.push_str(&cell.replace('"', "\"\"")),
            false => out.push_str(cell),
        }
        if quoted {
            out.push('"');
        }
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_customer_typed_is_a_formula() {
        let mut out = String::new();
        for cell in ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(1)", "\t=1", "plain", "a\"b", "two\nlines"] {
            row(&mut out, [(cell, false), ("x", false)]);
        }
        let expected = "\"'=cmd|' /C calc'!A0\",x\n\"'+1\",x\n\"'-1\",x\n\"'@SUM(1)\",x\n\"'\t=1\",x\nplain,x\n\
                        \"a\"\"b\",x\n\"two\nlines\",x\n";
        assert_eq!(out, expected);
        out.clear();
        row(&mut out, [("-12.50", true)]);
        assert_eq!(out, "-12.50\n", "a number is no formula");
    }
}
