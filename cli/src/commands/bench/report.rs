//! The page of `gristmill bench --html`: one self-contained file, no script, no fetch, readable light and dark.
//! Flows in: measured points ([`Report`]). Flows out: HTML with charts ([`super::chart`]).
//! The roofline has one dot per kernel: across, multiply-adds per byte of weights; up, multiply-adds per second; the
//! two ceilings are what this machine was measured to read and to multiply.

use super::chart::{
    Axis, BOTTOM, Chart, HEIGHT, LEFT, RIGHT, TOP, WIDTH, escape, frame, line_chart, open_svg,
    short,
};
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
    /// Float multiply-adds, in GMAC/s.
    pub floats_gmac_s: f64,
    /// The dots of the roofline.
    pub kernels: Vec<Kernel>,
    /// Tokens a second by depth of context, and by threads.
    pub charts: Vec<Chart>,
}

/// One measured kernel: a type of weights, or attention over a type of cache, in one shape.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// For example `q4_k`.
    pub name: String,
    /// Columns that share one pass over the weights, or queries over the cache: 1 when generating.
    pub columns: usize,
    /// Whether it multiplies floats.
    pub floats: bool,
    /// Multiply-adds per byte of weights or cache read.
    pub intensity: f64,
    /// Multiply-adds per second, in units of 10⁹.
    pub gmac_s: f64,
}

impl Kernel {
    /// The ceiling over this kernel in GMAC/s: what memory can feed it, or what the multipliers can do.
    pub fn ceiling(&self, report: &Report) -> f64 {
        let multipliers = if self.floats {
            report.floats_gmac_s
        } else {
            report.int8_gmac_s
        };
        (self.intensity * report.stream_gb_s).min(multipliers)
    }
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
        "multiply-adds per byte of weights or cache",
        "10⁹ multiply-adds per second",
    );
    let ridge = report.int8_gmac_s / report.stream_gb_s;
    if report.floats_gmac_s > 0.0 {
        let level = y.at(report.floats_gmac_s);
        let _ = write!(
            svg,
            "<polyline class=\"roof floats\" points=\"{:.1},{level:.1} {:.1},{level:.1}\" />\
             <text x={:.1} y={:.1} text-anchor=end>floats {} GMAC/s</text>",
            x.at(report.floats_gmac_s / report.stream_gb_s),
            x.to,
            x.to,
            // Below: just above are the dots of prompts.
            level + 16.0,
            short(report.floats_gmac_s)
        );
    }
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
            escape(&kernel.name),
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
    svg.push_str("<br>A dot is a type of weights, or attention over a type of cache (there, columns are queries); point at it for its \
         name. The table below has the same numbers. The dashed ceiling is that of float weights and of attention.</p>");
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
    let mut html = String::from("<div class=scroll><table><thead><tr><th rowspan=2>type");
    for &columns in &shapes {
        // With one column what counts is how fast weights are read.
        let cells = if columns == 1 { 3 } else { 2 };
        let _ = write!(html, "<th colspan={cells}>{}", in_words(columns));
    }
    html.push_str("<tr>");
    for &columns in &shapes {
        let speed = if columns == 1 { "<th class=n>GB/s" } else { "" };
        let _ = write!(html, "{speed}<th class=n>GMAC/s<th>of its ceiling");
    }
    html.push_str("</thead><tbody>");
    let mut types: Vec<&str> = report.kernels.iter().map(|k| k.name.as_str()).collect();
    types.dedup();
    for name in types {
        let _ = write!(html, "<tr><td>{}", escape(name));
        for &columns in &shapes {
            let found = report
                .kernels
                .iter()
                .find(|k| k.name == name && k.columns == columns);
            let Some(kernel) = found else {
                html.push_str(if columns == 1 {
                    "<td><td><td>"
                } else {
                    "<td><td>"
                });
                continue;
            };
            if columns == 1 {
                let read = short(kernel.gmac_s / kernel.intensity);
                let _ = write!(html, "<td class=n>{read}");
            }
            let share = 100.0 * kernel.gmac_s / kernel.ceiling(report);
            let _ = write!(
                html,
                "<td class=n>{}<td class=share><meter min=0 max=100 value={share:.0}></meter> {share:.0} %",
                short(kernel.gmac_s)
            );
        }
    }
    html + "</tbody></table></div>"
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
.floats{stroke-dasharray:5 4}.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:4px 8px;border-bottom:1px solid var(--grid)}th{color:var(--soft);font-weight:600}
dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 16px;margin:1rem 0}dt{color:var(--soft)}dd{margin:0}meter{width:56px}.n{text-align:right}td:first-child{white-space:nowrap}.share{white-space:nowrap}
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
            floats_gmac_s: 117.0,
            kernels: vec![
                Kernel {
                    name: "q4_k".into(),
                    columns: 1,
                    floats: false,
                    intensity: 1.78,
                    gmac_s: 60.0,
                },
                Kernel {
                    name: "f16".into(),
                    columns: 512,
                    floats: true,
                    intensity: 256.0,
                    gmac_s: 100.0,
                },
                Kernel {
                    name: "q4_k".into(),
                    columns: 512,
                    floats: false,
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
        assert_eq!(report.kernels[1].ceiling(&report), 117.0);
        assert_eq!(report.kernels[2].ceiling(&report), 468.0);
    }

    #[test]
    fn a_page_is_self_contained_and_escaped() {
        let page = html(&report());
        assert!(page.contains("a &lt;fast&gt; one"));
        assert!(!page.contains("http") && !page.contains("<script"));
        assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
        assert!(!page.contains("NaN") && !page.contains("inf"));
        // What a dot says when it is pointed at is in the table, too, which has a box to scroll in.
        let table = &page[page.find("<div class=scroll><table>").unwrap()..];
        for part in ["q4_k", "60", "94 %", "f16", "100", "85 %", "320", "68 %"] {
            assert!(page.contains(part) && table.contains(part), "no {part}");
        }
    }

    #[test]
    fn an_empty_report_still_makes_a_page() {
        assert!(html(&Report::default()).contains("</style>"));
    }
}
