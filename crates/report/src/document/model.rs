//! The blocks that a report is made of, before any form of writing.

use stagger_pictures::Figure;

/// A report.
#[derive(Clone, Debug)]
pub struct Document {
    pub title: String,
    /// The estimand and its sample, below the title.
    pub subtitle: String,
    /// The result in a sentence.
    pub result: String,
    pub blocks: Vec<Block>,
}

/// A part of a report.
#[derive(Clone, Debug)]
pub enum Block {
    Heading(String),
    Paragraph(String),
    List(Vec<String>),
    Formula(Formula),
    Table(Table),
    Picture(Picture),
}

/// A formula for those who read characters, and for LaTeX.
#[derive(Clone, Copy, Debug)]
pub struct Formula {
    pub plain: &'static str,
    pub tex: &'static str,
}

/// A table; the first `left` columns are words.
#[derive(Clone, Debug)]
pub struct Table {
    pub caption: String,
    pub headings: Vec<String>,
    pub left: usize,
    pub rows: Vec<Vec<String>>,
    pub note: String,
}

/// A picture.
#[derive(Clone, Debug)]
pub struct Picture {
    /// Name of its file, where it is one.
    pub name: &'static str,
    pub caption: String,
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
