//! Checks the environment variables that configure access to AWS before the first request: the SDK silently ignores
//! most wrong values, and ends the program for some.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::{StoreError, StoreErrorKind, StoreResult};

/// A rule for the value of an environment variable.
struct Rule {
    name: &'static str,
    is_right: fn(&str) -> bool,
    /// The description of right values, to follow "it must be".
    allowed: &'static str,
}

const fn rule(name: &'static str, is_right: fn(&str) -> bool, allowed: &'static str) -> Rule {
    Rule { name, is_right, allowed }
}

const SWITCH: &str = "true or false";
const WHEN: &str = "when_supported or when_required";
const ADDRESS: &str = "an address such as https://s3.example.com or http://127.0.0.1:4566";
const FILE: &str = "the path of a file that is there";

/// The rules that concern one variable alone.
const RULES: &[Rule] = &[
    rule("AWS_MAX_ATTEMPTS", is_attempts, "a whole number from 1 to 4294967295"),
    rule(
        "AWS_RETRY_MODE",
        |v| is_one(v, &["standard", "adaptive", "legacy"]),
        "standard, adaptive or legacy",
    ),
    rule("AWS_USE_FIPS_ENDPOINT", is_switch, SWITCH),
    rule("AWS_USE_DUALSTACK_ENDPOINT", is_switch, SWITCH),
    rule("AWS_EC2_METADATA_DISABLED", is_switch, SWITCH),
    rule("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", is_switch, SWITCH),
    rule("AWS_DISABLE_REQUEST_COMPRESSION", is_switch, SWITCH),
    rule("AWS_DISABLE_CLOCK_SKEW_CORRECTION", is_switch, SWITCH),
    rule("AWS_REQUEST_CHECKSUM_CALCULATION", is_when, WHEN),
    rule("AWS_RESPONSE_CHECKSUM_VALIDATION", is_when, WHEN),
    rule("AWS_REQUEST_MIN_COMPRESSION_SIZE_BYTES", is_compression, "a whole number from 0 to 10485760"),
    rule("AWS_ACCOUNT_ID_ENDPOINT_MODE", is_mode, "preferred, disabled or required"),
    rule("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", |v| is_one(v, &["ipv4", "ipv6"]), "IPv4 or IPv6"),
    rule("AWS_EC2_METADATA_SERVICE_ENDPOINT", is_address, ADDRESS),
    rule("AWS_ENDPOINT_URL", is_address, ADDRESS),
    rule("AWS_ENDPOINT_URL_S3", is_address, ADDRESS),
    rule("AWS_ENDPOINT_URL_LAMBDA", is_address, ADDRESS),
    rule("AWS_ENDPOINT_URL_SQS", is_address, ADDRESS),
    rule("AWS_ENDPOINT_URL_SNS", is_address, ADDRESS),
    rule("AWS_ENDPOINT_URL_STS", is_address, ADDRESS),
    rule("AWS_ENDPOINT_URL_BATCH", is_address, ADDRESS),
    rule("AWS_CA_BUNDLE", is_file, FILE),
    rule("STAGGER_S3_PATH_STYLE", is_style, "1, true, yes or on, or 0, false, no or off"),
    rule("STAGGER_BUCKET", is_bucket, "the name of a bucket, without s3://"),
];

/// A function that looks up an environment variable.
type Lookup<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Refuses the first environment variable of this process whose value is invalid. The check runs once, and later calls
/// return its result.
///
/// # Errors
/// [`StoreErrorKind::Environment`] with the variable, its value, and the values that it may have.
pub fn check_environment() -> StoreResult<()> {
    static CHECKED: OnceLock<StoreResult<()>> = OnceLock::new();
    CHECKED.get_or_init(|| check(&|name| std::env::var_os(name))).clone()
}

