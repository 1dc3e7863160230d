//! A record with its lines, in the form of Odoo's import: `load` makes it and its external IDs in one
//! transaction, and it calls what it refuses by name.

use serde_json::{Value, json};

use super::exported::Row;
use super::ground::{Ground, Named};
use super::named::named;
use super::stop::Stop;
use super::target::internal;

/// The longest list of what an import refused.
const MESSAGES_MAX: usize = 3;

/// A cell.
#[derive(Clone, Debug)]
pub enum Cell {
    /// A value.
    Text(String),
    /// A row that is named.
    Row(Named),
    /// Several.
    Rows(Vec<Named>),
}

/// Cells by the names of their fields.
#[derive(Clone, Debug, Default)]
pub struct Cells(Vec<(String, Cell)>);

/// A record.
#[derive(Clone, Debug)]
pub struct Sheet {
    /// Its model.
    pub model: &'static str,
    /// Its own fields.
    pub head: Cells,
    /// The field of its lines.
    pub lines_in: &'static str,
    /// Its lines.
    pub lines: Vec<Cells>,
}

impl Cells {
    /// A value, if there is one.
    pub fn text(&mut self, field: &str, text: Option<String>) {
        self.0.extend(text.map(|text| (field.to_owned(), Cell::Text(text))));
    }

    /// A row, if one is named.
    pub fn row(&mut self, field: &str, named: Option<Named>) {
        self.0.extend(named.map(|named| (format!("{field}/.id"), Cell::Row(named))));
    }

    /// Rows, if any are named.
    pub fn rows(&mut self, field: &str, named: Vec<Named>) {
        if !named.is_empty() {
            self.0.push((format!("{field}/.id"), Cell::Rows(named)));
        }
    }

    /// Columns of a row that are fields with the same name, as far as the model has them.
    pub fn texts(&mut self, row: &Row, fields: &[&str], has: &std::collections::BTreeSet<String>) {
        for field in fields.iter().filter(|field| has.contains(**field)) {
            self.text(field, row.text(field));
        }
    }

    /// Rows that columns of a row name, in fields with the same name.
    ///
    /// # Errors
    /// As [`named`].
    pub async fn named(
        &mut self,
        ground: &mut Ground,
        row: &Row,
        fields: &[&str],
        has: &std::collections::BTreeSet<String>,
    ) -> Result<(), Stop> {
        for field in fields.iter().filter(|field| has.contains(**field)) {
            let found = named(ground, row, field).await?;
            self.row(field, found);
        }
        Ok(())
    }

    fn get(&self, field: &str) -> Option<&Cell> {
        self.0.iter().find(|(name, _)| name == field).map(|(_, cell)| cell)
    }
}

impl Sheet {
    /// Makes the record; its `id`.
    ///
    /// # Errors
    /// `Refused` with what Odoo refused, which was then rolled back.
    pub async fn load(&self, ground: &mut Ground) -> Result<i64, Stop> {
        let (fields, rows) = self.table(ground)?;
        let answer = ground.target.call(self.model, "load", json!([fields, rows])).await?;
        let messages = answer["messages"].as_array().map_or(&[][..], Vec::as_slice);
        let errors: Vec<&str> = messages
            .iter()
            .filter(|message| message["type"] == "error")
            .filter_map(|message| message["message"].as_str())
            .take(MESSAGES_MAX)
            .collect();
        match answer["ids"].as_array().map(Vec::as_slice) {
            Some([id]) if errors.is_empty() => {
                id.as_i64().ok_or_else(|| Stop::Broken(internal("the id of a new record")))
            }
            _ if !errors.is_empty() => {
                let text = errors.join("; ");
                let words: Vec<&str> = text.split_whitespace().collect();
                Stop::refused(format!("Odoo refused: {}", words.join(" ")))
            }
            _ => Err(Stop::Broken(internal("one new record"))),
        }
    }

    /// The names of the fields, and the rows: the first one has the record, and each one a line.
    fn table(&self, ground: &Ground) -> Result<(Vec<String>, Vec<Vec<String>>), Stop> {
        let mut of_lines: Vec<&str> = Vec::new();
        for (field, _) in self.lines.iter().flat_map(|line| &line.0) {
            if !of_lines.contains(&field.as_str()) {
                of_lines.push(field);
            }
        }
        let mut fields: Vec<String> = self.head.0.iter().map(|(field, _)| field.clone()).collect();
        fields.extend(of_lines.iter().map(|field| format!("{}/{field}", self.lines_in)));
        let mut rows = Vec::new();
        for at in 0..self.lines.len().max(1) {
            let mut row = Vec::new();
            for (_, cell) in &self.head.0 {
                row.push(if at == 0 { text(cell, ground)? } else { String::new() });
            }
            for field in &of_lines {
                let cell = self.lines.get(at).and_then(|line| line.get(field));
                row.push(cell.map_or(Ok(String::new()), |cell| text(cell, ground))?);
            }
            rows.push(row);
        }
        Ok((fields, rows))
    }
}

fn text(cell: &Cell, ground: &Ground) -> Result<String, Stop> {
    match cell {
        Cell::Text(text) => Ok(text.clone()),
        Cell::Row(named) => ground.id(*named).map(|id| id.to_string()),
        Cell::Rows(all) => {
            let ids: Result<Vec<String>, Stop> =
                all.iter().map(|named| ground.id(*named).map(|id| id.to_string())).collect();
            ids.map(|ids| ids.join(","))
        }
    }
}

/// The arguments of a method that works on one record.
pub fn ids(id: i64) -> Value {
    json!([[id]])
}
