"""Rank 1 of 2 in a process of its own, for runs that a test leads.

Each line of stdin has the file by which the two meet, and a file for the state of the training in
the end. The process answers with a line: `done`, or `lost` if the other one has failed.
"""

import sys

import torch
import torch.distributed as dist

from mocosearch.errors import ProcessLost
from mocosearch.training.loop import follow
from mocosearch.training.processes.group import Start
from mocosearch.training.state import Training

torch.set_num_threads(1)
trainings: list[Training] = []
start = Start.training


def watched(message: Start, device: str) -> Training:
    trainings.append(start(message, device))
    return trainings[-1]


Start.training = watched  # type: ignore[method-assign]
for line in sys.stdin:
    meeting, result = line.split()
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=1, world_size=2)
    dist.barrier()
    outcome = "done"
    try:
        follow("cpu")
    except ProcessLost:
        outcome = "lost"
    dist.destroy_process_group()
    if trainings:
        torch.save(trainings.pop().state(), result)
    sys.stdout.write(f"{outcome}\n")
    sys.stdout.flush()
