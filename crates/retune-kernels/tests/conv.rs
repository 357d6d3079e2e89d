//! Convolutions, pools and batch norms against torch (`golden/conv.json`).

#![expect(clippy::unwrap_used, reason = "tests")]

use half::bf16;
use retune_kernels::activation::Activation;
use retune_kernels::conv::{
    BatchNorm, Channel, Conv, Count, Depthwise, Extent, Finish, Frozen, Gradients, Layer,
    NormGradients, Pool, Running, Saved, Source, Window, from_torch, global_average,
    global_average_backward, to_torch,
};
use retune_kernels::element::Element;
use retune_kernels::isa::Isa;
use serde_json::Value;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../golden/conv.json");

fn cases(part: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(GOLDEN).unwrap();
    let all: Value = serde_json::from_str(&text).unwrap();
    let cases = all[part].as_array().unwrap().clone();
    assert!(!cases.is_empty());
    cases
}

fn floats(v: &Value) -> Vec<f32> {
    let all = v.as_array().unwrap().iter();
    all.map(|v| v.as_f64().unwrap() as f32).collect()
}

fn elements<E: Element>(v: &Value) -> Vec<E> {
    floats(v).into_iter().map(E::narrow).collect()
}

fn count(v: &Value) -> usize {
    usize::try_from(v.as_u64().unwrap()).unwrap()
}

fn pair(v: &Value) -> [usize; 2] {
    [count(&v[0]), count(&v[1])]
}

fn window(v: &Value) -> Window {
    Window {
        kernel: pair(&v["kernel"]),
        stride: pair(&v["stride"]),
        padding: [pair(&v["padding"][0]), pair(&v["padding"][1])],
    }
}

fn extent(v: &Value) -> Extent {
    Extent {
        images: count(&v[0]),
        height: count(&v[1]),
        width: count(&v[2]),
        channels: count(&v[3]),
    }
}

/// Asserts that all values are near those of the golden, measured against the largest of them.
#[track_caller]
fn close<E: Element>(what: &str, ours: &[E], theirs: &Value, tolerance: f32) {
    let theirs = floats(theirs);
    assert_eq!(ours.len(), theirs.len(), "{what}");
    let largest = theirs.iter().fold(1f32, |a, b| a.max(b.abs()));
    for (i, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
        let gap = (ours.wide() - theirs).abs();
        assert!(
            gap <= tolerance * largest,
            "{what}, value {i}: {ours:?}, torch {theirs}"
        );
    }
}

fn tolerance<E: Element>() -> f32 {
    if E::BYTES == 2 { 8e-3 } else { 1e-6 }
}

fn filled<E: Element>(n: usize) -> Vec<E> {
    vec![E::narrow(7e7); n]
}

/// Result and gradients of a convolution, weights in torch's order.
struct Found<E> {
    y: Vec<E>,
    dx: Vec<E>,
    dw: Vec<f32>,
    db: Vec<f32>,
}

impl<E: Element> Found<E> {
    fn check(&self, what: &str, case: &Value) {
        let tolerance = tolerance::<E>();
        close(&format!("y of {what}"), &self.y, &case["y"], tolerance);
        close(&format!("dx of {what}"), &self.dx, &case["dx"], tolerance);
        close(&format!("dw of {what}"), &self.dw, &case["dw"], 1e-6);
        close(&format!("db of {what}"), &self.db, &case["db"], 1e-6);
    }
}

fn dense<E: Element>(isa: Isa, case: &Value) -> Found<E> {
    let conv = Conv {
        window: window(&case["window"]),
        input: extent(&case["shape"]),
        outputs: count(&case["outputs"]),
        groups: count(&case["groups"]),
    };
    let [height, width] = conv.window.kernel;
    let order = [
        conv.outputs,
        conv.input.channels / conv.groups,
        height,
        width,
    ];
    let (x, dy, torch) = (
        elements::<E>(&case["x"]),
        elements::<E>(&case["dy"]),
        floats(&case["weight"]),
    );
    let (mut weight, mut turned) = (filled::<f32>(torch.len()), filled::<f32>(torch.len()));
    from_torch(order, &torch, &mut weight);
    let mut found = Found {
        y: filled(conv.output().values()),
        dx: filled(x.len()),
        dw: filled(torch.len()),
        db: filled(conv.outputs),
    };
    let layer = Layer {
        weight: &weight[..],
        bias: &floats(&case["bias"]),
        activation: Activation::None,
    };
    conv.forward(isa, &x, &layer, &mut found.y, &mut []);
    let out = Gradients {
        dx: &mut found.dx,
        dw: &mut turned,
        db: &mut found.db,
    };
    conv.backward(isa, (&x, &weight), &dy, out);
    to_torch(order, &turned, &mut found.dw);
    found
}

