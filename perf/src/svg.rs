//! A small line chart, by hand.

use std::fmt::Write as _;

/// A named line.
#[derive(Clone, Debug)]
pub struct Series {
    /// In the legend.
    pub name: String,
    /// (x, y), by rising x.
    pub points: Vec<(f64, f64)>,
}

/// A chart with one y axis that starts at 0.
#[derive(Clone, Debug)]
pub struct Chart {
    /// Above it.
    pub title: String,
    /// Under the x axis.
    pub x: String,
    /// Unit of the y axis.
    pub y: String,
    /// The lines.
    pub series: Vec<Series>,
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 150.0;
const TOP: f64 = 36.0;
const BOTTOM: f64 = 44.0;
const COLOURS: [&str; 6] = [
    "#0b6e99", "#d9730d", "#448361", "#9065b0", "#c14c8a", "#787774",
];

/// All charts below one another in one document.
pub fn document(charts: &[Chart]) -> String {
    let height = HEIGHT * charts.len() as f64;
    let mut s = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    for (i, chart) in charts.iter().enumerate() {
        let _ = writeln!(s, "<g transform=\"translate(0 {})\">", HEIGHT * i as f64);
        draw(chart, &mut s);
        s += "</g>\n";
    }
    s + "</svg>\n"
}

fn draw(chart: &Chart, s: &mut String) {
    let all = || chart.series.iter().flat_map(|l| &l.points);
    let x_max = all().map(|p| p.0).fold(0.0, f64::max);
    let y_max = all().map(|p| p.1).fold(0.0, f64::max);
    let (x_step, y_step) = (step(x_max), step(y_max));
    let (x_top, y_top) = (top(x_max, x_step), top(y_max, y_step));
    let px = |x: f64| LEFT + x / x_top * (WIDTH - LEFT - RIGHT);
    let py = |y: f64| HEIGHT - BOTTOM - y / y_top * (HEIGHT - TOP - BOTTOM);
    let text = |s: &mut String, x: f64, y: f64, anchor: &str, t: &str| {
        let _ = writeln!(
            s,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>",
            escape(t)
        );
    };
    text(s, LEFT, 20.0, "start", &chart.title);
    text(s, px(x_top / 2.0), HEIGHT - 8.0, "middle", &chart.x);
    text(s, 8.0, TOP - 4.0, "start", &chart.y);
    for i in 0..=(y_top / y_step).round() as usize {
        let y = y_step * i as f64;
        let _ = writeln!(
            s,
            "<path d=\"M{LEFT} {0:.1}H{1:.1}\" stroke=\"#ddd\"/>",
            py(y),
            px(x_top)
        );
        text(s, LEFT - 6.0, py(y) + 4.0, "end", &label(y));
    }
    for i in 0..=(x_top / x_step).round() as usize {
        let x = x_step * i as f64;
        text(s, px(x), HEIGHT - BOTTOM + 16.0, "middle", &label(x));
    }
    for (i, line) in chart.series.iter().enumerate() {
        let colour = COLOURS[i % COLOURS.len()];
        let points: Vec<String> = line
            .points
            .iter()
            .map(|&(x, y)| format!("{:.1},{:.1}", px(x), py(y)))
            .collect();
        let _ = writeln!(
            s,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            points.join(" ")
        );
        for &(x, y) in &line.points {
            let _ = writeln!(
                s,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"/>",
                px(x),
                py(y)
            );
        }
        let y = TOP + 14.0 * i as f64;
        let _ = writeln!(
            s,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"10\" height=\"3\" fill=\"{colour}\"/>",
            WIDTH - RIGHT + 14.0,
            y - 4.0
        );
        text(s, WIDTH - RIGHT + 30.0, y, "start", &line.name);
    }
}

/// Distance of grid lines: 1, 2 or 5 times a power of ten, four to ten of them.
fn step(max: f64) -> f64 {
    if max <= 0.0 || !max.is_finite() {
        return 1.0;
    }
    let power = 10f64.powf((max / 5.0).log10().floor());
    let scaled = max / 5.0 / power;
    power
        * if scaled <= 1.0 {
            1.0
        } else if scaled <= 2.0 {
            2.0
        } else if scaled <= 5.0 {
            5.0
        } else {
            10.0
        }
}

fn top(max: f64, step: f64) -> f64 {
    ((max / step).ceil() * step).max(step)
}

fn label(v: f64) -> String {
    let text = format!("{v:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

fn escape(t: &str) -> String {
    t.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<(f64, f64)>) -> Chart {
        Chart {
            title: "CPU < 1".into(),
            x: "sessions".into(),
            y: "s/GB".into(),
            series: vec![Series {
                name: "a & b".into(),
                points,
            }],
        }
    }

    #[test]
    fn grid_is_round() {
        assert_eq!(step(4000.0), 1000.0);
        assert!((step(0.27) - 0.1).abs() < 1e-12);
        assert_eq!(step(100.0), 20.0);
        assert_eq!(step(0.0), 1.0);
        assert_eq!(top(4000.0, 1000.0), 4000.0);
        assert_eq!(top(4001.0, 1000.0), 5000.0);
        assert_eq!(
            (label(0.1), label(20.0), label(0.0)),
            ("0.1".into(), "20".into(), "0".into())
        );
    }

    #[test]
    fn points_land_where_they_belong() {
        let svg = document(&[chart(vec![(0.0, 0.0), (1000.0, 50.0)])]);
        // Origin at the lower left of the plot, the largest point at the upper right.
        assert!(svg.contains("points=\"70.0,276.0 490.0,36.0\""), "{svg}");
        assert!(svg.contains("CPU &lt; 1") && svg.contains("a &amp; b"));
        assert_eq!(svg.matches("<circle").count(), 2);
        assert_eq!(svg.matches("<g ").count(), svg.matches("</g>").count());
    }

    #[test]
    fn empty_and_endless_values_do_no_harm() {
        let svg = document(&[chart(vec![]), chart(vec![(0.0, 0.0)])]);
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
        assert!(svg.contains("translate(0 320)"));
    }
}
