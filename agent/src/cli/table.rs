//! Tables for people.

use super::screen::{Line, Tone};

/// Columns where the width of the screen is not known, as in a pipe.
pub const WIDTH: usize = 80;
/// How far a row is indented whose first cell got a line of its own.
const INDENT: usize = 2;

/// What stands in a column of a row.
#[derive(Clone, Debug)]
pub struct Cell(pub Tone, pub String);

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Cell {
        Cell(Tone::Plain, text.into())
    }
}

/// Columns as wide as their widest cell; the last one as it comes. Where a row is wider than `width`, its
/// first cell (a name) gets a line of its own.
pub fn table<const N: usize>(rows: &[[Cell; N]], width: usize) -> Vec<Line> {
    let count = |cell: &Cell| cell.1.chars().count();
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(count(cell));
        }
    }
    let rest: usize = widths.iter().skip(1).map(|width| 2 + width).sum();
    // Names that leave no room for the others do not push these aside.
    let room = width.saturating_sub(rest);
    let fitting = rows.iter().map(|row| count(&row[0])).filter(|name| *name <= room).max();
    let first = fitting.unwrap_or(INDENT);
    let mut lines = Vec::new();
    for row in rows {
        let mut line = Line::new(INDENT);
        let mut gap = 0;
        for (place, (cell, width)) in row.iter().zip(widths).enumerate() {
            let (Cell(tone, text), mut width) = (cell, width);
            if place == 0 {
                width = first;
                if count(cell) > first {
                    line.push(*tone, text);
                    lines.push(std::mem::replace(&mut line, Line::new(INDENT)));
                    gap = first;
                    continue;
                }
            }
            line.plain(" ".repeat(gap + if place > 0 { 2 } else { 0 })).push(*tone, text);
            gap = width.saturating_sub(count(cell));
        }
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::screen::Text;

    fn shown<const N: usize>(rows: &[[&str; N]], width: usize) -> String {
        let rows: Vec<[Cell; N]> = rows.iter().map(|row| row.map(Cell::from)).collect();
        let mut text = Text::default();
        text.extend(table(&rows, width));
        text.render(None, false)
    }

    #[test]
    fn columns_line_up_whatever_is_in_them() {
        assert_eq!(shown(&[["a", "b"], ["état", "c"]], 80), "a     b\nétat  c\n");
    }

    #[test]
    fn a_name_that_is_too_long_gets_a_line_of_its_own() {
        let rows = [["shop", "ok", "x"], ["a_very_long_name", "ok", "y"], ["b", "LATE", ""]];
        assert_eq!(shown(&rows, 15), "shop  ok    x\na_very_long_name\n      ok    y\nb     LATE\n");
        assert_eq!(shown(&rows, 80).lines().count(), 3);
    }
}
