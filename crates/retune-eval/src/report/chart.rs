//! Line and dot charts as inline SVG: nice ticks, labelled axes, a title and a description for screen readers.

use std::fmt::Write;

const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 270.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 46.0;

/// One axis: what it shows, over which range.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    label: String,
    low: f64,
    high: f64,
    ticks: Vec<f64>,
    /// Equal ratios take equal room.
    log: bool,
}

impl Axis {
    /// An axis just wide enough for the values, its ends on ticks. Values that are not finite are ignored.
    pub(super) fn around(label: &str, values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = values
            .filter(|v| v.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| {
                (l.min(v), h.max(v))
            });
        if low > high {
            Self::over(label, 0.0, 1.0)
        } else {
            Self::over(label, low, high)
        }
    }

    /// An axis over a known range, widened to the next ticks.
    pub(super) fn over(label: &str, low: f64, high: f64) -> Self {
        let pad = match high {
            _ if high - low > 1e-12 * high.abs() => 0.0,
            0.0 => 0.5,
            _ => 0.5 * high.abs(),
        };
        let step = step(high - low + 2.0 * pad);
        let (first, last) = (
            ((low - pad) / step + 1e-9).floor(),
            ((high + pad) / step - 1e-9).ceil(),
        );
        let ticks: Vec<f64> = (0..=(last - first) as usize)
            .map(|i| (first + i as f64) * step)
            .collect();
        Self {
            label: label.to_owned(),
            low: first * step,
            high: last * step,
            ticks,
            log: false,
        }
    }

    /// An axis of counts from 0 to exactly `high`.
    pub(super) fn counts(label: &str, high: u64) -> Self {
        let high = high.max(1) as f64;
        let step = step(high).max(1.0);
        let ticks = (0..=(high / step) as usize)
            .map(|i| i as f64 * step)
            .collect();
        Self {
            label: label.to_owned(),
            low: 0.0,
            high,
            ticks,
            log: false,
        }
    }

    /// A logarithmic axis from the smallest to the largest of some positive values, ticks at 1, 2 and 5 times powers of
    /// ten.
    pub(super) fn log(label: &str, values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = values
            .filter(|v| v.is_finite() && *v > 0.0)
            .fold((f64::INFINITY, 0.0_f64), |(l, h), v| (l.min(v), h.max(v)));
        let (low, high) = match (low, high) {
            (l, h) if l > h => (1.0, 10.0),
            (l, h) if l == h => (l / 2.0, h * 2.0),
            ends => ends,
        };
        let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
        let multiples: &[f64] = if last - first > 4 {
            &[1.0]
        } else {
            &[1.0, 2.0, 5.0]
        };
        let ticks = (first..=last)
            .flat_map(|power| multiples.iter().map(move |m| m * 10_f64.powi(power)))
            .filter(|t| (low * 0.999..=high * 1.001).contains(t))
            .collect();
        Self {
            label: label.to_owned(),
            low,
            high,
            ticks,
            log: true,
        }
    }

    fn share(&self, v: f64) -> f64 {
        let place = |v: f64| if self.log { v.log10() } else { v };
        let (low, high) = (place(self.low), place(self.high));
        ((place(v) - low) / (high - low)).clamp(0.0, 1.0)
    }

    fn tick_text(&self, v: f64) -> String {
        if self.log && v < 9e-4 {
            return format!("{v:.0e}");
        }
        if self.log {
            // Powers of ten carry rounding errors.
            return format!("{}", (v * 1e9).round() / 1e9);
        }
        let step = if self.ticks.len() > 1 {
            self.ticks[1] - self.ticks[0]
        } else {
            self.high
        };
        let largest = self.high.abs().max(self.low.abs());
        // Zero is computed as a multiple of the step and can be a negative zero.
        let v = if v.abs() < step * 1e-6 { 0.0 } else { v };
        if v == 0.0 {
            "0".to_owned()
        } else if !(1e-3..1e6).contains(&largest) {
            let lead = v / 10_f64.powf(v.abs().log10().floor());
            let digits = usize::from((lead - lead.round()).abs() > 1e-6);
            format!("{v:.digits$e}")
        } else {
            let decimals = (-step.log10()).ceil().max(0.0) as usize;
            format!("{v:.decimals$}")
        }
    }
}

/// Distance of ticks: 1, 2 or 5 times a power of ten, about five of them over the range.
fn step(range: f64) -> f64 {
    let rough = range / 5.0;
    let power = 10_f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0]
        .iter()
        .map(|m| m * power)
        .find(|s| *s >= rough * 0.999)
        .unwrap_or(10.0 * power)
}

