//! Failures by cause: a thousand of one kind are one line with a count.

use std::collections::BTreeMap;

use stagger_model::error::FailureClass;
use stagger_model::events::RunEvent;

/// Places that a group remembers.
const PLACES: usize = 8;

/// Failures of one cause.
#[derive(Clone, Debug, PartialEq)]
pub struct ErrorGroup {
    /// The class of the failures.
    pub class: FailureClass,
    /// The message of the first one.
    pub message: String,
    /// The number of failures.
    pub count: u64,
    /// The time of the first failure, in seconds since 1970.
    pub first: f64,
    /// The time of the last failure, in seconds since 1970.
    pub last: f64,
    /// Stage and task, or file and row group, of the first ones that differ.
    pub places: Vec<String>,
    /// The remedies, with the number of failures that each was applied to.
    pub remedies: BTreeMap<String, u64>,
    /// The last hint that came with one of the failures.
    pub hint: Option<String>,
    /// The task was given up.
    pub fatal: bool,
}

impl ErrorGroup {
    /// Returns one thing that a person can do about it.
    pub fn advice(&self) -> String {
        if let Some(hint) = &self.hint {
            return hint.clone();
        }
        let text = match self.class {
            FailureClass::Throttled => {
                "nothing: the run slows down by itself; --concurrency lowers it for good"
            }
            FailureClass::TimedOut => {
                "nothing: tasks are split; more --n-partitions makes them smaller at once"
            }
            FailureClass::OutOfMemory => {
                "nothing: larger functions and halves are tried; more --n-partitions makes tasks smaller at once"
            }
            FailureClass::Lost => "nothing: it is tried again; if it goes on, the function's log tells why",
            FailureClass::Corrupt => {
                "nothing: it is read or made again; if it goes on, `stagger prepare --verify`"
            }
            FailureClass::Credentials => "log in again: the run waits for it",
            FailureClass::Returned => "nothing: its machine was taken away, and it is tried again",
            FailureClass::Absent => "start workers; with functions beside them its tasks run there",
            FailureClass::Data => "mend the input that is named, then start a new run",
            FailureClass::Permanent => "mend what is named, then `stagger resume`",
        };
        text.to_owned()
    }
}

/// All failures.
#[derive(Clone, Debug, Default)]
pub struct Errors {
    groups: Vec<(String, ErrorGroup)>,
}

impl Errors {
    /// Takes a failure; other events are left out.
    pub(super) fn add(&mut self, at: f64, event: &RunEvent, stage: &str, task: &str) {
        let RunEvent::Failed { class, message, place, hint, remedy, .. } = event else { return };
        let key = format!("{class:?} {}", cause(message));
        let index = self.groups.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
            let group = ErrorGroup {
                class: *class,
                message: message.clone(),
                count: 0,
                first: at,
                last: at,
                places: Vec::new(),
                remedies: BTreeMap::new(),
                hint: None,
                fatal: false,
            };
            self.groups.push((key, group));
            self.groups.len() - 1
        });
        let group = &mut self.groups[index].1;
        group.count += 1;
        group.last = at;
        group.hint = hint.clone().or(group.hint.take());
        *group.remedies.entry(remedy.clone()).or_default() += 1;
        if remedy == "given up" {
            group.fatal = true;
            group.message.clone_from(message);
        }
        let place = match place {
            Some(place) if task.is_empty() => place.clone(),
            Some(place) => format!("{stage}: {task} ({place})"),
            None => format!("{stage}: {task}"),
        };
        if group.places.len() < PLACES && !group.places.contains(&place) {
            group.places.push(place);
        }
    }

    /// The run ended by something that no attempt has told of.
    pub(super) fn add_stop(&mut self, at: f64, reason: &str, hint: Option<&str>) {
        if self.groups.iter().any(|(_, group)| group.fatal) {
            return;
        }
        let group = ErrorGroup {
            class: FailureClass::Data,
            message: reason.to_owned(),
            count: 1,
            first: at,
            last: at,
            places: Vec::new(),
            remedies: BTreeMap::from([("given up".to_owned(), 1)]),
            hint: hint.map(str::to_owned),
            fatal: true,
        };
        self.groups.push((String::new(), group));
    }

    /// Groups, those that end runs first, then by their number.
    pub fn groups(&self) -> Vec<&ErrorGroup> {
        let mut out: Vec<&ErrorGroup> = self.groups.iter().map(|(_, group)| group).collect();
        out.sort_by_key(|group| (!group.fatal, std::cmp::Reverse(group.count)));
        out
    }

    /// Returns the number of failures.
    pub fn count(&self) -> u64 {
        self.groups.iter().map(|(_, group)| group.count).sum()
    }
}

/// A message without what differs from one failure to the next: numbers, and keys and ids that hold some.
fn cause(message: &str) -> String {
    let plain =
        |word: &str| if word.chars().any(|c| c.is_ascii_digit()) { "#".to_owned() } else { word.to_owned() };
    message.split_whitespace().map(plain).collect::<Vec<_>>().join(" ")
}
