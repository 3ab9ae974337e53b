//! A report as blocks, and the forms that it is written in.
//!
//! | module | what it knows |
//! |---|---|
//! | `model` | blocks of a report |
//! | `content` | which sections a result has |
//! | `method` | what was done, in words, and the papers |
//! | `numbers` | tables of estimates and of diagnostics |
//! | `robustness` | sensitivity to violations of parallel trends |
//! | `facts` | `run.json` |
//! | `html`, `markdown`, `latex` | how blocks are written |

mod content;
mod facts;
mod html;
mod latex;
mod markdown;
mod method;
mod model;
mod numbers;
mod robustness;

pub use content::{Sources, document};
pub use html::{html, html_table};
pub use latex::{latex, latex_table};
pub use markdown::{markdown, table as markdown_table};
pub use model::{Block, Document, Formula, Picture, Table};

#[cfg(test)]
mod tests;
