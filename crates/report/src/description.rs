//! The text that `stagger describe` prints.

use stagger_model::numbers::counted;
use stagger_model::result::Num;
use stagger_panel::describe::{
    CohortDescription, ColumnDescription, Description, FirstRows, PanelDescription,
};
use stagger_records::StepReport;

use super::text::{field, label, label_at, significant_digits, text_table, wrapped};

/// Periods side by side in one table, so that it is not wider than a terminal.
const PERIODS_ABREAST: usize = 8;

/// An input as a person reads it.
pub fn description_report(description: &Description) -> String {
    let input = [
        counted(description.files as u64, "file"),
        format!("{} rows", description.rows),
        size(description.bytes),
    ];
    let mut text = field("Input:", &input.join(", "));
    text += &steps_table(&description.steps);
    text += &columns_table(&description.columns);
    match &description.panel {
        Some(panel) => text += &panel_report(panel),
        None => {
            text.push('\n');
            text += &wrapped(
                "",
                0,
                "Name the unit, period and cohort columns (--idname, --tname, --gname) to see the panel.",
            );
        }
    }
    text
}

/// The steps, with the rows that each has dropped or added.
fn steps_table(steps: &[StepReport]) -> String {
    if steps.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<String>> = steps
        .iter()
        .map(|step| vec![step.step.clone(), step.rows_in.to_string(), step.rows_out.to_string()])
        .collect();
    let mut text = format!("\nSteps:\n{}", text_table(&["Step", "Rows in", "Rows out"], 1, &rows));
    for step in steps {
        for note in &step.notes {
            text += &wrapped("", 0, &format!("{}: {note}", step.step));
        }
    }
    text
}

/// The first rows of a panel as a person reads them.
pub fn first_rows_table(first: &FirstRows) -> String {
    let headings: Vec<&str> = first.columns.iter().map(String::as_str).collect();
    let rows: Vec<Vec<String>> = first
        .rows
        .iter()
        .map(|row| row.iter().map(|cell| cell.clone().unwrap_or_else(|| "NA".to_owned())).collect())
        .collect();
    format!("\nFirst rows:\n{}", text_table(&headings, headings.len(), &rows))
}

fn columns_table(described: &[ColumnDescription]) -> String {
    let rows: Vec<Vec<String>> = described
        .iter()
        .map(|column| {
            let mut cells = vec![column.name.clone(), column.data_type.clone(), column.missing.to_string()];
            cells.extend(
                [column.min, column.mean, column.max].map(|value| value.map_or_else(String::new, number)),
            );
            cells
        })
        .collect();
    format!("\nColumns:\n{}", text_table(&["Name", "Type", "Missing", "Min", "Mean", "Max"], 2, &rows))
}

fn panel_report(panel: &PanelDescription) -> String {
    let mut text = format!("\n{}", field("Panel:", &panel_summary(panel)));
    if panel.absent_rows > 0 {
        text += &field(
            "",
            &format!(
                "{}: needed for every unit to be seen in every period",
                counted(panel.absent_rows, "absent row")
            ),
        );
    }
    if panel.incomplete_rows > 0 {
        text += &field("", &format!("{}: no outcome or weight", counted(panel.incomplete_rows, "row")));
    }
    if panel.keyless_rows > 0 {
        text += &field("", &format!("{}: no unit or period", counted(panel.keyless_rows, "row")));
    }
    if let Some(vary) = panel.weights_vary {
        text += &field("Weights:", if vary { "vary within units" } else { "constant within units" });
    }
    let places: Vec<usize> = (0..panel.periods.len()).collect();
    for places in places.chunks(PERIODS_ABREAST) {
        text += &cohorts_table(panel, places);
    }
    text
}

fn panel_summary(panel: &PanelDescription) -> String {
    let periods = match (panel.periods.first(), panel.periods.last()) {
        (Some(first), Some(last)) => {
            format!(
                "{} ({} to {})",
                counted(panel.periods.len() as u64, "period"),
                label_at(&panel.period_label, 0, *first),
                label_at(&panel.period_label, panel.periods.len() - 1, *last)
            )
        }
        _ => "no period".to_owned(),
    };
    let balance = if panel.balanced { "balanced" } else { "not balanced" };
    format!("{} units, {periods}, {balance}", panel.units)
}

