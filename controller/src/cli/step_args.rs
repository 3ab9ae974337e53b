//! Arguments of the steps from records to a panel: flags that keep their order, and a list in a run file.

use std::path::Path;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use stagger_model::error::closest_names;
use stagger_model::failure::Failure;
use stagger_model::record_options::{Keep, Lookup, Step, TreatmentStep};

use super::inputs::from_folder;
use super::values::toml_text;

/// The heading of the flags in the help.
const HEADING: &str = "Steps from records to a panel, in the order given";

/// The flags, each with the name of its value, its help, and the flag that it says more about.
const FLAGS: [(&str, &str, &str, Option<&str>); 12] = [
    (
        "where",
        "EXPR",
        "Keep the rows for which an R expression is TRUE: 'status == \"S\" & year >= 2006'",
        None,
    ),
    (
        "let",
        "NAME=EXPR",
        "Add columns by R expressions: 'year = year(as.Date(day, \"%m%d%Y\")), y = log(x)'",
        None,
    ),
    (
        "lookup",
        "TABLE by KEYS",
        "Add the columns of a small table by keys: 'laws.csv by state' or 'laws.csv by state = st'",
        None,
    ),
    ("lookup-join", "HOW", "left, or inner to drop rows without a match [default: left]", Some("lookup")),
    (
        "collapse",
        "NAME=FUN(EXPR)",
        "Make one row of each group: 'y = sum(dose * mme), n = n()', with --by",
        None,
    ),
    ("by", "COLUMNS", "The columns of the groups of --collapse: 'county, year'", Some("collapse")),
    (
        "treatname",
        "COLUMN",
        "Make the cohort of a 0/1 treatment by unit and period; --gname names it [default: first.treat]",
        None,
    ),
    (
        "reshape-long",
        "STUBS",
        "Make rows of columns by what their names begin with: 'lemp lpop', with --reshape-j",
        None,
    ),
    (
        "reshape-j",
        "NAME",
        "The column of what follows the stubs of --reshape-long: year",
        Some("reshape-long"),
    ),
    ("dedupe", "COLUMNS", "Refuse rows with the same key, or keep one of them, as --dedupe-keep says", None),
    ("dedupe-keep", "WHICH", "error, first or last [default: error]", Some("dedupe")),
    ("fill", "NAME=VALUE", "Add the rows of absent units and periods, with these values: 'y = 0'", None),
];
/// The flag that takes a treatment that switches off.
const ABSORBING: &str = "absorbing";

/// The name of the cohort that `--treatname` makes, unless `--gname` gives another.
pub(crate) const COHORT: &str = "first.treat";

/// A step as it was given: its arguments by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Given {
    verb: String,
    value: String,
    /// What the flags behind it say more.
    more: Vec<(String, String)>,
}

impl Given {
    fn more(&self, name: &str) -> Option<&str> {
        self.more.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}

/// The steps, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StepArgs {
    steps: Vec<Given>,
    /// A flag that says more about a step that is not there.
    alone: Option<(String, &'static str)>,
}

/// The columns that steps take from other arguments.
#[derive(Clone, Debug, Default)]
pub(crate) struct StepColumns {
    pub(crate) idname: Option<String>,
    pub(crate) tname: Option<String>,
    pub(crate) gname: Option<String>,
}

impl StepArgs {
    /// The key of a run file.
    pub(crate) const KEY: &str = "steps";

    /// Reads the list of a run file.
    pub(crate) fn set(&mut self, key: &str, value: &toml::Value) -> Option<Result<(), String>> {
        (key == Self::KEY).then(|| read_list(value).map(|steps| self.steps = steps))
    }

    /// These steps, or those of `under` where none is given here.
    pub(crate) fn over(self, under: Self) -> Self {
        if self.steps.is_empty() && self.alone.is_none() { under } else { self }
    }

    /// Makes the tables of lookups relative to a run file's folder.
    pub(crate) fn relate(&mut self, folder: &Path) {
        for step in self.steps.iter_mut().filter(|step| step.verb == "lookup") {
            step.value = from_folder(folder, &step.value);
        }
    }

