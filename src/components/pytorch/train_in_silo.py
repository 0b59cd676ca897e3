"""The step train-in-silo in PyTorch, for hospitals with GPUs: the same command line, files and JSON lines as fedrad's own.

Runs as one process or as several under torch.distributed.run, on CUDA where PyTorch has it, else on the CPU. Needs PyTorch, the
standard library and the small files beside it. Weights are read and written as safetensors, with every length checked; no pickle is
read, no code from a file is run. What differs from fedrad's engine: rounding, and which activations dropout leaves out.

    python3 train_in_silo.py train-in-silo --input data_silo0=DIR --input checkpoint=DIR --output model=DIR \\
        --param metrics_prefix=silo0 --param lr=0.01 ... --scratch DIR --threads 4
    python3 train_in_silo.py --probe      (what this Python has, as JSON)
"""
import argparse, errno, hashlib, json, math, mmap, os, resource, struct, sys, threading, traceback

try:
    import torch
    from torch import nn
    import torch.distributed as dist
    import torch.nn.functional as F
except ImportError as error:
    if "--probe" not in sys.argv:
        raise
    print(json.dumps({"problem": str(error)}))
    sys.exit(0)

import augment
from equalise import equalise
from layers import check_network
from rng import shuffled, stream_key

REFUSED = 3
RANK = int(os.environ.get("RANK", "0"))
LOCAL_RANK = int(os.environ.get("LOCAL_RANK", "0"))
PROCESSES = int(os.environ.get("WORLD_SIZE", "1"))


class Refused(Exception):
    """Something that a person can mend: trying again would give the same."""

    def __init__(self, where, problem, remedy=None):
        super().__init__(f"{where}: {problem}" + (f" ({remedy})" if remedy else ""))
        self.fields = {"where": where, "problem": problem, "remedy": remedy}


# --- Messages: one JSON object a line; only the first process reports, each says what it cost.


def send(**message):
    sys.stdout.write(json.dumps(message, allow_nan=False) + "\n")
    sys.stdout.flush()


def report(**message):
    if RANK == 0:
        send(**message)


# --- Safetensors (format description 0.4), float32 only; writes the bytes that src/base/safetensors.ts writes.


def is_sizes(value):
    return isinstance(value, list) and all(type(size) is int and 0 <= size < 2**53 for size in value)


def unique(pairs):
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)


def no_constant(name):
    raise ValueError(f"{name} is no JSON")


def strict_json(text):
    return json.loads(text, object_pairs_hook=unique, parse_constant=no_constant)


def read_safetensors(path):
    """Tensors by name, in the header's order, and the metadata. Refuses anything that is not exactly such a file."""

    def bad(problem):
        raise Refused(path, f"not a safetensors file: {problem}", "the file is damaged or of another kind")

    try:
        with open(path, "rb") as stream:
            file = stream.read()
    except OSError as error:
        raise Refused(path, f"no model here: {error.strerror}", "give a folder with model.safetensors") from error
    if len(file) < 8:
        bad(f"{len(file)} bytes long")
    (header_bytes,) = struct.unpack("<Q", file[:8])
    if header_bytes > 100_000_000 or 8 + header_bytes > len(file):
        bad(f"header of {header_bytes} bytes")
    try:
        header = strict_json(file[8 : 8 + header_bytes].decode("utf-8"))
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        bad("the header is not a JSON object")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        bad("__metadata__ is not text by name")
    start_of_body, body_bytes = 8 + header_bytes, len(file) - 8 - header_bytes
    tensors, spans = {}, []
    for name, entry in header.items():
        entry = entry if isinstance(entry, dict) else {}
        shape, offsets = entry.get("shape"), entry.get("data_offsets")
        if entry.get("dtype") != "F32":
            bad(f'tensor "{name}" has dtype {entry.get("dtype")}, expected F32')
        if not is_sizes(shape) or not is_sizes(offsets) or len(offsets) != 2:
            bad(f'tensor "{name}" has no valid shape or data_offsets')
        start, end = offsets
        if start > end or end > body_bytes or end - start != 4 * math.prod(shape):
            bad(f'tensor "{name}" does not fit its offsets')
        data = bytearray(file[start_of_body + start : start_of_body + end])
        tensors[name] = (torch.frombuffer(data, dtype=torch.float32) if data else torch.empty(0)).reshape(shape)
        spans.append((start, end))
    covered = 0
    for start, end in sorted(spans):
        if start != covered:
            bad("tensors overlap or leave a hole")
        covered = end
    if covered != body_bytes:
        bad(f"{body_bytes - covered} bytes after the last tensor")
    return tensors, metadata


