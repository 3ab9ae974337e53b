//! Arguments of `stagger doctor`.

use clap::Args;

use super::values::{boolean, name, positive};

/// Invocations at a time, if nobody says: as for a run.
const CONCURRENCY: usize = 1000;

/// Arguments of `stagger doctor`.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct DoctorArgs {
    /// Bucket of runs and panels [default: $STAGGER_BUCKET]
    #[arg(long, value_name = "NAME")]
    bucket: Option<String>,
    /// Lambda functions, separated by commas [default: $STAGGER_FUNCTION]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = name)]
    function: Option<Vec<String>>,
    /// Tasks at a time that a run is to have [default: 1000]
    #[arg(long, value_name = "N", value_parser = positive, allow_negative_numbers = true)]
    concurrency: Option<usize>,
    /// Print one line of JSON
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean)]
    json: Option<bool>,
}

/// The subject of the checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DoctorRequest {
    /// None if nobody names one.
    pub(crate) bucket: Option<String>,
    /// None at all if nobody names one.
    pub(crate) functions: Vec<String>,
    /// Invocations at a time.
    pub(crate) concurrency: usize,
    /// The checks are printed as JSON.
    pub(crate) json: bool,
}

impl DoctorRequest {
    /// The arguments, or what the environment says instead.
    pub(crate) fn new(args: DoctorArgs, environment: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| environment(name).filter(|value| !value.trim().is_empty());
        let bucket = args.bucket.or_else(|| set("STAGGER_BUCKET"));
        let from_environment = || {
            let names = set("STAGGER_FUNCTION").unwrap_or_default();
            names.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
        };
        Self {
            bucket: bucket.map(|bucket| bucket_name(&bucket).to_owned()),
            functions: args.function.unwrap_or_else(from_environment),
            concurrency: args.concurrency.unwrap_or(CONCURRENCY),
            json: args.json.unwrap_or(false),
        }
    }
}

/// The name in `s3://name/…`, or the name itself.
fn bucket_name(text: &str) -> &str {
    let text = text.trim();
    text.strip_prefix("s3://").and_then(|rest| rest.split('/').next()).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_win_over_the_environment() {
        let environment = |name: &str| match name {
            "STAGGER_BUCKET" => Some("s3://one/runs".to_owned()),
            _ => Some(" small, large,".to_owned()),
        };
        let found = DoctorRequest::new(DoctorArgs::default(), environment);
        assert_eq!(found.bucket.as_deref(), Some("one"));
        assert_eq!(
            (found.functions, found.concurrency),
            (vec!["small".to_owned(), "large".to_owned()], 1000)
        );
        let args = DoctorArgs {
            bucket: Some("two".into()),
            function: Some(vec!["f".into()]),
            ..DoctorArgs::default()
        };
        let found = DoctorRequest::new(args.clone(), environment);
        assert_eq!((found.bucket.as_deref(), found.functions), (Some("two"), vec!["f".to_owned()]));
        let nothing = DoctorRequest::new(DoctorArgs::default(), |_| None);
        assert!(nothing.bucket.is_none() && nothing.functions.is_empty());
    }
}
