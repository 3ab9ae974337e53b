//! Conformance suite of kernels. A kernel's sums must agree with those of the processor to 1e-12 of the sum of absolute
//! terms, and its bits must depend on plan, stage and shards alone.
//!
//! A case is a whole estimation: both kernels compute every pass that it asks for, and the estimation goes on with the
//! processor's sums.

mod panels;
mod scale;

use stagger_estimator::options::{ControlGroup, EstMethod};
use stagger_estimator::subset_sums::BitMemory;
use stagger_model::error::StaggerError;
use stagger_model::reduction::Reduction;
use stagger_panel::panel::{Panel, Shards};
use stagger_panel::shard::Shard;
use xxhash_rust::xxh3::xxh3_128;

use self::scale::{scales, values};
use super::{CpuKernel, Kernel, NamedShard, ShardName};
use crate::estimate::steps::{Estimation, PassLimits};
use crate::partial::Partial;
use crate::plan::Plan;
use crate::stage::StageInput;

pub use self::panels::{Case, Layout};

/// Largest allowed difference from the processor's sums, relative to the sum of the absolute terms.
pub const TOLERANCE: f64 = 1e-12;

/// Summary of a check that found no fault.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Agreement {
    /// Number of passes that were compared.
    pub passes: usize,
    /// Largest difference found from the processor's sums, relative to the sum of the absolute terms.
    pub worst: f64,
}

impl Agreement {
    fn merge(&mut self, other: Self) {
        self.passes += other.passes;
        self.worst = self.worst.max(other.worst);
    }
}

/// Returns cases that cover every stage, row model, estimator and column count, on panels of about `units` units with
/// up to `covariates` covariates.
pub fn cases(units: usize, covariates: usize) -> Vec<Case> {
    let base = || Case { units, ..Case::default() };
    let methods = [EstMethod::Dr, EstMethod::Ipw, EstMethod::Reg];
    let mut out: Vec<Case> = methods
        .into_iter()
        .flat_map(|method| [false, true].map(|weighted| Case { method, weighted, ..base() }))
        .collect();
    out.extend([0, 1, 7].map(|covariates| Case { covariates, ..base() }));
    out.push(Case { covariates, units: units.max(40 * covariates), draws: 0, ..base() });
    for layout in
        [Layout::VaryingWeights, Layout::Unbalanced, Layout::CrossSections, Layout::TripleDifference]
    {
        out.push(Case { layout, ..base() });
        out.push(Case { layout, weighted: true, vary: true, draws: 130, ..base() });
    }
    out.push(Case { vary: true, weighted: true, ..base() });
    let controls = ControlGroup::NotYetTreated;
    out.push(Case { controls, cohorts: vec![2, 3, 4, 5], periods: 6, ..base() });
    out.push(Case { controls, layout: Layout::TripleDifference, units: 2 * units, ..base() });
    // More columns than one block of products, more draws than one block of draws.
    out.push(Case { cohorts: vec![2, 4, 5, 6, 8], periods: 9, draws: 321, shards: 32, ..base() });
    out
}

/// Checks a kernel on a case.
///
/// # Errors
/// The first property that does not hold, in words.
pub fn check_kernel(kernel: &dyn Kernel, case: &Case) -> Result<Agreement, String> {
    let suite = Suite::new(kernel, case)?;
    suite.run().map_err(|reason| format!("{case:?}: {reason}"))
}

/// Checks a kernel on several cases.
///
/// # Errors
/// The first property that does not hold, in words.
pub fn check_conformance(kernel: &dyn Kernel, cases: &[Case]) -> Result<Agreement, String> {
    let mut out = Agreement::default();
    for case in cases {
        out.merge(check_kernel(kernel, case)?);
    }
    Ok(out)
}

/// Returns a hash of all bits of a kernel's sums on a case: equal on any two devices of one kind.
///
/// # Errors
/// A device that fails.
pub fn hash_sums(kernel: &dyn Kernel, case: &Case) -> Result<u128, String> {
    let suite = Suite::new(kernel, case)?;
    let mut bytes = Vec::new();
    suite.estimate(&mut |plan, input, shards, _| {
        bytes.extend(sums(kernel, plan, input, shards, &[], None)?.encode());
        sums(&CpuKernel, plan, input, shards, &[], None)
    })?;
    Ok(xxh3_128(&bytes))
}