    /// Returns `true` if the steps make the cohort.
    pub(crate) fn makes_cohort(&self) -> bool {
        self.steps.iter().any(|step| step.verb == "treatname")
    }

    /// The steps as a specification has them.
    pub(crate) fn steps(&self, columns: &StepColumns) -> Result<Vec<Step>, Failure> {
        if let Some((flag, verb)) = &self.alone {
            return Err(Failure::input(format!("--{flag} says more about --{verb}, which is not given")));
        }
        self.steps.iter().map(|step| step.to_step(columns)).collect()
    }
}

impl Given {
    fn to_step(&self, columns: &StepColumns) -> Result<Step, Failure> {
        let value = self.value.clone();
        let id = || needed(&columns.idname, &self.verb, "idname", "the unit");
        let time = || needed(&columns.tname, &self.verb, "tname", "the period");
        Ok(match self.verb.as_str() {
            "where" => Step::Where(value),
            "let" => Step::Let(value),
            "treatname" => Step::Treatment(TreatmentStep {
                column: value,
                id: id()?,
                time: time()?,
                cohort: columns.gname.clone().unwrap_or_else(|| COHORT.to_owned()),
                absorbing: self.more(ABSORBING) == Some("true"),
            }),
            "lookup" => Step::Lookup(self.lookup()?),
            "collapse" => {
                Step::Collapse { values: value, by: self.required("by", "the columns of the groups")? }
            }
            "reshape-long" => Step::ReshapeLong {
                stubs: value.split([' ', ',']).filter(|stub| !stub.is_empty()).map(str::to_owned).collect(),
                column: self.required("reshape-j", "the column of what follows the stubs")?,
            },
            "dedupe" => Step::Dedupe { by: value, keep: keep(self.more("dedupe-keep"))? },
            _ => Step::Fill { values: value, id: id()?, time: time()? },
        })
    }
}

impl Given {
    fn required(&self, name: &str, what: &str) -> Result<String, Failure> {
        self.more(name).map(str::to_owned).ok_or_else(|| {
            Failure::input(format!("--{} needs {what}", self.verb)).hint(format!("name it: --{name} NAME"))
        })
    }

