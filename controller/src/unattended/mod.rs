//! Runs that nobody watches: results go to S3 under a name with a date, and a message says how it ended and what it cost.

mod notify_when_done;
mod scratch;
mod trial;
mod upload;

pub(crate) use notify_when_done::{notify_of_refusal, notify_when_done, topic_in_words};
pub(crate) use scratch::ScratchFolder;
pub(crate) use trial::{check_destination, is_remote, try_destination};
pub(crate) use upload::upload;