fn depthwise<E: Element>(isa: Isa, case: &Value) -> Found<E> {
    let conv = Depthwise {
        window: window(&case["window"]),
        input: extent(&case["shape"]),
    };
    let [height, width] = conv.window.kernel;
    let order = [1, conv.input.channels, height, width];
    let (x, dy, torch) = (
        elements::<E>(&case["x"]),
        elements::<E>(&case["dy"]),
        floats(&case["weight"]),
    );
    let (mut weight, mut turned) = (filled::<f32>(torch.len()), filled::<f32>(torch.len()));
    from_torch(order, &torch, &mut weight);
    let mut found = Found {
        y: filled(conv.output().values()),
        dx: filled(x.len()),
        dw: filled(torch.len()),
        db: filled(conv.input.channels),
    };
    let finish = Finish {
        scale: None,
        shift: Some(&floats(&case["bias"])),
        activation: Activation::None,
    };
    conv.forward(isa, (&x, &weight), &finish, &mut found.y, &mut []);
    let out = Gradients {
        dx: &mut found.dx,
        dw: &mut turned,
        db: &mut found.db,
    };
    conv.backward(isa, (&x, &weight), &dy, out);
    to_torch(order, &turned, &mut found.dw);
    found
}

#[test]
fn convolutions_are_those_of_torch() {
    for case in cases("convolutions") {
        let what = case["name"].as_str().unwrap();
        for isa in Isa::available() {
            // One group per channel is a matter of both.
            dense::<f32>(isa, &case).check(what, &case);
            dense::<bf16>(isa, &case).check(what, &case);
            if case["groups"] == case["shape"][3] {
                depthwise::<f32>(isa, &case).check(what, &case);
                depthwise::<bf16>(isa, &case).check(what, &case);
            }
        }
    }
}

fn check_pool<E: Element>(isa: Isa, case: &Value) {
    let input = extent(&case["shape"]);
    let pool = Pool {
        window: window(&case["window"]),
        input,
    };
    let (x, dy) = (elements::<E>(&case["x"]), elements::<E>(&case["dy"]));
    let (mut y, mut dx) = (filled::<E>(dy.len()), filled::<E>(x.len()));
    let count = match case["kind"].as_str().unwrap() {
        "max" => {
            let mut pixels = vec![0; y.len()];
            pool.max(isa, &x, &mut y, &mut pixels);
            pool.max_backward(isa, &pixels, &dy, &mut dx);
            None
        }
        "global" => {
            global_average(isa, input, &x, &mut y);
            global_average_backward(isa, input, &dy, &mut dx);
            None
        }
        "window" => Some(Count::Window),
        _ => Some(Count::Image),
    };
    if let Some(count) = count {
        pool.average(isa, count, &x, &mut y);
        pool.average_backward(isa, count, &dy, &mut dx);
    }
    let what = format!("{} of {}", case["kind"], case["window"]);
    close(&what, &y, &case["y"], tolerance::<E>());
    close(&what, &dx, &case["dx"], tolerance::<E>());
}

#[test]
fn pools_are_those_of_torch() {
    for case in cases("pools") {
        for isa in Isa::available() {
            check_pool::<f32>(isa, &case);
            check_pool::<bf16>(isa, &case);
        }
    }
}

/// A batch norm of the golden file, in f32.
struct Norm<'a> {
    case: &'a Value,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    x: Vec<f32>,
    residual: Vec<f32>,
    eps: f32,
    activation: Activation,
}

/// What a pass forward gives.
struct Passed {
    y: Vec<f32>,
    slope: Vec<f32>,
    mean: Vec<f32>,
    inv_std: Vec<f32>,
    running: [Vec<f32>; 2],
}

impl<'a> Norm<'a> {
    fn new(case: &'a Value) -> Self {
        let of = |name: &str| floats(&case[name]);
        Self {
            case,
            gamma: of("gamma"),
            beta: of("beta"),
            x: of("x"),
            residual: of("residual"),
            eps: case["eps"].as_f64().unwrap() as f32,
            activation: match case["activation"].as_str().unwrap() {
                "relu" => Activation::Relu,
                "relu6" => Activation::Relu6,
                _ => Activation::Silu,
            },
        }
    }

