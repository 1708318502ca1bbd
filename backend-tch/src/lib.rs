//! The place of the libtorch backend.
//!
//! Nothing is built here yet, so nothing is exported: no program can list or open it. What a
//! backend has to offer is `inocula_core::Backend`; `inocula-backend-ndarray` is a whole one.
