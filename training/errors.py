"""What training refuses, in words."""


class TrainingError(Exception):
    """The run cannot go on. The message is one sentence for the user: what is wrong and what to do."""


class Stopped(TrainingError):
    """The run was asked to leave, and left; what it did is in its checkpoints."""


class HostGone(TrainingError):
    """Another host of this run is gone, and has the better reason to tell."""
