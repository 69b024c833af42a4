//! The implementations and devices that compute features, and the numerics, by which recipes name them.

use std::fmt;

pub use ::winograd::Accuracy;
use strum::{Display, EnumString, VariantNames};

use crate::Error;
#[cfg(feature = "torch")]
use crate::extractor::torch;

/// An implementation of the forward pass on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compute {
    /// The implementation.
    pub backend: Backend,
    /// The device on which it runs.
    pub device: Device,
}

/// The implementations of the forward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// Winograd kernels on the processor; several times as fast as libtorch.
    Winograd(Accuracy),
    /// libtorch, channels-last; needs the cargo feature `torch`.
    Torch,
}

/// The device of the forward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumString, VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum Device {
    /// The processor.
    Cpu,
    /// The first CUDA device; needs a libtorch that was built for it.
    Cuda,
}

impl Device {
    /// The fastest implementation on the device.
    pub fn fastest_backend(self) -> Backend {
        match self {
            Device::Cpu => Backend::Winograd(Accuracy::Fast),
            Device::Cuda => Backend::Torch,
        }
    }
}

impl Compute {
    /// All combinations of implementation and device.
    const ALL: [Compute; 4] = [
        Compute { backend: Backend::Winograd(Accuracy::Fast), device: Device::Cpu },
        Compute { backend: Backend::Winograd(Accuracy::Exact), device: Device::Cpu },
        Compute { backend: Backend::Torch, device: Device::Cpu },
        Compute { backend: Backend::Torch, device: Device::Cuda },
    ];

    /// The numerics, as recipes record them. The features' last digits depend on them:
    /// equal numerics make equal features.
    ///
    /// # Errors
    /// If the implementation does not run on the device, or is libtorch and this program was built
    /// without it.
    pub fn numerics(self) -> Result<String, Error> {
        match (self.backend, self.device) {
            (Backend::Winograd(accuracy), Device::Cpu) => Ok(accuracy.numerics()),
            (Backend::Winograd(_), Device::Cuda) => Err(Error::WinogradOnCuda),
            #[cfg(feature = "torch")]
            (Backend::Torch, device) => Ok(torch::numerics(device)),
            #[cfg(not(feature = "torch"))]
            (Backend::Torch, _) => Err(Error::WithoutTorch),
        }
    }

    /// Checks that the device is there. Naming its numerics and reading a finished cache do not need it.
    ///
    /// # Errors
    /// If it is not.
    pub fn check_device(self) -> Result<(), Error> {
        #[cfg(feature = "torch")]
        if self.device == Device::Cuda && !tch::Cuda::is_available() {
            return Err(Error::NoCuda);
        }
        Ok(())
    }

    /// The implementation and device of these numerics.
    ///
    /// # Errors
    /// If nothing in this program computes them.
    pub fn with_numerics(numerics: &str) -> Result<Compute, Error> {
        let has = |compute: &Compute| compute.numerics().is_ok_and(|found| found == numerics);
        Compute::ALL.into_iter().find(has).ok_or_else(|| {
            let known = Compute::ALL.into_iter().filter_map(|compute| compute.numerics().ok());
            let known: Vec<String> = known.collect();
            Error::OtherNumerics { found: numerics.to_owned(), known: known.join(", ") }
        })
    }

    /// The implementation and device of these numerics or, if a later version of them has replaced them, of
    /// that one. Features of the two differ in their last digits, which is no matter for a trained head.
    ///
    /// # Errors
    /// If nothing in this program computes either.
    pub fn with_numerics_or_later(numerics: &str) -> Result<Compute, Error> {
        let replaces = |compute: &Compute| match compute.backend {
            Backend::Winograd(accuracy) => accuracy.replaces(numerics),
            Backend::Torch => false,
        };
        Compute::with_numerics(numerics)
            .or_else(|error| Compute::ALL.into_iter().find(replaces).ok_or(error))
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Backend::Winograd(accuracy) => write!(f, "winograd ({accuracy})"),
            Backend::Torch => f.write_str("torch"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numerics_name_what_computes() {
        for compute in Compute::ALL {
            match compute.numerics() {
                Ok(numerics) => {
                    assert_eq!(Compute::with_numerics(&numerics).unwrap(), compute);
                }
                Err(error) if cfg!(feature = "torch") => panic!("{error}"),
                Err(error) => {
                    assert!(matches!(error, Error::WithoutTorch), "{error}");
                    assert_eq!(compute.backend, Backend::Torch);
                }
            }
        }
        let error = Compute::with_numerics("winograd0-fast").unwrap_err().to_string();
        assert!(error.contains("winograd0-fast") && error.contains("-exact"), "{error}");
        for (earlier, accuracy) in
            [("winograd3-fast", Accuracy::Fast), ("winograd4-exact", Accuracy::Exact)]
        {
            assert!(Compute::with_numerics(earlier).is_err());
            let later = Compute::with_numerics_or_later(earlier).unwrap();
            assert_eq!(
                later,
                Compute { backend: Backend::Winograd(accuracy), device: Device::Cpu }
            );
        }
        for unknown in ["winograd0-fast", "winograd99-fast", "winograd3-other", "torch-1.0-cpu"] {
            assert!(Compute::with_numerics_or_later(unknown).is_err(), "{unknown}");
        }
        let backend = Backend::Winograd(Accuracy::Fast);
        let absent = Compute { backend, device: Device::Cuda };
        assert!(matches!(absent.numerics(), Err(Error::WinogradOnCuda)));
    }
}
