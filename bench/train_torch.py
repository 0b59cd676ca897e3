"""PyTorch's side of bench/train.ts: python3 train_torch.py images size batch threads, then commands on stdin."""
import json, resource, sys, time
import torch
from torch import nn

path, size, batch, threads = sys.argv[1], *map(int, sys.argv[2:5])
torch.set_num_threads(threads)
torch.manual_seed(0)


def block(inputs, outputs, *more):
    return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), *more]


network = nn.Sequential(
    *block(1, 32),
    *block(32, 64, nn.Dropout(0.2)),
    *block(64, 128, nn.Dropout(0.2)),
    nn.Flatten(),
    nn.Linear((size // 8) ** 2 * 128, 256),
    nn.ReLU(),
    nn.Linear(256, 2),
).to(memory_format=torch.channels_last)
optimiser = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
cross_entropy = nn.CrossEntropyLoss()
with open(path, "rb") as file:
    grey = torch.frombuffer(bytearray(file.read()), dtype=torch.uint8).reshape(batch, 1, size, size)
images = ((grey.float() / 255 - 0.4818) / 0.2357).contiguous(memory_format=torch.channels_last)
labels = torch.arange(batch) % 2


def train():
    network.train()
    optimiser.zero_grad(set_to_none=True)
    cross_entropy(network(images), labels).backward()
    optimiser.step()


def evaluate():
    network.eval()
    with torch.inference_mode():
        network(images).softmax(1)


for line in sys.stdin:
    command, count = line.split()
    seconds = []
    for _ in range(int(count)):
        start = time.perf_counter()
        {"train": train, "evaluate": evaluate}[command]()
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "peakMiB": peak, "name": f"PyTorch {torch.__version__} channels_last"}), flush=True)