    fn norm(&self) -> BatchNorm<'_> {
        BatchNorm {
            gamma: &self.gamma,
            beta: &self.beta,
            eps: self.eps,
            activation: self.activation,
        }
    }

    fn source(&self) -> Source<'_, f32> {
        Source {
            x: &self.x,
            residual: Some(&self.residual),
        }
    }

    fn running(&self) -> [Vec<f32>; 2] {
        ["mean", "var"].map(|name| floats(&self.case["before"][name]))
    }

    fn train(&self, isa: Isa) -> Passed {
        let (n, channels) = (self.x.len(), self.gamma.len());
        let mut out = Passed {
            y: filled(n),
            slope: filled(n),
            mean: filled(channels),
            inv_std: filled(channels),
            running: self.running(),
        };
        let [mean, var] = &mut out.running;
        let running = Running {
            mean,
            var,
            momentum: self.case["momentum"].as_f64().unwrap() as f32,
        };
        let saved = Saved {
            mean: &mut out.mean,
            inv_std: &mut out.inv_std,
        };
        let results = (&mut out.y[..], &mut out.slope[..]);
        self.norm()
            .forward(isa, self.source(), Some(running), saved, results);
        out
    }

    fn eval(&self, isa: Isa) -> Passed {
        let (n, channels) = (self.x.len(), self.gamma.len());
        let [mean, var] = self.running();
        let frozen = Frozen {
            gamma: &self.gamma,
            beta: &self.beta,
            mean: &mean,
            var: &var,
            eps: self.eps,
        };
        let (mut scale, mut shift) = (filled::<f32>(channels), filled::<f32>(channels));
        frozen.scale_and_shift(&mut scale, &mut shift);
        let finish = Finish {
            scale: Some(&scale),
            shift: Some(&shift),
            activation: self.activation,
        };
        let (mut y, mut slope) = (filled::<f32>(n), filled::<f32>(n));
        finish.forward(isa, channels, self.source(), &mut y, &mut slope);
        Passed {
            y,
            slope,
            inv_std: var.iter().map(|v| 1.0 / (v + self.eps).sqrt()).collect(),
            mean: mean.clone(),
            running: [mean, var],
        }
    }

    fn check(&self, isa: Isa) {
        let (case, channels) = (self.case, self.gamma.len());
        let what = case["name"].as_str().unwrap();
        let train = case["train"].as_bool().unwrap();
        let found = if train {
            self.train(isa)
        } else {
            self.eval(isa)
        };
        close(what, &found.y, &case["y"], 2e-5);
        close(what, &found.running[0], &case["after"]["mean"], 1e-6);
        close(what, &found.running[1], &case["after"]["var"], 1e-6);
        let dy = floats(&case["dy"]);
        let dz: Vec<f32> = dy.iter().zip(&found.slope).map(|(dy, s)| dy * s).collect();
        close(what, &dz, &case["dresidual"], 2e-5);
        let mut dx = filled::<f32>(self.x.len());
        let (mut dgamma, mut dbeta) = (filled::<f32>(channels), filled::<f32>(channels));
        let out = NormGradients {
            dx: &mut dx,
            dgamma: &mut dgamma,
            dbeta: &mut dbeta,
        };
        let saved = (&found.mean[..], &found.inv_std[..]);
        self.norm()
            .backward(isa, (&self.x, &dz), saved, !train, out);
        close(what, &dx, &case["dx"], 2e-5);
        close(what, &dgamma, &case["dgamma"], 2e-5);
        close(what, &dbeta, &case["dbeta"], 2e-5);
    }
}

#[test]
fn batch_norms_are_those_of_torch() {
    for case in cases("norms") {
        for isa in Isa::available() {
            Norm::new(&case).check(isa);
        }
    }
}

/// The norm of torch in `eval`, folded into the convolution that copies each channel.
#[test]
fn a_folded_norm_is_that_of_torch() {
    for case in cases("norms") {
        if case["train"].as_bool().unwrap() || case["activation"] != "relu" {
            continue;
        }
        let of = |name: &str| floats(&case[name]);
        let input = extent(&case["shape"]);
        let channels = input.channels;
        let frozen = Frozen {
            gamma: &of("gamma"),
            beta: &of("beta"),
            mean: &floats(&case["before"]["mean"]),
            var: &floats(&case["before"]["var"]),
            eps: case["eps"].as_f64().unwrap() as f32,
        };
        let (mut weight, mut bias) = (vec![0.0; channels], vec![0.0; channels]);
        frozen.fold(Channel::Last, &vec![1.0; channels], &mut weight, &mut bias);
        let conv = Depthwise {
            window: Window::new([1, 1], [1, 1], [0, 0]),
            input,
        };
        let finish = Finish {
            scale: None,
            shift: Some(&bias),
            activation: Activation::None,
        };
        let x = of("x");
        let mut y = filled::<f32>(x.len());
        conv.forward(Isa::current(), (&x, &weight), &finish, &mut y, &mut []);
        for (y, residual) in y.iter_mut().zip(of("residual")) {
            *y = (*y + residual).max(0.0);
        }
        close("folded", &y, &case["y"], 2e-5);
    }
}
