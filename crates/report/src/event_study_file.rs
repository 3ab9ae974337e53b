//! Event studies of other programs: a table of estimates and one of their covariance as CSV, or one JSON object with both.

use std::path::Path;

use faer::Mat;
use serde::Deserialize;
use stagger_model::failure::Failure;
use stagger_storage::disk;

/// Bytes of a file beyond which it is no event study.
const MOST_BYTES: u64 = 64 << 20;
/// Names of a column of event times.
const TIMES: [&str; 7] = ["event_time", "egt", "e", "time", "event time", "rel_time", "relative_time"];
/// Names of a column of estimates.
const ESTIMATES: [&str; 8] = ["estimate", "att", "betahat", "beta", "coef", "coefficient", "b", "att_egt"];

/// Estimates by event time with their covariance, as they were found.
#[derive(Clone, Debug, PartialEq)]
pub struct EventStudyTable {
    /// Event times.
    pub event_time: Vec<f64>,
    /// Estimates.
    pub estimate: Vec<f64>,
    /// Their covariance.
    pub covariance: Mat<f64>,
}

impl EventStudyTable {
    /// Reads estimates and covariance from two CSV files, or both from one JSON object.
    ///
    /// # Errors
    /// Files that can't be read, and tables that do not belong together.
    pub fn read(estimates: &Path, covariance: Option<&Path>) -> Result<Self, Failure> {
        let text = read_text(estimates)?;
        if text.trim_start().starts_with('{') {
            return Object::read(&text, estimates);
        }
        let covariance = covariance.ok_or_else(|| {
            Failure::input(format!("{} has estimates, but no covariance", estimates.display())).hint(
                "name its file: --vcov FILE.csv, or give one JSON object with event_time, betahat and sigma",
            )
        })?;
        let (event_time, estimate) = columns(&Csv::new(&text, estimates)?)?;
        let covariance = matrix(&Csv::new(&read_text(covariance)?, covariance)?, &event_time)?;
        Ok(Self { event_time, estimate, covariance })
    }

    /// Leaves out the event times beyond two limits.
    #[must_use]
    pub fn within(&self, first: f64, last: f64) -> Self {
        let kept: Vec<usize> =
            (0..self.event_time.len()).filter(|&i| (first..=last).contains(&self.event_time[i])).collect();
        Self {
            event_time: kept.iter().map(|&i| self.event_time[i]).collect(),
            estimate: kept.iter().map(|&i| self.estimate[i]).collect(),
            covariance: Mat::from_fn(kept.len(), kept.len(), |i, j| self.covariance[(kept[i], kept[j])]),
        }
    }
}

fn read_text(path: &Path) -> Result<String, Failure> {
    disk::read_text(path, MOST_BYTES).map_err(|source| Failure::read(path, &source))
}

/// The object of R's `HonestDiD` inputs; other names are not looked at.
#[derive(Deserialize)]
struct Object {
    event_time: Vec<f64>,
    #[serde(alias = "estimate", alias = "beta")]
    betahat: Vec<f64>,
    #[serde(alias = "vcov", alias = "covariance")]
    sigma: Vec<Vec<f64>>,
}

impl Object {
    fn read(text: &str, path: &Path) -> Result<EventStudyTable, Failure> {
        let own: Self = serde_json::from_str(text).map_err(|error| {
            Failure::input(format!("{} is no event study: {error}", path.display()))
                .hint("an object has event_time, betahat and sigma, a list of rows")
        })?;
        let n = own.event_time.len();
        if own.betahat.len() != n || own.sigma.len() != n || own.sigma.iter().any(|row| row.len() != n) {
            return Err(Failure::input(format!(
                "{}: {n} event times, {} estimates and a covariance of {} rows",
                path.display(),
                own.betahat.len(),
                own.sigma.len()
            )));
        }
        let covariance = Mat::from_fn(n, n, |i, j| own.sigma[i][j]);
        Ok(EventStudyTable { event_time: own.event_time, estimate: own.betahat, covariance })
    }
}

/// A small table of texts.
struct Csv<'a> {
    path: &'a Path,
    /// The first line, if it is not all numbers.
    header: Option<Vec<String>>,
    /// Number of the line in the file, and cells.
    rows: Vec<(usize, Vec<String>)>,
}

impl<'a> Csv<'a> {
    fn new(text: &str, path: &'a Path) -> Result<Self, Failure> {
        let text = text.trim_start_matches('\u{feff}');
        let separator = [',', ';', '\t'].into_iter().find(|own| text.contains(*own)).unwrap_or(',');
        let cells = |line: &str| -> Vec<String> {
            line.split(separator).map(|cell| cell.trim().trim_matches('"').to_owned()).collect()
        };
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let mut rows: Vec<(usize, Vec<String>)> = lines.map(|(at, line)| (at + 1, cells(line))).collect();
        let named =
            rows.first().is_some_and(|(_, cells)| cells.iter().any(|cell| cell.parse::<f64>().is_err()));
        let header = named.then(|| rows.remove(0).1);
        if rows.is_empty() {
            return Err(Failure::input(format!("{} has no rows", path.display())));
        }
        Ok(Self { path, header, rows })
    }

    fn number(&self, line: usize, text: &str) -> Result<f64, Failure> {
        text.parse().map_err(|_| {
            Failure::input(format!(
                "{}: line {line} has \"{text}\" where a number should be",
                self.path.display()
            ))
        })
    }

