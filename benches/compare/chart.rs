//! Charts as SVG: lines with their names at their ends, and bars with their values behind them.
//!
//! The background is clear, and the colors follow the reader's choice of light or dark. No chart library is small enough
//! for so little.

use std::fmt::{self, Write};

use crate::table::digits;

/// Lines over the depth. The values have a logarithmic scale: the peers are far apart.
pub(crate) struct Lines {
    pub(crate) title: &'static str,
    pub(crate) unit: String,
    pub(crate) series: Vec<Series>,
}

pub(crate) struct Series {
    pub(crate) label: &'static str,
    /// A class of the style sheet.
    pub(crate) color: &'static str,
    pub(crate) is_strong: bool,
    /// By depth, at least one.
    pub(crate) points: Vec<(f64, f64)>,
}

impl Lines {
    pub(crate) fn draw(&self) -> String {
        let mut svg = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut svg);
        svg
    }

    fn write(&self, svg: &mut String) -> fmt::Result {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let extent = |values: &dyn Fn(&(f64, f64)) -> f64| {
            points()
                .map(values)
                .fold((f64::INFINITY, 0.0), |(least, most): (f64, f64), value| (least.min(value), most.max(value)))
        };
        let (left, right) = extent(&|point| point.0);
        let (bottom, top) = extent(&|point| point.1);
        let x = |depth: f64| LEFT + (depth - left) / (right - left).max(1.0) * WIDTH;
        let y = |value: f64| TOP + HEIGHT - (value / bottom).ln() / (top / bottom).ln().max(0.1) * HEIGHT;

        head(svg, TOP + HEIGHT + 44.0, self.title, &self.unit)?;
        for value in ticks(bottom, top) {
            let (y, right) = (y(value), LEFT + WIDTH);
            writeln!(svg, r#"<line class="grid" x1="{LEFT}" x2="{right}" y1="{y:.1}" y2="{y:.1}"/>"#)?;
            text(svg, "tick", (LEFT - 8.0, y + 4.0), Anchor::End, &plain(value))?;
        }
        let mut depths: Vec<f64> = points().map(|point| point.0).collect();
        depths.sort_by(f64::total_cmp);
        depths.dedup();
        for depth in depths {
            text(svg, "tick", (x(depth), TOP + HEIGHT + 18.0), Anchor::Middle, &depth.to_string())?;
        }
        text(svg, "tick", (LEFT + WIDTH / 2.0, TOP + HEIGHT + 36.0), Anchor::Middle, "layers")?;

        let mut ends = Vec::new();
        for series in &self.series {
            let Series { color, label, is_strong, points } = series;
            let at = |point: &(f64, f64)| format!("{:.1},{:.1}", x(point.0), y(point.1));
            let path: Vec<String> = points.iter().map(at).collect();
            let weight = if *is_strong { " strong" } else { "" };
            writeln!(svg, r#"<polyline class="{color}{weight}" points="{}"/>"#, path.join(" "))?;
            for point in points {
                writeln!(svg, r#"<circle class="{color}" cx="{:.1}" cy="{:.1}" r="2.5"/>"#, x(point.0), y(point.1))?;
            }
            ends.extend(points.last().map(|&(_, value)| (y(value), *color, *label)));
        }
        ends.sort_by(|one, other| one.0.total_cmp(&other.0));
        let places = apart(ends.iter().map(|end| end.0).collect());
        for ((end, color, label), place) in ends.into_iter().zip(places) {
            let (from, to) = (LEFT + WIDTH + 4.0, LEFT + WIDTH + 18.0);
            writeln!(svg, r#"<line class="{color}" x1="{from}" y1="{end:.1}" x2="{to}" y2="{place:.1}"/>"#)?;
            text(svg, color, (to + 4.0, place + 4.0), Anchor::Start, label)?;
        }
        writeln!(svg, "</svg>")
    }
}

/// Bars in groups.
pub(crate) struct Bars {
    pub(crate) title: &'static str,
    pub(crate) unit: String,
    /// What the bars of a group stand for.
    pub(crate) names: Vec<String>,
    /// The name of a group, its color, and the values.
    pub(crate) bars: Vec<(&'static str, &'static str, Vec<f64>)>,
}

impl Bars {
    pub(crate) fn draw(&self) -> String {
        let mut svg = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut svg);
        svg
    }

    fn write(&self, svg: &mut String) -> fmt::Result {
        let most = self.bars.iter().flat_map(|bar| &bar.2).copied().fold(f64::MIN_POSITIVE, f64::max);
        let group = BAR * self.names.len() as f64 + GAP;
        head(svg, TOP + group * self.bars.len() as f64, self.title, &self.unit)?;
        for (row, (label, color, values)) in self.bars.iter().enumerate() {
            let top = TOP + group * row as f64;
            text(svg, color, (NAMES, top + (group - GAP) / 2.0 + 4.0), Anchor::End, label)?;
            for (index, value) in values.iter().enumerate() {
                let (y, width) = (top + BAR * index as f64, value / most * BARS);
                let (left, height) = (NAMES + 10.0, BAR - 3.0);
                writeln!(svg, r#"<rect class="{color}" x="{left}" y="{y:.1}" width="{width:.1}" height="{height}"/>"#)?;
                let shown = format!("{} · {}", digits(*value), self.names[index]);
                text(svg, "tick", (left + width + 6.0, y + height - 3.0), Anchor::Start, &shown)?;
            }
        }
        writeln!(svg, "</svg>")
    }
}

fn head(svg: &mut String, height: f64, title: &str, unit: &str) -> fmt::Result {
    writeln!(svg, r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {FULL_WIDTH} {height:.0}" role="img">"#)?;
    writeln!(svg, "<title>{title}</title>\n<style>{STYLE}")?;
    for (class, light, _) in COLORS {
        color(svg, class, light)?;
    }
    writeln!(svg, "@media(prefers-color-scheme:dark){{text{{fill:#ddd}}.tick{{fill:#aaa}}")?;
    for (class, _, dark) in COLORS {
        color(svg, class, dark)?;
    }
    writeln!(svg, "}}</style>")?;
    text(svg, "title", (12.0, 24.0), Anchor::Start, title)?;
    text(svg, "tick", (12.0, 42.0), Anchor::Start, unit)
}

fn color(svg: &mut String, class: &str, color: &str) -> fmt::Result {
    writeln!(svg, ".{class}{{fill:{color}}}polyline.{class},line.{class}{{fill:none;stroke:{color}}}")
}

#[derive(Clone, Copy)]
enum Anchor {
    Start,
    Middle,
    End,
}

fn text(svg: &mut String, class: &str, (x, y): (f64, f64), anchor: Anchor, content: &str) -> fmt::Result {
    let anchor = match anchor {
        Anchor::Start => "start",
        Anchor::Middle => "middle",
        Anchor::End => "end",
    };
    writeln!(svg, r#"<text class="{class}" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{content}</text>"#)
}

/// 1, 2 and 5 of each power of ten, from the least value to the most.
fn ticks(bottom: f64, top: f64) -> Vec<f64> {
    let powers = bottom.log10().floor() as i32..=top.log10().ceil() as i32;
    let ticks = powers.flat_map(|power| [1.0, 2.0, 5.0].map(|step| step * 10_f64.powi(power)));
    ticks.filter(|tick| (bottom * 0.999..=top * 1.001).contains(tick)).collect()
}

fn plain(value: f64) -> String {
    let shown = format!("{value:.3}");
    shown.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Moves what is sorted so far apart that names do not cover each other, and keeps it inside the chart.
fn apart(mut places: Vec<f64>) -> Vec<f64> {
    for index in 1..places.len() {
        places[index] = places[index].max(places[index - 1] + LINE);
    }
    let mut limit = TOP + HEIGHT + 14.0;
    for place in places.iter_mut().rev() {
        *place = place.min(limit);
        limit = *place - LINE;
    }
    places
}

const FULL_WIDTH: f64 = 720.0;
const LEFT: f64 = 64.0;
const TOP: f64 = 60.0;
const WIDTH: f64 = 500.0;
const HEIGHT: f64 = 320.0;
/// Between two names.
const LINE: f64 = 15.0;
const NAMES: f64 = 130.0;
const BARS: f64 = 460.0;
const BAR: f64 = 16.0;
const GAP: f64 = 10.0;

const STYLE: &str = "
text{font:12px system-ui,sans-serif;fill:#333}.title{font-size:15px;font-weight:600}.tick{fill:#666}
.grid{stroke:#888;stroke-opacity:.2}polyline{fill:none;stroke-width:1.5}polyline.strong{stroke-width:3}
";

/// The classes, in light and in dark.
const COLORS: [(&str, &str, &str); 11] = [
    ("a", "#c2410c", "#fb923c"),
    ("b", "#b45309", "#fbbf24"),
    ("c", "#be185d", "#f472b6"),
    ("d", "#7c2d92", "#d8a4ee"),
    ("e", "#1d4ed8", "#7ea6ff"),
    ("f", "#0e7490", "#4fc3dc"),
    ("g", "#15803d", "#5fd38a"),
    ("h", "#4d7c0f", "#a3d14f"),
    ("i", "#57534e", "#b8b2ac"),
    ("j", "#0f766e", "#4fd1c0"),
    ("k", "#737373", "#a3a3a3"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn series(label: &'static str, points: &[(f64, f64)]) -> Series {
        Series { label, color: "a", is_strong: true, points: points.to_vec() }
    }

    #[test]
    fn more_is_higher_and_deeper_is_further_right() {
        let series = vec![series("one", &[(1.0, 1000.0), (8.0, 10.0)])];
        let svg = Lines { title: "t", unit: "u".into(), series }.draw();
        assert!(svg.contains(r#"points="64.0,60.0 564.0,380.0""#), "{svg}");
    }

    #[test]
    fn one_point_alone_is_drawn() {
        let svg = Lines { title: "t", unit: "u".into(), series: vec![series("one", &[(4.0, 10.0)])] }.draw();
        assert!(svg.contains(r#"<circle class="a" cx="64.0" cy="380.0""#) && !svg.contains("NaN"), "{svg}");
    }

    #[test]
    fn ticks_lie_between_the_ends() {
        assert_eq!(ticks(10.0, 100.0), [10.0, 20.0, 50.0, 100.0]);
        assert_eq!(ticks(0.3, 1.5), [0.5, 1.0]);
    }

    #[test]
    fn names_do_not_cover_each_other() {
        let bottom = TOP + HEIGHT;
        for places in [vec![100.0, 101.0, 102.0, 300.0], vec![bottom - 1.0, bottom, bottom, bottom]] {
            let places = apart(places);
            assert!(places.windows(2).all(|pair| pair[1] - pair[0] >= LINE), "{places:?}");
            assert!(places.iter().all(|&place| place <= bottom + LINE), "{places:?}");
        }
    }

    #[test]
    fn the_longest_bar_is_the_most() {
        let bars = vec![("one", "a", vec![5.0, 10.0]), ("two", "b", vec![2.5, 5.0])];
        let names = vec!["depth 1".to_owned(), "depth 3".to_owned()];
        let svg = Bars { title: "t", unit: "u".into(), names, bars }.draw();
        let widths: Vec<_> = svg.split(" width=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert_eq!(widths, ["230.0", "460.0", "115.0", "230.0"]);
    }
}
