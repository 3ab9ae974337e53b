//! Variables of a store that is being prepared, and their values as slots.

use std::collections::HashMap;

use arrow_array::ArrayRef;
use stagger_model::error::{Result, StaggerError};
use stagger_records::{KeyKind, with_key_column, with_texts};

use crate::columns::Columns;
use crate::panel_store::FieldKind;
use crate::prepare::StoreField;
use crate::slot::{MISSING, encode};

/// Largest number of texts in a factor.
const MOST_TEXTS: usize = 100_000;

/// Returns the variables of the columns that specifications name: outcomes first, each once.
pub fn store_fields(columns: &Columns) -> Vec<StoreField> {
    let mut out: Vec<StoreField> = Vec::new();
    let mut add = |name: &str, kind: FieldKind, outcome: bool| {
        if !out.iter().any(|f| f.name == name && f.kind == kind) {
            out.push(StoreField { name: name.to_owned(), kind, outcome });
        }
    };
    columns.outcomes.iter().for_each(|y| add(y, FieldKind::Number, true));
    for covariate in &columns.covariates {
        let kind = match (covariate.text, covariate.code) {
            (_, true) => FieldKind::Code,
            (true, false) => FieldKind::Text,
            (false, false) => FieldKind::Number,
        };
        add(&covariate.name, kind, false);
    }
    columns.weights.iter().for_each(|w| add(w, FieldKind::Number, false));
    columns.clusters.iter().for_each(|(c, _)| add(c, FieldKind::Cluster, false));
    out
}

/// Encoder of columns to slots; texts get codes in the order of appearance.
#[derive(Default)]
pub struct SlotEncoder {
    codes: HashMap<String, u32>,
    numbers: Vec<f64>,
    integers: Vec<i64>,
    buffer: Vec<u8>,
}

impl SlotEncoder {
    /// Appends the slots of a column.
    ///
    /// # Errors
    /// A column of another type, and more than `MOST_TEXTS` texts.
    pub fn encode(
        &mut self,
        columns: &Columns,
        field: &StoreField,
        array: &ArrayRef,
        out: &mut Vec<u64>,
    ) -> Result<()> {
        match field.kind {
            FieldKind::Number => columns.numbers(array, &field.name, &mut self.numbers, |values| {
                out.extend(values.iter().map(|&value| encode(value)));
                Ok(())
            }),
            FieldKind::Text | FieldKind::Code => self.texts(array, out),
            FieldKind::Cluster => self.clusters(field, columns.kind(&field.name), array, out),
        }
    }

    fn texts(&mut self, array: &ArrayRef, out: &mut Vec<u64>) -> Result<()> {
        let codes = &mut self.codes;
        with_texts(array, |texts| {
            for text in texts {
                out.push(match text {
                    None => MISSING,
                    Some(text) => match codes.get(text) {
                        Some(&code) => encode(f64::from(code)),
                        None => {
                            let code = codes.len() as u32;
                            codes.insert(text.to_owned(), code);
                            encode(f64::from(code))
                        }
                    },
                });
            }
            check_text_count(codes.len())
        })
    }

    fn clusters(
        &mut self,
        field: &StoreField,
        kind: KeyKind,
        array: &ArrayRef,
        out: &mut Vec<u64>,
    ) -> Result<()> {
        let buffer = &mut self.buffer;
        with_key_column(array, &field.name, kind, &mut self.integers, |ids| {
            out.extend((0..ids.len()).map(|row| match ids.is_missing(row) {
                true => MISSING,
                false => cluster_slot(ids.hash(row, buffer) as u64),
            }));
            Ok(())
        })
    }

    /// Adds to `known`, for texts that are new since the last call, their index in `all`, which ascends.
    pub fn translate_texts(&self, all: &[String], known: &mut Vec<f64>) {
        if known.len() == self.codes.len() {
            return;
        }
        known.resize(self.codes.len(), 0.0);
        for (text, &code) in &self.codes {
            known[code as usize] = all.partition_point(|other| other < text) as f64;
        }
    }

    /// Returns the texts by code.
    pub fn into_texts(self) -> Vec<String> {
        let mut texts: Vec<(u32, String)> = self.codes.into_iter().map(|(text, code)| (code, text)).collect();
        texts.sort_unstable();
        texts.into_iter().map(|(_, text)| text).collect()
    }
}

/// Refuses more texts than a factor can have.
pub fn check_text_count(count: usize) -> Result<()> {
    if count <= MOST_TEXTS {
        return Ok(());
    }
    Err(StaggerError::input(format!("a text covariate has more than {MOST_TEXTS} different values"))
        .with_hint("a factor() in --xformla must have few levels"))
}

/// Returns the slot of a cluster's hash; two hashes of 2^64 would read as "not set" or "missing" and become 1.
fn cluster_slot(hash: u64) -> u64 {
    if hash == MISSING || hash == crate::slot::UNSET { 1 } else { hash }
}
