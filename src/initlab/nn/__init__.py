"""The mathematics of networks: the parts, the training, and what can be measured of both.

initializers, activations, layers, losses, network, models, optimizers, schedules
              the parts, one module for each family
quadratic     the valley x²/20 + y², to minimize instead of training a network
training      the training loop, a generator of steps
preparation   from settings and data to a training that is ready to start
diagnostics   statistics of activations, gradients and weights, layer by layer
verdict       a diagnosis in one word, and one sentence of advice
metrics       the names of the recorded numbers

All code that decides the numbers of a run is here and in `initlab.data`; the fingerprint of a run
covers every file of both packages.
"""
