//! What speaks for a score of a network: integrated gradients (Sundararajan, Taly & Yan, arXiv:1703.01365).
//!
//! ```text
//! by_i = (x_i - b_i) · 1/S Σ_{s < S} ∂F/∂x_i (b + (s + ½)/S (x - b))
//! ```
//!
//! F is the score, averaged over members; x are the inputs of a row and b, the baseline, those of no row in particular: the
//! mean of the training rows. Zeros would stand for a row with the lowest of every number and no words at all, to which
//! every usual value is news. The sum over the inputs of a field says how much its value moves the score, and the sum over
//! fields is F(x) - F(b), but for the error of S steps.

use burn::module::Module as _;
use burn::tensor::{Tensor, TensorData};

use super::inputs::Inputs;
use super::net::{Net, Says};
use crate::scoring::{cpu, to_host};

/// Points between baseline and row.
const STEPS: usize = 32;

/// How much each field of `row`, `[fields]`, moves `output` of the network: `[fields]`.
///
/// # Panics
/// When the network has no such output.
pub fn of_fields(
    (net, inputs): (&Net, &Inputs),
    row: &[f32],
    output: usize,
    says: Says,
) -> Vec<f64> {
    let (x, baseline) = (inputs.of(row), inputs.baseline());
    let slopes = slopes(net, (&baseline, &x), output, says);
    let by = |i: usize| f64::from(x[i] - baseline[i]) * slopes[i];
    let spans = inputs.spans().into_iter();
    spans.map(|span| span.map(by).sum()).collect()
}

