"""Outlooks: what mean-field theory says of settings, without training.

outlook   of one setting, and as plain values for programs
grid      of all settings of a grid
terminal  both as tables
diagram   the phase diagram of an activation, as a picture
"""
