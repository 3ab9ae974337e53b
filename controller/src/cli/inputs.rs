//! Inputs that stand in a list: `@LIST` is a text with one input in each line.

use std::path::Path;

use stagger_model::failure::Failure;
use stagger_storage::disk;
use stagger_storage::open::is_on_s3;

/// The mark of a list.
const MARK: char = '@';

/// Replaces every list among the inputs by the inputs in it. They are relative to the list's folder.
pub(crate) fn expand_lists(inputs: Vec<String>) -> Result<Vec<String>, Failure> {
    let mut out = Vec::with_capacity(inputs.len());
    for input in inputs {
        match input.strip_prefix(MARK) {
            Some(list) if !list.is_empty() => out.extend(read_list(Path::new(list))?),
            _ => out.push(input),
        }
    }
    Ok(out)
}

fn read_list(path: &Path) -> Result<Vec<String>, Failure> {
    let text = disk::read_text(path, disk::MAX_TEXT_BYTES).map_err(|error| {
        Failure::read(path, &error)
            .hint("@FILE names a text with one input in each line; for a file whose name begins with @ write ./@FILE")
    })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let inputs: Vec<String> = lines.map(|line| from_folder(folder, line)).collect();
    if let Some(nested) = inputs.iter().find(|input| input.starts_with(MARK)) {
        return Err(Failure::input(format!("{}: a list can't name another list: {nested}", path.display()))
            .hint("name both lists on the command line"));
    }
    match inputs.is_empty() {
        true => Err(Failure::input(format!("{}: the list names no input", path.display()))
            .hint("write one file, folder or glob in each line")),
        false => Ok(inputs),
    }
}

/// Returns an input of a list or run file as seen from the working directory; absolute paths, URLs and standard input
/// stay.
pub(super) fn from_folder(folder: &Path, input: &str) -> String {
    if is_on_s3(input) || input.contains("://") || Path::new(input).is_absolute() || input == "-" {
        return input.to_owned();
    }
    match input.strip_prefix(MARK) {
        Some(list) => format!("{MARK}{}", from_folder(folder, list)),
        None => folder.join(input).to_string_lossy().into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_inputs_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("parts.txt");
        std::fs::write(&list, "# parts\na.csv\n\n /b.csv\ns3://bucket/c.csv\n").unwrap();
        let found = expand_lists(vec!["x.csv".into(), format!("@{}", list.display()), "-".into()]).unwrap();
        let beside = folder.path().join("a.csv").display().to_string();
        assert_eq!(found, ["x.csv", beside.as_str(), "/b.csv", "s3://bucket/c.csv", "-"]);
        std::fs::write(&list, "\n").unwrap();
        assert!(expand_lists(vec![format!("@{}", list.display())]).is_err());
        assert_eq!(from_folder(Path::new("studies"), "@parts.txt"), "@studies/parts.txt");
    }
}
