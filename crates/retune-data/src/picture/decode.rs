//! Encoded bytes to 8-bit RGB, within limits that are checked on the header.

use std::io::{Cursor, Read as _};
use std::path::Path;

use image::error::ImageError;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use super::{Fault, PictureError, PictureLimits, Pixels};

/// What to do where the content is no picture that is read.
const FORMATS: &str = "give a JPEG, PNG, WebP, TIFF, BMP or GIF file";
const AGAIN: &str = "fetch or save the file again, or remove it from the data";

/// The bytes of a file, at most `limits.file_bytes`.
pub(super) fn load(path: &Path, limits: &PictureLimits) -> Result<Vec<u8>, PictureError> {
    let unreadable = |e: std::io::Error| {
        PictureError::new(
            Fault::Unreadable,
            e.to_string(),
            "check the path and that it may be read",
        )
    };
    let meta = std::fs::metadata(path).map_err(unreadable)?;
    if !meta.is_file() {
        let problem = "it is a folder or a device, not a file";
        return Err(PictureError::new(Fault::Unreadable, problem, FORMATS));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|f| f.take(limits.file_bytes + 1).read_to_end(&mut bytes))
        .map_err(unreadable)?;
    Ok(bytes)
}

/// Decodes an encoded picture; see [`super::Picture::pixels`].
pub(super) fn decode(bytes: &[u8], limits: &PictureLimits) -> Result<Pixels, PictureError> {
    if bytes.is_empty() {
        let problem = "it is empty (zero bytes)";
        return Err(PictureError::new(Fault::Empty, problem, AGAIN));
    }
    if bytes.len() as u64 > limits.file_bytes {
        let problem = format!("the file has more than {} bytes", limits.file_bytes);
        return Err(PictureError::new(Fault::TooLarge, problem, SMALLER));
    }
    let format = format(bytes)?;
    if format == ImageFormat::WebP {
        check_chunks(bytes)?;
    }
    let fault = |e| failed(&e, format);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut bounds = Limits::no_limits();
    bounds.max_alloc = Some(limits.memory);
    reader.limits(bounds);
    let mut decoder = reader.into_decoder().map_err(fault)?;
    let (width, height) = decoder.dimensions();
    check_size(width.into(), height.into(), limits)?;
    if decoder.total_bytes() > limits.memory {
        let problem = format!(
            "decoded it takes {} bytes ({width} x {height} pixels); the most is {}",
            decoder.total_bytes(),
            limits.memory
        );
        return Err(PictureError::new(Fault::TooLarge, problem, SMALLER));
    }
    // Broken metadata does not make the pixels unusable.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder).map_err(fault)?;
    if format == ImageFormat::Jpeg && !jpeg_ends(bytes) {
        return Err(truncated(format, "its end mark is missing"));
    }
    picture.apply_orientation(orientation);
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    Pixels::new(width, height, rgb(picture)).ok_or_else(no_pixels)
}

/// Takes plain pixels of (width, height, channels).
pub(super) fn raw(
    size: (usize, usize, usize),
    data: &[u8],
    limits: &PictureLimits,
) -> Result<Pixels, PictureError> {
    let (width, height, channels) = size;
    check_size(width as u64, height as u64, limits)?;
    if !matches!(channels, 1 | 3) {
        let problem = format!("its pixels have {channels} channels, not 1 (grey) or 3 (RGB)");
        let cure = "convert the pictures to grey or RGB first";
        return Err(PictureError::new(Fault::Unsupported, problem, cure));
    }
    if data.len() as u64 != width as u64 * height as u64 * channels as u64 {
        let problem = format!(
            "it has {} values, not the {width} x {height} x {channels} of its size",
            data.len()
        );
        let cure = "give one byte a channel, rows from the top";
        return Err(PictureError::new(Fault::Broken, problem, cure));
    }
    let rgb = if channels == 1 {
        data.iter().flat_map(|&v| [v; 3]).collect()
    } else {
        data.to_vec()
    };
    Pixels::new(width, height, rgb).ok_or_else(no_pixels)
}

const SMALLER: &str = "make the picture smaller, or remove it from the data";

fn check_size(width: u64, height: u64, limits: &PictureLimits) -> Result<(), PictureError> {
    if width == 0 || height == 0 {
        return Err(no_pixels());
    }
    if width.saturating_mul(height) > limits.pixels {
        let problem = format!(
            "it has {width} x {height} pixels; the most is {} million",
            limits.pixels / 1_000_000
        );
        return Err(PictureError::new(Fault::TooLarge, problem, SMALLER));
    }
    Ok(())
}

