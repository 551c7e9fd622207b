"""kthena_fast: the inference gateway and the admission webhook of Kthena, in Python."""

__version__ = "0.1.0"
