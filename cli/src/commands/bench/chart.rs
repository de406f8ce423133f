//! Charts as inline SVG: axes with round ticks, the grid, lines with a legend. Colours are classes of the page's style.

use std::fmt::Write as _;

/// A line chart.
#[derive(Debug, Clone)]
pub struct Chart {
    /// What it shows.
    pub title: String,
    /// What the horizontal axis counts, with its unit.
    pub x_label: String,
    /// What the vertical axis counts, with its unit.
    pub y_label: String,
    /// Lines: a name and its points.
    pub lines: Vec<(String, Vec<(f64, f64)>)>,
}

/// Width of a chart, in the pixels of its SVG.
pub const WIDTH: f64 = 720.0;
/// Its height.
pub const HEIGHT: f64 = 400.0;
/// Margin on the left, with the labels of the vertical axis.
pub const LEFT: f64 = 72.0;
/// Margin on the right.
pub const RIGHT: f64 = 20.0;
/// Margin above.
pub const TOP: f64 = 16.0;
/// Margin below, with the labels of the horizontal axis.
pub const BOTTOM: f64 = 56.0;

/// An axis: values from `low` to `high` on a line of pixels from `from` to `to`.
pub struct Axis {
    /// The value at its beginning.
    pub low: f64,
    /// The value at its end.
    pub high: f64,
    /// The pixel of its beginning.
    pub from: f64,
    /// The pixel of its end.
    pub to: f64,
    /// Whether each step is a factor.
    pub logarithmic: bool,
    /// Ticks at whole numbers only: the axis counts things.
    pub whole: bool,
}

impl Axis {
    /// The pixel of a value.
    pub fn at(&self, value: f64) -> f64 {
        let share = if self.logarithmic {
            (value.max(self.low).ln() - self.low.ln()) / (self.high.ln() - self.low.ln())
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.from + share.clamp(0.0, 1.0) * (self.to - self.from)
    }

    fn ticks(&self) -> Vec<f64> {
        if self.logarithmic {
            let mut ticks = Vec::new();
            let mut decade = 10f64.powf(self.low.log10().floor());
            while decade <= self.high {
                ticks.extend([1.0, 2.0, 5.0].map(|m| m * decade));
                decade *= 10.0;
            }
            ticks.retain(|&t| t >= self.low * 0.999 && t <= self.high * 1.001);
            return ticks;
        }
        let step = nice_step((self.high - self.low) / 5.0).max(if self.whole { 1.0 } else { 0.0 });
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step + 1e-9).floor() as i64;
        (first..=last).map(|k| k as f64 * step).collect()
    }
}

/// The round number (1, 2 or 5 times a power of ten) nearest above `rough`.
fn nice_step(rough: f64) -> f64 {
    let decade = 10f64.powf(rough.max(1e-12).log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .map(|m| m * decade)
        .into_iter()
        .find(|&s| s >= rough)
        .unwrap_or(10.0 * decade)
}

/// A number for a label, without needless digits.
pub fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 || v == 0.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}").trim_end_matches(".0").to_owned(),
        _ => format!("{value:.2}")
            .trim_end_matches('0')
            .trim_end_matches('.')
            .to_owned(),
    }
}

/// Text for HTML.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// Grid, tick labels and axis titles.
pub fn frame(svg: &mut String, x: &Axis, y: &Axis, x_label: &str, y_label: &str) {
    for tick in x.ticks() {
        let at = x.at(tick);
        let label = (at, y.from + 18.0, "middle");
        grid_line(svg, (at, y.to), (at, y.from), label, tick);
    }
    for tick in y.ticks() {
        let at = y.at(tick);
        let label = (x.from - 8.0, at + 4.0, "end");
        grid_line(svg, (x.from, at), (x.to, at), label, tick);
    }
    let _ = write!(
        svg,
        "<text class=axis x={:.1} y={:.1} text-anchor=middle>{}</text><text class=axis transform=\"translate(16 {:.1}) rotate(-90)\" text-anchor=middle>{}</text>",
        (x.from + x.to) / 2.0,
        HEIGHT - 10.0,
        escape(x_label),
        (y.from + y.to) / 2.0,
        escape(y_label)
    );
}