    /// The place of a column by one of its names.
    fn column(&self, names: &[&str], what: &str) -> Result<usize, Failure> {
        let header = self.header.as_deref().unwrap_or_default();
        let place = |name: &&str| header.iter().position(|own| own.to_lowercase() == **name);
        names.iter().find_map(place).ok_or_else(|| {
            Failure::input(format!("{} has no column of {what}", self.path.display())).hint(format!(
                "call it {}; its columns are {}",
                names[0],
                header.join(", ")
            ))
        })
    }
}

/// Event times and estimates; rows without an event time, as overall effects, are left out.
fn columns(csv: &Csv<'_>) -> Result<(Vec<f64>, Vec<f64>), Failure> {
    let (time, estimate) = match &csv.header {
        Some(_) => (csv.column(&TIMES, "event times")?, csv.column(&ESTIMATES, "estimates")?),
        None => (0, 1),
    };
    let mut found = (Vec::new(), Vec::new());
    for (line, cells) in &csv.rows {
        let cell = |at: usize| {
            cells.get(at).map(String::as_str).ok_or_else(|| {
                Failure::input(format!("{}: line {line} has {} cells", csv.path.display(), cells.len()))
            })
        };
        if cell(time)?.is_empty() {
            continue;
        }
        found.0.push(csv.number(*line, cell(time)?)?);
        let estimate = cell(estimate)?;
        found.1.push(if estimate.is_empty() { f64::NAN } else { csv.number(*line, estimate)? });
    }
    Ok(found)
}

/// The covariance: numbers alone, or with the event times as a first line and a first column, in the order of the estimates.
fn matrix(csv: &Csv<'_>, times: &[f64]) -> Result<Mat<f64>, Failure> {
    let n = times.len();
    let labelled = csv.header.is_some() && csv.rows.iter().all(|(_, cells)| cells.len() == n + 1);
    let skipped = usize::from(labelled);
    let uneven = csv.rows.iter().find(|(_, cells)| cells.len() != n + skipped);
    if csv.rows.len() != n || uneven.is_some() {
        let (rows, cells) = (csv.rows.len(), uneven.map_or(n, |(_, cells)| cells.len()));
        let shown = csv.path.display();
        return Err(Failure::input(format!(
            "{shown} has {rows} rows, one of them of {cells} cells, and the estimates have {n} event times"
        ))
        .hint("give a row and a column for each event time of --estimates"));
    }
    let mut covariance = Mat::zeros(n, n);
    for (i, (line, cells)) in csv.rows.iter().enumerate() {
        if labelled && csv.number(*line, &cells[0])? != times[i] {
            return Err(Failure::input(format!(
                "{}: line {line} is of event time {}, and the estimates have {} there",
                csv.path.display(),
                cells[0],
                times[i]
            ))
            .hint("give both files the same order"));
        }
        for (j, cell) in cells.iter().skip(skipped).enumerate() {
            covariance[(i, j)] = if cell.is_empty() { f64::NAN } else { csv.number(*line, cell)? };
        }
    }
    Ok(covariance)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read(estimates: &str, covariance: Option<&str>) -> Result<EventStudyTable, String> {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("e.csv"), estimates).unwrap();
        if let Some(text) = covariance {
            fs::write(at("v.csv"), text).unwrap();
        }
        let found = EventStudyTable::read(&at("e.csv"), covariance.map(|_| at("v.csv")).as_deref());
        found.map_err(|error| error.to_string().replace(&folder.path().display().to_string(), "DIR"))
    }

    #[test]
    fn every_form_is_the_same() {
        let plain = read("-2,0.5\n0,1\n", Some("4,1\n1,9\n")).unwrap();
        assert_eq!((&plain.event_time[..], &plain.estimate[..]), (&[-2.0, 0.0][..], &[0.5, 1.0][..]));
        assert_eq!((plain.covariance[(0, 1)], plain.covariance[(1, 1)]), (1.0, 9.0));
        let named = "\u{feff}\"Event_Time\";\"se\";\"att\"\r\n-2;2;0.5\r\n0;3;1\r\n";
        assert_eq!(read(named, Some(",-2,0\n-2,4,1\n0,1,9\n")).unwrap(), plain);
        let own = "type,overall,egt,att,se\ndynamic,true,,7,1\ndynamic,false,-2,0.5,2\ndynamic,false,0,1,3\n";
        assert_eq!(read(own, Some("egt,-2,0\n-2,4,1\n0,1,9\n")).unwrap(), plain);
        let object =
            r#"{"event_time": [-2, 0], "betahat": [0.5, 1], "sigma": [[4, 1], [1, 9]], "case": "x"}"#;
        assert_eq!(read(object, None).unwrap(), plain);
        assert_eq!(plain.within(-1.0, 9.0).event_time, [0.0]);
    }

    #[test]
    fn what_does_not_belong_together_is_named() {
        let refused =
            |estimates: &str, covariance: Option<&str>| read(estimates, covariance).expect_err(estimates);
        let all = [
            refused("-2,0.5\n0,1\n", None),
            refused("-2,0.5\n0,1\n", Some("4,1\n")),
            refused("-2,0.5\n0,1\n", Some("egt,0,-2\n0,4,1\n-2,1,9\n")),
            refused("-2,half\n0,1\n", Some("4,1\n1,9\n")),
            refused("week,att\n-2,1\n", Some("4\n")),
            refused("event_time,att\n", Some("4\n")),
            refused("{\"event_time\": [1], \"betahat\": [1]}", None),
            refused("{\"event_time\": [1], \"betahat\": [1], \"sigma\": []}", None),
        ];
        insta::assert_snapshot!(all.concat());
    }
}
