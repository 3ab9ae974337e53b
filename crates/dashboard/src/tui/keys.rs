//! Keys, and what they mean. One table: the help lists what is handled, and nothing is handled that it does not list.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// The request of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Leave the dashboard.
    Quit,
    /// Leave it, and keep the last frame on the terminal.
    QuitKeepScreen,
    /// Show the keys.
    Help,
    /// Show the tab to the right.
    NextTab,
    /// Show the tab to the left.
    PreviousTab,
    /// Show the tab of this index.
    Tab(usize),
    /// Choose the row above.
    Up,
    /// Choose the row below.
    Down,
    /// Show columns to the left; go back in a replay.
    Left,
    /// Show columns to the right; go on in a replay.
    Right,
    /// Choose a row one page above.
    PageUp,
    /// Choose a row one page below.
    PageDown,
    /// Choose the first row.
    First,
    /// Choose the last row.
    Last,
    /// Type a filter.
    Filter,
    /// Sort by the next order.
    Sort,
    /// Reverse the order.
    Reverse,
    /// Pause the run or the replay, or let it go on.
    Pause,
    /// Freeze what is shown, or follow the run again.
    Freeze,
    /// Try again.
    Retry,
    /// Show errors only, or all.
    ErrorsOnly,
    /// Ask whether to cancel the run.
    Cancel,
    /// Show the next specification.
    Spec,
    /// Show a shorter span of time.
    ZoomIn,
    /// Show a longer span of time.
    ZoomOut,
    /// Double the speed of a replay.
    Faster,
    /// Halve the speed of a replay.
    Slower,
    /// Show all rows.
    Back,
}

/// A line of the help: the keys, what they do, what they ask for.
pub(crate) struct Binding {
    /// The keys.
    pub(crate) keys: &'static [Key],
    /// The names of the keys, as the help shows them.
    pub(crate) shown: &'static str,
    /// The meaning of the keys, as the help shows it.
    pub(crate) does: &'static str,
    /// The request of the keys.
    pub(crate) action: Action,
}

/// A key by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// A character without Control.
    Char(char),
    /// A character with Control.
    Ctrl(char),
    /// A key that is no character.
    Code(KeyCode),
}

impl Key {
    fn is(self, event: KeyEvent) -> bool {
        match self {
            Self::Char(c) => {
                event.code == KeyCode::Char(c) && !event.modifiers.contains(KeyModifiers::CONTROL)
            }
            Self::Ctrl(c) => {
                event.code == KeyCode::Char(c) && event.modifiers.contains(KeyModifiers::CONTROL)
            }
            Self::Code(code) => event.code == code,
        }
    }
}

macro_rules! bind {
    ($keys:expr, $shown:expr, $does:expr, $action:expr) => {
        Binding { keys: &$keys, shown: $shown, does: $does, action: $action }
    };
}

/// Every key; digits choose tabs and are handled beside it.
pub(crate) const BINDINGS: &[Binding] = &[
    bind!([Key::Code(KeyCode::Tab)], "Tab", "next pane", Action::NextTab),
    bind!([Key::Code(KeyCode::BackTab)], "Shift-Tab", "pane before", Action::PreviousTab),
    bind!([Key::Code(KeyCode::Up), Key::Char('k')], "up k", "line up", Action::Up),
    bind!([Key::Code(KeyCode::Down), Key::Char('j')], "down j", "line down", Action::Down),
    bind!([Key::Code(KeyCode::Left), Key::Char('h')], "left h", "left; a replay goes back", Action::Left),
    bind!([Key::Code(KeyCode::Right), Key::Char('l')], "right l", "right; a replay goes on", Action::Right),
    bind!([Key::Code(KeyCode::PageUp), Key::Ctrl('u')], "PgUp ^u", "page up", Action::PageUp),
    bind!([Key::Code(KeyCode::PageDown), Key::Ctrl('d')], "PgDn ^d", "page down", Action::PageDown),
    bind!([Key::Char('g'), Key::Code(KeyCode::Home)], "g Home", "to the beginning", Action::First),
    bind!([Key::Char('G'), Key::Code(KeyCode::End)], "G End", "to the end", Action::Last),
    bind!([Key::Char('/')], "/", "filter; Esc clears it", Action::Filter),
    bind!([Key::Char('s')], "s", "sort by the next column", Action::Sort),
    bind!([Key::Char('S')], "S", "sort the other way", Action::Reverse),
    bind!([Key::Char('e')], "e", "what failed only", Action::ErrorsOnly),
    bind!([Key::Char('n')], "n", "next specification", Action::Spec),
    bind!([Key::Char('z')], "z", "zoom the task stream in", Action::ZoomIn),
    bind!([Key::Char('Z')], "Z", "zoom it out", Action::ZoomOut),
    bind!([Key::Char('p'), Key::Char(' ')], "p space", "pause: nothing new is started", Action::Pause),
    bind!([Key::Char('f')], "f", "freeze what is shown", Action::Freeze),
    bind!([Key::Char('r')], "r", "retry now what waits or failed", Action::Retry),
    bind!([Key::Char('c')], "c", "cancel the run (asks)", Action::Cancel),
    bind!([Key::Char('+'), Key::Char('=')], "+", "replay faster", Action::Faster),
    bind!([Key::Char('-')], "-", "replay slower", Action::Slower),
    bind!([Key::Char('?'), Key::Code(KeyCode::F(1))], "? F1", "this help", Action::Help),
    bind!([Key::Char('q'), Key::Ctrl('c')], "q ^c", "quit; a run under way: asks", Action::Quit),
    bind!([Key::Char('Q')], "Q", "quit, the screen stays", Action::QuitKeepScreen),
    bind!([Key::Code(KeyCode::Esc)], "Esc", "back", Action::Back),
];

/// Returns the request of a key, if it has a meaning.
pub(crate) fn action(event: KeyEvent) -> Option<Action> {
    if let KeyCode::Char(digit @ '1'..='9') = event.code {
        return Some(Action::Tab(digit as usize - '1' as usize));
    }
    BINDINGS.iter().find(|binding| binding.keys.iter().any(|key| key.is(event))).map(|binding| binding.action)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_has_two_meanings() {
        let all: Vec<Key> = BINDINGS.iter().flat_map(|binding| binding.keys.iter().copied()).collect();
        for (index, key) in all.iter().enumerate() {
            assert!(!all[..index].contains(key), "{key:?}");
        }
    }

    #[test]
    fn letters_and_control_letters_differ() {
        let press = |c, modifiers| action(KeyEvent::new(KeyCode::Char(c), modifiers));
        assert_eq!(press('c', KeyModifiers::NONE), Some(Action::Cancel));
        assert_eq!(press('c', KeyModifiers::CONTROL), Some(Action::Quit));
        assert_eq!(press('3', KeyModifiers::NONE), Some(Action::Tab(2)));
        assert_eq!(press('G', KeyModifiers::SHIFT), Some(Action::Last));
        assert_eq!(press('y', KeyModifiers::NONE), None);
    }
}
