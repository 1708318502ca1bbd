//! Networks that the literature measures on, by name.

use super::layers::{Conv2d, Dropout, Flatten, Linear, MaxPool2d, Relu, Tanh};
use super::{Layer, ModelSpec};
use crate::error::nearest;
use crate::{Result, bail};

/// A network that can be asked for by name.
pub struct Preset {
    /// Name in configurations.
    pub name: &'static str,
    /// What it is and where it comes from.
    pub summary: &'static str,
    layers: fn(usize) -> Vec<Layer>,
}

/// Every preset.
pub const PRESETS: &[Preset] = &[
    Preset {
        name: "logistic",
        summary: "multinomial logistic regression",
        layers: |classes| vec![flatten(), linear(classes)],
    },
    Preset {
        name: "mlp",
        summary: "one hidden layer of 128 units",
        layers: |classes| vec![flatten(), linear(128), relu(), linear(classes)],
    },
    Preset {
        name: "small-cnn",
        summary: "two 3x3 convolutions (8, 16 channels), each pooled, and 64 hidden units",
        layers: |classes| {
            vec![
                conv(8, 3, 1, 1),
                relu(),
                pool(2),
                conv(16, 3, 1, 1),
                relu(),
                pool(2),
                flatten(),
                linear(64),
                relu(),
                linear(classes),
            ]
        },
    },
    Preset {
        name: "madry",
        summary: "MNIST network of Madry et al. 2018: 5x5 convolutions (32, 64), 1024 units",
        layers: |classes| {
            vec![
                conv(32, 5, 1, 2),
                relu(),
                pool(2),
                conv(64, 5, 1, 2),
                relu(),
                pool(2),
                flatten(),
                linear(1024),
                relu(),
                linear(classes),
            ]
        },
    },
    Preset {
        name: "trades-small-cnn",
        summary: "MNIST network of Zhang et al. 2019 (TRADES): four 3x3 convolutions, 200-200 units",
        layers: |classes| {
            vec![
                conv(32, 3, 1, 0),
                relu(),
                conv(32, 3, 1, 0),
                relu(),
                pool(2),
                conv(64, 3, 1, 0),
                relu(),
                conv(64, 3, 1, 0),
                relu(),
                pool(2),
                flatten(),
                linear(200),
                relu(),
                Layer::Dropout(Dropout { p: 0.5 }),
                linear(200),
                relu(),
                linear(classes),
            ]
        },
    },
    Preset {
        name: "wong-small",
        summary: "MNIST network of Wong and Kolter 2018: 4x4 convolutions of stride 2, 100 units",
        layers: |classes| {
            vec![
                conv(16, 4, 2, 1),
                relu(),
                conv(32, 4, 2, 1),
                relu(),
                flatten(),
                linear(100),
                relu(),
                linear(classes),
            ]
        },
    },
    Preset {
        name: "dp-cnn",
        summary: "small MNIST network of the literature on private training: 26,010 weights",
        layers: |classes| private(classes, relu),
    },
    Preset {
        name: "dp-cnn-tanh",
        summary: "the same with tanh, whose gradients are easier to clip (Papernot et al. 2021)",
        layers: |classes| private(classes, tanh),
    },
];

/// The network of the examples of TensorFlow Privacy and Opacus.
fn private(classes: usize, activation: fn() -> Layer) -> Vec<Layer> {
    let pool = || Layer::MaxPool2d(MaxPool2d { kernel: 2, stride: Some(1), padding: 0 });
    vec![
        conv(16, 8, 2, 3),
        activation(),
        pool(),
        conv(32, 4, 2, 0),
        activation(),
        pool(),
        flatten(),
        linear(32),
        activation(),
        linear(classes),
    ]
}

impl Preset {
    /// The network for samples of shape `input`.
    ///
    /// # Errors
    /// The preset does not fit that shape.
    pub fn spec(&self, input: &[usize], classes: usize, bounds: [f64; 2]) -> Result<ModelSpec> {
        let layers = (self.layers)(classes);
        let spec = ModelSpec { input: input.to_vec(), classes, bounds, layers };
        spec.check().map_err(|e| e.context(format_args!("preset {}", self.name)))?;
        Ok(spec)
    }

    /// The preset of this name.
    ///
    /// # Errors
    /// There is none; the message lists them.
    pub fn find(name: &str) -> Result<&'static Preset> {
        if let Some(preset) = PRESETS.iter().find(|p| p.name == name) {
            return Ok(preset);
        }
        let names = || PRESETS.iter().map(|p| p.name);
        let hint = nearest(name, names()).map(|n| format!("; did you mean {n}?"));
        let all = names().collect::<Vec<_>>().join(", ");
        bail!(NotFound, "model: {name:?} is not one of {all}{}", hint.unwrap_or_default())
    }
}

fn conv(channels: usize, kernel: usize, stride: usize, padding: usize) -> Layer {
    Layer::Conv2d(Conv2d::new(channels, kernel, stride, padding))
}

fn linear(features: usize) -> Layer {
    Layer::Linear(Linear { features, bias: true })
}

fn pool(kernel: usize) -> Layer {
    Layer::MaxPool2d(MaxPool2d { kernel, stride: None, padding: 0 })
}

fn relu() -> Layer {
    Layer::Relu(Relu {})
}

fn tanh() -> Layer {
    Layer::Tanh(Tanh {})
}

fn flatten() -> Layer {
    Layer::Flatten(Flatten {})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameter_counts_are_the_published_ones() {
        let count = |name: &str| {
            Preset::find(name).unwrap().spec(&[1, 28, 28], 10, [0.0, 1.0]).unwrap().numel().unwrap()
        };
        assert_eq!(count("logistic"), 7_850);
        assert_eq!(count("madry"), 3_274_634);
        assert_eq!(count("trades-small-cnn"), 312_202);
        assert_eq!(count("wong-small"), 166_406);
        assert_eq!(count("dp-cnn"), 26_010);
        assert_eq!(count("dp-cnn-tanh"), 26_010);
    }

    #[test]
    fn names_follow_pytorch_models() {
        let spec = Preset::find("small-cnn").unwrap().spec(&[1, 28, 28], 10, [0.0, 1.0]).unwrap();
        let names: Vec<String> = spec.params().unwrap().into_iter().map(|p| p.name).collect();
        assert_eq!(names[..4], ["conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias"]);
        assert_eq!(names[6..], ["fc2.weight", "fc2.bias"]);
    }

    #[test]
    fn a_preset_that_does_not_fit_says_where() {
        let err = Preset::find("madry").unwrap().spec(&[30], 2, [0.0, 1.0]).unwrap_err();
        let text = err.to_string();
        assert!(text.contains("layer 1") && text.contains("must be an image"), "{text}");
        assert!(Preset::find("madri").err().unwrap().to_string().contains("did you mean madry?"));
    }

    #[test]
    fn specs_round_trip_and_refuse_unknown_keys() {
        let spec = Preset::find("trades-small-cnn").unwrap().spec(&[1, 28, 28], 10, [0.0, 1.0]);
        let text = toml::to_string(&spec.clone().unwrap()).unwrap();
        assert_eq!(toml::from_str::<ModelSpec>(&text).unwrap(), spec.unwrap());
        for bad in ["type = \"relu\"\nslope = 0.1", "type = \"linear\"\nfeatures = 3\nbiass = true"]
        {
            assert!(toml::from_str::<Layer>(bad).is_err(), "{bad}");
        }
    }
}
