"""Writes pictures.json and pictures/: pixels as Pillow decodes, resizes and changes them, inputs as transformers and
timm make them, perceptual hashes, and arrays of NumPy.

Pillow 13 resizes rows before columns where a picture loses much more height than width, which moves single values by
one; up to 12 it is always columns first, and so is `retune`.

    pip install pillow==12.0.0 numpy==2.4.6 torch==2.15.0 torchvision==0.29.2 transformers==5.24.0 timm==1.0.31
    python golden/make_pictures.py
"""
import importlib
import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps
from timm.data import create_transform
from timm.data.config import resolve_data_config
from torchvision.transforms.v2 import functional as F

HERE = Path(__file__).parent
FILES = HERE / "pictures"
FILES.mkdir(exist_ok=True)


def pattern(w, h):
    """The test picture, computed in the same way by the Rust tests: slopes, steps and noise."""
    y, x, c = np.meshgrid(np.arange(h), np.arange(w), np.arange(3), indexing="ij")
    v = x * 5 * (c + 1) + y * 3 + (x * 31 + y * 17 + c * 7) % 23 * 4
    return Image.fromarray((v % 256).astype(np.uint8), "RGB")


def smooth(w, h):
    """Without steps, for JPEG."""
    y, x, c = np.meshgrid(np.arange(h), np.arange(w), np.arange(3), indexing="ij")
    v = 40 + x * 170 // w * (c == 0) + y * 190 // h * (c == 1) + (x + y) * 120 // (w + h) * (c == 2)
    return Image.fromarray(v.astype(np.uint8), "RGB")


def hexed(im):
    return np.asarray(im.convert("RGB")).tobytes().hex()


out = {}

