//! What acts on maps of pictures against its twin: convolutions, pools.

use burn::tensor::Tensor;
use proptest::prelude::*;
use proptest::sample::select;
use retune::ops::{self, Activation, Compute, Convolution, Maps, Precision};
use retune_kernels::conv::Window;

use super::case::{Input, PRECISIONS, check, vector};

fn maps(places: Tensor<2>, [pictures, height, width]: [usize; 3]) -> Maps {
    Maps {
        places,
        pictures,
        height,
        width,
    }
}

/// Square windows that fit on the smallest maps drawn here: those of ResNet, those of ConvNeXt, and others.
fn windows() -> impl Strategy<Value = Window> {
    let new = |kernel: usize, stride: usize, padding: usize| {
        Window::new([kernel; 2], [stride; 2], [padding; 2])
    };
    let reaching = Window {
        kernel: [3, 2],
        stride: [2, 1],
        padding: [[1, 2], [0, 1]],
    };
    select(vec![
        new(3, 2, 1),
        new(7, 2, 3),
        new(4, 4, 0),
        new(2, 2, 0),
        new(1, 2, 0),
        new(3, 1, 0),
        reaching,
    ])
}

fn sizes() -> impl Strategy<Value = [usize; 3]> {
    (1usize..3, 4usize..12, 4usize..12)
        .prop_map(|(pictures, height, width)| [pictures, height, width])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn max_pool_equals_its_twin(size in sizes(), channels in select(vec![1usize, 5, 16, 33]), window in windows(), precision in select(PRECISIONS.to_vec()), salt in 0u64..1000) {
        let places = size.iter().product();
        let inputs = [Input::new("x", [places, channels], salt).within(precision)];
        check(&inputs, precision, &|t, format| {
            let pooled = ops::max_pool(&maps(t[0].clone().cast(format), size), window);
            assert_eq!([pooled.height, pooled.width], window.output(size[1], size[2]));
            assert_eq!((pooled.pictures, pooled.places.dtype()), (size[0], format));
            pooled.places
        });
    }

    #[test]
    fn convolutions_equal_their_twin(size in sizes(), shape in select(vec![(3usize, 8usize, 1usize), (5, 4, 1), (16, 16, 16), (33, 33, 33)]), window in windows(), salt in 0u64..1000) {
        let (input, output, groups) = shape;
        let [high, wide] = window.kernel;
        let inside = input / groups * high * wide;
        let places: usize = size.iter().product();
        let inputs = [
            Input::new("x", [places, input], salt),
            Input::new("weight", [output, inside], salt + 1).times(1.0 / (inside as f32).sqrt()),
            Input::new("bias", [1, output], salt + 2),
        ];
        let compute = Compute::new(Precision::F32);
        check(&inputs, Precision::F32, &|t, _| {
            let layer = Convolution {
                weight: t[1].clone().reshape([output, input / groups, high, wide]),
                bias: vector(&t[2]),
                window,
                groups,
                low_rank: None,
            };
            let maps = maps(t[0].clone(), size);
            ops::convolution(&maps, None, layer, Activation::None, &compute).places
        });
    }
}