/// Complete rows by cohort and period, for some of the periods.
fn cohorts_table(panel: &PanelDescription, places: &[usize]) -> String {
    let mut headings = vec!["Cohort".to_owned(), "Units".to_owned()];
    headings.extend(places.iter().map(|&place| label_at(&panel.period_label, place, panel.periods[place])));
    let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
    let rows: Vec<Vec<String>> = panel.cohorts.iter().map(|cohort| cohort_cells(cohort, places)).collect();
    format!("\nComplete rows by cohort and period:\n{}", text_table(&headings, 1, &rows))
}

fn cohort_cells(cohort: &CohortDescription, places: &[usize]) -> Vec<String> {
    let name = match &cohort.label {
        Some(written) => written.clone(),
        None if cohort.group.0.is_finite() => label(cohort.group),
        None => "never treated".to_owned(),
    };
    let rows = places.iter().map(|place| cohort.rows.get(*place).copied().unwrap_or(0).to_string());
    [name, cohort.units.to_string()].into_iter().chain(rows).collect()
}

/// A number of the data: whole where it is whole.
fn number(value: Num) -> String {
    if value.0 == value.0.trunc() && value.0.abs() < 1e15 {
        label(value)
    } else {
        significant_digits(value.0)
    }
}

fn size(bytes: u64) -> String {
    let units = [(1e9, "GB"), (1e6, "MB"), (1e3, "kB")];
    let size = bytes as f64;
    match units.into_iter().find(|(unit, _)| size >= *unit) {
        Some((unit, name)) => format!("{:.1} {name}", size / unit),
        None => counted(bytes, "byte"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description() -> Description {
        let column = |name: &str, data_type: &str, numbers: Option<[f64; 3]>| ColumnDescription {
            name: name.to_owned(),
            data_type: data_type.to_owned(),
            missing: 3,
            min: numbers.map(|numbers| Num(numbers[0])),
            mean: numbers.map(|numbers| Num(numbers[1])),
            max: numbers.map(|numbers| Num(numbers[2])),
        };
        let cohort = |group: f64, units: u64| CohortDescription {
            group: Num(group),
            label: None,
            units,
            rows: vec![units; 10],
        };
        Description {
            files: 1,
            rows: 2500,
            bytes: 48_213,
            columns: vec![
                column("year", "Int64", Some([2003.0, 2005.0, 2007.0])),
                column("lemp", "Float64", Some([1.0986, 5.7732, 10.067])),
                column("state", "Utf8", None),
            ],
            steps: Vec::new(),
            panel: Some(PanelDescription {
                units: 500,
                periods: (1998..2008).map(|year| Num(f64::from(year))).collect(),
                time_unit: None,
                period_label: Vec::new(),
                cohorts: vec![cohort(2004.0, 20), cohort(f64::NAN, 309)],
                balanced: false,
                absent_rows: 1,
                incomplete_rows: 2,
                keyless_rows: 0,
                weights_vary: Some(false),
            }),
        }
    }

    #[test]
    fn panel() {
        let report = description_report(&description());
        assert!(report.lines().all(|line| line.len() <= 80));
        insta::assert_snapshot!(report, @"
        Input:              1 file, 2500 rows, 48.2 kB

        Columns:
         Name   Type     Missing    Min   Mean     Max
         year   Int64          3   2003   2005    2007
         lemp   Float64        3  1.099  5.773  10.067
         state  Utf8           3

        Panel:              500 units, 10 periods (1998 to 2007), not balanced
                            1 absent row: needed for every unit to be seen in every
                            period
                            2 rows: no outcome or weight
        Weights:            constant within units

        Complete rows by cohort and period:
         Cohort         Units  1998  1999  2000  2001  2002  2003  2004  2005
         2004              20    20    20    20    20    20    20    20    20
         never treated    309   309   309   309   309   309   309   309   309

        Complete rows by cohort and period:
         Cohort         Units  2006  2007
         2004              20    20    20
         never treated    309   309   309
        ");
    }

    #[test]
    fn columns_alone_say_how_to_see_the_panel() {
        let report = description_report(&Description { panel: None, ..description() });
        insta::assert_snapshot!(report, @"
        Input:              1 file, 2500 rows, 48.2 kB

        Columns:
         Name   Type     Missing    Min   Mean     Max
         year   Int64          3   2003   2005    2007
         lemp   Float64        3  1.099  5.773  10.067
         state  Utf8           3

        Name the unit, period and cohort columns (--idname, --tname, --gname) to see the
        panel.
        ");
    }

    #[test]
    fn sizes() {
        assert_eq!(size(999), "999 bytes");
        assert_eq!(size(1_234_567), "1.2 MB");
    }
}
