//! A reduce task: adds the partials of adjacent subtrees along the reduction tree. Large partials stay off the
//! controller's network connection this way.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use stagger_model::error::{FailureClass, StaggerError};
use stagger_model::reduction::{ColumnPair, Reduction, TreeNode};
use stagger_protocol::bundle::{KernelKinds, PartialBundle};
use stagger_protocol::keys;
use stagger_protocol::messages::{TaskFailure, Work};
use stagger_protocol::objects::EstimateStage;
use stagger_storage::open::is_absent_or_denied;

use super::context::OpenPanel;
use super::{TaskAttempt, TaskResult, estimate};

/// A stage, and the function that opens its panel should a partial have to be computed again.
type Stage<'a> = (&'a EstimateStage, &'a dyn Fn(&mut TaskAttempt<'_>) -> TaskResult<Arc<OpenPanel>>);

/// Adds the partials of `children` to that of `node` and returns it as an encoded [`PartialBundle`].
///
/// # Errors
/// A partial that is missing and can't be computed again, or a limit of time or memory.
pub(super) fn reduce(
    attempt: &mut TaskAttempt<'_>,
    (stage, panel): Stage<'_>,
    node: TreeNode,
    children: &[(TreeNode, Option<ColumnPair>)],
) -> TaskResult<Bytes> {
    let reduction: Reduction<PartialBundle> = Reduction::default();
    for group in children.chunk_by(|a, b| a.0 == b.0) {
        attempt.check_deadline()?;
        let begin = Instant::now();
        let bundles = group
            .iter()
            .map(|child| child_partials(attempt, (stage, panel), *child))
            .collect::<TaskResult<Vec<_>>>()?;
        attempt.phases.read += begin.elapsed().as_secs_f64();
        let begin = Instant::now();
        let parts: Vec<ColumnPair> = group.iter().filter_map(|(_, part)| *part).collect();
        let bundle = if parts.is_empty() { first(bundles)? } else { assemble(stage, &parts, bundles)? };
        attempt.guard.check(0)?;
        reduction.add(group[0].0, bundle, node.level);
        attempt.phases.compute += begin.elapsed().as_secs_f64();
    }
    let lost = || StaggerError::failed("partials of a sum are missing");
    let sum = reduction.into_root().ok_or_else(lost)?;
    Ok(sum.encode())
}

fn first(bundles: Vec<PartialBundle>) -> TaskResult<PartialBundle> {
    let lost = || TaskFailure::new(FailureClass::Permanent, "a partial is missing");
    bundles.into_iter().next().ok_or_else(lost)
}

/// Returns a child's partials. Lost or damaged ones are computed again here: their own task is done and would not be
/// started again.
fn child_partials(
    attempt: &mut TaskAttempt<'_>,
    (stage, panel): Stage<'_>,
    (node, part): (TreeNode, Option<ColumnPair>),
) -> TaskResult<PartialBundle> {
    let key = keys::result(&attempt.invocation.stage.checksum, &Work::Shards { node, part });
    match attempt.run.get(&key, None) {
        Ok((bytes, _)) => {
            if let Ok(bundle) = PartialBundle::decode(&bytes) {
                return Ok(bundle);
            }
        }
        Err(e) if is_absent_or_denied(e.kind) => {}
        Err(e) => return Err(StaggerError::from(e).into()),
    }
    let panel = panel(attempt)?;
    let bytes = estimate::run(attempt, &panel, stage, node, part)?;
    attempt.put_result(&key, &bytes)?;
    PartialBundle::decode(&bytes).map_err(|e| TaskFailure::from(e).at(key))
}

/// Assembles the whole partials of a subtree from those of its pairs of column sets.
///
/// # Errors
/// Parts that do not fit together.
fn assemble(
    stage: &EstimateStage,
    parts: &[ColumnPair],
    bundles: Vec<PartialBundle>,
) -> TaskResult<PartialBundle> {
    let mut out = Vec::with_capacity(stage.shares.len());
    for (index, share) in stage.shares.iter().enumerate() {
        let own = parts.iter().zip(&bundles).map(|(part, bundle)| (*part, &bundle.partials[index]));
        out.push(share.input.assemble_partial(own, share.fixed)?);
    }
    let kinds = bundles.iter().map(|bundle| bundle.kinds).fold(KernelKinds::default(), KernelKinds::union);
    Ok(PartialBundle { kinds, partials: out })
}
