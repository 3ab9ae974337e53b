//! A reduce task: adds the partials of subtrees that follow each other, along the tree. Where partials are large this keeps them off
//! the controller's line.

use std::time::Instant;

use bytes::Bytes;

use super::context::EstimateStage;
use super::protocol::{FailureClass, Part, TaskFailure, Work};
use super::{Attempt, Bundle, Outcome};
use crate::error::EngineError;
use crate::journal::keys;
use crate::reduce::{Node, Reduction};

pub(super) fn run(
    attempt: &mut Attempt<'_>,
    stage: &EstimateStage,
    node: Node,
    children: &[(Node, Option<Part>)],
) -> Outcome<Bytes> {
    let reduction: Reduction<Bundle> = Reduction::default();
    for group in children.chunk_by(|a, b| a.0 == b.0) {
        attempt.in_time()?;
        let begin = Instant::now();
        let bundles = group.iter().map(|child| bundle(attempt, *child)).collect::<Outcome<Vec<_>>>()?;
        attempt.phases.read += begin.elapsed().as_secs_f64();
        let begin = Instant::now();
        let parts: Vec<Part> = group.iter().filter_map(|(_, part)| *part).collect();
        let bundle = if parts.is_empty() { first(bundles)? } else { stage.assembled(&parts, bundles)? };
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

fn bundle(attempt: &Attempt<'_>, (node, part): (Node, Option<Part>)) -> Outcome<Bundle> {
    let key = keys::result(&attempt.invocation.stage.checksum, &Work::Shards { node, part });
    let (bytes, _) = attempt.run.get(&key, None).map_err(EngineError::from)?;
    Bundle::decode(&bytes).map_err(|e| TaskFailure::from(e).at(key))
}

impl EstimateStage {
    /// The whole partials of a subtree from those of its column sets.
    pub(crate) fn assembled(&self, parts: &[Part], bundles: Vec<Bundle>) -> Outcome<Bundle> {
        let mut out = Vec::with_capacity(self.shares.len());
        for (index, share) in self.shares.iter().enumerate() {
            let own = parts.iter().zip(&bundles).map(|(part, bundle)| (*part, &bundle.0[index]));
            out.push(share.input.assembled(own, share.fixed)?);
        }
        Ok(Bundle(out))
    }
}
