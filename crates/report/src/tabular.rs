//! Estimates as columns: CSV for every program, Parquet for the data stack.
//!
//! In CSV a missing number is an empty field, which R, Stata, pandas and Polars all read as missing.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use stagger_estimator::label::precise_label;
use stagger_model::result::{Aggte, AttGt, Balance, Num, Overlap, SavedResult};

/// Key under which a Parquet file of draws names the run that it belongs to.
pub const RUN_KEY: &str = "stagger.run";

/// Writes ATT(g,t) as CSV.
pub fn cells_csv(cells: &AttGt, out: &mut dyn Write) -> io::Result<()> {
    let labelled = !cells.group_label.is_empty();
    let more = if labelled { ",group_label,time_label" } else { "" };
    writeln!(out, "group,time,post,att,se,lci,uci,reason{more}")?;
    for i in 0..cells.att.len() {
        let numbers = [cells.att[i], cells.se[i], cells.lci[i], cells.uci[i]].map(csv_number).join(",");
        let labels = match (cells.group_label.get(i), cells.time_label.get(i)) {
            (Some(group), Some(time)) => format!(",{},{}", csv_text(group), csv_text(time)),
            _ => String::new(),
        };
        writeln!(
            out,
            "{},{},{},{numbers},{}{labels}",
            csv_label(cells.group[i]),
            csv_label(cells.time[i]),
            cells.post[i],
            csv_text(cells.missing_reason(i).unwrap_or_default())
        )?;
    }
    Ok(())
}

/// An aggregation as CSV: the overall effect first, then one line an event time, group or period.
pub fn aggregation_csv(aggte: &Aggte, out: &mut dyn Write) -> io::Result<()> {
    let labelled = !aggte.egt_label.is_empty();
    let (more, none) = if labelled { (",egt_label", ",") } else { ("", "") };
    writeln!(out, "type,overall,egt,att,se,lci,uci,reason{more}")?;
    let overall =
        [aggte.overall_att, aggte.overall_se, aggte.overall_lci, aggte.overall_uci].map(csv_number).join(",");
    let reason = aggte.overall_reason.as_deref().unwrap_or_default();
    writeln!(out, "{},true,,{overall},{}{none}", aggte.kind, csv_text(reason))?;
    for i in 0..aggte.egt.len() {
        let numbers = [aggte.att_egt[i], aggte.se_egt[i], aggte.lci_egt[i], aggte.uci_egt[i]];
        let numbers = numbers.map(csv_number).join(",");
        let reason = csv_text(aggte.reason_egt.get(i).and_then(Option::as_deref).unwrap_or_default());
        let label = aggte.egt_label.get(i).map(|label| format!(",{}", csv_text(label))).unwrap_or_default();
        writeln!(out, "{},false,{},{numbers},{reason}{label}", aggte.kind, csv_label(aggte.egt[i]))?;
    }
    Ok(())
}

/// The covariance of an aggregation as CSV: a row and a column for each event time, group or period.
pub fn covariance_csv(aggte: &Aggte, out: &mut dyn Write) -> io::Result<()> {
    let labels: Vec<String> = aggte.egt.iter().copied().map(csv_label).collect();
    writeln!(out, "egt,{}", labels.join(","))?;
    for (label, row) in labels.iter().zip(&aggte.vcov_egt) {
        let numbers: Vec<String> = row.iter().copied().map(csv_number).collect();
        writeln!(out, "{label},{}", numbers.join(","))?;
    }
    Ok(())
}

/// The shortest digits that read back as the same number; empty for NA.
pub(super) fn csv_number(number: Num) -> String {
    let value = number.0 + 0.0;
    match value.abs() {
        size if !size.is_finite() => String::new(),
        size if size != 0.0 && !(1e-5..1e16).contains(&size) => format!("{value:e}"),
        _ => format!("{value}"),
    }
}

/// A period, cohort or event time without the noise of binary fractions; empty for NA and infinity.
fn csv_label(number: Num) -> String {
    if number.0.is_finite() { precise_label(number.0) } else { String::new() }
}

/// Writes propensity scores as CSV: one line for each score and side, with its quantiles.
pub fn overlap_csv(all: &[Overlap], out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "group,controls,period,side,n,trimmed,min,q01,q05,q25,q50,q75,q95,q99,max")?;
    for o in all {
        let period = o.period.map(csv_label).unwrap_or_default();
        for (side, scores) in [("treated", &o.treated), ("controls", &o.untreated)] {
            let quantiles: Vec<String> = scores.quantiles.iter().map(|q| csv_number(*q)).collect();
            writeln!(
                out,
                "{},{},{period},{side},{},{},{}",
                csv_label(o.group),
                csv_text(&o.controls.join(" ")),
                scores.n,
                csv_number(Num(o.trimmed)),
                quantiles.join(",")
            )?;
        }
    }
    Ok(())
}