fn no_pixels() -> PictureError {
    PictureError::new(Fault::Broken, "it has no pixels", AGAIN)
}

/// The format by the first bytes, or what is there instead.
pub(super) fn format(bytes: &[u8]) -> Result<ImageFormat, PictureError> {
    use ImageFormat::{Bmp, Gif, Jpeg, Png, Tiff, WebP};
    match image::guess_format(bytes) {
        Ok(f @ (Bmp | Gif | Jpeg | Png | Tiff | WebP)) => Ok(f),
        Ok(_) | Err(_) => Err(foreign(bytes)),
    }
}

/// First bytes of files that are often met in place of a picture; matched from the given offset.
const FOREIGN: &[(usize, &[u8], Fault, &str)] = &[
    (4, b"ftypavif", Fault::Unsupported, "it is an AVIF picture"),
    (4, b"ftypheic", Fault::Unsupported, "it is a HEIC picture"),
    (4, b"ftypheix", Fault::Unsupported, "it is a HEIC picture"),
    (4, b"ftypmif1", Fault::Unsupported, "it is a HEIF picture"),
    (4, b"ftyp", Fault::NotAPicture, "it is a video (MP4 family)"),
    (4, b"jP  ", Fault::Unsupported, "it is a JPEG 2000 picture"),
    (4, b"JXL ", Fault::Unsupported, "it is a JPEG XL picture"),
    (
        0,
        b"\xff\x0a",
        Fault::Unsupported,
        "it is a JPEG XL picture",
    ),
    (0, b"8BPS", Fault::Unsupported, "it is a Photoshop file"),
    (0, b"\0\0\x01\0", Fault::Unsupported, "it is an icon (ICO)"),
    (0, b"qoif", Fault::Unsupported, "it is a QOI picture"),
    (0, b"DDS ", Fault::Unsupported, "it is a DDS texture"),
    (0, b"#?RADIANCE", Fault::Unsupported, "it is an HDR picture"),
    (
        0,
        b"v/1\x01",
        Fault::Unsupported,
        "it is an OpenEXR picture",
    ),
    (0, b"%PDF", Fault::NotAPicture, "it is a PDF"),
    (0, b"PK\x03\x04", Fault::NotAPicture, "it is a zip archive"),
    (
        0,
        b"\x1f\x8b",
        Fault::NotAPicture,
        "it is compressed by gzip",
    ),
    (
        0,
        b"version https://git-lfs",
        Fault::NotAPicture,
        "it is a Git LFS pointer, not the picture itself (git lfs pull fetches it)",
    ),
];

/// The error for bytes of no readable format, saying what they look like.
fn foreign(bytes: &[u8]) -> PictureError {
    for &(at, magic, fault, problem) in FOREIGN {
        if bytes.get(at..).is_some_and(|b| b.starts_with(magic)) {
            return PictureError::new(fault, problem, FORMATS);
        }
    }
    if matches!(bytes, [b'P', b'1'..=b'7', b, ..] if b.is_ascii_whitespace()) {
        return PictureError::new(Fault::Unsupported, "it is a PNM picture", FORMATS);
    }
    let head = &bytes[..bytes.len().min(200)];
    let text = String::from_utf8_lossy(head);
    let shown: String = text.trim_start().chars().take(30).collect();
    let lower = shown.to_lowercase();
    let problem = if lower.starts_with("<!doctype html") || lower.starts_with("<html") {
        format!(
            "it is a web page, not a picture: it starts with `{}`",
            one_line(&shown)
        )
    } else if lower.starts_with("<svg") || text.contains("<svg") {
        let problem = "it is an SVG drawing, which has no pixels";
        return PictureError::new(Fault::Unsupported, problem, FORMATS);
    } else if head.iter().all(|&b| b >= b' ' || b.is_ascii_whitespace()) && !shown.is_empty() {
        format!(
            "it is text, not a picture: it starts with `{}`",
            one_line(&shown)
        )
    } else {
        let hex: Vec<String> = bytes.iter().take(8).map(|b| format!("{b:02x}")).collect();
        format!(
            "it is of no known picture format: it starts with bytes {}",
            hex.join(" ")
        )
    };
    PictureError::new(Fault::NotAPicture, problem, FORMATS)
}

