//! The dated list of prices: the built-in one holds for one region; a file with the same keys serves for another.

use std::path::Path;

use serde::Serialize;
use stagger_model::error::{Result, StaggerError};
use stagger_storage::disk;
use toml::{Table, Value};

/// The text of the built-in list.
const BUILT_IN: &str = include_str!("../prices/us-east-1.toml");

/// Prices in dollars (or in `currency`), each of one unit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Prices {
    /// The day of the list, `YYYY-MM-DD`.
    pub date: String,
    /// The AWS region that it holds in.
    pub region: String,
    /// The currency of the prices.
    pub currency: String,
    /// A second of a gigabyte of a function on arm64; AWS bills 1,024 MB as 1 GB.
    pub gb_second: f64,
    /// The same on x86-64. Not in every list: `plan` needs only the other one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x86_gb_second: Option<f64>,
    /// An invocation.
    pub invocation: f64,
    /// A request that writes an object.
    pub put: f64,
    /// A request that reads an object, a part of one, or its head.
    pub get: f64,
    /// A request that lists up to 1,000 keys.
    pub list: f64,
    /// A gigabyte stored for a month.
    pub storage_gb_month: f64,
    /// An hour of a container with a GPU; 0 where a list has none.
    pub gpu_hour: f64,
    /// An hour of a container without a GPU; 0 where a list has none.
    pub cpu_hour: f64,
}

/// The units that a price may have, and the number of things in each.
const UNITS: [(&str, f64); 5] = [
    ("GB-second", 1.0),
    ("GB-month", 1.0),
    ("hour", 1.0),
    ("thousand requests", 1e3),
    ("million requests", 1e6),
];

impl Prices {
    /// Returns the built-in list: us-east-1.
    ///
    /// # Errors
    /// None in a program that was tested.
    pub fn built_in() -> Result<Self> {
        Self::parse(BUILT_IN, "the built-in prices")
    }

    /// Reads a list from a file.
    ///
    /// # Errors
    /// A file that can't be read, or a key that is missing, unknown, or no price; the key is named.
    pub fn read(path: &Path) -> Result<Self> {
        let file = path.display().to_string();
        let text = disk::read_text(path, disk::MAX_TEXT_BYTES)
            .map_err(|e| StaggerError::input(format!("prices: can't read {file}: {e}")))?;
        Self::parse(&text, &file)
    }

    fn parse(text: &str, file: &str) -> Result<Self> {
        let table: Table = text.parse().map_err(|e: toml::de::Error| {
            StaggerError::input(format!("prices: {file} is no TOML: {}", e.message().trim()))
        })?;
        let list = List { file, table: &table };
        list.known()?;
        Ok(Self {
            date: list.date()?,
            region: list.text("region")?,
            currency: list.text("currency")?,
            gb_second: list.price("lambda", "arm64_gb_second", "GB-second")?,
            x86_gb_second: list
                .has("lambda", "x86_gb_second")
                .then(|| list.price("lambda", "x86_gb_second", "GB-second"))
                .transpose()?,
            invocation: list.price("lambda", "requests", "million requests")?,
            put: list.price("s3", "put", "thousand requests")?,
            get: list.price("s3", "get", "thousand requests")?,
            list: list.price("s3", "list", "thousand requests")?,
            storage_gb_month: list.price("s3", "storage", "GB-month")?,
            gpu_hour: list.hour("gpu")?,
            cpu_hour: list.hour("cpu")?,
        })
    }
}

/// The keys of a list. A key of a table follows the name of the table and a point.
const KEYS: [&str; 12] = [
    "date",
    "region",
    "currency",
    "lambda.arm64_gb_second",
    "lambda.x86_gb_second",
    "lambda.requests",
    "s3.put",
    "s3.get",
    "s3.list",
    "s3.storage",
    "containers.gpu",
    "containers.cpu",
];

/// A list that is being read.
struct List<'a> {
    file: &'a str,
    table: &'a Table,
}

