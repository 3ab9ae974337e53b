//! The section on violations of parallel trends.

use stagger_model::numbers::percent;
use stagger_model::sensitivity::{RobustEffect, SensitivityResult};

use super::model::{Block, Picture, Table};
use crate::pictures::sensitivity as figure;
use crate::sensitivity::{size_label, size_phrase, times_label};
use crate::text::significant_digits;

/// Adds the section.
pub(super) fn section(blocks: &mut Vec<Block>, result: &SensitivityResult) {
    blocks.push(Block::Heading("Sensitivity to violations of parallel trends".to_owned()));
    blocks.push(Block::Paragraph(format!(
        "Robust {}% confidence intervals by the {} (Rambachan and Roth 2023). The breakdown value is the size from which on the interval \
         covers 0.",
        percent(result.alp),
        size_phrase(result.restriction)
    )));
    let mut figure = figure(result);
    figure.title.clear();
    figure.notes.clear();
    let caption = "Confidence intervals by the size of violations of parallel trends.".to_owned();
    blocks.push(Block::Picture(Picture { name: "sensitivity", caption, figure }));
    blocks.push(Block::Table(table(result)));
}

fn table(result: &SensitivityResult) -> Table {
    let sizes: Vec<String> = result
        .effects
        .first()
        .map(|own| own.robust.iter().map(|ends| size_label(ends.m)).collect())
        .unwrap_or_default();
    let headings = ["Event time", "Parallel trends"].map(str::to_owned).into_iter();
    Table {
        caption: format!("Intervals by the {}.", size_phrase(result.restriction)),
        headings: headings.chain(sizes).chain(["Breakdown".to_owned()]).collect(),
        left: 0,
        rows: result.effects.iter().map(row).collect(),
        note: String::new(),
    }
}

fn row(effect: &RobustEffect) -> Vec<String> {
    let ends = |low: f64, high: f64| match low.is_nan() {
        true => "empty".to_owned(),
        false => format!("{} to {}", significant_digits(low), significant_digits(high)),
    };
    let robust = effect.robust.iter().map(|own| ends(own.lci.0, own.uci.0));
    let breakdown = if effect.breakdown.is_na() { "none".to_owned() } else { size_label(effect.breakdown) };
    let cells = [times_label(&effect.event_time), ends(effect.lci.0, effect.uci.0)].into_iter();
    let minus = |text: String| text.replace('-', "\u{2212}");
    cells.chain(robust).chain([breakdown]).map(minus).collect()
}
