//! A report as one HTML file: pictures and style in it, no script, light and dark, fit to print.

use stagger_pictures::{MARK, escape};

use super::model::{Block, Document, Picture, Table};
use crate::pictures::files::column_svg;

const STYLE: &str = include_str!("report.css");

/// Returns the report as one HTML file.
pub fn html(document: &Document) -> String {
    let title = escape(&document.title);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"generator\" content=\"{MARK}\">\n<meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <main>\n<header>\n<h1>{title}</h1>\n<p class=\"subtitle\">{}</p>\n<p class=\"result\">{}</p>\n</header>\n",
        escape(&document.subtitle),
        escape(&document.result)
    );
    let (mut tables, mut pictures) = (0, 0);
    for block in &document.blocks {
        match block {
            Block::Heading(text) => out += &format!("<h2>{}</h2>\n", escape(text)),
            Block::Paragraph(text) => out += &format!("<p>{}</p>\n", escape(text)),
            Block::Formula(formula) => {
                out += &format!("<p class=\"formula\">{}</p>\n", subscripts(&escape(formula.plain)));
            }
            Block::List(items) => {
                let items: String = items.iter().map(|item| format!("<li>{}</li>\n", escape(item))).collect();
                out += &format!("<ul>\n{items}</ul>\n");
            }
            Block::Table(block) => {
                tables += 1;
                out += &table(block, tables);
            }
            Block::Picture(block) => {
                pictures += 1;
                out += &picture(block, pictures);
            }
        }
    }
    out += "</main>\n</body>\n</html>\n";
    out
}

/// `Y_t` with its index below the line.
fn subscripts(text: &str) -> String {
    text.replace("_t", "<sub>t</sub>").replace("_b", "<sub>b</sub>")
}

fn picture(picture: &Picture, number: usize) -> String {
    let svg = column_svg(&picture.figure);
    let caption = escape(&picture.caption);
    format!("<figure>\n{svg}<figcaption><b>Figure {number}.</b> {caption}</figcaption>\n</figure>\n")
}

/// A table alone, to be put into a page.
pub fn html_table(own: &Table) -> String {
    table(own, 1).replace("<b>Table 1.</b> ", "")
}

fn table(table: &Table, number: usize) -> String {
    let class = |column: usize| if column < table.left { " class=\"words\"" } else { "" };
    let headings: String = table
        .headings
        .iter()
        .enumerate()
        .map(|(column, heading)| format!("<th scope=\"col\"{}>{}</th>", class(column), escape(heading)))
        .collect();
    let row = |row: &Vec<String>| {
        let cells: String = row
            .iter()
            .enumerate()
            .map(|(column, cell)| format!("<td{}>{}</td>", class(column), escape(cell)))
            .collect();
        format!("<tr>{cells}</tr>\n")
    };
    let rows: String = table.rows.iter().map(row).collect();
    let note = if table.note.is_empty() {
        String::new()
    } else {
        format!("<p class=\"note\">{}</p>\n", escape(&table.note))
    };
    format!(
        "<div class=\"table\">\n<table>\n<caption><b>Table {number}.</b> {}</caption>\n<thead><tr>{headings}</tr></thead>\n\
         <tbody>\n{rows}</tbody>\n</table>\n{note}</div>\n",
        escape(&table.caption)
    )
}