/// A line from one point to another, and a number at a place with an anchor.
fn grid_line(
    svg: &mut String,
    from: (f64, f64),
    to: (f64, f64),
    (x, y, anchor): (f64, f64, &str),
    number: f64,
) {
    let _ = write!(
        svg,
        "<line class=grid x1={:.1} y1={:.1} x2={:.1} y2={:.1} /><text x={x:.1} y={y:.1} text-anchor={anchor}>{}</text>",
        from.0,
        from.1,
        to.0,
        to.1,
        short(number)
    );
}

/// The beginning of a chart.
pub fn open_svg(title: &str) -> String {
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=img aria-label=\"{}\">",
        escape(title)
    )
}

/// The chart and its legend, as HTML.
pub fn line_chart(chart: &Chart) -> String {
    let points = || chart.lines.iter().flat_map(|(_, points)| points.iter());
    let x_low = points().map(|p| p.0).fold(f64::INFINITY, f64::min);
    let x_high = points().map(|p| p.0).fold(x_low, f64::max);
    let y_high = points().map(|p| p.1).fold(0.0, f64::max);
    if !x_low.is_finite() || y_high <= 0.0 {
        return "<p>Nothing was measured for this chart.</p>".to_owned();
    }
    let x_high = if x_high > x_low { x_high } else { x_low + 1.0 };
    let x = Axis {
        low: x_low,
        high: x_high,
        from: LEFT,
        to: WIDTH - RIGHT - 8.0,
        logarithmic: false,
        whole: true,
    };
    let y = Axis {
        low: 0.0,
        high: y_high * 1.1,
        from: HEIGHT - BOTTOM,
        to: TOP,
        logarithmic: false,
        whole: false,
    };
    let mut svg = open_svg(&chart.title);
    frame(&mut svg, &x, &y, &chart.x_label, &chart.y_label);
    let mut legend = String::new();
    for (index, (name, points)) in chart.lines.iter().enumerate() {
        let class = index % 6;
        let path: Vec<String> = points
            .iter()
            .map(|&(a, b)| format!("{:.1},{:.1}", x.at(a), y.at(b)))
            .collect();
        let _ = write!(
            svg,
            "<polyline class=\"line s{class}\" points=\"{}\" />",
            path.join(" ")
        );
        for &(a, b) in points {
            let _ = write!(
                svg,
                "<circle class=c{class} cx={:.1} cy={:.1} r=4><title>{}: {} at {}</title></circle>",
                x.at(a),
                y.at(b),
                escape(name),
                short(b),
                short(a)
            );
        }
        let _ = write!(
            legend,
            "<span class=k{class}>●</span> {} &ensp;",
            escape(name)
        );
    }
    let _ = write!(svg, "</svg><p class=legend>{legend}</p>");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_point_still_makes_a_chart() {
        let one = Chart {
            title: "t".into(),
            x_label: "x".into(),
            y_label: "y".into(),
            lines: vec![("a".into(), vec![(2.0, 5.0)])],
        };
        assert!(!line_chart(&one).contains("NaN"));
    }

    #[test]
    fn ticks_are_round_and_inside() {
        let axis = Axis {
            low: 0.0,
            high: 264.0,
            from: 0.0,
            to: 100.0,
            logarithmic: false,
            whole: false,
        };
        assert_eq!(axis.ticks(), [0.0, 100.0, 200.0]);
        let log = Axis {
            low: 1.5,
            high: 30.0,
            from: 0.0,
            to: 100.0,
            logarithmic: true,
            whole: false,
        };
        assert_eq!(log.ticks(), [2.0, 5.0, 10.0, 20.0]);
    }
}
