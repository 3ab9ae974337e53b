//! Names of arguments: R's and Python's spellings.

/// Other names of an argument, with R's name.
const ALIASES: &[(&str, &str)] = &[
    ("boot", "bstrap"),
    ("nboot", "biters"),
    ("alpha", "alp"),
    ("random_state", "seed"),
    ("cluster", "clustervars"),
    ("workers", "backend"),
];

/// R's name of an argument, from any spelling (`--nboot`, `est-method`).
pub(crate) fn canonical(key: &str) -> String {
    let key = key.replace('-', "_");
    ALIASES.iter().find(|(alias, _)| *alias == key).map_or(key, |(_, name)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_has_one_name() {
        for (spelling, name) in [
            ("est-method", "est_method"),
            ("boot", "bstrap"),
            ("nboot", "biters"),
            ("alpha", "alp"),
            ("cluster", "clustervars"),
            ("random-state", "seed"),
            ("boot-type", "boot_type"),
            ("yname", "yname"),
        ] {
            assert_eq!(canonical(spelling), name);
        }
    }
}
