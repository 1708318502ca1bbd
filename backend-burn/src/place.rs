//! A device of a Burn backend: which dtypes it has, how arrays get onto it and back.

use burn_backend::read_sync;
use burn_backend::tensor::{BoolTensor, FloatTensor, IntTensor};
use burn_backend::{
    Backend, BoolDType, DType as Kind, DeviceOps, Element, ExecutionError, FloatDType, IntDType,
    Scalar, TensorData,
};
use inocula_core::{Aval, DType, Error, ErrorKind, Result, Shape, bail};

use crate::buf::{Array, Fact};
use crate::guard::failed;
use crate::num::{Num, extents, float};

/// A device of the Burn backend `B`.
pub(crate) struct Place<B: Backend> {
    pub(crate) device: B::Device,
    /// Its name in messages: `flex`, `wgpu:0`.
    name: String,
    /// What holds i64: 64 bits where the device has them, else 32.
    int: IntDType,
    bools: BoolDType,
    has_f64: bool,
}

impl<B: Backend> Place<B> {
    /// Asks the device what it has. Shaders compute exp, log and their like in f32 whatever they are
    /// given, so a device of wgpu has no f64, although some can add in it.
    pub(crate) fn new(device: B::Device, name: impl Into<String>) -> Self {
        let name = name.into();
        let shaders = name.starts_with("wgpu");
        let wide = B::supports_dtype(&device, Kind::I64);
        Place {
            name,
            int: if wide { IntDType::I64 } else { IntDType::I32 },
            bools: device.defaults().bool_dtype,
            has_f64: !shaders && B::supports_dtype(&device, Kind::F64),
            device,
        }
    }

    /// Whether arrays of this dtype can be held.
    pub(crate) fn has(&self, dtype: DType) -> bool {
        dtype != DType::F64 || self.has_f64
    }

    /// Fails for a dtype that cannot be held.
    pub(crate) fn check(&self, dtype: DType) -> Result<()> {
        if self.has(dtype) {
            return Ok(());
        }
        bail!(
            Unsupported,
            "burn: {} has no {dtype}; use f32 there, or the device burn:flex",
            self.name
        )
    }

    pub(crate) fn ints(&self) -> IntDType {
        self.int
    }

    pub(crate) fn bools(&self) -> BoolDType {
        self.bools
    }

    /// Burn's name of a float dtype.
    pub(crate) fn floats(&self, dtype: DType) -> FloatDType {
        if dtype == DType::F64 { FloatDType::F64 } else { FloatDType::F32 }
    }

    /// Copies an array to the device.
    pub(crate) fn upload(&self, aval: &Aval, bytes: &[u8]) -> Result<Array<B>> {
        self.check(aval.dtype)?;
        if bytes.len() != aval.bytes() {
            bail!(Usage, "burn: {} bytes were given for {aval}", bytes.len());
        }
        if aval.shape.numel() == 0 {
            return Ok(Array::empty(*aval));
        }
        let (num, fact) = match aval.dtype {
            DType::F32 => self.floats_from(&aval.shape, words(bytes, f32::from_le_bytes)),
            DType::F64 => self.floats_from(&aval.shape, words(bytes, f64::from_le_bytes)),
            DType::I64 => {
                let values = words(bytes, i64::from_le_bytes);
                let fact = bounds(&values);
                (Num::Int(self.ints_from(&aval.shape, values)?), fact)
            }
        };
        Ok(Array::new(*aval, num, fact))
    }

    fn floats_from<E: Element + Into<f64> + Copy>(
        &self,
        shape: &Shape,
        data: Vec<E>,
    ) -> (Num<B>, Fact) {
        let fact = match data[..] {
            [one] => Fact::of_float(one.into()),
            _ => Fact::None,
        };
        let data = TensorData::new(data, extents(shape));
        (Num::Float(B::float_from_data(data, &self.device)), fact)
    }

    /// Integers on the device.
    pub(crate) fn ints_from(&self, shape: &[usize], values: Vec<i64>) -> Result<IntTensor<B>> {
        let data = if self.int == IntDType::I64 {
            TensorData::new(values, extents(shape))
        } else {
            let narrow: Vec<i32> = values.iter().map(|&v| self.narrow(v)).collect::<Result<_>>()?;
            TensorData::new(narrow, extents(shape))
        };
        Ok(B::int_from_data(data, &self.device))
    }

