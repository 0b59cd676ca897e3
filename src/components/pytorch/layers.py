"""What a network's description may hold: src/engine/network.ts and layers.ts, with the same ranges. Shapes are not looked at here."""
import json
import math
import re

MOST_NODES = 2000
MOST_LEVELS = 32


def whole(least, most):
    return lambda value: type(value) is int and least <= value <= most, f"a whole number from {least} to {most}"


def pair(least, most):
    size = whole(least, most)[0]

    def holds(value):
        return isinstance(value, list) and len(value) == 2 and all(map(size, value))

    return holds, f"two whole numbers from {least} to {most}"


def number(least, most, above=False):
    def holds(value):
        return type(value) in (int, float) and (least < value if above else least <= value) and value <= most

    return holds, f"a number {'above' if above else 'from'} {least}{' up' if above else ''} to {most}"


BOOLEAN = lambda value: type(value) is bool, "true or false"
NAME_PATTERN = re.compile(r"[A-Za-z_]\w*(\.\w+)*", re.ASCII)
NAME = (
    lambda value: isinstance(value, str) and len(value) <= 100 and NAME_PATTERN.fullmatch(value) is not None,
    'letters, digits, "_" and dots, like layer1.0.conv1',
)
EPSILON = MOMENTUM = number(0, 1, above=True)
POOL = {"kernel_size": pair(1, 15), "stride": pair(1, 15), "padding": pair(0, 7)}

LAYERS = {
    "conv2d": {
        "name": NAME,
        "out_channels": whole(1, 2048),
        "kernel_size": pair(1, 15),
        "stride": pair(1, 8),
        "padding": pair(0, 14),
        "groups": whole(1, 2048),
        "bias": BOOLEAN,
    },
    "max_pool2d": POOL,
    "avg_pool2d": POOL,
    "global_avg_pool": {},
    "batch_norm2d": {"name": NAME, "eps": EPSILON, "momentum": MOMENTUM},
    "group_norm": {"name": NAME, "num_groups": whole(1, 2048), "eps": EPSILON},
    "relu": {},
    "gelu": {},
    "dropout": {"p": number(0, 0.9)},
    "linear": {"name": NAME, "out_features": whole(1, 8192), "bias": BOOLEAN},
    "residual": {
        "body": (lambda value: isinstance(value, list) and len(value) > 0, "layers"),
        "shortcut": (lambda value: isinstance(value, list), "layers"),
    },
}
# Layers of one's own may leave it out: the kernel's size.
OPTIONAL = {("max_pool2d", "stride"), ("avg_pool2d", "stride")}

NETWORK = {
    "imageSize": (lambda value: whole(8, 1024)[0](value) and value % 8 == 0, "a multiple of 8 from 8 to 1024"),
    "classes": whole(2, 2),
    "normalisation": (lambda value: isinstance(value, dict), "mean and std"),
    "layers": (lambda value: isinstance(value, list) and 1 <= len(value) <= 500, "1 to 500 layers"),
}
NORMALISATION = {
    "mean": number(0, 1),
    "std": (lambda value: type(value) in (int, float) and 0 < value < math.inf, "a number above 0"),
    "equalise": number(0, 0.4),
}


def check_options(where, given, options, optional=()):
    for name in given:
        if name not in options:
            raise ValueError(f"{where} has options that are not known")
    for name, (holds, expected) in options.items():
        if name not in given:
            if name not in optional:
                raise ValueError(f"{where}: {name} is missing")
        elif not holds(given[name]):
            raise ValueError(f"{where}: {name}: expected {expected}, got {json.dumps(given[name])[:100]}")


def check_network(network):
    """Throws ValueError, in one line, where the description is not one that fedrad's engine would take."""
    if not isinstance(network, dict):
        raise ValueError("it is not an object")
    check_options("the network", network, NETWORK)
    if set(network["normalisation"]) - set(NORMALISATION):
        raise ValueError("its normalisation is not known")
    check_options("normalisation", network["normalisation"], NORMALISATION, ["equalise"])
    check_layers(network["layers"], "layers", 1, {})
    last = network["layers"][-1]
    if last["op"] != "linear" or last["out_features"] != 2:
        raise ValueError("it does not end in two classes")


def check_layers(layers, where, level, places, nodes=0):
    """How many nodes there are with these; a residual is one, by its sum. `places` are those of the names."""
    if level > MOST_LEVELS:
        raise ValueError(f"residuals lie in each other {level} levels deep, at most {MOST_LEVELS}")
    for index, layer in enumerate(layers):
        place = f"{where}[{index}]"
        op = layer.get("op") if isinstance(layer, dict) else None
        if not isinstance(op, str) or op not in LAYERS:
            raise ValueError(f"{place}: layer {json.dumps(op)[:100]} is not known")
        options = {name: value for name, value in layer.items() if name != "op"}
        check_options(f'{place}: layer "{op}"', options, LAYERS[op], [name for kind, name in OPTIONAL if kind == op])
        name = layer.get("name")
        if name in places:
            raise ValueError(f'{place}.name: "{name}" is also the name of {places[name]}')
        if name is not None:
            places[name] = place
        if op in ("max_pool2d", "avg_pool2d") and any(2 * p > k for p, k in zip(layer["padding"], layer["kernel_size"])):
            raise ValueError(f"{place}.padding is more than half the kernel")
        nodes += 1
        if nodes > MOST_NODES:
            raise ValueError(f"it has more than {MOST_NODES} layers")
        for part in ("body", "shortcut") if op == "residual" else ():
            nodes = check_layers(layer[part], f"{place}.{part}", level + 1, places, nodes)
    return nodes
