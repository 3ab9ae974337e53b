//! Lambda's REPORT of an invocation, as it stands at the end of the log's tail.

use stagger_coordinator::Bill;
use stagger_forecast::LAMBDA_MB;

/// The `REPORT` line of an invocation, whichever way it ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ReportLine {
    /// Seconds that are billed; those of a cold start are in them.
    pub(super) billed_seconds: f64,
    /// Lambda's megabytes.
    pub(super) memory_mb: u64,
    /// The most that the environment had, from its start on.
    pub(super) peak_mb: u64,
    /// Seconds of a cold start.
    pub(super) init_seconds: Option<f64>,
    /// `timeout` or `error`; nothing where it went well.
    pub(super) status: Option<String>,
    /// As `Runtime.ExitError`.
    pub(super) error_type: Option<String>,
}

impl ReportLine {
    /// The last report in a log, in Lambda's plain format or its JSON one.
    pub(super) fn find(log: &str) -> Option<Self> {
        log.lines().rev().find_map(|line| Self::plain(line).or_else(|| Self::json(line)))
    }

    /// `REPORT RequestId: …\tDuration: 1.44 ms\tBilled Duration: 20 ms\tMemory Size: 128 MB\t…`
    fn plain(line: &str) -> Option<Self> {
        let fields = line.trim().strip_prefix("REPORT RequestId:")?;
        let field =
            |name: &str| fields.split('\t').find_map(|f| f.trim().strip_prefix(name)?.strip_prefix(": "));
        let number = |name: &str, unit: &str| field(name)?.strip_suffix(unit)?.trim().parse::<f64>().ok();
        Some(Self {
            billed_seconds: number("Billed Duration", "ms")? / 1e3,
            memory_mb: number("Memory Size", "MB")? as u64,
            peak_mb: number("Max Memory Used", "MB")? as u64,
            init_seconds: number("Init Duration", "ms").map(|ms| ms / 1e3),
            status: field("Status").map(str::to_owned),
            error_type: field("Error Type").map(str::to_owned),
        })
    }

    /// Functions whose log format is JSON have a `platform.report` instead.
    fn json(line: &str) -> Option<Self> {
        let event: serde_json::Value = serde_json::from_str(line.trim()).ok()?;
        let record = (event.get("type")? == "platform.report").then(|| event.get("record"))??;
        let number = |name: &str| record.get("metrics")?.get(name)?.as_f64();
        let text = |name: &str| record.get(name).and_then(|value| value.as_str()).map(str::to_owned);
        Some(Self {
            billed_seconds: number("billedDurationMs")? / 1e3,
            memory_mb: number("memorySizeMB")? as u64,
            peak_mb: number("maxMemoryUsedMB")? as u64,
            init_seconds: number("initDurationMs").map(|ms| ms / 1e3),
            status: text("status").filter(|status| status != "success"),
            error_type: text("errorType"),
        })
    }

    /// The bill.
    pub(super) fn billed(&self) -> Bill {
        Bill { seconds: self.billed_seconds, peak_memory: self.peak_mb * LAMBDA_MB, init: self.init_seconds }
    }

    /// Returns true if all memory of the function was in use.
    pub(super) fn is_full(&self) -> bool {
        self.memory_mb > 0 && self.peak_mb >= self.memory_mb
    }
}

/// Lines of a log that go into a message.
const LAST_LINES: usize = 3;
/// Characters of it.
const LAST_CHARS: usize = 400;
/// Lines that Lambda itself writes; the JSON format has `platform.` events.
const PLATFORM: [&str; 7] =
    ["START RequestId:", "END RequestId:", "REPORT", "INIT_", "XRAY ", "{\"time\":", "RequestId:"];

