//! The dashboard. It reads a run's events, as any other listener: it can't slow or change a run, but for what its keys ask.
//!
//! - `app`: the state. `input`: what keys and mouse change of it. `panes`: one file for each pane, state → frame. `layout`, `keys`, `theme`: what both
//!   ask.
//! - `terminal`: the screen taken and given back. `live`: a run under way in this process. `replay`: a journal, followed or played.
//! - `picture`: a frame as SVG. `measure`: how long frames take.

mod app;
mod input;
mod keys;
mod layout;
mod live;
mod measure;
mod panes;
mod picture;
mod replay;
mod terminal;
#[cfg(test)]
mod tests;
mod theme;

pub use live::{Dashboard, Exit, unix_now};
pub use measure::frame_times;
pub use picture::frame_svg;
pub use replay::{follow, play};
pub use terminal::{is_taken, request_close, restore, restore_on_panic};
pub use theme::Theme;
