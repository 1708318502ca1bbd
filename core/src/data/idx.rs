//! Images and labels in the IDX format of MNIST, compressed with gzip or not.
//!
//! A file is a magic number, one big-endian `u32` per axis, and the bytes. Whether it is compressed
//! is read off its first two bytes, not its name: both kinds circulate under both names. The size
//! that the header announces bounds the reading and is compared with what came; it is never
//! reserved ahead.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use super::{Dataset, MAX_BYTES, NOT_STATED, known, numbered, stem};
use crate::{Error, ErrorKind, Result, bail};

/// What a file is expected to hold.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    /// `[N, H, W]` unsigned bytes.
    Images,
    /// `[N]` unsigned bytes.
    Labels,
}

impl Content {
    fn name(self) -> &'static str {
        match self {
            Content::Images => "images",
            Content::Labels => "labels",
        }
    }

    fn axes(self) -> usize {
        match self {
            Content::Images => 3,
            Content::Labels => 1,
        }
    }

    /// Two zero bytes, 8 for unsigned bytes, and the number of axes.
    fn magic(self) -> u32 {
        0x0800 | self.axes() as u32
    }
}

/// A data set of an images and a labels file: images `[1, H, W]` with pixels divided by 255, and
/// as many classes as the largest label asks for.
///
/// # Errors
/// [`Io`](ErrorKind::Io) if a file cannot be read; [`Data`](ErrorKind::Data) if it is truncated,
/// has bytes too many, another magic number, a size beyond [`MAX_BYTES`] or damaged compression,
/// or if the files differ in the number of samples.
pub fn load(images: &Path, labels: &Path) -> Result<Dataset> {
    let (extents, pixels) = read(images, Content::Images)?;
    let (_, classes) = read(labels, Content::Labels)?;
    let count = classes.len();
    if extents[0] != count {
        bail!(
            Data,
            "{} has {} images but {} has {count} labels; use two files that belong together",
            images.display(),
            extents[0],
            labels.display()
        );
    }
    if pixels.is_empty() {
        bail!(Data, "{}: there are no pixels in it; use a file with images", images.display());
    }
    let largest = classes.iter().max().copied().unwrap_or(0);
    let classes_count = usize::from(largest) + 1;
    Dataset {
        name: stem(images),
        source: images.display().to_string(),
        licence: NOT_STATED.into(),
        features: pixels.iter().map(|&pixel| f32::from(pixel) / 255.0).collect(),
        shape: vec![1, extents[1], extents[2]],
        labels: classes.iter().map(|&label| i64::from(label)).collect(),
        classes: classes_count,
        class_names: numbered(classes_count),
        bounds: (0.0, 1.0),
    }
    .checked()
}

/// The training and the test set of a folder laid out like MNIST: `train-images-idx3-ubyte`,
/// `train-labels-idx1-ubyte` and the same with `t10k`, each possibly with `.gz`, or with a dot
/// before `idx`. Sets that share this layout, such as Fashion-MNIST, are named after the folder.
///
/// # Errors
/// As [`load`]; [`NotFound`](ErrorKind::NotFound) if one of the four files is missing; training
/// and test images differ in size.
pub fn mnist(folder: &Path) -> Result<(Dataset, Dataset)> {
    let part = |prefix: &str| -> Result<Dataset> {
        load(&find(folder, prefix, Content::Images)?, &find(folder, prefix, Content::Labels)?)
    };
    let (mut train, mut test) = (part("train")?, part("t10k")?);
    if train.shape != test.shape {
        bail!(
            Data,
            "{}: training images are {:?} but test images {:?}; use files that belong together",
            folder.display(),
            train.shape,
            test.shape
        );
    }
    let classes = train.classes.max(test.classes);
    let original = is_mnist(&test);
    for part in [&mut train, &mut test] {
        part.classes = classes;
        part.class_names = numbered(classes);
        if original {
            part.name = known::MNIST.title.into();
            part.source = known::MNIST.source.into();
            part.licence = known::MNIST.licence.into();
        } else {
            part.name = stem(folder);
            part.source = folder.display().to_string();
        }
    }
    Ok((train, test))
}

/// Whether these are the test labels of MNIST, told by the number of each digit. Fashion-MNIST has
/// a thousand of each.
fn is_mnist(test: &Dataset) -> bool {
    const COUNTS: [usize; 10] = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009];
    let mut counts = vec![0; test.classes];
    test.labels.iter().for_each(|&label| counts[label as usize] += 1);
    counts == COUNTS
}