/// Mean slope of an output on the way from one point to another, `[inputs]` each.
fn slopes(net: &Net, (from, to): (&[f32], &[f32]), output: usize, says: Says) -> Vec<f64> {
    let width = to.len();
    let points = (0..STEPS).flat_map(|step| {
        let share = (step as f32 + 0.5) / STEPS as f32;
        from.iter().zip(to).map(move |(a, b)| a + share * (b - a))
    });
    let points = TensorData::new(points.collect::<Vec<f32>>(), [STEPS, width]);
    let points = Tensor::<2>::from_data(points, &cpu(true)).require_grad();
    let net = net.clone().train().no_grad();
    let said = net.says(points.clone(), says); // [STEPS, outputs]
    let gradients = said.narrow(1, output, 1).sum().backward();
    let mut mean = vec![0f64; width];
    let each = points.grad(&gradients).map(to_host).unwrap_or_default();
    for slopes in each.chunks(width.max(1)) {
        for (mean, slope) in mean.iter_mut().zip(slopes) {
            *mean += f64::from(*slope) / STEPS as f64;
        }
    }
    mean
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::ops::Precision;
    use crate::tables::net::NetForm;
    use crate::weights::{Place, Source, host_values};
    use retune_data::fields::{Cells, Field, FieldKind};

    const CLASSES: Says = ((1.0, 0.0), true);

    /// Two numbers, of which the second is always 7, and a word.
    fn inputs() -> Inputs {
        let field = |name: &str, kind: FieldKind| Field {
            name: name.to_string(),
            kind,
        };
        let words = ["a", "b", "c"].map(String::from).to_vec();
        let fields = [
            field("n", FieldKind::Number),
            field("still", FieldKind::Number),
            field("w", FieldKind::Words(words)),
        ];
        let row = |i: u8| [f32::from(i * 7 % 40), 7.0, f32::from(i % 3)];
        let cells = Cells {
            width: 3,
            values: (0..30).flat_map(row).collect(),
        };
        Inputs::fit(&fields, 0, &cells)
    }

    fn net(inputs: &Inputs, outputs: usize, precision: Precision) -> Net {
        let form = NetForm {
            inputs: inputs.width(),
            outputs,
            members: 3,
            width: 16,
            layers: 2,
            dropout: 0.0,
        };
        let keys = |path: &str| vec![path.to_string()];
        let place = Place::cpu(false, precision);
        let mut source = Source::new(None, &keys, &place, 5, 0.5);
        Net::load(&mut source, &form).unwrap()
    }

    fn score(net: &Net, x: &[f32], output: usize, says: Says) -> f64 {
        let x = TensorData::new(x.to_vec(), [1, x.len()]);
        let said = net.says(Tensor::from_data(x, &cpu(false)), says);
        f64::from(to_host(said)[output])
    }

    /// The probability of class 1 in plain loops and f64.
    fn plain(net: &Net, x: &[f64]) -> f64 {
        let values = host_values(net);
        let of = |path: &str| {
            let found = values.iter().find(|(name, ..)| name == path).unwrap();
            let wide: Vec<f64> = found.2.iter().map(|v| f64::from(*v)).collect();
            (wide, found.1.clone())
        };
        let (scales, shape) = of("scales");
        let (out, _) = of("out");
        let (members, inputs) = (shape[0], shape[1]);
        let mut sum = 0.0;
        for member in 0..members {
            let mut hidden: Vec<f64> = (0..inputs)
                .map(|i| x[i] * scales[member * inputs + i])
                .collect();
            for layer in ["layers.0", "layers.1"] {
                let (weight, bias) = (
                    of(&format!("{layer}.weight")).0,
                    of(&format!("{layer}.bias")).0,
                );
                let row = |o: usize| &weight[o * hidden.len()..(o + 1) * hidden.len()];
                let dot = |o: usize| row(o).iter().zip(&hidden).map(|(w, h)| w * h).sum::<f64>();
                let next = (0..bias.len()).map(|o| (dot(o) + bias[o]).max(0.0));
                hidden = next.collect();
            }
            let logit = |o: usize| {
                let weight = |i: usize| out[(member * hidden.len() + i) * 2 + o];
                (0..hidden.len())
                    .map(|i| hidden[i] * weight(i))
                    .sum::<f64>()
            };
            sum += 1.0 / (1.0 + (logit(0) - logit(1)).exp());
        }
        sum / members as f64
    }

    #[test]
    fn attributions_sum_to_what_the_score_gains_on_the_baseline() {
        let inputs = inputs();
        for (says, outputs, output) in [
            (CLASSES, 2, 1),
            (CLASSES, 3, 0),
            (((5.0, 2.0), false), 1, 0),
        ] {
            for (precision, tolerance) in [(Precision::F32, 0.06), (Precision::Bf16, 0.1)] {
                let net = net(&inputs, outputs, precision);
                for row in [[3.0, 7.0, 1.0], [39.0, f32::NAN, 2.0], [-5.0, 9.0, 9.0]] {
                    let by = of_fields((&net, &inputs), &row, output, says);
                    assert_eq!(by.len(), 3);
                    // Each threshold of a random network that is crossed between two points costs a part of a step.
                    let (from, to) = (inputs.baseline(), inputs.of(&row));
                    let scores: Vec<f64> = (0..=STEPS)
                        .map(|step| {
                            let share = step as f32 / STEPS as f32;
                            let ends = from.iter().zip(&to);
                            let x: Vec<f32> = ends.map(|(a, b)| a + share * (b - a)).collect();
                            score(&net, &x, output, says)
                        })
                        .collect();
                    let gain = scores[STEPS] - scores[0];
                    let way: f64 = scores
                        .windows(2)
                        .map(|pair| (pair[1] - pair[0]).abs())
                        .sum();
                    let off = (by.iter().sum::<f64>() - gain).abs();
                    assert!(
                        off <= tolerance * way,
                        "{says:?} {precision:?} {row:?}: {by:?} for {gain} on a way of {way}"
                    );
                }
            }
        }
    }

    #[test]
    fn slopes_are_those_of_small_differences() {
        const SMALL: f64 = 1e-6;
        let inputs = inputs();
        let net = net(&inputs, 2, Precision::F32);
        let (x, baseline) = (inputs.of(&[31.0, 7.0, 2.0]), inputs.baseline());
        let found = slopes(&net, (&baseline, &x), 1, CLASSES);
        for (i, found) in found.iter().enumerate() {
            let mut sum = 0.0;
            for step in 0..STEPS {
                let share = (step as f64 + 0.5) / STEPS as f64;
                let ends = baseline.iter().zip(&x);
                let mut point: Vec<f64> = ends
                    .map(|(a, b)| f64::from(*a) + share * f64::from(b - a))
                    .collect();
                point[i] += SMALL;
                let above = plain(&net, &point);
                point[i] -= 2.0 * SMALL;
                sum += (above - plain(&net, &point)) / (2.0 * SMALL);
            }
            let want = sum / STEPS as f64;
            assert!((found - want).abs() < 1e-3, "input {i}: {found} and {want}");
        }
        assert!(found.iter().any(|slope| slope.abs() > 0.02), "{found:?}");
    }

    #[test]
    fn a_field_that_is_as_always_moves_nothing() {
        let inputs = inputs();
        let net = net(&inputs, 2, Precision::F32);
        let by = of_fields((&net, &inputs), &[35.0, 7.0, 0.0], 1, CLASSES);
        assert_eq!(by[1], 0.0);
        assert!(by[0] != 0.0 && by[2] != 0.0, "{by:?}");
    }
}