    fn narrow(&self, value: i64) -> Result<i32> {
        value.try_into().map_err(|_| {
            let message = format!(
                "burn: {} holds integers in 32 bits and {value} does not fit; use the device \
                 burn:flex",
                self.name
            );
            Error::new(ErrorKind::Unsupported, message)
        })
    }

    /// Copies an array back; waits until it has been computed.
    pub(crate) fn download(&self, x: &Array<B>, bytes: &mut [u8]) -> Result<()> {
        if bytes.len() != x.aval().bytes() {
            bail!(Usage, "burn: {} bytes were given to hold {}", bytes.len(), x.aval());
        }
        if x.is_empty() {
            return Ok(());
        }
        match (x.clone().num()?, x.dtype()) {
            (Num::Float(t), DType::F64) => {
                let data = self.read(read_sync(B::float_into_data(t)))?;
                fill(bytes, self.slice(&data)?, f64::to_le_bytes);
            }
            (Num::Float(t), _) => {
                let data = self.read(read_sync(B::float_into_data(t)))?;
                fill(bytes, self.slice(&data)?, f32::to_le_bytes);
            }
            (Num::Int(t), _) => fill(bytes, &self.values(t)?, i64::to_le_bytes),
        }
        Ok(())
    }

    /// The integers of a tensor, on the host.
    pub(crate) fn values(&self, t: IntTensor<B>) -> Result<Vec<i64>> {
        let data = self.read(read_sync(B::int_into_data(t)))?;
        if self.int == IntDType::I64 {
            return Ok(self.slice(&data)?.to_vec());
        }
        Ok(self.slice::<i32>(&data)?.iter().copied().map(i64::from).collect())
    }

    fn read(&self, data: Result<TensorData, ExecutionError>) -> Result<TensorData> {
        data.map_err(|e| failed(format_args!("burn: reading from {}", self.name), &e))
    }

    fn slice<'a, E: Element>(&self, data: &'a TensorData) -> Result<&'a [E]> {
        data.as_slice().map_err(|_| {
            let message = format!("burn: {} returned {:?}; report it", self.name, data.dtype());
            Error::new(ErrorKind::Backend, message)
        })
    }

    /// A constant array. The value is rounded to the dtype.
    pub(crate) fn full(&self, dtype: DType, shape: &[usize], value: f64) -> Result<Num<B>> {
        let dims = extents(shape);
        if dtype == DType::I64 {
            let value = value.round_ties_even() as i64;
            if self.int == IntDType::I32 {
                self.narrow(value)?;
            }
            return Ok(Num::Int(B::int_full(dims, Scalar::Int(value), &self.device, self.int)));
        }
        Ok(Num::Float(B::float_full(dims, float(value), &self.device, self.floats(dtype))))
    }

    /// `0, 1, ..., len - 1`.
    pub(crate) fn iota(&self, len: usize) -> Num<B> {
        Num::Int(B::int_arange(0..len as i64, &self.device, self.int))
    }

    /// Zeros of a float dtype.
    pub(crate) fn zeros(&self, dtype: DType, shape: &[usize]) -> FloatTensor<B> {
        B::float_zeros(extents(shape), &self.device, self.floats(dtype))
    }

    /// One where the mask holds, else zero.
    pub(crate) fn truth(&self, mask: BoolTensor<B>, dtype: DType) -> Num<B> {
        match dtype {
            DType::I64 => Num::Int(B::bool_into_int(mask, self.int)),
            _ => Num::Float(B::bool_into_float(mask, self.floats(dtype))),
        }
    }

    /// Waits for everything that was queued.
    pub(crate) fn sync(&self) -> Result<()> {
        B::sync(&self.device).map_err(|e| failed(format_args!("burn: {}", self.name), &e))
    }
}

fn words<E, const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> E) -> Vec<E> {
    let (words, _) = bytes.as_chunks();
    words.iter().map(|&word| read(word)).collect()
}

fn fill<E: Copy, const N: usize>(bytes: &mut [u8], values: &[E], write: impl Fn(E) -> [u8; N]) {
    let (words, _) = bytes.as_chunks_mut();
    words.iter_mut().zip(values).for_each(|(word, &v)| *word = write(v));
}

fn bounds(values: &[i64]) -> Fact {
    match (values.iter().min(), values.iter().max()) {
        (Some(&low), Some(&high)) => Fact::Within(low, high),
        _ => Fact::None,
    }
}
