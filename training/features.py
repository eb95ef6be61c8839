"""The features of a split, computed in shards that a restarted run need not compute again."""

import json
from collections.abc import Sequence

import torch

from training.checkpoint import Checkpoints, StopSignal
from training.data import Broken, Sample
from training.hosts import Hosts
from training.images import BATCH_SIZE, Images, none_left
from training.network import Outputs, Runner, run_part
from training.progress import bar

# What a killed run may have to do again: a few seconds of work.
SHARD_IMAGES = 1024


def compute_features(
    images: Images,
    run: Runner,
    checkpoints: Checkpoints,
    broken: Broken,
    split: str,
    stop: StopSignal,
    hosts: Hosts,
) -> Outputs:
    """The features [n, d] of all images of a split, each shard from its checkpoint where there is one.

    Each shard is one host's, and in the end every host has them all. Shards begin at the same samples, and batches with
    their shard, however often a run was interrupted: to the last bit the features do not depend on it.

    Raises:
        DataError: too many images are broken, or all.
        Stopped: SIGTERM came; the shards so far are saved.
    """
    shards: list[Outputs] = []
    samples = images.samples
    size = shard_size(len(samples), hosts.count)
    starts = range(0, len(samples), size)[hosts.rank :: hosts.count]
    with bar(sum(len(samples[start : start + size]) for start in starts), f"{split} features") as shown:
        for start in starts:
            stop.check()
            name, part = f"{split}-{start:08}", samples[start : start + size]
            if saved := checkpoints.load(name):
                tensors, facts = saved
                for number, reason in facts["broken"]:
                    broken.add(part[number].path, reason)
                shown.update(len(tensors["labels"]))
                shards.append(Outputs(**tensors))
            elif computed := run_part(images, [run], start, start + len(part), shown):
                found = [(i, broken.files[one.path]) for i, one in enumerate(part) if one.path in broken.files]
                checkpoints.save(name, vars(computed[0]), {"broken": found})
                shards += computed
    shards = shards or [Outputs(torch.empty(0, 0), *torch.empty(2, 0, dtype=torch.int64))]
    gathered = [hosts.gather(torch.cat([vars(shard)[name] for shard in shards])) for name in vars(shards[0])]
    tell_broken(samples, broken, hosts)
    everything = Outputs(*gathered)
    if not len(everything.labels):
        raise none_left(samples)
    order = everything.positions.argsort()
    return Outputs(*(values[order] for values in gathered))


def shard_size(images: int, hosts: int) -> int:
    """So many images that each host gets some, in whole batches, so that these do not depend on who computes them."""
    batches = -(-images // (hosts * BATCH_SIZE))
    return min(SHARD_IMAGES, batches * BATCH_SIZE)


def tell_broken(samples: Sequence[Sample], broken: Broken, hosts: Hosts) -> None:
    """Let each host know of the broken files that the others found."""
    places = {sample.path: place for place, sample in enumerate(samples)}
    own = [json.dumps([places[path], reason]) for path, reason in broken.files.items() if path in places]
    for line in filter(None, hosts.gather_text("\n".join(own)).split("\n")):
        place, reason = json.loads(line)
        broken.add(samples[place].path, reason)
