"""Augmentation of a batch: src/engine/augment.ts, the same draws, the same images. What each option means is said there.

What is drawn is computed in double precision, image by image; pixels in whole numbers, the batch at once, on its device. A library
whose cosine, sine or power differs in the last bit from JavaScript's could round a position or a grey value otherwise; in 20,000
looks of the recommended recipe it never did.
"""
import math

import torch
import torch.nn.functional as F

from rng import philox4x32

# The most that each option may be.
OPTIONS = {
    **dict.fromkeys(("shift", "scale", "aspect", "brightness", "contrast", "gamma", "noise", "cutout"), 1),
    **{"rotation": 180, "sharpness": 0.5},
}
GREY = ("brightness", "contrast", "gamma")


def rounded(values):
    """A tensor of doubles to whole numbers; halves go up, as JavaScript's Math.round rounds them."""
    below = values.floor()
    return below.long() + (values - below >= 0.5)


def draw_look(o, size, draws):
    """One image's look, not yet rounded: matrix [6], grey values [256] (or none), filter [2], scale of the noise, rectangle [4]."""
    dx, dy, turn, zoom, aspect, gamma, contrast, brightness, across, down, noise, *rectangle = draws

    def factor(option, draw):
        return (1 + o[option]) ** draw

    angle = o["rotation"] * turn * math.pi / 180
    wide = factor("scale", zoom) * factor("aspect", aspect / 2)
    high = factor("scale", zoom) * factor("aspect", -aspect / 2)
    cos, sin, centre = math.cos(angle), math.sin(angle), (size - 1) / 2
    xx, xy, yx, yy = cos / wide, sin / wide, -sin / high, cos / high
    u, v = centre + o["shift"] * size * dx, centre + o["shift"] * size * dy
    matrix = [xx, xy, centre - xx * u - xy * v, yx, yy, centre - yx * u - yy * v]

    table = []
    if any(o[option] for option in GREY):
        power, slope, more = factor("gamma", gamma), factor("contrast", contrast), o["brightness"] * brightness
        greys = (((grey / 255) ** power - 0.5) * slope + 0.5 + more for grey in range(256))
        table = [255 * min(1, max(0, grey)) for grey in greys]

    weights = [-(o["sharpness"] * across) * 256, -(o["sharpness"] * down) * 256]
    std = 255 * o["noise"] * (noise + 1) / 2
    sides = []
    for length, place in (rectangle[0], rectangle[2]), (rectangle[1], rectangle[3]):
        share = o["cutout"] * (length + 1) / 2
        start = (1 - share) * (place + 1) / 2
        sides += [start * size, (start + share) * size]
    return matrix, table, weights, 65536 * std / math.sqrt((256**2 - 1) / 3), sides


def augmented(images, options, key, epoch, indices):
    """Images [B, H, W] of uint8, changed; `key` names the seed and stream, `indices` are the images' in the data set."""
    o = {**dict.fromkeys(OPTIONS, 0), **options}
    size, device = images.shape[-1], images.device
    index = torch.tensor(indices)[:, None]
    words = torch.stack(philox4x32(index, epoch, torch.arange(4)[None], 0, key), -1).flatten(1)
    looks = [draw_look(o, size, [word / 2**31 - 1 for word in image]) for image in words.tolist()]
    matrix, table, weights, scale, sides = (torch.tensor(part, dtype=torch.float64) for part in zip(*looks))
    pixels = warped(images, matrix)
    if any(o[option] for option in GREY):
        pixels = rounded(table).int().to(device).gather(1, pixels.flatten(1).long()).view(pixels.shape)
    if o["sharpness"] > 0:
        pixels = filtered(pixels, *(part[:, None, None] for part in rounded(weights).int().to(device).unbind(1)))
    if o["noise"] > 0:
        pixels = noisy(pixels, rounded(scale).to(device), key, epoch, index.to(device))
    if o["cutout"] > 0:
        left, right, top, bottom = (side[:, None] for side in rounded(sides).to(device).unbind(1))
        along = torch.arange(size, device=device)[None]
        columns, rows = (along >= left) & (along < right), (along >= top) & (along < bottom)
        pixels = pixels.masked_fill(rows[:, :, None] & columns[:, None], 128)
    return pixels.to(torch.uint8)


def warped(images, matrix):
    """Bilinear, positions to 1/256 of a pixel; what comes from outside is 0. The grey values are not yet mapped. Gives int32."""
    size, device = images.shape[-1], images.device
    stride = size + 2
    padded = F.pad(images, (1, 1, 1, 1)).flatten(1)
    along = torch.arange(size, device=device, dtype=torch.int32)
    down = torch.arange(size, dtype=torch.float64)
    positions = []
    for step, by_row, start in (matrix[:, 0:3, None].unbind(1), matrix[:, 3:6, None].unbind(1)):
        # Half of 1/256 more, so that cutting off rounds.
        first = rounded((by_row * down + start + 1 + 1 / 512) * 65536).int().to(device)
        positions.append(first[:, :, None] + rounded(step * 65536).int().to(device)[:, :, None] * along)
    x, y = positions
    left, top, right, below = x >> 16, y >> 16, (x >> 8) & 255, (y >> 8) & 255
    outside = (left < 0) | (top < 0) | (left > size) | (top > size)
    corner = (top * stride + left).masked_fill_(outside, 0).flatten(1).long()

    def at(offset):
        return padded.gather(1, corner + offset).view(images.shape).int()

    upper = at(0) * (256 - right) + at(1) * right
    lower = at(stride) * (256 - right) + at(stride + 1) * right
    return ((upper * (256 - below) + lower * below + 32768) >> 16).masked_fill_(outside, 0)


def filtered(pixels, a, b):
    """[a, 512 - 2 a, a] / 512 along the rows, then the same of b along the columns; edges are repeated."""

    def summed(values, weight, axis):
        size = values.shape[axis]
        before = torch.cat([values.narrow(axis, 0, 1), values.narrow(axis, 0, size - 1)], axis)
        after = torch.cat([values.narrow(axis, 1, size - 1), values.narrow(axis, size - 1, 1)], axis)
        return (512 - 2 * weight) * values + weight * (before + after)

    return ((summed(summed(pixels, a, 2), b, 1) + 131072) >> 18).clamp_(0, 255)


def noisy(pixels, scale, key, epoch, index):
    """Noise of this scale: the sum of four uniform bytes, nearly normal."""
    flat = pixels.flatten(1)
    blocks = torch.arange(-(-flat.shape[1] // 4), device=pixels.device)[None]
    sums = [
        (word & 255) + ((word >> 8) & 255) + ((word >> 16) & 255) + (word >> 24)
        for word in philox4x32(index, epoch, blocks, 1, key)
    ]
    drawn = torch.stack(sums, -1).flatten(1)[:, : flat.shape[1]]
    return (flat + (((drawn - 510) * scale[:, None] + 32768) >> 16)).clamp_(0, 255).view(pixels.shape)