# Resizing: all filters, up and down, odd sizes, one axis only, single pixels.
FILTERS = ["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]
SIZES = [
    ((37, 23), (16, 12)), ((37, 23), (17, 11)), ((9, 13), (20, 31)), ((16, 16), (16, 9)), ((16, 16), (5, 16)),
    ((1, 1), (4, 3)), ((40, 40), (1, 1)), ((3, 50), (10, 7)), ((64, 48), (21, 16)), ((200, 3), (13, 13)),
    ((12, 12), (12, 12)), ((5, 7), (4, 8)),
]
out["resize"] = [
    {"from": a, "to": b, "filter": f, "rgb": hexed(pattern(*a).resize(b, getattr(Image.Resampling, f.upper())))}
    for a, b in SIZES
    for f in FILTERS
]

# Decoding.
w, h = 24, 18
base = pattern(w, h)
alpha = Image.fromarray((np.arange(w * h).reshape(h, w) * 7 % 256).astype(np.uint8), "L")
rgba = base.copy()
rgba.putalpha(alpha)
la = Image.merge("LA", (base.convert("L"), alpha))
grey16 = np.arange(w * h, dtype=np.uint32).reshape(h, w) * 151 % 65536
files = []


def white(im):
    """Laid over white in exact arithmetic, rounded to nearest."""
    a = np.asarray(im.convert("RGBA")).astype(np.int64)
    v = (a[..., :3] * a[..., 3:] + 255 * (255 - a[..., 3:]) + 127) // 255
    return Image.fromarray(v.astype(np.uint8), "RGB")


def file(name, im, want=None, most=0, **options):
    """Writes a picture; `most` is how far a decoder may be from Pillow's in one value."""
    im.save(FILES / name, **options)
    if want is None:
        want = ImageOps.exif_transpose(Image.open(FILES / name)).convert("RGB")
    files.append({"file": name, "width": want.width, "height": want.height, "most": most, "rgb": hexed(want)})


file("rgb.png", base)
file("grey.png", base.convert("L"))
file("bits.png", base.convert("1"))
file("palette.png", base.quantize(16))
file("rgba.png", rgba, white(rgba))
file("grey-alpha.png", la, white(la))
seen = base.quantize(16)
seen.info["transparency"] = 3
seen.save(FILES / "palette-alpha.png", transparency=3)
file("palette-alpha.png", seen, white(Image.open(FILES / "palette-alpha.png")), transparency=3)
wide = Image.fromarray(((grey16 + 128) // 257).astype(np.uint8), "L").convert("RGB")
file("grey16.png", Image.fromarray(grey16.astype(np.uint16)), wide)
file("animated.png", base, base, save_all=True, append_images=[ImageOps.invert(base)])
file("rgb.jpg", smooth(w, h), most=4, quality=95, subsampling=0)
file("small-colour.jpg", smooth(w, h), most=6, quality=90, subsampling=2)
file("grey.jpg", smooth(w, h).convert("L"), most=3, quality=95)
file("progressive.jpg", smooth(w, h), most=4, quality=95, subsampling=0, progressive=True)
cmyk = Image.fromarray(
    np.concatenate([255 - np.asarray(smooth(w, h)), np.full((h, w, 1), 60, np.uint8)], axis=2), "CMYK"
)
file("cmyk.jpg", cmyk, most=6, quality=95)
# The same planes declared as YCCK, as Photoshop writes it: the last byte of the Adobe segment is the transform.
data = bytearray((FILES / "cmyk.jpg").read_bytes())
data[data.index(b"Adobe") + 11] = 2
(FILES / "ycck.jpg").write_bytes(data)
want = Image.open(FILES / "ycck.jpg").convert("RGB")
files.append({"file": "ycck.jpg", "width": w, "height": h, "most": 6, "rgb": hexed(want)})
file("animated.gif", base.quantize(32), save_all=True, append_images=[ImageOps.invert(base).quantize(32)])
file("rgb.bmp", base)
file("palette.bmp", base.quantize(16))
file("rgb.tif", base, compression="tiff_lzw")
file("grey16.tif", Image.fromarray(grey16.astype(np.uint16)), wide)
file("cmyk.tif", cmyk, most=1)
file("lossless.webp", base, lossless=True)
file("lossy.webp", smooth(w, h), most=6, quality=90)
file("alpha.webp", rgba, white(rgba), lossless=True, exact=True)
file("animated.webp", base, base, save_all=True, append_images=[ImageOps.invert(base)], lossless=True)
out["files"] = files

# The orientations of EXIF: one file, in which the tests set the value.
exif = Image.Exif()
exif[0x0112] = 1
small = smooth(16, 8)
small.save(FILES / "exif.jpg", quality=95, subsampling=0, exif=exif)
turned = []
for value in range(1, 9):
    im = Image.open(FILES / "exif.jpg").convert("RGB")
    im.getexif()[0x0112] = value
    im = ImageOps.exif_transpose(im)
    turned.append({"value": value, "width": im.width, "height": im.height, "rgb": hexed(im)})
out["orientation"] = turned


# Inputs of models.
def processor(module, name, config):
    cls = getattr(importlib.import_module(f"transformers.models.{module}.image_processing_pil_{module}"), name + "ImageProcessorPil")
    made = cls(**config)
    # What transformers itself would write, or the bare type where the defaults are the test.
    text = made.to_json_string() if config else json.dumps({"image_processor_type": name + "ImageProcessor"})
    return made, text


def values(a):
    """Channels last, six digits."""
    a = np.asarray(a)
    a = a[0] if a.ndim == 4 else a
    a = np.moveaxis(a, 0, -1)
    return {"shape": list(a.shape), "values": [float(f"{v:.7g}") for v in a.reshape(-1)]}


IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
SHAPES = [(37, 23), (14, 40), (9, 9)]
PROCESSORS = [
    ("vit", "ViT", {"size": {"height": 12, "width": 10}}),
    ("vit", "ViT", {"size": {"height": 11, "width": 11}, "resample": 3, "do_rescale": False, **IMAGENET}),
    ("vit", "ViT", {"size": {"height": 8, "width": 8}, "do_normalize": False, "resample": 1}),
    ("convnext", "ConvNext", {"size": {"shortest_edge": 11}, "crop_pct": 0.875, **IMAGENET}),
    ("convnext", "ConvNext", {"size": {"shortest_edge": 12}, "crop_pct": 0.95, "resample": 2, **IMAGENET}),
    ("efficientnet", "EfficientNet", {"size": {"height": 13, "width": 13}, "resample": 0, **IMAGENET}),
    ("efficientnet", "EfficientNet", {"size": {"height": 12, "width": 12}, "rescale_offset": True, "rescale_factor": 1 / 127.5, "include_top": False, **IMAGENET}),
    ("efficientnet", "EfficientNet", {"size": {"height": 14, "width": 14}, "do_center_crop": True, "crop_size": {"height": 9, "width": 8}, **IMAGENET}),
    ("bit", "Bit", {"size": {"shortest_edge": 14}, "crop_size": {"height": 11, "width": 11}, **IMAGENET}),
    ("bit", "Bit", {"size": {"shortest_edge": 8}, "crop_size": {"height": 11, "width": 12}}),
    ("clip", "CLIP", {"size": {"shortest_edge": 10}, "crop_size": {"height": 10, "width": 10}}),
]
cases = []
for module, name, config in PROCESSORS:
    made, text = processor(module, name, config)
    for shape in SHAPES:
        got = made(pattern(*shape), return_tensors="np")["pixel_values"]
        cases.append({"by": "transformers", "config": text, "picture": shape, **values(got)})
TIMM = [
    {"input_size": [3, 12, 12], "interpolation": "bicubic", "crop_pct": 0.875, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
    {"input_size": [3, 11, 11], "interpolation": "bilinear", "crop_pct": 0.95, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
    {"input_size": [3, 13, 13], "interpolation": "bicubic", "crop_pct": 1.0, "crop_mode": "squash"},
    {"input_size": [3, 13, 11], "interpolation": "bicubic", "crop_pct": 0.9, "crop_mode": "squash"},
    {"input_size": [3, 12, 12], "interpolation": "lanczos", "crop_pct": 0.94, "crop_mode": "border"},
    {"input_size": [3, 9, 14], "interpolation": "nearest", "crop_pct": 0.9},
    {"input_size": [3, 14, 9], "crop_mode": "center"},
]
for config in TIMM:
    made = create_transform(**resolve_data_config(pretrained_cfg=config))
    text = json.dumps({"architecture": "x", "num_classes": 3, "pretrained_cfg": config})
    for shape in SHAPES:
        cases.append({"by": "timm", "config": text, "picture": shape, **values(made(pattern(*shape)))})
out["preprocess"] = cases

# What a file leaves out.
defaults = []
for module, name in [("vit", "ViT"), ("deit", "DeiT"), ("beit", "Beit"), ("siglip", "Siglip"), ("efficientnet", "EfficientNet"), ("convnext", "ConvNext"), ("mobilenet_v2", "MobileNetV2"), ("bit", "Bit"), ("clip", "CLIP")]:
    made, text = processor(module, name, {})
    full = made.to_json_string()
    defaults.append({"bare": text, "full": full})
out["defaults"] = defaults

# Changes of colour and place, by torchvision on Pillow pictures.
# Equalising counts pixels, so it has its own, larger picture.
SHOWN = {"equalize": (40, 30)}
CHANGES = {
    "brightness": (F.adjust_brightness, [0.0, 0.4, 1.0, 1.7]),
    "contrast": (F.adjust_contrast, [0.0, 0.4, 1.0, 1.7]),
    "saturation": (F.adjust_saturation, [0.0, 0.4, 1.0, 1.7]),
    "sharpness": (F.adjust_sharpness, [0.01, 0.4, 1.0, 1.7]),
    "hue": (F.adjust_hue, [-0.5, -0.07, 0.0, 0.1, 0.33]),
    "posterize": (lambda i, v: F.posterize(i, int(v)), [2, 5, 8]),
    "solarize": (F.solarize, [0.0, 100.5, 128.0, 255.0]),
    "autocontrast": (lambda i, _: F.autocontrast(i), [0]),
    "equalize": (lambda i, _: F.equalize(i), [0]),
    "rotate": (lambda i, v: F.rotate(i, v), [-135.0, -33.0, 4.5, 90.0]),
    "shear_x": (lambda i, v: F.affine(i, 0.0, [0, 0], 1.0, [float(np.degrees(np.arctan(v))), 0.0], center=[0, 0]), [-0.6, 0.33]),
    "shear_y": (lambda i, v: F.affine(i, 0.0, [0, 0], 1.0, [0.0, float(np.degrees(np.arctan(v)))], center=[0, 0]), [-0.6, 0.33]),
    "translate_x": (lambda i, v: F.affine(i, 0.0, [int(v), 0], 1.0, [0.0, 0.0]), [-7.9, 3.0]),
    "translate_y": (lambda i, v: F.affine(i, 0.0, [0, int(v)], 1.0, [0.0, 0.0]), [-7.9, 3.0]),
}
out["changes"] = []
for name, (change, strengths) in CHANGES.items():
    for narrow in [False, True] if name in ("autocontrast", "equalize") else [False]:
        shape = SHOWN.get(name, (20, 14))
        im = pattern(*shape)
        if narrow:
            im = im.point(lambda v: 60 + v // 3)
        for v in strengths:
            case = {"change": name, "value": v, "narrow": narrow, "picture": shape, "rgb": hexed(change(im, v))}
            out["changes"].append(case)


# Perceptual hashes, after the package imagehash: bits row by row, the first one highest.
def number(bits):
    return str(int("".join("1" if b else "0" for b in bits.reshape(-1)), 2))


def dhash(i):
    a = np.asarray(i.convert("L").resize((9, 8), Image.Resampling.LANCZOS)).astype(int)
    return number(a[:, 1:] > a[:, :-1])


def phash(i):
    a = np.asarray(i.convert("L").resize((32, 32), Image.Resampling.LANCZOS)).astype(float)
    k, n = np.meshgrid(np.arange(8), np.arange(32), indexing="ij")
    d = np.cos(np.pi * k * (2 * n + 1) / 64)
    low = d @ a @ d.T
    return number(low > np.median(low))


out["hashes"] = [{"picture": s, "dhash": dhash(pattern(*s)), "phash": phash(pattern(*s))} for s in [(37, 23), (100, 80), (8, 8)]]

# Arrays of NumPy, and an IDX file.
rng = np.random.default_rng(3)
arrays = {
    "images": rng.integers(0, 256, (3, 4, 5), dtype=np.uint8),
    "labels": np.array([3, -1, 2**40], dtype=np.int64),
    "big_endian": np.array([[1, 2], [3, 65535]], dtype=">u2"),
    "columns": np.asfortranarray(np.arange(24, dtype=np.int32).reshape(2, 3, 4)),
    "flags": np.array([True, False, True]),
    "scalar": np.array(-7, dtype=np.int16),
    "none": np.zeros((0, 28, 28), dtype=np.uint8),
}
np.savez(FILES / "stored.npz", **arrays)
np.savez_compressed(FILES / "packed.npz", **arrays)
np.save(FILES / "columns.npy", arrays["columns"])
np.savez(FILES / "objects.npz", images=arrays["images"], names=np.array([{}, None], dtype=object))
np.savez(FILES / "floats.npz", x=np.zeros(3, dtype=np.float32))
out["arrays"] = [{"name": n, "shape": a.shape, "values": a.reshape(-1).tolist()} for n, a in arrays.items()]

text = json.dumps(out, separators=(",", ":")).replace("},{", "},\n{")
(HERE / "pictures.json").write_text(text + "\n")
print(len(text) // 1024, "KiB")
