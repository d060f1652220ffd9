"""Agents whose E, D and V are plain functions."""

from shardsim.agents import agent


class FunctionAgent(agent.Agent):
    """The agent of given functions, which need not be networks."""

    def __init__(self, encoder, decoder, head):
        self.encoder = encoder
        self.decoder = decoder
        self.value = head
        self.auxiliary = None


def activations(stages, x):
    """The output of every stage of a network."""
    outputs = []
    for stage in stages:
        x = stage(x)
        outputs.append(x)
    return tuple(outputs)