    fn lookup(&self) -> Result<Lookup, Failure> {
        let Some((table, by)) = self.value.rsplit_once(" by ") else {
            return Err(Failure::input(format!("--lookup does not say by which keys: {}", self.value))
                .hint("--lookup 'TABLE by KEY, KEY'"));
        };
        let inner = match self.more("lookup-join").unwrap_or("left") {
            "left" => false,
            "inner" => true,
            other => {
                return Err(Failure::input(format!(
                    "lookup_join must be \"left\" or \"inner\"; received \"{other}\""
                )));
            }
        };
        Ok(Lookup { table: table.trim().to_owned(), by: by.trim().to_owned(), inner })
    }
}

fn needed(column: &Option<String>, verb: &str, argument: &str, what: &str) -> Result<String, Failure> {
    column.clone().ok_or_else(|| {
        Failure::input(format!("--{verb} needs the column of {what}"))
            .hint(format!("name it: --{argument} COLUMN"))
    })
}

fn keep(which: Option<&str>) -> Result<Keep, Failure> {
    match which.unwrap_or("error") {
        "error" => Ok(Keep::Error),
        "first" => Ok(Keep::First),
        "last" => Ok(Keep::Last),
        other => Err(Failure::input(format!(
            "dedupe_keep must be \"error\", \"first\" or \"last\"; received \"{other}\""
        ))),
    }
}

/// Reads the list of a run file: a table for each step, whose first key is the step's.
fn read_list(value: &toml::Value) -> Result<Vec<Given>, String> {
    const FORM: &str = "must be a list of steps: steps = [{ where = \"y > 0\" }, { let = \"z = log(y)\" }]";
    let tables = value.as_array().ok_or(FORM)?;
    tables.iter().map(|table| read_step(table.as_table().ok_or(FORM)?)).collect()
}

fn read_step(table: &toml::Table) -> Result<Given, String> {
    let mut step = Given::default();
    let mut entries: Vec<(&String, &toml::Value)> = table.iter().collect();
    entries.sort_unstable_by_key(|(key, _)| *key);
    for (key, value) in entries {
        let key = key.replace('_', "-");
        let flag = FLAGS.iter().find(|(name, ..)| *name == key);
        match (flag, key.as_str()) {
            (Some((.., None)), _) if step.verb.is_empty() => {
                step.value = toml_text(value).map_err(|reason| format!("has a step whose {key} {reason}"))?;
                step.verb = key;
            }
            (Some((.., None)), _) => {
                return Err(format!("has a step with both {} and {key}: write a table for each", step.verb));
            }
            (Some(_), _) => {
                let text = toml_text(value).map_err(|reason| format!("has a step whose {key} {reason}"))?;
                step.more.push((key, text));
            }
            (None, ABSORBING) => {
                let on = value.as_bool().ok_or("has a step whose absorbing is not true or false")?;
                step.more.push((key, on.to_string()));
            }
            (None, _) => {
                let near = closest_names(&key, FLAGS.iter().map(|(name, ..)| *name));
                let near = near.first().map_or(String::new(), |near| format!(": did you mean {near}?"));
                return Err(format!("has an unknown step {key}{near}"));
            }
        }
    }
    if step.verb.is_empty() {
        return Err("has a table without a step".to_owned());
    }
    Ok(step)
}

impl Args for StepArgs {
    fn augment_args(command: Command) -> Command {
        let command = command.next_help_heading(HEADING);
        let command = FLAGS.iter().fold(command, |command, (name, value, help, _)| {
            let flag = Arg::new(*name).long(*name).value_name(*value).help(*help).action(ArgAction::Append);
            command.arg(flag.allow_hyphen_values(true).help_heading(HEADING))
        });
        let absorbing = Arg::new(ABSORBING).long(ABSORBING).action(ArgAction::SetTrue).help_heading(HEADING);
        command.arg(absorbing.help("With --treatname: units stay treated from their first treated period on"))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for StepArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut all: Vec<(usize, &str, String)> = Vec::new();
        for (name, ..) in FLAGS {
            let values = matches.get_many::<String>(name).into_iter().flatten();
            all.extend(
                matches
                    .indices_of(name)
                    .into_iter()
                    .flatten()
                    .zip(values)
                    .map(|(at, v)| (at, name, v.clone())),
            );
        }
        all.sort_by_key(|(at, ..)| *at);
        let mut out = Self::default();
        // A flag that says more is about the last step of its kind before it, or the first one behind it.
        for (_, name, value) in all.iter().filter(|(_, name, _)| about(name).is_none()) {
            out.steps.push(Given { verb: (*name).to_owned(), value: value.clone(), more: Vec::new() });
        }
        let verbs: Vec<usize> =
            all.iter().filter(|(_, name, _)| about(name).is_none()).map(|(at, ..)| *at).collect();
        for (at, name, value) in &all {
            let Some(verb) = about(name) else { continue };
            let own = |place: &usize| out.steps[*place].verb == verb;
            let before = (0..verbs.len()).filter(|place| verbs[*place] < *at).rfind(own);
            match before.or_else(|| (0..verbs.len()).find(own)) {
                Some(place) => out.steps[place].more.push(((*name).to_owned(), value.clone())),
                None => out.alone = Some(((*name).to_owned(), verb)),
            }
        }
        if matches.get_flag(ABSORBING) {
            match out.steps.iter_mut().find(|step| step.verb == "treatname") {
                Some(step) => step.more.push((ABSORBING.to_owned(), "true".to_owned())),
                None => out.alone = Some((ABSORBING.to_owned(), "treatname")),
            }
        }
        Ok(out)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Returns the step that a flag says more about.
fn about(flag: &str) -> Option<&'static str> {
    FLAGS.iter().find(|(name, ..)| *name == flag).and_then(|(.., about)| *about)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &[&str]) -> StepArgs {
        let command = StepArgs::augment_args(Command::new("run"));
        let matches = command.try_get_matches_from(["run"].into_iter().chain(line.iter().copied())).unwrap();
        StepArgs::from_arg_matches(&matches).unwrap()
    }

