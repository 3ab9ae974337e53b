//! The output for people and programs: tables, JSON, saved folders.

pub mod aggregation;
pub mod bands;
pub mod checksums;
pub mod comparison;
pub mod covariance;
pub mod description;
pub mod diagnostics;
pub mod document;
pub mod doubles;
pub mod draws;
pub mod estimates;
pub mod event_study_file;
mod factor;
pub mod folder;
pub mod forecast;
pub mod html;
pub mod load;
pub mod overwrite;
pub mod pictures;
pub mod save;
pub mod sensitivity;
pub mod settings;
pub mod staging;
pub mod stdout;
pub mod tabular;
pub mod text;
pub mod timings;
