//! Small greyscale and RGB pictures as PNG (ISO/IEC 15948), for data URIs.
//!
//! The format at 8 bits a channel is three chunks around a zlib stream, which is less than a codec
//! crate would bring along.

use std::io::Write as _;

use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};

use super::{Picture, base64};

/// The picture as a `data:` URI, or `None` if its fields do not fit together.
pub(super) fn data_uri(picture: &Picture) -> Option<String> {
    let png = encode(picture.width, picture.height, picture.channels, &picture.pixels)?;
    Some(format!("data:image/png;base64,{}", base64::encode(&png)))
}

/// The bytes of a file, or `None` if the sizes do not fit together.
pub(super) fn encode(
    width: usize,
    height: usize,
    channels: usize,
    pixels: &[u8],
) -> Option<Vec<u8>> {
    let colour_type = match channels {
        1 => 0u8,
        3 => 2,
        _ => return None,
    };
    let stride = width.checked_mul(channels)?;
    if stride == 0 || height == 0 || pixels.len() != stride.checked_mul(height)? {
        return None;
    }
    let mut header = Vec::with_capacity(13);
    header.extend(u32::try_from(width).ok()?.to_be_bytes());
    header.extend(u32::try_from(height).ok()?.to_be_bytes());
    // Eight bits a channel, deflate, no filter method but 0, not interlaced.
    header.extend([8, colour_type, 0, 0, 0]);

    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    chunk(&mut png, b"IHDR", &header);
    chunk(&mut png, b"IDAT", &compress(pixels, stride)?);
    chunk(&mut png, b"IEND", &[]);
    Some(png)
}

/// The rows, each behind the byte of filter "none", as a zlib stream.
fn compress(pixels: &[u8], stride: usize) -> Option<Vec<u8>> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    for row in pixels.chunks_exact(stride) {
        encoder.write_all(&[0]).ok()?;
        encoder.write_all(row).ok()?;
    }
    encoder.finish().ok()
}

fn chunk(png: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    // A picture whose stream passes 4 GiB fails in a viewer, not here.
    png.extend((data.len() as u32).to_be_bytes());
    png.extend(kind);
    png.extend(data);
    let mut crc = Crc::new();
    crc.update(kind);
    crc.update(data);
    png.extend(crc.sum().to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    fn u32_at(bytes: &[u8], at: usize) -> u32 {
        u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
    }

    #[test]
    fn pixels_come_back_out_of_the_chunks() {
        let pixels: Vec<u8> = (0..2 * 3 * 3).map(|i| i * 14).collect();
        let png = encode(3, 2, 3, &pixels).unwrap();
        assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
        assert_eq!((u32_at(&png, 16), u32_at(&png, 20)), (3, 2));
        assert_eq!(png[24..29], [8, 2, 0, 0, 0]);
        assert_eq!(&png[37..41], b"IDAT");
        let length = u32_at(&png, 33) as usize;
        let mut rows = Vec::new();
        flate2::read::ZlibDecoder::new(&png[41..41 + length]).read_to_end(&mut rows).unwrap();
        let mut expected = vec![0];
        expected.extend(&pixels[..9]);
        expected.push(0);
        expected.extend(&pixels[9..]);
        assert_eq!(rows, expected);
        // The end chunk is the same in every PNG, its checksum included.
        assert_eq!(png[png.len() - 12..], *b"\0\0\0\0IEND\xaeB`\x82");
    }

    #[test]
    fn fields_that_do_not_fit_give_no_picture() {
        assert!(encode(2, 2, 1, &[0; 3]).is_none());
        assert!(encode(2, 2, 2, &[0; 8]).is_none());
        assert!(encode(0, 2, 1, &[]).is_none());
        assert!(encode(usize::MAX, 2, 3, &[]).is_none());
    }
}
