//! Runs that nobody watches: results go to S3 under a name with a date, and a message says how it ended and what it cost.

mod notify;
mod places;
mod told;
mod upload;

pub(crate) use notify::{Notice, Sns, check as check_topic};
pub(crate) use places::{Stamp, filled, is_remote, scratch};
pub(crate) use told::{refused, told, topic_among};
pub(crate) use upload::upload;
