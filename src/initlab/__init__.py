"""initlab shows what a weight initialisation does, before and while a network trains."""

__version__ = "0.1.0"