fn check(lookup: Lookup<'_>) -> StoreResult<()> {
    for rule in RULES {
        if let Some(value) = text(lookup, rule.name, rule.allowed)?
            && !(rule.is_right)(&value)
        {
            return Err(wrong(rule.name, &value, rule.allowed));
        }
    }
    check_region(lookup)?;
    check_keys(lookup)?;
    check_profile(lookup)
}

/// Returns the value of a variable without surrounding spaces, or `None` if it is unset or empty.
fn text(lookup: Lookup<'_>, name: &str, allowed: &str) -> StoreResult<Option<String>> {
    let Some(value) = lookup(name) else { return Ok(None) };
    match value.into_string() {
        Ok(value) => Ok(Some(value.trim().to_owned()).filter(|value| !value.is_empty())),
        Err(value) => Err(wrong(name, &value.to_string_lossy(), allowed)),
    }
}

/// Returns the error for an invalid value.
fn wrong(name: &str, value: &str, allowed: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Environment, format!("{name} is `{}`", value.escape_debug()))
        .with_hint(format!("it must be {allowed}; `unset {name}` leaves it to the default"))
}

/// Checks the region: `us-east-1` and the like for Amazon; other services name their regions as they wish.
fn check_region(lookup: Lookup<'_>) -> StoreResult<()> {
    let allowed = "the name of a region such as us-east-1";
    let endpoint = |name| text(lookup, name, ADDRESS).map(|value| value.is_some());
    let is_other = endpoint("AWS_ENDPOINT_URL")? || endpoint("AWS_ENDPOINT_URL_S3")?;
    for name in ["AWS_REGION", "AWS_DEFAULT_REGION"] {
        let Some(value) = text(lookup, name, allowed)? else { continue };
        if is_region(&value) || (is_other && is_label(&value)) {
            continue;
        }
        // An availability zone is the most frequent wrong region.
        let zone = value.strip_suffix(|c: char| c.is_ascii_lowercase()).filter(|region| is_region(region));
        return Err(match zone {
            Some(region) => {
                StoreError::new(StoreErrorKind::Environment, format!("{name} is `{value}`, a zone"))
                    .with_hint(format!("its region: {name}={region}"))
            }
            None => wrong(name, &value, allowed),
        });
    }
    Ok(())
}

/// Refuses an access key without its secret and the reverse: the SDK would silently take the next source of
/// credentials.
fn check_keys(lookup: Lookup<'_>) -> StoreResult<()> {
    let (id, secret) = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY");
    let is_set = |name| lookup(name).is_some_and(|value| !value.to_string_lossy().trim().is_empty());
    let (given, missing) = match (is_set(id), is_set(secret)) {
        (true, false) => (id, secret),
        (false, true) => (secret, id),
        _ => return Ok(()),
    };
    Err(StoreError::new(StoreErrorKind::Environment, format!("{given} is set, but {missing} is not"))
        .with_hint(format!("set both, or `unset {given}` to use a profile or a role")))
}

/// Refuses a profile that no file contains. With access keys in the environment the SDK ignores the profile, and so
/// does this check.
fn check_profile(lookup: Lookup<'_>) -> StoreResult<()> {
    let Some(name) = text(lookup, "AWS_PROFILE", "the name of a profile")? else { return Ok(()) };
    if lookup("AWS_ACCESS_KEY_ID").is_some_and(|value| !value.is_empty()) {
        return Ok(());
    }
    let files = profile_files(lookup);
    let known: Vec<String> = files
        .iter()
        .filter_map(|file| std::fs::read_to_string(file).ok())
        .flat_map(|text| profiles(&text))
        .collect();
    if known.contains(&name) {
        return Ok(());
    }
    let looked: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    let mut known: Vec<String> = known.iter().map(|name| name.escape_debug().to_string()).collect();
    known.sort();
    known.dedup();
    let hint = match known.is_empty() {
        true => {
            "no profile is configured: `aws configure`, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
                .to_owned()
        }
        false => format!("there are {}; or `unset AWS_PROFILE`", known.join(", ")),
    };
    Err(StoreError::new(
        StoreErrorKind::Environment,
        format!("AWS_PROFILE is `{}`, which {} don't have", name.escape_debug(), looked.join(" and ")),
    )
    .with_hint(hint))
}

