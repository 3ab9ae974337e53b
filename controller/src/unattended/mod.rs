//! Runs that nobody watches: results go to S3 under a name with a date, and a message says how it ended and what it cost.

mod places;
mod scratch;
mod told;
mod trial;
mod upload;

pub(crate) use places::{Stamp, filled, is_remote};
pub(crate) use scratch::Scratch;
pub(crate) use told::{refused, told, topic_among};
pub(crate) use trial::{check_place, try_place};
pub(crate) use upload::upload;