/// Balance as CSV: one line a comparison and covariate.
pub fn balance_csv(all: &[Balance], out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "group,time,controls,period,covariate,before,after")?;
    for b in all {
        let period = b.period.map(csv_label).unwrap_or_default();
        for covariate in &b.covariates {
            writeln!(
                out,
                "{},{},{},{period},{},{},{}",
                csv_label(b.group),
                csv_label(b.time),
                csv_text(&b.controls.join(" ")),
                csv_text(&covariate.name),
                csv_number(covariate.before),
                csv_number(covariate.after)
            )?;
        }
    }
    Ok(())
}

/// A text in quotes where it needs them.
pub(super) fn csv_text(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// Writes ATT(g,t) as Parquet.
pub fn cells_parquet(cells: &AttGt, file: File) -> Result<File, ParquetError> {
    let numbers = |values: &[Num]| -> ArrayRef {
        Arc::new(values.iter().map(|value| Some(value.0).filter(|x| x.is_finite())).collect::<Float64Array>())
    };
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        ("group", numbers(&cells.group)),
        ("time", numbers(&cells.time)),
        ("post", Arc::new(BooleanArray::from(cells.post.clone()))),
        ("att", numbers(&cells.att)),
        ("se", numbers(&cells.se)),
        ("lci", numbers(&cells.lci)),
        ("uci", numbers(&cells.uci)),
        ("reason", Arc::new((0..cells.att.len()).map(|i| cells.missing_reason(i)).collect::<StringArray>())),
    ];
    for (name, labels) in [("group_label", &cells.group_label), ("time_label", &cells.time_label)] {
        if !labels.is_empty() {
            columns.push((name, Arc::new(StringArray::from(labels.clone()))));
        }
    }
    let batch = RecordBatch::try_from_iter(columns)?;
    let properties =
        WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
    // Doubles and texts need no schema of Arrow's beside Parquet's.
    let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(file, batch.schema(), options)?;
    writer.write(&batch)?;
    writer.into_inner()
}

/// Names of the extended columns: ones, cohort shares, cells.
pub fn extended_names(saved: &SavedResult) -> Vec<String> {
    let cells = &saved.result.att_gt;
    let exact = |label: &Num| format!("{}", label.0 + 0.0);
    let shares = saved.extended.groups.iter().map(|group| format!("share_{}", exact(group)));
    let cells = cells.group.iter().zip(&cells.time).map(|(g, t)| format!("att_{}_{}", exact(g), exact(t)));
    std::iter::once("ones".to_owned()).chain(shares).chain(cells).collect()
}

/// Returns a text that the draws and the result of one run have in common, and those of another run do not.
pub fn fingerprint(saved: &SavedResult) -> String {
    serde_json::json!({
        "spec": saved.extended.spec,
        "n": saved.result.n,
        "crit": saved.result.crit,
        "att": saved.result.att_gt.att,
    })
    .to_string()
}

/// A Parquet error in the words of the file's trouble, if it was one of input or output.
pub fn as_io(path: &Path, error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(source) => match source.downcast::<io::Error>() {
            Ok(source) => *source,
            Err(other) => io::Error::other(format!("{}: {other}", path.display())),
        },
        other => io::Error::other(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use stagger_test_support::results;

    use super::*;

    fn text(write: impl Fn(&mut dyn Write) -> io::Result<()>) -> String {
        let mut bytes = Vec::new();
        write(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn missing_numbers_are_empty_fields() {
        let csv = text(|out| cells_csv(&results::universal::<SavedResult>().result.att_gt, out));
        insta::assert_snapshot!(csv.lines().take(3).collect::<Vec<_>>().join("\n"), @"
        group,time,post,att,se,lci,uci,reason
        2004,2003,false,0,,,,
        2004,2004,true,-0.0105032462209635,0.0232510363681662,-0.05607444010580014,0.035067947663873146,
        ");
    }

    #[test]
    fn aggregation_has_its_overall_effect_first() {
        let csv =
            text(|out| aggregation_csv(&results::bootstrap::<SavedResult>().result.aggte["group"], out));
        insta::assert_snapshot!(csv, @"
        type,overall,egt,att,se,lci,uci,reason
        group,true,,-0.032819597162241,0.0119807293351703,-0.05630139516769724,-0.009337799156784753,
        group,false,2004,-0.0845759462492809,0.0274952595389213,-0.14441673656995696,-0.024735155928604848,
        group,false,2006,-0.0201666459207411,0.0180096773968913,-0.05936297819484889,0.019029686353366694,
        group,false,2007,-0.0287813610394868,0.0168882306679746,-0.0655369722698119,0.007974250190838292,
        ");
    }

    #[test]
    fn csv_numbers_read_back() {
        for value in [0.1, -1e-12, 123456789.25, 5e300, 0.0, -0.0] {
            assert_eq!(csv_number(Num(value)).parse::<f64>().unwrap(), value);
        }
        assert_eq!(csv_number(Num(f64::NAN)), "");
        assert_eq!(csv_number(Num(-0.0)), "0");
    }

    #[test]
    fn extended_columns_are_named_in_order() {
        let names = extended_names(&results::bootstrap());
        assert_eq!(names.len(), 16);
        assert_eq!(&names[..5], ["ones", "share_2004", "share_2006", "share_2007", "att_2004_2004"]);
    }
}
