//! What a person or a program reads: tables, JSON, saved folders.

pub(crate) mod aggregation;
pub(crate) mod checksums;
pub(crate) mod covariance;
pub(crate) mod description;
pub(crate) mod diagnostics;
pub(crate) mod document;
pub(crate) mod doubles;
pub(crate) mod estimates;
pub(crate) mod folder;
pub(crate) mod forecast;
pub(crate) mod load;
pub(crate) mod overwrite;
pub(crate) mod pictures;
pub(crate) mod save;
pub(crate) mod settings;
pub(crate) mod staging;
pub(crate) mod stdout;
pub(crate) mod tabular;
pub(crate) mod text;
