//! A report as Markdown; its pictures lie beside it.

use stagger_pictures::MARK;

use super::model::{Block, Document, Table};

/// The file; pictures are `folder/NAME.svg`.
pub fn markdown(document: &Document, folder: &str) -> String {
    let mut out = format!(
        "# {}\n\n{}\n\n**{}**\n",
        escape(&document.title),
        escape(&document.subtitle),
        escape(&document.result)
    );
    for block in &document.blocks {
        out.push('\n');
        match block {
            Block::Heading(text) => out += &format!("## {}\n", escape(text)),
            Block::Paragraph(text) => out += &format!("{}\n", escape(text)),
            Block::Formula(formula) => out += &format!("$${}$$\n", formula.tex),
            Block::List(items) => {
                for item in items {
                    out += &format!("- {}\n", escape(item));
                }
            }
            Block::Table(block) => out += &table(block),
            Block::Picture(picture) => {
                let path = format!("{folder}/{}.svg", picture.name).replace(' ', "%20");
                out += &format!("![{caption}]({path})\n\n*{caption}*\n", caption = escape(&picture.caption));
            }
        }
    }
    out + &format!("\n<!-- {MARK} -->\n")
}

/// A table with its caption and note.
pub fn table(table: &Table) -> String {
    let line =
        |cells: &mut dyn Iterator<Item = String>| format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "));
    let mut out = format!("{}\n\n", escape(&table.caption));
    out += &line(&mut table.headings.iter().map(|heading| escape(heading)));
    let rule = |column: usize| if column < table.left { ":---" } else { "---:" }.to_owned();
    out += &line(&mut (0..table.headings.len()).map(rule));
    for row in &table.rows {
        out += &line(&mut row.iter().map(|cell| escape(cell)));
    }
    if !table.note.is_empty() {
        out += &format!("\n{}\n", escape(&table.note));
    }
    out
}

/// Text whose signs Markdown would read.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' | '*' | '_' | '`' | '[' | ']' | '<' | '>' | '|' | '#' | '$' | '~' => {
                out.push('\\');
                out.push(letter);
            }
            letter if letter.is_control() => out.push(' '),
            letter => out.push(letter),
        }
    }
    out
}
