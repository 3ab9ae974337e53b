//! The blocks that a report is made of, before any form of writing.

use stagger_pictures::Figure;

/// A report.
#[derive(Clone, Debug)]
pub struct Document {
    /// The title.
    pub title: String,
    /// The estimand and its sample, below the title.
    pub subtitle: String,
    /// The result in a sentence.
    pub result: String,
    /// The parts, in order.
    pub blocks: Vec<Block>,
}

/// A part of a report.
#[derive(Clone, Debug)]
pub enum Block {
    /// The heading of a section.
    Heading(String),
    /// A paragraph.
    Paragraph(String),
    /// A list of sentences.
    List(Vec<String>),
    /// A formula on a line of its own.
    Formula(Formula),
    /// A table.
    Table(Table),
    /// A picture.
    Picture(Picture),
}

/// A formula for those who read characters, and for LaTeX.
#[derive(Clone, Copy, Debug)]
pub struct Formula {
    /// The formula in Unicode characters.
    pub plain: &'static str,
    /// The formula in LaTeX.
    pub tex: &'static str,
}

/// A table; the first `left` columns are words.
#[derive(Clone, Debug)]
pub struct Table {
    /// The caption.
    pub caption: String,
    /// The headings of the columns.
    pub headings: Vec<String>,
    /// The number of columns that are words, which come first.
    pub left: usize,
    /// The rows, each with one text per column.
    pub rows: Vec<Vec<String>>,
    /// The note below the table; empty for none.
    pub note: String,
}

/// A picture.
#[derive(Clone, Debug)]
pub struct Picture {
    /// Name of its file, where it is one.
    pub name: &'static str,
    /// The caption.
    pub caption: String,
    /// The figure.
    pub figure: Figure,
}

impl Document {
    /// The pictures, in order.
    pub fn pictures(&self) -> impl Iterator<Item = &Picture> {
        self.blocks.iter().filter_map(|block| match block {
            Block::Picture(picture) => Some(picture),
            _ => None,
        })
    }
}
