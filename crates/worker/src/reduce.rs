//! A reduce task: adds the partials of adjacent subtrees along the reduction tree. Large partials stay off the
//! controller's network connection this way.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use stagger_model::error::{EngineError, FailureClass};
use stagger_model::reduction::{Node, Part, Reduction};
use stagger_protocol::bundle::{Bundle, Kinds};
use stagger_protocol::keys;
use stagger_protocol::messages::{TaskFailure, Work};
use stagger_protocol::objects::EstimateStage;
use stagger_storage::open::is_missing;

use super::context::OpenPanel;
use super::{Attempt, Outcome, estimate};

/// A stage, and the function that opens its panel should a partial have to be computed again.
type Stage<'a> = (&'a EstimateStage, &'a dyn Fn(&mut Attempt<'_>) -> Outcome<Arc<OpenPanel>>);

/// Adds the partials of `children` to that of `node` and returns it as an encoded [`Bundle`].
///
/// # Errors
/// A partial that is missing and can't be computed again, or a limit of time or memory.
pub(super) fn run(
    attempt: &mut Attempt<'_>,
    (stage, panel): Stage<'_>,
    node: Node,
    children: &[(Node, Option<Part>)],
) -> Outcome<Bytes> {
    let reduction: Reduction<Bundle> = Reduction::default();
    for group in children.chunk_by(|a, b| a.0 == b.0) {
        attempt.in_time()?;
        let begin = Instant::now();
        let bundles =
            group.iter().map(|child| bundle(attempt, (stage, panel), *child)).collect::<Outcome<Vec<_>>>()?;
        attempt.phases.read += begin.elapsed().as_secs_f64();
        let begin = Instant::now();
        let parts: Vec<Part> = group.iter().filter_map(|(_, part)| *part).collect();
        let bundle = if parts.is_empty() { first(bundles)? } else { assemble(stage, &parts, bundles)? };
        attempt.guard.check(0)?;
        reduction.add(group[0].0, bundle, node.level);
        attempt.phases.compute += begin.elapsed().as_secs_f64();
    }
    let lost = || EngineError::failed("partials of a sum are missing");
    let sum = reduction.into_root().ok_or_else(lost)?;
    Ok(sum.encode())
}

fn first(bundles: Vec<Bundle>) -> Outcome<Bundle> {
    let lost = || TaskFailure::new(FailureClass::Permanent, "a partial is missing");
    bundles.into_iter().next().ok_or_else(lost)
}

/// Returns a child's partials. Lost or damaged ones are computed again here: their own task is done and would not be
/// started again.
fn bundle(
    attempt: &mut Attempt<'_>,
    (stage, panel): Stage<'_>,
    (node, part): (Node, Option<Part>),
) -> Outcome<Bundle> {
    let key = keys::result(&attempt.invocation.stage.checksum, &Work::Shards { node, part });
    match attempt.run.get(&key, None) {
        Ok((bytes, _)) => {
            if let Ok(bundle) = Bundle::decode(&bytes) {
                return Ok(bundle);
            }
        }
        Err(e) if is_missing(e.kind) => {}
        Err(e) => return Err(EngineError::from(e).into()),
    }
    let panel = panel(attempt)?;
    let bytes = estimate::run(attempt, &panel, stage, node, part)?;
    attempt.put(&key, &bytes)?;
    Bundle::decode(&bytes).map_err(|e| TaskFailure::from(e).at(key))
}

/// Assembles the whole partials of a subtree from those of its pairs of column sets.
///
/// # Errors
/// Parts that do not fit together.
fn assemble(stage: &EstimateStage, parts: &[Part], bundles: Vec<Bundle>) -> Outcome<Bundle> {
    let mut out = Vec::with_capacity(stage.shares.len());
    for (index, share) in stage.shares.iter().enumerate() {
        let own = parts.iter().zip(&bundles).map(|(part, bundle)| (*part, &bundle.partials[index]));
        out.push(share.input.assembled(own, share.fixed)?);
    }
    let kinds = bundles.iter().map(|bundle| bundle.kinds).fold(Kinds::default(), Kinds::and);
    Ok(Bundle { kinds, partials: out })
}
