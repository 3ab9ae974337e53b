//! The fields of a store, as a preparation writes them.

use serde::{Deserialize, Serialize};

use super::FieldKind;
/// A variable that the store will hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreField {
    /// Name of its column in the input.
    pub name: String,
    /// Form of its values.
    pub kind: FieldKind,
    /// True for outcomes, which always have one column for each period.
    pub outcome: bool,
}