impl List<'_> {
    /// Returns the price of an hour of a container, where the list has one.
    fn hour(&self, key: &str) -> Result<f64> {
        match self.has("containers", key) {
            true => self.price("containers", key, "hour"),
            false => Ok(0.0),
        }
    }

    fn wrong(&self, key: &str, what: &str) -> StaggerError {
        StaggerError::input(format!("prices: {key} of {} {what}", self.file)).with_hint(
            "crates/forecast/prices/us-east-1.toml of the repository shows every key with its unit",
        )
    }

    /// Refuses keys that are not read: a misspelt key would leave its price at zero without a word.
    fn known(&self) -> Result<()> {
        for (name, value) in self.table {
            let names: Vec<String> = match value {
                Value::Table(inner) => inner.keys().map(|key| format!("{name}.{key}")).collect(),
                _ => vec![name.clone()],
            };
            if let Some(unknown) = names.iter().find(|name| !KEYS.contains(&name.as_str())) {
                return Err(self.wrong(unknown, "is no price that is known"));
            }
        }
        Ok(())
    }

    fn text(&self, key: &str) -> Result<String> {
        match self.table.get(key) {
            Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
            None => Err(self.wrong(key, "is missing")),
            Some(_) => Err(self.wrong(key, "must be a text in quotes")),
        }
    }

    fn date(&self) -> Result<String> {
        let text = self.text("date")?;
        let digits: Vec<&str> = text.split('-').collect();
        let fits = digits.iter().map(|part| part.len()).eq([4, 2, 2])
            && digits.iter().all(|part| part.bytes().all(|b| b.is_ascii_digit()));
        if fits { Ok(text) } else { Err(self.wrong("date", "must be a day as 2026-11-20")) }
    }

    fn has(&self, group: &str, name: &str) -> bool {
        self.table.get(group).is_some_and(|table| table.get(name).is_some())
    }

    /// Returns the price of one thing.
    fn price(&self, group: &str, name: &str, unit: &str) -> Result<f64> {
        let key = format!("{group}.{name}");
        let entry = match self.table.get(group).and_then(|table| table.get(name)) {
            None => return Err(self.wrong(&key, "is missing")),
            Some(Value::Table(entry)) => entry,
            Some(_) => return Err(self.wrong(&key, "must be { value, unit, source }")),
        };
        let value = match entry.get("value") {
            Some(Value::Float(value)) => *value,
            Some(Value::Integer(value)) => *value as f64,
            _ => return Err(self.wrong(&format!("{key}.value"), "must be a number")),
        };
        if !(value >= 0.0 && value.is_finite()) {
            return Err(self.wrong(&format!("{key}.value"), &format!("is {value}, but no price is negative")));
        }
        if entry.get("unit").and_then(Value::as_str) != Some(unit) {
            return Err(self.wrong(&format!("{key}.unit"), &format!("must be \"{unit}\"")));
        }
        if entry.get("source").and_then(Value::as_str).is_none_or(str::is_empty) {
            return Err(self.wrong(&format!("{key}.source"), "must say where the price is from"));
        }
        let things = UNITS.iter().find(|(known, _)| *known == unit).map_or(1.0, |(_, count)| *count);
        Ok(value / things)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl Fn(&str) -> String) -> String {
        Prices::parse(&change(BUILT_IN), "own.toml").unwrap_err().to_string()
    }

    #[test]
    fn the_list_of_the_repository_is_one() {
        let prices = Prices::built_in().unwrap();
        assert_eq!(prices.region, "us-east-1");
        assert!((prices.invocation - 0.2e-6).abs() < 1e-12 && (prices.put - 5e-6).abs() < 1e-12);
        assert!((prices.get - 0.4e-6).abs() < 1e-12);
        assert!(prices.x86_gb_second.is_some_and(|x86| x86 > prices.gb_second));
    }

    #[test]
    fn mistakes_are_named_by_their_key() {
        let without = |key: &'static str| {
            move |text: &str| -> String {
                text.lines().filter(|line| !line.starts_with(key)).map(|line| format!("{line}\n")).collect()
            }
        };
        let arm_only = without("x86")(BUILT_IN);
        assert_eq!(Prices::parse(&arm_only, "own.toml").unwrap().x86_gb_second, None);
        assert_eq!(refused(without("get =")), "prices: s3.get of own.toml is missing");
        assert_eq!(refused(without("date")), "prices: date of own.toml is missing");
        let replace = |from: &'static str, to: &'static str| move |text: &str| text.replace(from, to);
        for (from, to, said) in [
            ("0.0004", "-1", "prices: s3.get.value of own.toml is -1, but no price is negative"),
            ("0.0004", "\"x\"", "prices: s3.get.value of own.toml must be a number"),
            ("GB-month", "TB-month", "prices: s3.storage.unit of own.toml must be \"GB-month\""),
            ("2026-11-20", "today", "prices: date of own.toml must be a day as 2026-11-20"),
            ("put =", "putt =", "prices: s3.putt of own.toml is no price that is known"),
        ] {
            assert_eq!(refused(replace(from, to)), said);
        }
    }
}