/// A chart being drawn.
#[derive(Debug)]
pub(super) struct Chart {
    id: &'static str,
    title: String,
    description: String,
    x: Axis,
    y: Axis,
    marks: String,
    legend: Vec<(&'static str, String)>,
}

impl Chart {
    /// An empty chart. `id` is unique on the page; `title` and `description` are HTML text already.
    pub(super) fn new(
        id: &'static str,
        title: &str,
        description: &str,
        (x, y): (Axis, Axis),
    ) -> Self {
        let (title, description) = (title.to_owned(), description.to_owned());
        Self {
            id,
            title,
            description,
            x,
            y,
            marks: String::new(),
            legend: Vec::new(),
        }
    }

    fn at(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let across = LEFT + self.x.share(x) * (WIDTH - LEFT - RIGHT);
        let down = HEIGHT - BOTTOM - self.y.share(y) * (HEIGHT - TOP - BOTTOM);
        (across, down)
    }

    /// A line through the points, in the look of a CSS class.
    pub(super) fn line(&mut self, class: &str, points: &[(f64, f64)]) {
        let mut path = String::new();
        for (i, point) in points
            .iter()
            .filter(|p| p.0.is_finite() && p.1.is_finite())
            .enumerate()
        {
            let (x, y) = self.at(*point);
            let _ = write!(path, "{}{x:.1} {y:.1}", if i == 0 { "M" } else { "L" });
        }
        if !path.is_empty() {
            let _ = writeln!(self.marks, "<path class=\"line {class}\" d=\"{path}\"/>");
        }
    }

    /// The area between two lines over the same `x`.
    pub(super) fn band(&mut self, class: &str, low: &[(f64, f64)], high: &[(f64, f64)]) {
        let mut path = String::new();
        let finite = |p: &&(f64, f64)| p.0.is_finite() && p.1.is_finite();
        let around = low.iter().chain(high.iter().rev()).filter(finite);
        for (i, point) in around.enumerate() {
            let (x, y) = self.at(*point);
            let _ = write!(path, "{}{x:.1} {y:.1}", if i == 0 { "M" } else { "L" });
        }
        if !path.is_empty() {
            let _ = writeln!(self.marks, "<path class=\"band {class}\" d=\"{path}Z\"/>");
        }
    }

    /// A dot of radius `r` (in chart units) with a text that appears under the pointer.
    pub(super) fn dot(&mut self, class: &str, point: (f64, f64), r: f64, hover: &str) {
        if point.0.is_finite() && point.1.is_finite() {
            let (x, y) = self.at(point);
            let title = if hover.is_empty() {
                String::new()
            } else {
                format!("<title>{hover}</title>")
            };
            let _ = writeln!(
                self.marks,
                "<circle class=\"dot {class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{r:.1}\">{title}</circle>"
            );
        }
    }

    /// A line across the whole height at `x`.
    pub(super) fn upright(&mut self, class: &str, x: f64) {
        let (low, high) = (self.y.low, self.y.high);
        self.line(class, &[(x, low), (x, high)]);
    }

    /// The line of equal coordinates.
    pub(super) fn diagonal(&mut self) {
        let (low, high) = (self.x.low.max(self.y.low), self.x.high.min(self.y.high));
        self.line("even", &[(low, low), (high, high)]);
    }

    /// Names a CSS class in the legend.
    pub(super) fn name(&mut self, class: &'static str, name: &str) {
        self.legend.push((class, name.to_owned()));
    }

    /// The finished figure with its legend.
    pub(super) fn finish(self) -> String {
        let Self {
            id,
            title,
            description,
            ..
        } = &self;
        let mut keys = String::new();
        for (class, name) in &self.legend {
            let _ = write!(
                keys,
                "<span><svg class=\"key\" viewBox=\"0 0 26 12\" aria-hidden=\"true\"><path class=\"line {class}\" \
                 d=\"M1 6H25\"/><circle class=\"dot {class}\" cx=\"13\" cy=\"6\" r=\"3.5\"/></svg>{name}</span>"
            );
        }
        format!(
            "<figure><figcaption>{title}</figcaption><div class=\"keys\">{keys}</div>\n\
             <svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\">\
             <title id=\"{id}-t\">{title}</title><desc id=\"{id}-d\">{description}</desc>\n{}{}</svg></figure>\n",
            self.axes(),
            self.marks
        )
    }