/// The file of `folder` that holds `content`, in whichever spelling it is there.
fn find(folder: &Path, prefix: &str, content: Content) -> Result<PathBuf> {
    let (name, axes) = (content.name(), content.axes());
    let spelled =
        |joint: &str, end: &str| folder.join(format!("{prefix}-{name}{joint}idx{axes}-ubyte{end}"));
    let candidates = [spelled("-", ""), spelled("-", ".gz"), spelled(".", ""), spelled(".", ".gz")];
    candidates.into_iter().find(|path| path.is_file()).ok_or_else(|| {
        Error::new(
            ErrorKind::NotFound,
            format!(
                "{}: no file {prefix}-{name}-idx{axes}-ubyte[.gz] in this folder; run `inocula data \
                 get mnist` or name a folder that has it",
                folder.display()
            ),
        )
    })
}

/// Extents and bytes of a file.
fn read(path: &Path, content: Content) -> Result<(Vec<usize>, Vec<u8>)> {
    let mut input = Input::open(path)?;
    let magic = input.u32s(1, 4)?[0];
    if magic != content.magic() {
        return Err(wrong_magic(path, content, magic));
    }
    let header = 4 * (1 + content.axes() as u64);
    let extents = input.u32s(content.axes(), header)?;
    let size = extents.iter().try_fold(1u64, |n, &extent| n.checked_mul(u64::from(extent)));
    let Some(size) = size.filter(|&size| size <= MAX_BYTES) else {
        bail!(
            Data,
            "{}: the header announces {extents:?} bytes, more than the {MAX_BYTES} allowed; the \
             file is damaged or too large",
            path.display()
        );
    };
    // One byte more than announced tells a longer file from one that just fits.
    let bytes = input.take(size + 1)?;
    let found = bytes.len() as u64;
    if found < size {
        return Err(truncated(path, header + size, header + found));
    }
    if found > size {
        bail!(
            Data,
            "{}: there are bytes after the {} that the header announces; fetch the file again",
            path.display(),
            header + size
        );
    }
    Ok((extents.iter().map(|&extent| extent as usize).collect(), bytes))
}

/// A file, decompressed on the way if need be.
struct Input<'a> {
    path: &'a Path,
    reader: Box<dyn Read>,
    compressed: bool,
}

impl<'a> Input<'a> {
    fn open(path: &'a Path) -> Result<Self> {
        let io = |e: std::io::Error| Error::io(path, "read", &e);
        let mut file = BufReader::new(File::open(path).map_err(io)?);
        let compressed = file.fill_buf().map_err(io)?.starts_with(&[0x1f, 0x8b]);
        let reader: Box<dyn Read> =
            if compressed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
        Ok(Input { path, reader, compressed })
    }

    /// The next `n` bytes, fewer at the end of the file.
    fn take(&mut self, n: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        match self.reader.by_ref().take(n).read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(e) if self.compressed => bail!(
                Data,
                "{}: the gzip compression is damaged ({e}); fetch the file again",
                self.path.display()
            ),
            Err(e) => Err(Error::io(self.path, "read", &e)),
        }
    }

    /// The next `n` big-endian numbers, which end at byte `end` of the file.
    fn u32s(&mut self, n: usize, end: u64) -> Result<Vec<u32>> {
        let wanted = 4 * n as u64;
        let bytes = self.take(wanted)?;
        let found = bytes.len() as u64;
        if found < wanted {
            return Err(truncated(self.path, end, end - wanted + found));
        }
        Ok(bytes.chunks_exact(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]])).collect())
    }
}

fn truncated(path: &Path, expected: u64, actual: u64) -> Error {
    Error::new(
        ErrorKind::Data,
        format!(
            "{}: truncated, expected {expected} bytes but there are {actual}; fetch the file again",
            path.display()
        ),
    )
}

fn wrong_magic(path: &Path, wanted: Content, got: u32) -> Error {
    let other = [Content::Images, Content::Labels].into_iter().find(|c| c.magic() == got);
    let remedy = match other {
        Some(other) => format!("it holds {}: swap the images and the labels file", other.name()),
        None => format!("use an IDX file of {} in unsigned bytes", wanted.name()),
    };
    Error::new(
        ErrorKind::Data,
        format!(
            "{}: magic number {got:#010x}, wanted {:#010x} for {}; {remedy}",
            path.display(),
            wanted.magic(),
            wanted.name()
        ),
    )
}
