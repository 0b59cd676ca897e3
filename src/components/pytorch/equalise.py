"""Histogram equalisation of each image by itself: src/engine/equalise.ts, the same grey values."""
import math

import torch


def equalise(images, margin):
    """Images [B, H, W] of uint8 with every grey value replaced by 255 times the share of darker pixels, equal ones counting half.

    A margin of this share of the size on each side is mapped but not counted. Gives int64 in 0..255, on the images' device.
    """
    count, size = images.shape[0], images.shape[-1]
    edge = math.floor(margin * size)
    counted = (size - 2 * edge) ** 2
    first = torch.arange(count, device=images.device)[:, None] * 256
    inner = images[:, edge : size - edge, edge : size - edge].flatten(1).long() + first
    counts = torch.bincount(inner.flatten(), minlength=count * 256).view(count, 256)
    darker = counts.cumsum(1) - counts
    # 255 (darker + counts / 2) / counted, rounded half up, in whole numbers.
    table = torch.div(255 * (2 * darker + counts) + counted, 2 * counted, rounding_mode="floor")
    return table.gather(1, images.flatten(1).long()).view(images.shape)
