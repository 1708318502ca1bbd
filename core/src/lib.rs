//! Adversarial training that protects privacy, on any compute backend.
//!
//! This crate has everything but the kernels: tensors and differentiation ([`tensor`], [`grad`]),
//! networks ([`nn`], [`model`]), evasion attacks ([`attack`]), training ([`train`]), attacks on
//! privacy ([`privacy`]), and the report that joins them ([`evaluate`](mod@evaluate), [`report`]). A
//! backend executes the operations ([`backend`], [`op`]); programs choose one by name ([`registry`]).
//!
//! Train a classifier on samples that PGD makes while it learns, then attack it:
//!
//! ```
//! use inocula_core::attack::{Aim, AttackConfig, Norm, Pgd, perturb_rows};
//! use inocula_core::data::digits;
//! use inocula_core::model::Network;
//! use inocula_core::nn::{Preset, init_params};
//! use inocula_core::place::Placement;
//! use inocula_core::rng::Rng;
//! use inocula_core::train::{Rule, TrainConfig, fit};
//! use inocula_core::{DType, Registry};
//!
//! let device = Registry::new().with(inocula_backend_ndarray::ENTRY).open("ndarray?threads=2")?;
//! let rng = Rng::new(1);
//! let (train, test) = digits()?.split_stratified(0.25, &rng.child("split"));
//!
//! let spec = Preset::find("mlp")?.spec(&train.shape, train.classes, [0.0, 1.0])?;
//! let params = init_params(&spec, &device, DType::F32, &rng.child("init"))?;
//! let mut network = Network::new(spec, params, &device)?;
//!
//! let pgd = AttackConfig::Pgd(Pgd { steps: 5, ..Pgd::new(Norm::Linf, 0.1) });
//! let rule = Rule::Madry { attack: pgd.clone() };
//! let config = TrainConfig { epochs: 2, rule, ..TrainConfig::default() };
//! fit(&mut network, &train, Some(&test), &config, &rng.child("train"), &mut ())?;
//!
//! let rows: Vec<usize> = (0..100).collect();
//! let outcome = perturb_rows(
//!     &*pgd.check()?, &network, &test, &rows, Aim::Untargeted,
//!     &Placement::new(&device), &rng.child("attack"), &mut |_| Ok(()),
//! )?;
//! assert!(outcome.distance.iter().all(|d| *d <= 0.1 + 1e-6));
//! println!("{} of 100 test samples held against PGD", outcome.held());
//! # Ok::<(), inocula_core::Error>(())
//! ```

pub mod error;

pub mod aval;
pub mod fused;
pub mod op;

pub mod abi;
pub mod backend;
#[cfg(feature = "plugins")]
pub mod plugin;
pub mod registry;

pub mod grad;
pub mod tensor;

pub mod fs;
pub mod rng;

pub mod data;
pub mod metrics;
pub mod place;

pub mod lbfgs;
pub mod loss;
pub mod model;
pub mod nn;
pub mod optim;

pub mod attack;
pub mod certify;
pub mod doubt;
pub mod dp;
pub mod evaluate;
pub mod privacy;
pub mod report;
pub mod train;

pub mod fl;

pub use aval::{Aval, DType, Shape};
pub use backend::{Arg, Backend, Device, DeviceInfo, Outs};
pub use error::{Error, ErrorKind, Result};
pub use registry::{BackendEntry, DeviceSpec, Open, Registry};
pub use tensor::Tensor;
