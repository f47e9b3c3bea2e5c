"""Interactive pictures of the page, as SVG that also reads well printed and without scripts.

plot        lines over an axis, with what a read-out says of each point
curves      losses and accuracies over the steps
profiles    signal and gradient over the layers
histograms  the distributions of each layer, at each recorded step
parallel    many settings over all keys that vary
"""