/// Returns the files of profiles: those that variables name, or those in the home folder.
fn profile_files(lookup: Lookup<'_>) -> Vec<PathBuf> {
    let home = || lookup("HOME").or_else(|| lookup("USERPROFILE")).map(PathBuf::from).unwrap_or_default();
    let file = |variable: &str, name: &str| {
        let named = lookup(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
        named.unwrap_or_else(|| home().join(".aws").join(name))
    };
    vec![file("AWS_CONFIG_FILE", "config"), file("AWS_SHARED_CREDENTIALS_FILE", "credentials")]
}

/// Returns the names of the sections `[profile name]` and `[name]`.
fn profiles(text: &str) -> Vec<String> {
    let section = |line: &str| {
        let inside = line.trim().strip_prefix('[')?.split(']').next()?.trim();
        let name = match inside.split_once(char::is_whitespace) {
            Some(("profile", name)) => name.trim(),
            Some(_) => return None,
            None => inside,
        };
        Some(name.trim_matches('"').to_owned())
    };
    text.lines().filter_map(section).collect()
}

fn is_one(value: &str, allowed: &[&str]) -> bool {
    allowed.iter().any(|word| value.eq_ignore_ascii_case(word))
}

fn is_switch(value: &str) -> bool {
    is_one(value, &["true", "false"])
}

fn is_when(value: &str) -> bool {
    is_one(value, &["when_supported", "when_required"])
}

fn is_mode(value: &str) -> bool {
    is_one(value, &["preferred", "disabled", "required"])
}

fn is_style(value: &str) -> bool {
    is_one(value, &["1", "true", "yes", "on", "0", "false", "no", "off"])
}

fn is_attempts(value: &str) -> bool {
    value.parse::<u32>().is_ok_and(|attempts| attempts > 0)
}

fn is_compression(value: &str) -> bool {
    value.parse::<u32>().is_ok_and(|bytes| bytes <= 10 << 20)
}

fn is_file(value: &str) -> bool {
    Path::new(value).is_file()
}

/// Accepts `http` or `https`, a host, and a port if there is one.
fn is_address(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    let Some(rest) = lower.strip_prefix("http://").or_else(|| lower.strip_prefix("https://")) else {
        return false;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (host, port) = match authority.rsplit_once(':') {
        // The colons of an IPv6 address stand in brackets.
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._[]:".contains(c);
    !host.is_empty() && host.chars().all(plain) && port.is_none_or(is_port)
}

/// Accepts region names of AWS: `us-east-1`, `us-gov-west-1`, `aws-global`.
fn is_region(value: &str) -> bool {
    let parts: Vec<&str> = value.split('-').collect();
    let Some((number, words)) = parts.split_last() else { return false };
    let is_word = |word: &&str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase());
    let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    value == "aws-global" || (is_number && words.len() >= 2 && words.iter().all(is_word))
}

/// Accepts one label of a host name.
fn is_label(value: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    (1..=63).contains(&value.len())
        && value.bytes().all(plain)
        && !value.starts_with('-')
        && !value.ends_with('-')
}

/// Accepts the bucket names of S3 and of services compatible with it.
fn is_bucket(value: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    (3..=255).contains(&value.len()) && value.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn checked(values: &[(&str, &str)]) -> StoreResult<()> {
        let values: BTreeMap<&str, &str> = values.iter().copied().collect();
        check(&|name| values.get(name).map(OsString::from))
    }

    #[test]
    fn what_means_nothing_is_named_with_what_may_be() {
        let wrong = [
            ("AWS_MAX_ATTEMPTS", &["0", "abc", "-1", "99999999999999999999", "1.5", "1e3"][..]),
            ("AWS_RETRY_MODE", &["foo", "fast"]),
            ("AWS_USE_FIPS_ENDPOINT", &["1", "yes"]),
            ("AWS_REGION", &["us east 1", "US-EAST-1", "us_east_1", "us-east", "frankfurt", "https://x"]),
            (
                "AWS_ENDPOINT_URL",
                &["localhost:4566", "ftp://x", "http://", "http://a b", "http://h:99999", "http://h:x"],
            ),
            ("STAGGER_S3_PATH_STYLE", &["maybe", "2"]),
            ("STAGGER_BUCKET", &["s3://b", "a/b", "x"]),
            ("AWS_CA_BUNDLE", &["/no/such/file"]),
        ];
        for (name, values) in wrong {
            for value in values {
                let error = checked(&[(name, value)]).unwrap_err();
                assert_eq!(error.kind, StoreErrorKind::Environment, "{name}={value}");
                assert!(error.to_string().starts_with(&format!("{name} is `{value}`")), "{error}");
                assert!(error.hint().unwrap().contains("must be"), "{error}");
            }
        }
    }

    #[test]
    fn what_means_something_passes() {
        let right = [
            ("AWS_MAX_ATTEMPTS", "4294967295"),
            ("AWS_RETRY_MODE", "Legacy"),
            ("AWS_REGION", "us-gov-west-1"),
            ("AWS_DEFAULT_REGION", " eu-central-1 "),
            ("AWS_ENDPOINT_URL", "http://[::1]:4566/"),
            ("AWS_ENDPOINT_URL", "https://s3.example.com"),
            ("AWS_ENDPOINT_URL", ""),
            ("STAGGER_S3_PATH_STYLE", "No"),
            ("STAGGER_BUCKET", "my.bucket-1"),
        ];
        for (name, value) in right {
            assert_eq!(checked(&[(name, value)]), Ok(()), "{name}={value}");
        }
        // Of another service.
        let other = [("AWS_REGION", "auto"), ("AWS_ENDPOINT_URL_S3", "https://x.example.com")];
        assert_eq!(checked(&other), Ok(()));
        assert!(checked(&other[..1]).is_err());
    }

    #[test]
    fn a_zone_is_told_from_its_region_and_half_a_pair_from_a_pair() {
        let zone = checked(&[("AWS_REGION", "us-east-1a")]).unwrap_err();
        assert_eq!(zone.hint(), Some("its region: AWS_REGION=us-east-1"));
        let half = checked(&[("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", " ")]).unwrap_err();
        assert_eq!(half.to_string(), "AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not");
        assert!(checked(&[("AWS_SECRET_ACCESS_KEY", "x")]).is_err());
        assert!(checked(&[("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "y")]).is_ok());
    }

    #[test]
    fn a_profile_that_no_file_has_is_named_with_those_there_are() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config");
        std::fs::write(&config, "[default]\nregion=x\n[profile work]\n[sso-session s]\n").unwrap();
        let none = folder.path().join("none").display().to_string();
        let files = [("AWS_CONFIG_FILE", config.to_str().unwrap()), ("AWS_SHARED_CREDENTIALS_FILE", &none)];
        let of = |name| checked(&[&files[..], &[("AWS_PROFILE", name)]].concat());
        assert_eq!(of("work"), Ok(()));
        let missing = of("wrk").unwrap_err();
        assert!(missing.to_string().starts_with("AWS_PROFILE is `wrk`, which "), "{missing}");
        assert_eq!(missing.hint(), Some("there are default, work; or `unset AWS_PROFILE`"));
        let keys = [("AWS_PROFILE", "wrk"), ("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "y")];
        assert_eq!(checked(&keys), Ok(()));
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_text_is_refused() {
        use std::os::unix::ffi::OsStringExt;
        let error = check(&|name| (name == "AWS_REGION").then(|| OsString::from_vec(vec![0xff, b'a'])));
        assert_eq!(error.unwrap_err().kind, StoreErrorKind::Environment);
    }
}
