//! Runs that nobody watches: results go to S3 under a name with a date, and a message says how it ended and what it cost.

mod scratch;
mod told;
mod trial;
mod upload;

pub(crate) use scratch::Scratch;
pub(crate) use told::{refused, told, topic_among};
pub(crate) use trial::{check_place, is_remote, try_place};
pub(crate) use upload::upload;
