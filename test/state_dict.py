"""Loads a model.safetensors of fedrad into the torch module that its metadata describes (strict, so that every name and shape must
fit), and prints P(PNEUMONIA) of each image. Arguments: the model, a file of N images of size x size bytes; and more such pairs."""
import json, struct, sys
import torch
from torch import nn


def read_safetensors(path):
    data = open(path, "rb").read()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        start, end = (8 + length + offset for offset in entry["data_offsets"])
        tensors[name] = torch.frombuffer(bytearray(data[start:end]), dtype=torch.float32).reshape(entry["shape"])
    return tensors, metadata


class Residual(nn.Module):
    def __init__(self, body, shortcut):
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x):
        return self.body(x) + self.shortcut(x)


def build(layers, shape, names):
    """A Sequential of these layers for an input [C, H, W]; `names` gets each named module."""
    parts = []
    for layer in layers:
        kind = layer["op"]
        window = {key: layer[key] for key in ("kernel_size", "stride", "padding") if key in layer}
        channels = shape[0]
        if kind == "conv2d":
            part = nn.Conv2d(channels, layer["out_channels"], groups=layer["groups"], bias=layer["bias"], **window)
        elif kind == "max_pool2d":
            part = nn.MaxPool2d(**window)
        elif kind == "avg_pool2d":
            part = nn.AvgPool2d(**window)
        elif kind == "global_avg_pool":
            part = nn.AdaptiveAvgPool2d(1)
        elif kind == "batch_norm2d":
            part = nn.BatchNorm2d(channels, layer["eps"], layer["momentum"])
        elif kind == "group_norm":
            part = nn.GroupNorm(layer["num_groups"], channels, layer["eps"])
        elif kind == "relu":
            part = nn.ReLU()
        elif kind == "gelu":
            part = nn.GELU()
        elif kind == "dropout":
            part = nn.Dropout(layer["p"])
        elif kind == "linear":
            linear = nn.Linear(shape.numel(), layer["out_features"], layer["bias"])
            part = nn.Sequential(nn.Flatten(), linear, nn.Unflatten(1, (layer["out_features"], 1, 1)))
        elif kind == "residual":
            part = Residual(build(layer["body"], shape, names), build(layer["shortcut"], shape, names))
        else:
            raise ValueError(kind)
        if "name" in layer:
            names[layer["name"]] = linear if kind == "linear" else part
        parts.append(part.eval())
        shape = part(torch.zeros(1, *shape)).shape[1:]
    return nn.Sequential(*parts)


class Model(nn.Module):
    """The described network with its modules under their names in the state_dict: layer1.0.conv1 is a path of modules."""

    def __init__(self, network):
        super().__init__()
        named = {}
        size = network["imageSize"]
        # In a list, so that the modules are registered once, by name.
        self.layers = [build(network["layers"], torch.Size((1, size, size)), named)]
        for name, module in named.items():
            *path, last = name.split(".")
            place = self
            for step in path:
                if not hasattr(place, step):
                    place.add_module(step, nn.Module())
                place = getattr(place, step)
            place.add_module(last, module)

    def forward(self, x):
        return self.layers[0](x).flatten(1)


def probabilities(model_file, pixels_file):
    tensors, metadata = read_safetensors(model_file)
    network = json.loads(metadata["network"])
    model = Model(network).eval()
    model.load_state_dict(tensors, strict=True)
    size, normalisation = network["imageSize"], network["normalisation"]
    pixels = torch.frombuffer(bytearray(open(pixels_file, "rb").read()), dtype=torch.uint8).reshape(-1, 1, size, size)
    with torch.no_grad():
        logits = model((pixels.float() / 255 - normalisation["mean"]) / normalisation["std"])
    return logits.softmax(1)[:, 1].tolist()


if __name__ == "__main__":
    files = sys.argv[1:]
    print(json.dumps([probabilities(*pair) for pair in zip(files[::2], files[1::2])]))
