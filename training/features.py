"""The features of a split, computed in shards that a restarted run need not compute again."""

import torch

from training.checkpoint import Checkpoints, StopSignal
from training.data import Broken
from training.images import Images, none_left
from training.network import Outputs, Runner, run_part
from training.progress import bar

# What a killed run may have to do again: a few seconds of work.
SHARD_IMAGES = 1024


def compute_features(
    images: Images, run: Runner, checkpoints: Checkpoints, broken: Broken, split: str, stop: StopSignal
) -> Outputs:
    """The features [n, d] of all images of a split, each shard from its checkpoint where there is one.

    Shards begin at the same samples, and batches with their shard, however often a run was interrupted: to the last bit
    the features do not depend on it.

    Raises:
        DataError: too many images are broken, or all.
        Stopped: SIGTERM came; the shards so far are saved.
    """
    shards: list[Outputs] = []
    samples = images.samples
    with bar(len(samples), f"{split} features") as shown:
        for start in range(0, len(samples), SHARD_IMAGES):
            stop.check()
            name, part = f"{split}-{start // SHARD_IMAGES:05}", samples[start : start + SHARD_IMAGES]
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
    if not shards:
        raise none_left(samples)
    return Outputs(*(torch.cat([vars(shard)[name] for shard in shards]) for name in vars(shards[0])))