/// Text for a message: one line, no control signs.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn name(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::Jpeg => "JPEG",
        ImageFormat::Png => "PNG",
        ImageFormat::WebP => "WebP",
        ImageFormat::Tiff => "TIFF",
        ImageFormat::Bmp => "BMP",
        _ => "GIF",
    }
}

fn truncated(format: ImageFormat, detail: &str) -> PictureError {
    let problem = format!("the {} file is cut off: {detail}", name(format));
    PictureError::new(Fault::Truncated, problem, AGAIN)
}

/// What a decoder said, as the user needs it.
fn failed(e: &ImageError, format: ImageFormat) -> PictureError {
    let detail = one_line(&e.to_string());
    // The decoders have no common mark for an early end; these are their words for it.
    let early = [
        "unexpected end",
        "UnexpectedEof",
        "failed to fill",
        "xhausted",
        "No more bytes",
        "Not enough",
    ];
    if matches!(e, ImageError::IoError(io) if io.kind() == std::io::ErrorKind::UnexpectedEof)
        || early.iter().any(|w| detail.contains(w))
    {
        return truncated(format, &detail);
    }
    match e {
        ImageError::Limits(_) => PictureError::new(
            Fault::TooLarge,
            format!("decoding its {} data needs too much memory", name(format)),
            SMALLER,
        ),
        ImageError::Unsupported(_) => PictureError::new(
            Fault::Unsupported,
            format!("its kind of {} is not supported: {detail}", name(format)),
            "save it as an ordinary JPEG or PNG",
        ),
        _ => PictureError::new(
            Fault::Broken,
            format!("the {} data is broken: {detail}", name(format)),
            AGAIN,
        ),
    }
}

/// Whether the coded rows of a JPEG run up to its end mark; bytes after it are common and harmless.
///
/// The decoder fills missing rows with grey without a word, and a model would learn from grey. A mark inside a
/// segment, as of a thumbnail, does not count.
fn jpeg_ends(bytes: &[u8]) -> bool {
    let mut at = 2;
    loop {
        // Between segments, and in coded rows, everything up to the next mark is skipped; `ff00` is a value 255,
        // `ffd0` to `ffd7` are marks within the rows, and `ff` may be repeated before a mark.
        let Some(step) = bytes
            .get(at..)
            .and_then(|b| b.iter().position(|&v| v == 0xff))
        else {
            return false;
        };
        at += step + 1;
        match bytes.get(at) {
            None => return false,
            Some(0xd9) => return true,
            Some(0xff) => {}
            Some(0 | 0x01 | 0xd0..=0xd8) => at += 1,
            Some(_) => {
                let Some(&[high, low]) = bytes.get(at + 1..at + 3) else {
                    return false;
                };
                at += 1 + usize::from(u16::from_be_bytes([high, low]));
            }
        }
    }
}

/// Refuses a WebP whose parts claim to be longer than the file: the decoder would reserve what they claim.
fn check_chunks(bytes: &[u8]) -> Result<(), PictureError> {
    let word = |at: usize| {
        let word = bytes.get(at..at + 4).and_then(|b| b.try_into().ok());
        word.map(u32::from_le_bytes)
    };
    let end = word(4)
        .map_or(0, |n| (n as usize).saturating_add(8))
        .min(bytes.len());
    let mut at = 12;
    while let Some(claimed) = word(at + 4).filter(|_| at + 8 <= end) {
        let left = bytes.len() - at - 8;
        if claimed as usize > left {
            let detail = format!("a part of {claimed} bytes has only {left}");
            return Err(truncated(ImageFormat::WebP, &detail));
        }
        // Parts begin at even places.
        at += 8 + claimed as usize + claimed as usize % 2;
    }
    Ok(())
}

/// 8-bit RGB of any decoded picture, transparency laid over white.
fn rgb(picture: DynamicImage) -> Vec<u8> {
    if !picture.color().has_alpha() {
        return picture.into_rgb8().into_raw();
    }
    let rgba = picture.into_rgba8().into_raw();
    rgba.chunks_exact(4)
        .flat_map(|p| {
            let alpha = u32::from(p[3]);
            let over = |c: u8| ((u32::from(c) * alpha + 255 * (255 - alpha) + 127) / 255) as u8;
            [over(p[0]), over(p[1]), over(p[2])]
        })
        .collect()
}