    fn columns() -> StepColumns {
        StepColumns { idname: Some("id".into()), tname: Some("t".into()), gname: None }
    }

    fn listed(text: &str) -> Result<Vec<Step>, String> {
        let table: toml::Table = toml::from_str(text).unwrap();
        let mut args = StepArgs::default();
        args.set("steps", &table["steps"]).unwrap()?;
        args.steps(&columns()).map_err(|failure| failure.to_string())
    }

    #[test]
    fn flags_and_lists_give_the_same_steps_in_their_order() {
        let flags = parsed(&[
            "--let",
            "z = y + 1",
            "--where",
            "z > 0",
            "--let",
            "w = z",
            "--dedupe-keep",
            "last",
            "--dedupe",
            "id, t",
            "--treatname",
            "D",
            "--absorbing",
            "--fill",
            "y = -1",
            "--lookup",
            "a.csv by id",
            "--lookup-join",
            "inner",
            "--collapse",
            "y = sum(y)",
            "--by",
            "id",
            "--reshape-long",
            "a b",
            "--reshape-j",
            "t",
        ]);
        let list = listed(
            "steps = [{ let = 'z = y + 1' }, { where = 'z > 0' }, { let = 'w = z' }, { dedupe = 'id, t', dedupe_keep = 'last' },
             { treatname = 'D', absorbing = true }, { fill = 'y = -1' }, { lookup = 'a.csv by id', lookup_join = 'inner' },
             { collapse = 'y = sum(y)', by = 'id' }, { reshape_long = 'a b', reshape_j = 't' }]",
        );
        let steps = flags.steps(&columns()).unwrap();
        assert_eq!(list.unwrap(), steps);
        assert_eq!(steps.len(), 9);
        assert!(matches!(&steps[4], Step::Treatment(t) if t.absorbing && t.cohort == COHORT && t.id == "id"));
        assert!(flags.makes_cohort() && !StepArgs::default().makes_cohort());
        assert_eq!(StepArgs::default().over(flags.clone()), flags);
    }

    #[test]
    fn refusals_name_the_step() {
        let none = StepColumns::default();
        let failed = |line: &[&str], columns: &StepColumns| {
            parsed(line).steps(columns).expect_err("refused").to_string()
        };
        let all = [
            failed(&["--absorbing"], &none),
            failed(&["--dedupe-keep", "first"], &none),
            failed(&["--treatname", "D"], &none),
            failed(&["--collapse", "n = n()"], &none),
            failed(&["--lookup", "laws.csv"], &none),
            failed(&["--dedupe", "id", "--dedupe-keep", "any"], &none),
            listed("steps = ['x']").unwrap_err(),
            listed("steps = [{ wher = 'x > 0' }]").unwrap_err(),
            listed("steps = [{ where = 'x > 0', let = 'y = 1' }]").unwrap_err(),
            listed("steps = [{ absorbing = true }]").unwrap_err(),
        ];
        insta::assert_snapshot!(all.join("\n"), @r#"
        error: --absorbing says more about --treatname, which is not given

        error: --dedupe-keep says more about --dedupe, which is not given

        error: --treatname needs the column of the unit
        hint: name it: --idname COLUMN

        error: --collapse needs the columns of the groups
        hint: name it: --by NAME

        error: --lookup does not say by which keys: laws.csv
        hint: --lookup 'TABLE by KEY, KEY'

        error: dedupe_keep must be "error", "first" or "last"; received "any"

        must be a list of steps: steps = [{ where = "y > 0" }, { let = "z = log(y)" }]
        has an unknown step wher: did you mean where?
        has a step with both let and where: write a table for each
        has a table without a step
        "#);
    }
}
