//! The page of `gristmill bench --html`: one self-contained file, no script, no fetch, readable light and dark.
//! Flows in: measured points ([`Report`]). Flows out: HTML with charts drawn as inline SVG.
//! The roofline has one dot per kernel: across, multiply-adds per byte of weights; up, multiply-adds per second; the
//! two ceilings are what this machine was measured to read and to multiply.

use std::fmt::Write as _;

/// Everything the page shows.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Facts about the machine and the run, as label and value.
    pub facts: Vec<(String, String)>,
    /// Memory read, in GB/s.
    pub stream_gb_s: f64,
    /// Integer multiply-adds, in GMAC/s.
    pub int8_gmac_s: f64,
    /// The dots of the roofline.
    pub kernels: Vec<Kernel>,
    /// Tokens a second by depth of context, and by threads.
    pub charts: Vec<Chart>,
}

/// One measured kernel: a type in one shape.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// For example `q4_k`.
    pub quant: String,
    /// Columns that share one pass over the weights: 1 when generating.
    pub columns: usize,
    /// Multiply-adds per byte of weights read.
    pub intensity: f64,
    /// Multiply-adds per second, in units of 10⁹.
    pub gmac_s: f64,
}

impl Kernel {
    /// The ceiling over this kernel in GMAC/s: what memory can feed it, or what the multipliers can do.
    pub fn ceiling(&self, report: &Report) -> f64 {
        (self.intensity * report.stream_gb_s).min(report.int8_gmac_s)
    }
}

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

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 16.0;
const BOTTOM: f64 = 56.0;

/// An axis: values from `low` to `high` on a line of pixels from `from` to `to`.
struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    logarithmic: bool,
    /// Ticks at whole numbers only: the axis counts things.
    whole: bool,
}