    fn axes(&self) -> String {
        let mut out = String::new();
        let (left, bottom) = self.at((self.x.low, self.y.low));
        let (right, top) = self.at((self.x.high, self.y.high));
        for &tick in &self.y.ticks {
            let y = self.at((self.x.low, tick)).1;
            let (near, text) = (left - 7.0, self.y.tick_text(tick));
            let _ = writeln!(
                out,
                "<path class=\"grid\" d=\"M{left:.1} {y:.1}H{right:.1}\"/>\
                 <text class=\"y\" x=\"{near:.1}\" y=\"{:.1}\">{text}</text>",
                y + 4.0
            );
        }
        for &tick in &self.x.ticks {
            let x = self.at((tick, self.y.low)).0;
            let text = self.x.tick_text(tick);
            let _ = writeln!(
                out,
                "<path class=\"axis\" d=\"M{x:.1} {bottom:.1}v4\"/>\
                 <text class=\"x\" x=\"{x:.1}\" y=\"{:.1}\">{text}</text>",
                bottom + 18.0
            );
        }
        let (middle_x, middle_y) = (f64::midpoint(left, right), f64::midpoint(top, bottom));
        let _ = writeln!(
            out,
            "<path class=\"axis\" d=\"M{left:.1} {bottom:.1}H{right:.1}\"/>\
             <text class=\"x\" x=\"{middle_x:.1}\" y=\"{:.1}\">{}</text>\
             <text class=\"x\" transform=\"translate(13 {middle_y:.1}) rotate(-90)\">{}</text>",
            HEIGHT - 8.0,
            self.x.label,
            self.y.label
        );
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_on_round_ticks() {
        let axis = Axis::around("", [0.13, 0.87].into_iter());
        assert_eq!((axis.low, axis.high, axis.ticks.len()), (0.0, 1.0, 6));
        let texts: Vec<String> = axis.ticks.iter().map(|&t| axis.tick_text(t)).collect();
        assert_eq!(texts, ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
    }

    #[test]
    fn small_large_equal_and_missing_values_have_axes() {
        let small = Axis::around("", [0.0, 5e-5].into_iter());
        assert_eq!(small.tick_text(small.ticks[1]), "1e-5");
        for values in [
            vec![0.3],
            vec![0.0],
            vec![-2.0, -2.0],
            vec![],
            vec![f64::NAN],
            vec![1e9, 2e9],
        ] {
            let axis = Axis::around("", values.iter().copied());
            assert!(
                axis.low < axis.high && axis.ticks.len() >= 2 && axis.ticks.len() < 14,
                "{values:?} {axis:?}"
            );
            assert!(
                values
                    .iter()
                    .all(|v| !v.is_finite() || (axis.low <= *v && *v <= axis.high)),
                "{axis:?}"
            );
        }
    }

    #[test]
    fn equal_ratios_take_equal_room_on_a_logarithmic_axis() {
        let axis = Axis::log("", [20.0, 2000.0, f64::NAN].into_iter());
        assert!((axis.share(200.0) - 0.5).abs() < 1e-12);
        let texts: Vec<String> = axis.ticks.iter().map(|&t| axis.tick_text(t)).collect();
        assert_eq!(texts, ["20", "50", "100", "200", "500", "1000", "2000"]);
        let share = Axis::log("", [0.01, 1.0].into_iter());
        assert_eq!(share.tick_text(share.ticks[0]), "0.01");
        let rates = Axis::log("", [1e-7, 1.0].into_iter());
        let texts: Vec<String> = rates.ticks.iter().map(|&t| rates.tick_text(t)).collect();
        let wanted = ["1e-7", "1e-6", "1e-5", "1e-4", "0.001", "0.01", "0.1", "1"];
        assert_eq!(texts, wanted);
        for values in [vec![], vec![7.0], vec![0.0, 3.0], vec![1.0, 1e7]] {
            let axis = Axis::log("", values.into_iter());
            assert!(axis.low < axis.high && axis.ticks.len() < 14, "{axis:?}");
        }
    }

    #[test]
    fn points_that_are_no_numbers_are_not_drawn() {
        let mut chart = Chart::new(
            "t",
            "",
            "",
            (Axis::over("", 0.0, 1.0), Axis::over("", 0.0, 1.0)),
        );
        chart.line("a", &[(0.0, 0.0), (0.5, f64::NAN), (1.0, 1.0)]);
        chart.dot("a", (f64::INFINITY, 0.0), 2.0, "");
        assert!(
            chart.marks.contains("M64.0 224.0L428.0 12.0"),
            "{}",
            chart.marks
        );
        assert!(!chart.finish().contains("NaN"));
    }
}
