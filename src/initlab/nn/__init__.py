"""The mathematics of networks, and what it shows.

initializers, activations, layers, losses, network, models, optimizers, schedules
              the parts, one family a module
quadratic     the valley x²/20 + y², descended in place of a network
training      one loop that yields what happens
preparation   from settings and data to a training that is ready to begin
diagnostics   what flows through a network, in numbers
verdict       the same in one word and one sentence
metrics       the names of the numbers that a run leaves

All that decides the numbers of a run is here and in `initlab.data`: the fingerprint of a run covers
every file of both.
"""
