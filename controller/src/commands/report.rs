//! `stagger report`: a saved result as one document, or as tables.

use std::path::Path;

use stagger_estimation::aggregate::aggregate_options;
use stagger_estimation::robustness::{EffectChoice, event_study, sensitivity};
use stagger_estimator::sensitivity::{Method, Restriction, RestrictionKind, SensitivityOptions};
use stagger_model::failure::Failure;
use stagger_model::parallel::available_cores;
use stagger_model::result::SavedResult;
use stagger_model::sensitivity::SensitivityResult;
use stagger_model::spec::DEFAULT_SEED;
use stagger_pictures::MARK;
use stagger_report::document::{html, latex, markdown};
use stagger_report::html::{pictures, read_document, tables};
use stagger_report::load::load_result;
use stagger_report::overwrite::{OverwriteRules, Replaceable};
use stagger_report::pictures::files::{PictureFormat, write};

use crate::cli::picture_args::ReportArgs;

/// Effects whose robust intervals a report has room for.
const MOST_EFFECTS: usize = 12;

/// The forms of reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Html,
    Markdown,
    Latex,
    Folder,
}

impl Target {
    /// The form that a file's name asks for.
    fn of(path: &Path) -> Result<Self, Failure> {
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        match extension.as_deref() {
            _ if path.is_dir() => Ok(Self::Folder),
            None => Ok(Self::Folder),
            Some("html" | "htm") => Ok(Self::Html),
            Some("md" | "markdown") => Ok(Self::Markdown),
            Some("tex") => Ok(Self::Latex),
            Some(other) => {
                Err(Failure::input(format!("--out {}: no report can be written as .{other}", path.display()))
                    .hint("give a name that ends in .html, .md or .tex, or a folder for tables as CSV"))
            }
        }
    }
}

/// Writes the report.
pub(crate) fn report(args: &ReportArgs) -> Result<(), Failure> {
    let out = Path::new(&args.out);
    let target = Target::of(out)?;
    let overwrite = OverwriteRules::new("--out", args.force, &[&args.result]);
    if target != Target::Folder {
        overwrite.check(out, Replaceable::Marked(MARK))?;
    }
    let (file, saved) = load_result(Path::new(&args.result))?;
    if target == Target::Folder {
        return tables(out, &saved, &overwrite);
    }
    let folder = file.parent().unwrap_or(Path::new("."));
    let sensitivity = robust_intervals(&saved);
    let document = read_document(folder, &saved, sensitivity.as_ref(), args.title.as_deref())?;
    match target {
        Target::Markdown => {
            let folder = pictures(out, &document, PictureFormat::Svg, &overwrite)?;
            write(out, markdown(&document, &folder).as_bytes(), &overwrite)
        }
        Target::Latex => {
            let folder = pictures(out, &document, PictureFormat::Png, &overwrite)?;
            write(out, latex(&document, &folder).as_bytes(), &overwrite)
        }
        _ => write(out, html(&document).as_bytes(), &overwrite),
    }
}

/// Robust intervals of every effect by relative magnitudes, where the event study has them: with a universal base period, and periods on
/// both sides. A report says nothing of those that it can't have; `stagger sensitivity` says why.
fn robust_intervals(saved: &SavedResult) -> Option<SensitivityResult> {
    let study = event_study(saved, &aggregate_options(&saved.extended.spec)).ok()?;
    let restriction = Restriction::of(RestrictionKind::RelativeMagnitude);
    let method = Method::of(restriction);
    let options = SensitivityOptions { restriction, method, alp: saved.result.alp, seed: DEFAULT_SEED };
    let effects = study.post_times().iter().copied().take(MOST_EFFECTS).collect();
    sensitivity(&study, &options, None, &EffectChoice::EventTimes(effects), available_cores()).ok()
}