/// The passes of one estimation, recorded so that they can be repeated.
#[derive(Debug)]
pub struct Workload {
    /// All shards of the panel, in order.
    pub shards: Vec<Shard>,
    /// The passes: plan, input, and the stride between the shards that each reads.
    pub passes: Vec<(Plan, StageInput, usize)>,
}

/// Records the passes that an estimation asks of a kernel.
///
/// # Errors
/// A device that fails.
pub fn record_workload(kernel: &dyn Kernel, case: &Case) -> Result<Workload, String> {
    let suite = Suite::new(kernel, case)?;
    let mut passes = Vec::new();
    suite.estimate(&mut |plan, input, shards, stride| {
        passes.push((plan.clone(), input.clone(), stride));
        sums(kernel, plan, input, shards, &[], Some((&suite.name, stride)))
    })?;
    let Shards::Memory(shards) = suite.panel.shards else { return Err("the panel is stored".to_owned()) };
    Ok(Workload { shards, passes })
}

/// Numbers of units in shards that are checked one by one, besides the panel's own shards.
const ODD_SIZES: [usize; 7] = [0, 1, 2, 7, 8, 9, 241];

/// Computes a pass over shards that lie `stride` (the last argument) apart.
type MakePass<'a> = dyn FnMut(&Plan, &StageInput, &[&Shard], usize) -> Result<Partial, String> + 'a;

struct Suite<'a> {
    kernel: &'a dyn Kernel,
    case: &'a Case,
    panel: Panel,
    plan: Plan,
    /// Keeps panels of different suites apart in a device's memory.
    name: String,
}

/// Shards of a case from which on logits are started on a sample.
const STARTED_FROM: usize = 16;

fn text(error: StaggerError) -> String {
    error.to_string()
}

impl<'a> Suite<'a> {
    fn new(kernel: &'a dyn Kernel, case: &'a Case) -> Result<Self, String> {
        let (mut panel, spec, formula) = (case.panel()?, case.spec(), case.formula()?);
        // Devices sum columns; features are always the processor's.
        let plan = Plan::new(&mut panel, &spec, &formula, 1).map_err(text)?;
        let plan = plan.summing_columns().starting_from(STARTED_FROM);
        Ok(Self { kernel, case, panel, plan, name: format!("{case:?}") })
    }

    fn shards(&self) -> Vec<&Shard> {
        match &self.panel.shards {
            Shards::Memory(shards) => shards.iter().collect(),
            Shards::Stored { .. } => Vec::new(),
        }
    }

    fn run(&self) -> Result<Agreement, String> {
        let mut report = Agreement::default();
        self.estimate(&mut |plan, input, shards, stride| {
            let (expected, found) = self.pass(plan, input, shards, stride)?;
            report.merge(found);
            report.merge(self.odd(plan, input)?);
            Ok(expected)
        })?;
        Ok(report)
    }

    /// Runs an estimation, with `pass` computing each of its passes.
    fn estimate(&self, pass: &mut MakePass<'_>) -> Result<(), String> {
        let shards = self.shards();
        let scale = PassLimits { shards: shards.len(), clusters: 0, max_cells: None };
        let mut estimation = Estimation::new(self.plan.clone(), scale);
        while let Some(request) = estimation.next_pass() {
            let (plan, input) = (estimation.plan().clone(), request.input.clone());
            let all = shards.len();
            let count = request.sample.map_or(all, |count| count.next_power_of_two().min(all));
            let own: Vec<&Shard> = shards.iter().copied().step_by(all / count).collect();
            let sums = pass(&plan, &input, &own, all / count);
            estimation.accept_sums(sums.map_err(|e| format!("{}: {e}", input.stage()))?).map_err(text)?;
        }
        Ok(())
    }

