//! Data sets.

/// A data set on the host.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// Name.
    pub name: String,
    /// Row-major `N x shape`.
    pub features: Vec<f32>,
    /// Shape of a sample.
    pub shape: Vec<usize>,
    /// Labels.
    pub labels: Vec<i64>,
    /// Number of classes.
    pub classes: usize,
    /// Names.
    pub class_names: Vec<String>,
    /// Range.
    pub bounds: (f32, f32),
}
impl Dataset {
    /// Number.
    pub fn len(&self) -> usize {
        self.labels.len()
    }
    /// Empty.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}
