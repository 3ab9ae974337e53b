//! A report as LaTeX with booktabs; its pictures lie beside it.

use stagger_pictures::MARK;

use super::model::{Block, Document, Table};

/// Tables of more lines are broken over pages.
const LONG: usize = 30;
/// Columns beyond which a table is set smaller.
const WIDE: usize = 8;

const PREAMBLE: &str = r"\documentclass[11pt]{article}
\usepackage[utf8]{inputenc}
\usepackage[T1]{fontenc}
\usepackage{lmodern}
\usepackage{textcomp}
\usepackage[margin=2.5cm]{geometry}
\usepackage{amsmath}
\usepackage{booktabs}
\usepackage{longtable}
\usepackage{graphicx}
\usepackage{float}
\setlength{\parindent}{0pt}
\setlength{\parskip}{0.6em}
";

/// The file; pictures are `folder/NAME.png`.
pub fn latex(document: &Document, folder: &str) -> String {
    let mut out = format!(
        "% {MARK}\n{PREAMBLE}\\title{{{}}}\n\\author{{{}}}\n\\date{{}}\n\\begin{{document}}\n\\maketitle\n\n\\textbf{{{}}}\n",
        escape(&document.title),
        escape(&document.subtitle),
        escape(&document.result)
    );
    for block in &document.blocks {
        out.push('\n');
        match block {
            Block::Heading(text) => out += &format!("\\section*{{{}}}\n", escape(text)),
            Block::Paragraph(text) => out += &format!("{}\n", escape(text)),
            Block::Formula(formula) => out += &format!("\\[\n{}\n\\]\n", formula.tex),
            Block::List(items) => {
                let items: String = items.iter().map(|item| format!("\\item {}\n", escape(item))).collect();
                out += &format!("\\begin{{itemize}}\n{items}\\end{{itemize}}\n");
            }
            Block::Table(block) => out += &table(block),
            Block::Picture(picture) => {
                out += &format!(
                    "\\begin{{figure}}[H]\n\\centering\n\\includegraphics[width=\\textwidth]{{\\detokenize{{{folder}/{}.png}}}}\n\
                     \\caption{{{}}}\n\\end{{figure}}\n",
                    picture.name,
                    escape(&picture.caption)
                );
            }
        }
    }
    out += "\\end{document}\n";
    out
}

/// A table whose columns beyond the first are all numbers, for a document that loads `booktabs` and `float`.
pub fn latex_table(own: &Table) -> String {
    tabular(own, 'r')
}

/// A table whose last column has remarks.
fn table(own: &Table) -> String {
    tabular(own, 'l')
}

fn tabular(table: &Table, last: char) -> String {
    let count = table.headings.len();
    let column = |at: usize| match at {
        at if at < table.left => 'l',
        at if at + 1 == count => last,
        _ => 'r',
    };
    let columns: String = (0..count).map(column).collect();
    let line = |cells: &[String]| {
        let cells: Vec<String> = cells.iter().map(|cell| escape(cell)).collect();
        format!("{} \\\\\n", cells.join(" & "))
    };
    let headings = line(&table.headings);
    let rows: String = table.rows.iter().map(|row| line(row)).collect();
    let caption = escape(&table.caption);
    let note = if table.note.is_empty() {
        String::new()
    } else {
        format!("\n{{\\footnotesize {}}}\n", escape(&table.note))
    };
    let small = if count > WIDE { "\\scriptsize\n\\setlength{\\tabcolsep}{3pt}\n" } else { "\\small\n" };
    if table.rows.len() > LONG {
        return format!(
            "\\begingroup\n{small}\\begin{{longtable}}{{{columns}}}\n\\caption{{{caption}}} \\\\\n\\toprule\n{headings}\\midrule\n\
             \\endfirsthead\n\\toprule\n{headings}\\midrule\n\\endhead\n\\bottomrule\n\\endfoot\n{rows}\\end{{longtable}}\n{note}\\endgroup\n"
        );
    }
    format!(
        "\\begin{{table}}[H]\n\\centering\n{small}\\caption{{{caption}}}\n\\begin{{tabular}}{{{columns}}}\n\\toprule\n\
         {headings}\\midrule\n{rows}\\bottomrule\n\\end{{tabular}}\n{note}\\end{{table}}\n"
    )
}

/// Text whose signs LaTeX would read, or whose letters its fonts lack.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut opening = true;
    for letter in text.chars() {
        match letter {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => {
                out.push('\\');
                out.push(letter);
            }
            // Two would be drawn as a dash.
            '-' => out.push_str(if out.ends_with('-') { "{}-" } else { "-" }),
            '\\' => out.push_str("\\textbackslash{}"),
            '~' => out.push_str("\\textasciitilde{}"),
            '^' => out.push_str("\\textasciicircum{}"),
            '<' => out.push_str("\\textless{}"),
            '>' => out.push_str("\\textgreater{}"),
            '|' => out.push_str("\\textbar{}"),
            '[' => out.push_str("{[}"),
            ']' => out.push_str("{]}"),
            '*' => out.push_str("{*}"),
            '"' => {
                out.push_str(if opening { "``" } else { "''" });
                opening = !opening;
            }
            '\u{2212}' => out.push_str("$-$"),
            '\u{a0}' => out.push('~'),
            '±' => out.push_str("$\\pm$"),
            '×' => out.push_str("$\\times$"),
            '–' => out.push_str("--"),
            '…' => out.push_str("\\ldots{}"),
            letter if letter.is_control() => out.push(' '),
            // Latin letters are in the fonts; a report that does not compile helps nobody.
            letter if u32::from(letter) < 0x180 => out.push(letter),
            _ => out.push('?'),
        }
    }
    out
}
