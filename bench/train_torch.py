"""PyTorch's side of side-by-side.ts: python3 train_torch.py work.json, then commands on stdin."""
import json, os, resource, sys, time
import torch
from torch import nn

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "src", "engine", "fixtures"))
sys.dont_write_bytecode = True
from network import Network

with open(sys.argv[1]) as file:
    work = json.load(file)
description, batch = work["network"], work["batch"]
size = description["imageSize"]
torch.set_num_threads(work["threads"])
torch.manual_seed(0)

network = Network(description["layers"], size).to(memory_format=torch.channels_last)
optimiser = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
cross_entropy = nn.CrossEntropyLoss()
with open(work["images"], "rb") as file:
    grey = torch.frombuffer(bytearray(file.read()), dtype=torch.uint8).reshape(batch, 1, size, size)
mean, std = description["normalisation"]["mean"], description["normalisation"]["std"]
images = ((grey.float() / 255 - mean) / std).contiguous(memory_format=torch.channels_last)
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