impl Axis {
    fn at(&self, value: f64) -> f64 {
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
fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 || v == 0.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}").trim_end_matches(".0").to_owned(),
        _ => format!("{value:.2}")
            .trim_end_matches('0')
            .trim_end_matches('.')
            .to_owned(),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// Grid, tick labels and axis titles.
fn frame(svg: &mut String, x: &Axis, y: &Axis, x_label: &str, y_label: &str) {
    for tick in x.ticks() {
        let at = x.at(tick);
        let _ = write!(
            svg,
            "<line class=grid x1={at:.1} x2={at:.1} y1={:.1} y2={:.1} /><text x={at:.1} y={:.1} text-anchor=middle>{}</text>",
            y.to,
            y.from,
            y.from + 18.0,
            short(tick)
        );
    }
    for tick in y.ticks() {
        let at = y.at(tick);
        let _ = write!(
            svg,
            "<line class=grid x1={:.1} x2={:.1} y1={at:.1} y2={at:.1} /><text x={:.1} y={:.1} text-anchor=end>{}</text>",
            x.from,
            x.to,
            x.from - 8.0,
            at + 4.0,
            short(tick)
        );
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

fn open_svg(title: &str) -> String {
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=img aria-label=\"{}\">",
        escape(title)
    )
}

fn roofline(report: &Report) -> String {
    let least = report
        .kernels
        .iter()
        .map(|k| k.intensity)
        .fold(1.0, f64::min);
    let most = report
        .kernels
        .iter()
        .map(|k| k.intensity)
        .fold(100.0, f64::max);
    let slowest = report
        .kernels
        .iter()
        .map(|k| k.gmac_s)
        .fold(f64::INFINITY, f64::min);
    let floor = slowest.min(report.stream_gb_s * least) / 2.0;
    let x = Axis {
        low: least / 1.5,
        high: most * 2.0,
        from: LEFT,
        to: WIDTH - RIGHT,
        logarithmic: true,
        whole: false,
    };
    let y = Axis {
        low: floor.max(1e-3),
        high: report.int8_gmac_s * 1.6,
        from: HEIGHT - BOTTOM,
        to: TOP,
        logarithmic: true,
        whole: false,
    };
    let mut svg = open_svg("Roofline");
    frame(
        &mut svg,
        &x,
        &y,
        "multiply-adds per byte of weights",
        "10⁹ multiply-adds per second",
    );
    let ridge = report.int8_gmac_s / report.stream_gb_s;
    let _ = write!(
        svg,
        "<polyline class=roof points=\"{:.1},{:.1} {:.1},{:.1} {:.1},{:.1}\" />",
        x.at(x.low),
        y.at(x.low * report.stream_gb_s),
        x.at(ridge),
        y.at(report.int8_gmac_s),
        x.to,
        y.at(report.int8_gmac_s)
    );
    let _ = write!(
        svg,
        "<text x={:.1} y={:.1} text-anchor=end>int8 {} GMAC/s</text><text x={:.1} y={:.1} text-anchor=end>memory {} GB/s</text>",
        x.to,
        y.at(report.int8_gmac_s) - 6.0,
        short(report.int8_gmac_s),
        // Left of the slope, where no dot can be.
        x.at(ridge / 1.8) - 10.0,
        y.at(ridge / 1.8 * report.stream_gb_s) + 4.0,
        short(report.stream_gb_s)
    );
    let shapes = shapes(report);
    for kernel in &report.kernels {
        let class = shapes
            .iter()
            .position(|&columns| columns == kernel.columns)
            .unwrap_or(0)
            % 6;
        let _ = write!(
            svg,
            "<circle class=c{class} cx={:.1} cy={:.1} r=4.5><title>{}, {}: {} GMAC/s, {:.0} % of its ceiling</title></circle>",
            x.at(kernel.intensity),
            y.at(kernel.gmac_s),
            escape(&kernel.quant),
            in_words(kernel.columns),
            short(kernel.gmac_s),
            100.0 * kernel.gmac_s / kernel.ceiling(report)
        );
    }
    svg.push_str("</svg><p class=legend>");
    for (class, &columns) in shapes.iter().enumerate() {
        let _ = write!(
            svg,
            "<span class=k{}>●</span> {} &ensp;",
            class % 6,
            in_words(columns)
        );
    }
    svg.push_str("<br>A dot is a type of weights; point at it for its name.</p>");
    svg
}

/// The numbers of columns there are, in order.
fn shapes(report: &Report) -> Vec<usize> {
    let mut shapes: Vec<usize> = report.kernels.iter().map(|k| k.columns).collect();
    shapes.sort_unstable();
    shapes.dedup();
    shapes
}

/// A number of columns, and where it occurs.
fn in_words(columns: usize) -> String {
    match columns {
        1 => "1 column (generation)".to_owned(),
        2..=16 => format!("{columns} columns (guessed tokens)"),
        _ => format!("{columns} columns (prompt)"),
    }
}

/// A line for each type, two cells for each shape.
fn kernel_table(report: &Report) -> String {
    let shapes = shapes(report);
    let mut html = String::from("<table><thead><tr><th rowspan=2>type");
    for &columns in &shapes {
        let _ = write!(html, "<th colspan=2>{}", in_words(columns));
    }
    html.push_str("<tr>");
    for &columns in &shapes {
        // With one column what counts is how fast weights are read.
        let unit = if columns == 1 { "GB/s" } else { "GMAC/s" };
        let _ = write!(html, "<th class=n>{unit}<th>of its ceiling");
    }
    html.push_str("</thead><tbody>");
    let mut types: Vec<&str> = report.kernels.iter().map(|k| k.quant.as_str()).collect();
    types.dedup();
    for name in types {
        let _ = write!(html, "<tr><td>{}", escape(name));
        for &columns in &shapes {
            let found = report
                .kernels
                .iter()
                .find(|k| k.quant == name && k.columns == columns);
            let Some(kernel) = found else {
                html.push_str("<td><td>");
                continue;
            };
            let rate = if columns == 1 {
                kernel.gmac_s / kernel.intensity
            } else {
                kernel.gmac_s
            };
            let share = 100.0 * kernel.gmac_s / kernel.ceiling(report);
            let _ = write!(
                html,
                "<td class=n>{}<td class=share><meter min=0 max=100 value={share:.0}></meter> {share:.0} %",
                short(rate)
            );
        }
    }
    html + "</tbody></table>"
}

fn line_chart(chart: &Chart) -> String {
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
        let _ = write!(legend, "<span class=k{class}>●</span> {} ", escape(name));
    }
    let _ = write!(svg, "</svg><p class=legend>{legend}</p>");
    svg
}

const STYLE: &str = "
:root{color-scheme:light dark;--bg:#fbfaf7;--fg:#22211f;--soft:#6b675f;--grid:#dedad1;--roof:#22211f;
--s0:#0b6e99;--s1:#b3541e;--s2:#4b7a1f;--s3:#7a3b8f;--s4:#9a7400;--s5:#a8324a}
@media(prefers-color-scheme:dark){:root{--bg:#191817;--fg:#e9e6df;--soft:#a29d92;--grid:#37342f;--roof:#e9e6df;
--s0:#5cb8e0;--s1:#f09a5f;--s2:#9ccf66;--s3:#cf93e3;--s4:#e0bd55;--s5:#f0849b}}
body{margin:0 auto;max-width:780px;padding:24px;background:var(--bg);color:var(--fg);font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.6rem;margin:0}h2{font-size:1.15rem;margin:2rem 0 .5rem}.sub,.legend{color:var(--soft);font-size:.9rem}
svg{width:100%;height:auto;font:12px system-ui,sans-serif}svg text{fill:var(--soft)}svg .axis{fill:var(--fg);font-size:13px}
.grid{stroke:var(--grid)}.roof{fill:none;stroke:var(--roof);stroke-width:2}.line{fill:none;stroke-width:2}
.s0{stroke:var(--s0)}.s1{stroke:var(--s1)}.s2{stroke:var(--s2)}.s3{stroke:var(--s3)}.s4{stroke:var(--s4)}.s5{stroke:var(--s5)}
.c0{fill:var(--s0)}.c1{fill:var(--s1)}.c2{fill:var(--s2)}.c3{fill:var(--s3)}.c4{fill:var(--s4)}.c5{fill:var(--s5)}
.k0{color:var(--s0)}.k1{color:var(--s1)}.k2{color:var(--s2)}.k3{color:var(--s3)}.k4{color:var(--s4)}.k5{color:var(--s5)}
table{border-collapse:collapse;width:100%;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:4px 8px;border-bottom:1px solid var(--grid)}th{color:var(--soft);font-weight:600}
dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 16px;margin:1rem 0}dt{color:var(--soft)}dd{margin:0}meter{width:56px}.n{text-align:right}.share{white-space:nowrap}
";

/// The page as one string.
pub fn html(report: &Report) -> String {
    let mut page = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>gristmill bench</title><style>{STYLE}</style><h1>gristmill bench</h1>\
         <p class=sub>How fast this machine runs the models below, as a share of what it can do.</p><dl>"
    );
    for (label, value) in &report.facts {
        let _ = write!(page, "<dt>{}<dd>{}", escape(label), escape(value));
    }
    page.push_str("</dl>");
    if !report.kernels.is_empty() {
        let _ = write!(
            page,
            "<h2>Roofline: every kernel under its ceiling</h2>{}{}",
            roofline(report),
            kernel_table(report)
        );
    }
    for chart in &report.charts {
        let _ = write!(
            page,
            "<h2>{}</h2>{}",
            escape(&chart.title),
            line_chart(chart)
        );
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report {
            facts: vec![("CPU".into(), "a <fast> one".into())],
            stream_gb_s: 36.0,
            int8_gmac_s: 468.0,
            kernels: vec![
                Kernel {
                    quant: "q4_k".into(),
                    columns: 1,
                    intensity: 1.78,
                    gmac_s: 60.0,
                },
                Kernel {
                    quant: "q4_k".into(),
                    columns: 512,
                    intensity: 910.0,
                    gmac_s: 320.0,
                },
            ],
            charts: vec![Chart {
                title: "Generation by depth".into(),
                x_label: "tokens in the context".into(),
                y_label: "tokens per second".into(),
                lines: vec![(
                    "smollm2".into(),
                    vec![(0.0, 240.0), (1024.0, 200.0), (4096.0, 120.0)],
                )],
            }],
        }
    }

    #[test]
    fn ceilings_are_memory_left_of_the_ridge_and_multipliers_right_of_it() {
        let report = report();
        assert!((report.kernels[0].ceiling(&report) - 1.78 * 36.0).abs() < 1e-9);
        assert_eq!(report.kernels[1].ceiling(&report), 468.0);
    }

    #[test]
    fn a_page_is_self_contained_and_escaped() {
        let page = html(&report());
        assert!(page.contains("a &lt;fast&gt; one"));
        assert!(!page.contains("http") && !page.contains("<script"));
        assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
        assert!(!page.contains("NaN") && !page.contains("inf"));
    }

    #[test]
    fn an_empty_report_and_a_single_point_still_make_a_page() {
        assert!(html(&Report::default()).contains("</style>"));
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