/// Returns the last lines that a function printed, on one line; an empty text if it printed nothing.
pub(super) fn last_lines(log: &str) -> String {
    let own = |line: &&str| {
        let platform = PLATFORM.iter().any(|start| line.starts_with(start));
        !line.is_empty() && (!platform || (line.starts_with("{\"time\":") && !line.contains("\"platform.")))
    };
    let lines: Vec<&str> = log.lines().map(str::trim).filter(own).collect();
    let said = lines[lines.len().saturating_sub(LAST_LINES)..].join(" | ");
    let cut = said.char_indices().rev().nth(LAST_CHARS - 1).map_or(0, |(at, _)| at);
    said[cut..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "8f507cfc-example-4697-b07a-ac58fc914c95";

    fn report(fields: &str) -> Option<ReportLine> {
        ReportLine::find(&format!(
            "START RequestId: {ID}\nhello\nEND RequestId: {ID}\nREPORT RequestId: {ID}\t{fields}\n"
        ))
    }

    #[test]
    fn cold_and_warm() {
        let cold = report(
            "Duration: 1.44 ms\tBilled Duration: 20 ms\tMemory Size: 1769 MB\tMax Memory Used: 16 MB\tInit Duration: 18.20 ms\t",
        )
        .unwrap();
        assert_eq!((cold.memory_mb, cold.peak_mb, cold.status.as_deref()), (1769, 16, None));
        let billed = cold.billed();
        assert!((billed.seconds - 0.02).abs() < 1e-12 && billed.peak_memory == 16 << 20);
        assert!((billed.init.unwrap() - 0.0182).abs() < 1e-12);
        let warm = report(
            "Duration: 1.44 ms\tBilled Duration: 2 ms\tMemory Size: 1769 MB\tMax Memory Used: 16 MB\t",
        );
        assert_eq!(warm.unwrap().billed().init, None);
    }

    #[test]
    fn traced_and_failed() {
        let log = format!(
            "REPORT RequestId: {ID}\tDuration: 3000.00 ms\tBilled Duration: 3000 ms\tMemory Size: 128 MB\tMax Memory Used: 128 MB\t\
             Status: error\tError Type: Runtime.ExitError\t\nXRAY TraceId: 1-5\tSegmentId: 0\tSampled: true\n"
        );
        let found = ReportLine::find(&log).unwrap();
        assert!(found.is_full());
        assert_eq!(
            (found.status.as_deref(), found.error_type.as_deref()),
            (Some("error"), Some("Runtime.ExitError"))
        );
    }

    #[test]
    fn as_json() {
        let line = r#"{"time":"2026-11-21T10:00:00Z","type":"platform.report","record":{"requestId":"r","metrics":{"durationMs":5001.2,"billedDurationMs":5002,"memorySizeMB":256,"maxMemoryUsedMB":90,"initDurationMs":20.5},"status":"timeout"}}"#;
        let found = ReportLine::find(&format!("{line}\n")).unwrap();
        assert_eq!((found.memory_mb, found.peak_mb, found.status.as_deref()), (256, 90, Some("timeout")));
        assert!((found.billed_seconds - 5.002).abs() < 1e-12 && found.init_seconds.is_some());
    }

    #[test]
    fn logs_without_a_report_have_none() {
        for log in [
            "",
            "REPORT",
            "REPORT RequestId: x",
            "REPORT RequestId: x\tBilled Duration: soon",
            "{\"type\":1}",
            "{",
        ] {
            assert_eq!(ReportLine::find(log), None, "{log}");
        }
    }

    #[test]
    fn the_functions_own_last_words() {
        let log = format!(
            "START RequestId: {ID} Version: $LATEST\none\ntwo\nthree\nfour\nRequestId: {ID} Error: exit\nEND RequestId: {ID}\nREPORT \n"
        );
        assert_eq!(last_lines(&log), "two | three | four");
        assert_eq!(last_lines(&"é".repeat(1000)).chars().count(), LAST_CHARS);
        let json = "{\"time\":\"t\",\"type\":\"platform.start\"}\n{\"time\":\"t\",\"message\":\"own\"}\n";
        assert_eq!(last_lines(json), "{\"time\":\"t\",\"message\":\"own\"}");
        assert_eq!(last_lines(""), "");
    }
}