    /// Computes one pass by both kernels and compares; returns the processor's sums.
    fn pass(
        &self,
        plan: &Plan,
        input: &StageInput,
        shards: &[&Shard],
        stride: usize,
    ) -> Result<(Partial, Agreement), String> {
        let expected = sums(&CpuKernel, plan, input, shards, &[], None)?;
        let nobody = sums(self.kernel, plan, input, shards, &[], None)?;
        let report = compare(plan, input, shards, &expected, &nobody)?;
        let named = Some((self.name.as_str(), stride));
        let cuts = [1, shards.len() / 2, shards.len().saturating_sub(1)];
        let again = [
            ("again", sums(self.kernel, plan, input, shards, &[], None)?),
            ("of named shards", sums(self.kernel, plan, input, shards, &[], named)?),
            ("of shards seen before", sums(self.kernel, plan, input, shards, &[], named)?),
            ("cut into passes", sums(self.kernel, plan, input, shards, &cuts, named)?),
        ];
        for (how, other) in &again {
            if nobody.encode() != other.encode() {
                return Err(format!("other bits {how}"));
            }
        }
        Ok((expected, report))
    }

    /// Compares the kernels on shards of a few units, down to none.
    fn odd(&self, plan: &Plan, input: &StageInput) -> Result<Agreement, String> {
        let mut report = Agreement::default();
        for size in ODD_SIZES {
            let shard = self.case.shard(self.panel.columns.text_atoms.len(), size, size as u64 + 1_000);
            let expected = sums(&CpuKernel, plan, input, &[&shard], &[], None)?;
            let found = sums(self.kernel, plan, input, &[&shard], &[], None)?;
            let at = |reason: String| format!("a shard of {size} units: {reason}");
            report.merge(compare(plan, input, &[&shard], &expected, &found).map_err(at)?);
        }
        Ok(report)
    }
}

/// Returns the sums over shards, whose number is a power of two, computed by passes that are cut at `cuts`.
fn sums(
    kernel: &dyn Kernel,
    plan: &Plan,
    input: &StageInput,
    shards: &[&Shard],
    cuts: &[usize],
    named: Option<(&str, usize)>,
) -> Result<Partial, String> {
    let mut bounds: Vec<usize> = cuts.iter().copied().chain([0, shards.len()]).collect();
    bounds.sort_unstable();
    bounds.dedup();
    let reduction = Reduction::default();
    let root = shards.len().trailing_zeros();
    for cut in bounds.windows(2) {
        let mut pass = kernel.pass(plan, input).map_err(text)?;
        for (index, &shard) in shards.iter().enumerate().take(cut[1]).skip(cut[0]) {
            let name = named.map(|(panel, stride)| ShardName {
                panel: panel.to_owned(),
                spec: 0,
                index: index * stride,
            });
            let shard = NamedShard { shard, name: name.as_ref() };
            pass.add(index, shard, &mut Option::<BitMemory>::None).map_err(text)?;
        }
        for (node, partial) in pass.finish().map_err(text)? {
            reduction.add(node, partial, root);
        }
    }
    reduction.into_root().ok_or_else(|| "subtrees are missing".to_owned())
}

fn compare(
    plan: &Plan,
    input: &StageInput,
    shards: &[&Shard],
    expected: &Partial,
    found: &Partial,
) -> Result<Agreement, String> {
    let scales = scales(plan, input, shards, expected);
    let (expected, found) = (values(plan, expected), values(plan, found));
    if expected.len() != found.len() {
        return Err(format!("{} values, not {}", found.len(), expected.len()));
    }
    let mut worst = 0f64;
    for (at, ((a, b), scale)) in expected.iter().zip(&found).zip(&scales).enumerate() {
        let error = if a == b { 0.0 } else { (a - b).abs() / scale };
        // A comparison with NaN is false: NaN must fail here.
        if error.is_nan() || error > TOLERANCE {
            return Err(format!("value {at} of {}: {b}, not {a} (terms sum to {scale})", found.len()));
        }
        worst = worst.max(error);
    }
    Ok(Agreement { passes: 1, worst })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_conforms_to_itself() {
        let report = check_conformance(&CpuKernel, &cases(300, 12)).unwrap();
        assert_eq!(report.worst, 0.0);
        assert!(report.passes > 500, "{report:?}");
    }
}
