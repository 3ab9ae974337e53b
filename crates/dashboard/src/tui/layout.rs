//! The places of things on the screen: drawing and mouse ask the same functions.

use ratatui::layout::{Constraint, Layout, Position, Rect};

use super::app::Tab;

/// Lines of the header, with the line of the tabs below it.
const HEADER: u16 = 3;

/// The four parts of the screen.
pub(crate) struct Screen {
    /// The lines about the run.
    pub(crate) header: Rect,
    /// The line of the tabs.
    pub(crate) tabs: Rect,
    /// The panes.
    pub(crate) body: Rect,
    /// The line of the keys.
    pub(crate) footer: Rect,
}

/// Divides the screen into its four parts.
pub(crate) fn screen(area: Rect) -> Screen {
    let cuts = [Constraint::Length(HEADER), Constraint::Length(1), Constraint::Min(0), Constraint::Length(1)];
    let [header, tabs, body, footer] = Layout::vertical(cuts).areas(area);
    Screen { header, tabs, body, footer }
}

/// Rows that a page has.
pub(crate) fn page_rows(area: Rect) -> usize {
    usize::from(screen(area).body.height.saturating_sub(4)).max(1)
}

/// The words of the tabs as they are written, and where each begins and ends.
pub(crate) fn tab_words(width: u16) -> Vec<(Tab, String, u16, u16)> {
    let whole: usize = Tab::ALL.iter().map(|tab| tab.name().len() + 3).sum();
    let short = whole > usize::from(width);
    let mut x = 0;
    let word = |(index, tab): (usize, &Tab)| {
        let name = tab.name();
        let name = if short { &name[..name.len().min(3)] } else { name };
        let text = format!("{} {name} ", index + 1);
        let from = x;
        x += text.len() as u16;
        (*tab, text, from, x)
    };
    Tab::ALL.iter().enumerate().map(word).collect()
}

/// The tab that is written at a place.
pub(crate) fn tab_at(area: Rect, at: Position) -> Option<Tab> {
    let tabs = screen(area).tabs;
    if !tabs.contains(at) {
        return None;
    }
    let x = at.x - tabs.x;
    tab_words(tabs.width).into_iter().find(|(_, _, from, to)| (*from..*to).contains(&x)).map(|(tab, ..)| tab)
}

/// The panes of the overview: more of them on a larger screen.
pub(crate) fn overview(body: Rect) -> Vec<(Tab, Rect)> {
    let halves = |area: Rect, upper: u16| -> [Rect; 2] {
        Layout::vertical([Constraint::Percentage(upper), Constraint::Fill(1)]).areas(area)
    };
    if body.width < 100 || body.height < 24 {
        let [left, right] = Layout::horizontal([Constraint::Percentage(50), Constraint::Fill(1)]).areas(body);
        let ([a, b], [c, d]) = (halves(left, 50), halves(right, 50));
        return vec![(Tab::Stages, a), (Tab::Cells, b), (Tab::Tasks, c), (Tab::Cost, d)];
    }
    let cuts = [Constraint::Percentage(36), Constraint::Fill(1), Constraint::Percentage(30)];
    let [left, middle, right] = Layout::horizontal(cuts).areas(body);
    let ([a, b], [c, d]) = (halves(left, 45), halves(middle, 55));
    let thirds = [Constraint::Percentage(36), Constraint::Percentage(32), Constraint::Fill(1)];
    let [e, f, g] = Layout::vertical(thirds).areas(right);
    vec![
        (Tab::Stages, a),
        (Tab::Cells, b),
        (Tab::Tasks, c),
        (Tab::Log, d),
        (Tab::Workers, e),
        (Tab::Cost, f),
        (Tab::Errors, g),
    ]
}

/// The pane of the overview at a place.
pub(crate) fn pane_at(area: Rect, at: Position) -> Option<Tab> {
    overview(screen(area).body).into_iter().find(|(_, pane)| pane.contains(at)).map(|(tab, _)| tab)
}

/// The row of a table in the body at a place, from the first one shown: below the frame and the head.
pub(crate) fn row_at(area: Rect, at: Position) -> Option<usize> {
    let body = screen(area).body;
    let first = body.y + 2;
    (body.contains(at) && at.y >= first).then(|| usize::from(at.y - first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_tabs_are_where_the_mouse_finds_them() {
        for width in [80, 120, 200] {
            let area = Rect::new(0, 0, width, 24);
            for (tab, text, from, to) in tab_words(width) {
                assert_eq!(text.len(), usize::from(to - from));
                assert!(to <= width, "{text} leaves a screen of {width}");
                let y = screen(area).tabs.y;
                assert_eq!(tab_at(area, Position { x: from + 1, y }), Some(tab));
            }
        }
    }

    #[test]
    fn panes_of_the_overview_fill_the_body_and_do_not_meet() {
        for (width, height) in [(80, 24), (120, 40), (200, 60), (20, 8)] {
            let body = screen(Rect::new(0, 0, width, height)).body;
            let panes = overview(body);
            let area: u32 = panes.iter().map(|(_, pane)| pane.area()).sum();
            assert_eq!(area, body.area());
            for (index, (_, pane)) in panes.iter().enumerate() {
                assert!(panes[..index].iter().all(|(_, other)| !pane.intersects(*other)));
            }
        }
    }
}