def write_safetensors(path, tensors, metadata):
    header, end = {}, 0
    if metadata:
        header["__metadata__"] = {key: metadata[key] for key in sorted(metadata)}
    for name, tensor in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [end, end + 4 * tensor.numel()]}
        end += 4 * tensor.numel()
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    start = 8 + -(-len(text) // 8) * 8
    file = bytearray(start + end)
    file[:start] = struct.pack("<Q", start - 8) + text.ljust(start - 8)
    for tensor in tensors.values():
        if tensor.numel() > 0:
            into = torch.frombuffer(file, dtype=torch.float32, count=tensor.numel(), offset=start)
            into.copy_(tensor.detach().reshape(-1))
        start += 4 * tensor.numel()
    with open(path, "wb") as stream:
        stream.write(file)


# --- The network: what src/engine/layers.ts describes, as a module.


class GlobalAveragePool(nn.Module):
    def forward(self, x):
        return x.mean((2, 3), keepdim=True)


class SharedBatchNorm(nn.BatchNorm2d):
    """Statistics of the whole batch over all processes, on CUDA and CPU (torch.nn.SyncBatchNorm is for CUDA alone)."""

    # How much each image of this batch counts (`shares`).
    share = 1.0

    def forward(self, x):
        from torch.distributed.nn.functional import all_reduce

        count = torch.tensor(float(x.numel() // x.shape[1]), device=x.device)
        dist.all_reduce(count)
        mean = all_reduce(x.sum((0, 2, 3))) / count
        centred = x - mean[:, None, None]
        variance = all_reduce((centred * centred).sum((0, 2, 3))) / count
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            distinct = count * self.share
            self.running_var.lerp_(variance * distinct / (distinct - 1).clamp(min=1), self.momentum)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return centred * scale[:, None, None] + self.bias[:, None, None]


class Residual(nn.Module):
    def __init__(self, body, shortcut):
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x):
        return self.body(x) + self.shortcut(x)


def windowed(shape, kernel, stride, padding):
    size = tuple((shape[i + 1] + 2 * padding[i] - kernel[i]) // stride[i] + 1 for i in (0, 1))
    if min(size) < 1:
        raise ValueError(f"a kernel of {kernel} does not fit an image of {shape[1:]}")
    return size


def leaf(layer, shape):
    """The module of one layer, its parameters by PyTorch's names, and its output's shape [C, H, W]."""
    op = layer["op"]
    if op == "conv2d":
        kernel, stride, padding = (tuple(layer[key]) for key in ("kernel_size", "stride", "padding"))
        options = {"groups": layer["groups"], "bias": layer["bias"]}
        module = nn.utils.skip_init(nn.Conv2d, shape[0], layer["out_channels"], kernel, stride, padding, **options)
        return module, ["weight", "bias"], (layer["out_channels"], *windowed(shape, kernel, stride, padding))
    if op in ("max_pool2d", "avg_pool2d"):
        kernel, padding = tuple(layer["kernel_size"]), tuple(layer["padding"])
        stride = tuple(layer.get("stride", kernel))
        module = {"max_pool2d": nn.MaxPool2d, "avg_pool2d": nn.AvgPool2d}[op](kernel, stride, padding)
        return module, [], (shape[0], *windowed(shape, kernel, stride, padding))
    if op == "linear":
        inputs, outputs = math.prod(shape), layer["out_features"]
        linear = nn.utils.skip_init(nn.Linear, inputs, outputs, bias=layer["bias"])
        return linear, ["weight", "bias"], (outputs, 1, 1)
    if op == "batch_norm2d":
        norm = SharedBatchNorm if PROCESSES > 1 else nn.BatchNorm2d
        module = norm(shape[0], eps=layer["eps"], momentum=layer["momentum"])
        module.name, module.values_of_an_image = layer["name"], shape[1] * shape[2]
        return module, ["weight", "bias", "running_mean", "running_var"], shape
    if op == "group_norm":
        return nn.GroupNorm(layer["num_groups"], shape[0], eps=layer["eps"]), ["weight", "bias"], shape
    if op == "global_avg_pool":
        return GlobalAveragePool(), [], (shape[0], 1, 1)
    if op == "dropout":
        return nn.Dropout(round(layer["p"] * 65536) / 65536), [], shape
    return {"relu": nn.ReLU, "gelu": nn.GELU}[op](), [], shape


def build(layers, shape, state):
    """A module of these layers over an input of this shape; adds to `state`, by name and in order, whose tensors there are."""
    modules = []
    for layer in layers:
        op = layer["op"]
        if op == "residual":
            body, body_shape = build(layer["body"], shape, state)
            shortcut, shortcut_shape = build(layer["shortcut"], shape, state)
            if body_shape != shortcut_shape:
                raise ValueError("body and shortcut of a residual differ in shape")
            modules.append(Residual(body, shortcut))
            shape = body_shape
            continue
        if op == "linear":
            modules.append(nn.Flatten())
        module, names, shape = leaf(layer, shape)
        for name in names:
            if getattr(module, name) is not None:
                state[f"{layer['name']}.{name}"] = module, name
        modules.append(module)
        if op == "linear":
            modules.append(nn.Unflatten(1, shape))
    return nn.Sequential(*modules), shape


class Model(nn.Module):
    """Grey values [B, H, W] to two logits; equalises and normalises as the engine does, the latter in single precision."""

    def __init__(self, network):
        super().__init__()
        check_network(network)
        self.places = {}
        size = network["imageSize"]
        self.layers, _ = build(network["layers"], (1, size, size), self.places)
        normalisation = network["normalisation"]
        self.margin = normalisation.get("equalise")
        mean, std = (torch.tensor(normalisation[key], dtype=torch.float32) for key in ("mean", "std"))
        table = (torch.arange(256, dtype=torch.float32) / 255 - mean) / std
        self.register_buffer("table", table, persistent=False)

    def state(self):
        """Parameters and statistics by name, as fedrad's files have them; moving to a device replaces some of them."""
        return {name: getattr(module, attribute) for name, (module, attribute) in self.places.items()}

    def forward(self, grey):
        grey = grey.long() if self.margin is None else equalise(grey, self.margin)
        return self.layers(self.table[grey].unsqueeze(1)).flatten(1)


def read_model(folder):
    """The model of a folder, with its file's metadata; refuses what does not belong to its own network."""
    path = os.path.join(folder, "model.safetensors")
    tensors, metadata = read_safetensors(path)
    if metadata.get("fedrad") != "1" or "network" not in metadata:
        raise Refused(path, "its metadata does not name a network of fedrad", "only models written by fedrad are read")
    try:
        network = strict_json(metadata["network"])
        model = Model(network)
    except (ValueError, ArithmeticError, RuntimeError, MemoryError, RecursionError) as error:
        problem = str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
        raise Refused(path, f"its network is not valid: {problem}".replace("\n", " ")) from error
    remedy = "this file does not belong to this network; it is not used"
    state = model.state()
    for name in [*tensors, *state]:
        if name not in state:
            raise Refused(path, f'unexpected parameter "{name}"', remedy)
        if name not in tensors:
            raise Refused(path, f'parameter "{name}" is missing', remedy)
        if tensors[name].shape != state[name].shape:
            expected, got = list(state[name].shape), list(tensors[name].shape)
            raise Refused(path, f'parameter "{name}": expected shape {expected}, got {got}', remedy)
        if not torch.isfinite(tensors[name]).all():
            raise Refused(path, f'parameter "{name}" is not finite', remedy)
        with torch.no_grad():
            state[name].copy_(tensors[name])
    return model, network, metadata


# --- Prepared images: src/radiographs/prepared.ts.


def read_prepared(folder, image_size):
    """Images [N, H, W] as bytes, mapped from the file, and their labels."""
    remedy = "prepare this folder again"
    path = os.path.join(folder, "train.json")
    try:
        with open(path, encoding="utf-8") as stream:
            header = strict_json(stream.read())
        size, labels = header["imageSize"], header["labels"]
        valid = header["version"] == 1 and type(size) is int and size >= 1
        valid = valid and len(header["patients"]) == len(labels) and all(label in (0, 1) for label in labels)
        digest = str(header["sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Refused(path, f"expected a prepared split: {error}", remedy) from error
    if not valid:
        raise Refused(path, "expected a prepared split", remedy)
    if size != image_size:
        problem = f"images of {size}x{size} pixels, the network takes {image_size}x{image_size}"
        raise Refused(path, problem, f"prepare the images as {image_size}x{image_size} grey")
    path = os.path.join(folder, "train.u8")
    try:
        with open(path, "rb") as stream:
            got = os.fstat(stream.fileno()).st_size
            if got != len(labels) * size**2:
                raise Refused(path, f"expected {len(labels)} images of {size} x {size} bytes, got {got} bytes", remedy)
            if got == 0:
                return torch.empty((0, size, size), dtype=torch.uint8), labels
            data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
    except OSError as error:
        raise Refused(path, f"cannot be read: {error.strerror}", remedy) from error
    if RANK == 0 and hashlib.sha256(data).hexdigest() != digest:
        raise Refused(path, "its SHA-256 is not the one it was made with", remedy)
    return torch.frombuffer(data, dtype=torch.uint8).reshape(len(labels), size, size), labels


# --- Training.

PARAMETERS = {
    *("metrics_prefix", "iteration_num", "num_of_iterations", "epochs", "lr", "batch_size", "proximal_mu", "seed"),
    *("optimizer", "lr_schedule", "class_weights", "augmentation"),
}


def check_parameters(p):
    """Refuses what this trainer does not do; nothing that a config asks for is left out in silence."""
    remedy = "leave it out, or set trainer: fedrad for this silo"
    for name in p:
        if name not in PARAMETERS:
            raise Refused(name, "the PyTorch trainer does not know this parameter", remedy)
    for name, value in augmentation_of(p).items():
        where = f"augmentation.{name}"
        if name not in augment.OPTIONS:
            raise Refused(where, "the PyTorch trainer does not know this augmentation", remedy)
        if type(value) not in (int, float) or not 0 <= value <= augment.OPTIONS[name]:
            raise Refused(where, f"expected 0 to {augment.OPTIONS[name]}, got {json.dumps(value)}")


def augmentation_of(p):
    chosen = p.get("augmentation", "none")
    if chosen == "none":
        return {}
    if not isinstance(chosen, dict):
        raise Refused("augmentation", f"expected options or none, got {json.dumps(chosen)}")
    return chosen


def optimiser_of(p, parameters):
    chosen = dict(p.get("optimizer") or {"kind": "sgd", "momentum": 0.9})
    kind = chosen.pop("kind")
    if kind == "sgd":
        # Without momentum Nesterov's is plain descent; PyTorch refuses to be asked for it.
        chosen["nesterov"] = chosen.get("nesterov", False) and chosen.get("momentum", 0) > 0
        return torch.optim.SGD(parameters, lr=p["lr"], **chosen)
    if kind not in ("adam", "adamw"):
        raise Refused("optimizer", f'the PyTorch trainer does not know "{kind}"', "use sgd, adam or adamw")
    return {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[kind](parameters, lr=p["lr"], **chosen)


def rate_factor(schedule, epoch, epochs_in_all):
    """What the learning rate is multiplied with after so many epochs (3.5: the middle of the fourth) of all iterations."""
    kind, warmup = schedule.get("kind", "constant"), schedule.get("warmup_epochs", 0)
    if kind not in ("constant", "step", "cosine"):
        raise Refused("lr_schedule", f'the PyTorch trainer does not know "{kind}"', "use constant, step or cosine")
    if epoch < warmup:
        return epoch / warmup
    since = epoch - warmup
    if kind == "step":
        return schedule.get("gamma", 0.1) ** math.floor(since / schedule["step_size"])
    if kind == "cosine":
        least = schedule.get("min_factor", 0)
        return least + (1 - least) * (1 + math.cos(math.pi * min(1, since / (epochs_in_all - warmup)))) / 2
    return 1.0


def class_weights_of(p, labels):
    """Weight of each class in the mean of the losses, which is divided by their sum, as PyTorch's cross_entropy is."""
    chosen = p.get("class_weights", "none")
    if chosen == "none":
        return [1.0, 1.0]
    if chosen == "balanced":
        return [len(labels) / (2 * max(1, labels.count(label))) for label in (0, 1)]
    return [float(weight) for weight in chosen]


def shares(chosen):
    """This process's part of a batch, and how much each of its images counts: a batch too small to share goes to all."""
    return (chosen[RANK::PROCESSES], 1.0) if len(chosen) >= PROCESSES else (chosen, 1.0 / PROCESSES)


def summed(values, device):
    """Sums of these numbers over all processes."""
    total = torch.tensor(values, dtype=torch.float64)
    if PROCESSES > 1:
        total = total.to(device)
        dist.all_reduce(total)
    return total.tolist()


def train(model, images, labels, p, device):
    """Trains the model in place; gives the mean loss and the accuracy of each epoch, as src/engine/train.ts does."""
    count, size, epochs = len(labels), p["batch_size"], p["epochs"]
    stream, seed, iteration = (p["metrics_prefix"], p["iteration_num"]), p["seed"], p["iteration_num"]
    batches = math.ceil(count / size)
    weights = class_weights_of(p, labels)
    weights_there = torch.tensor(weights, device=device)
    targets = torch.tensor(labels)
    trained = [tensor for tensor in model.parameters() if tensor.requires_grad]
    anchor = [tensor.detach().clone() for tensor in trained] if p.get("proximal_mu", 0) > 0 else []
    optimiser = optimiser_of(p, trained)
    schedule = p.get("lr_schedule") or {}
    in_all = p.get("num_of_iterations", iteration) * epochs
    looks, look_key = augmentation_of(p), stream_key(seed, "augmentation", *stream)
    model.train()
    shared = model
    if PROCESSES > 1:
        ids = [device.index] if device.type == "cuda" else None
        shared = nn.parallel.DistributedDataParallel(model, device_ids=ids, broadcast_buffers=False)
    history = []
    for epoch in range(epochs):
        order = shuffled(count, seed, "shuffle", *stream, epoch)
        loss_sum, correct_sum = 0.0, 0.0
        for batch in range(batches):
            chosen = order[batch * size : (batch + 1) * size]
            mine, share = shares(chosen)
            SharedBatchNorm.share = share
            whole = sum(weights[labels[image]] for image in chosen)
            done = (iteration - 1) * epochs + epoch + batch / batches
            for group in optimiser.param_groups:
                group["lr"] = p["lr"] * rate_factor(schedule, done, in_all)
            target = targets[mine].to(device)
            pixels = images[mine].to(device)
            if any(looks.values()):
                pixels = augment.augmented(pixels, looks, look_key, epoch, mine)
            logits = shared(pixels)
            losses = F.cross_entropy(logits, target, reduction="none") * weights_there[target]
            optimiser.zero_grad(set_to_none=True)
            # DistributedDataParallel takes the mean of the processes' gradients; the sum is wanted.
            (losses.sum() * (share * PROCESSES / whole)).backward()
            for tensor, start in zip(trained, anchor):
                tensor.grad.add_(tensor.detach() - start, alpha=p["proximal_mu"])
            optimiser.step()
            right = ((logits[:, 1] > logits[:, 0]).long() == target).sum().item()
            loss, correct = summed([losses.sum().item() * share / whole, right * share], device)
            if not math.isfinite(loss):
                problem = f"the loss is {loss} in epoch {epoch + 1}, batch {batch + 1}"
                raise Refused("training", problem, "lower the learning rate")
            loss_sum, correct_sum = loss_sum + loss * len(chosen), correct_sum + correct
            text = f"epoch {epoch + 1}/{epochs}, loss {loss:.4f}"
            report(type="progress", done=epoch * batches + batch + 1, total=epochs * batches, text=text)
        history.append((loss_sum / count, correct_sum / count))
    return history


def open_device(threads):
    """This process's device; joins the processes. The same bits come out again on the same machine with as many processes."""
    torch.set_num_threads(max(1, threads // PROCESSES))
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    # Not a silent return to the CPU, where a sandbox or a driver hides what was found before the run.
    found = int(os.environ.get("FEDRAD_GPUS", "0"))
    if gpus < found:
        raise Refused("GPU", f"PyTorch sees {gpus} of the {found} that were found before", "look into the driver; dmesg")
    if 0 < gpus < here:
        raise Refused("process_count_per_instance", f"{here} processes, {gpus} GPUs", f"at most {gpus}")
    device = torch.device("cuda", LOCAL_RANK) if gpus > 0 else torch.device("cpu")
    # On CUDA a warning where PyTorch has no deterministic way, instead of an end.
    torch.use_deterministic_algorithms(True, warn_only=gpus > 0)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    if gpus > 0:
        torch.cuda.set_device(device)
    return device


def join(scratch, device):
    # Through a file, not a port: nothing to collide with on a machine without network namespaces.
    store = dist.FileStore(os.path.join(scratch, "processes"), PROCESSES)
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=RANK, world_size=PROCESSES)


def check_batches(model, count, batch_size):
    """Refuses a batch of which a batch norm would have one value a channel: that has no variance."""
    if batch_size > 1 and count % batch_size != 1:
        return
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and module.values_of_an_image == 1:
            problem = f'batch norm "{module.name}" gets one value a channel in a batch of 1 image'
            raise Refused("training", problem, "choose another batch_size")


def run(step):
    p, outputs = step.parameters, dict(step.output)
    check_parameters(p)
    device = open_device(step.threads)
    inputs = dict(step.input)
    model, network, metadata = read_model(inputs["checkpoint"])
    sets = [read_prepared(folder, network["imageSize"]) for name, folder in step.input if name.startswith("data_")]
    images = sets[0][0] if len(sets) == 1 else torch.cat([images for images, _ in sets])
    labels = [label for _, labels in sets for label in labels]
    if not labels:
        raise Refused("training data", "no images", "give this silo images or leave it out")
    check_batches(model, len(labels), p["batch_size"])
    facts = {"torch": torch.__version__, "device": device.type, "processes": PROCESSES}
    if device.type == "cuda":
        facts["gpu"] = torch.cuda.get_device_name(device)
    report(type="note", text=f"pytorch {json.dumps({**facts, 'threads': torch.get_num_threads()})}")
    if PROCESSES > 1:
        join(step.scratch, device)
    silo, iteration = p["metrics_prefix"], p["iteration_num"]
    torch.manual_seed(stream_key(p["seed"], "dropout", silo, iteration, RANK)[0])
    # Quicker for convolutions on a CPU; on CUDA PyTorch's max-pool repeats its bits only in the other format.
    model.to(device, memory_format=torch.channels_last if device.type == "cpu" else torch.contiguous_format)
    history = train(model, images, labels, p, device)
    for name, tensor in model.state().items():
        if not torch.isfinite(tensor).all():
            raise Refused("training", f'parameter "{name}" is not finite', "lower the learning rate")
    report(type="metric", name=f"iteration_{iteration}/{silo}/Processes", value=PROCESSES, iteration=iteration)
    for index, (loss, accuracy) in enumerate(history):
        position = (iteration - 1) * p["epochs"] + index + 1
        report(type="metric", name=f"iteration_{iteration}/{silo}/Train Loss", value=loss, iteration=position)
        report(type="metric", name=f"iteration_{iteration}/{silo}/Train Accuracy", value=accuracy, iteration=position)
    if RANK == 0:
        # A threshold belongs to the model that it was chosen for.
        metadata.pop("threshold", None)
        write_safetensors(os.path.join(outputs["model"], "model.safetensors"), model.state(), metadata)
        with open(os.path.join(outputs["model"], "update.json"), "w", encoding="utf-8") as stream:
            note = {"silo": silo, "examples": len(labels)}
            stream.write(json.dumps(note, separators=(",", ":"), ensure_ascii=False) + "\n")
    if PROCESSES > 1:
        dist.barrier()
        dist.destroy_process_group()


def probe():
    """What this Python has."""
    has_cuda = torch.cuda.is_available()
    gpus = [torch.cuda.get_device_name(gpu) for gpu in range(torch.cuda.device_count())] if has_cuda else []
    distributed = dist.is_available()
    has_backend = distributed and (dist.is_nccl_available() if gpus else hasattr(dist, "ProcessGroupGloo"))
    return {"torch": torch.__version__, "gpus": gpus, "distributed": has_backend}


def stop_with_parent():
    """Ends this process when standard input ends: the step's parent is gone, whatever it died of."""

    def wait():
        while os.read(0, 4096):
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def parameter(text):
    name, value = text.split("=", 1)
    try:
        return name, strict_json(value)
    except ValueError:
        return name, value


def parse(args):
    parser = argparse.ArgumentParser(description="The step train-in-silo in PyTorch.")
    parser.add_argument("component", choices=["train-in-silo"])
    for option in ("--input", "--output"):
        parser.add_argument(option, action="append", default=[], type=lambda text: tuple(text.split("=", 1)))
    parser.add_argument("--param", action="append", default=[], type=parameter)
    parser.add_argument("--scratch", required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--attached", action="store_true")
    step = parser.parse_args(args)
    step.parameters = dict(step.param)
    return step


def main():
    """Exit code 0, 1 (a defect) or 3 (refused); the first process that fails says why in the scratch folder."""
    if sys.argv[1:] == ["--probe"]:
        return print(json.dumps(probe()))
    step = parse(sys.argv[1:])
    if step.attached:
        stop_with_parent()
    code, failure = 0, None
    try:
        run(step)
    except Refused as error:
        code, failure = REFUSED, {"refused": True, **error.fields}
    except torch.cuda.OutOfMemoryError:
        code = REFUSED
        failure = {"refused": True, "where": "GPU", "problem": "out of memory", "remedy": "lower batch_size, or use more GPUs"}
    except Exception as error:
        full = isinstance(error, OSError) and error.errno == errno.ENOSPC
        code = REFUSED if full else 1
        problem = "the disk is full" if full else f"{type(error).__name__}: {error}"
        failure = {"refused": full, "where": "disk" if full else "PyTorch", "problem": problem, "remedy": None}
        traceback.print_exc()
    if failure is not None:
        try:
            with open(os.path.join(step.scratch, "failure.json"), "x", encoding="utf-8") as stream:
                json.dump(failure, stream)
        except OSError:
            pass
        print(f"{failure['where']}: {failure['problem']}", file=sys.stderr)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    # Linux counts in KiB, macOS in bytes.
    send(type="usage", cpuSeconds=usage.ru_utime + usage.ru_stime, maxRssBytes=usage.ru_maxrss * (1024 if sys.platform == "linux" else 1))
    sys.stdout.flush()
    # Without a farewell: processes that wait for one that failed would hang in it.
    os._exit(code)


if __name__ == "__main__":
    main()
