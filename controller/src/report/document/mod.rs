//! A report as blocks, and the forms that it is written in.
//!
//! | module | what it knows |
//! |---|---|
//! | `content` | which sections a result has |
//! | `method` | what was done, in words, and the papers |
//! | `numbers` | tables of estimates and of diagnostics |
//! | `facts` | `run.json` |
//! | `html`, `markdown`, `latex` | how blocks are written |

mod content;
mod facts;
mod html;
mod latex;
mod markdown;
mod method;
mod numbers;

use stagger_pictures::Figure;

pub(crate) use content::{Sources, document};
pub(crate) use html::html;
pub(crate) use latex::latex;
pub(crate) use markdown::markdown;

/// A report.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    pub(crate) title: String,
    /// What was estimated from what, below the title.
    pub(crate) subtitle: String,
    /// The result in a sentence.
    pub(crate) result: String,
    pub(crate) blocks: Vec<Block>,
}

/// A part of a report.
#[derive(Clone, Debug)]
pub(crate) enum Block {
    Heading(String),
    Paragraph(String),
    List(Vec<String>),
    Formula(Formula),
    Table(Table),
    Picture(Picture),
}

/// A formula for those who read characters, and for LaTeX.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Formula {
    pub(crate) plain: &'static str,
    pub(crate) tex: &'static str,
}

/// A table; the first `left` columns are words.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) caption: String,
    pub(crate) headings: Vec<String>,
    pub(crate) left: usize,
    pub(crate) rows: Vec<Vec<String>>,
    pub(crate) note: String,
}

/// A picture.
#[derive(Clone, Debug)]
pub(crate) struct Picture {
    /// Name of its file, where it is one.
    pub(crate) name: &'static str,
    pub(crate) caption: String,
    pub(crate) figure: Figure,
}

impl Document {
    /// The pictures, in order.
    pub(crate) fn pictures(&self) -> impl Iterator<Item = &Picture> {
        self.blocks.iter().filter_map(|block| match block {
            Block::Picture(picture) => Some(picture),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests;
