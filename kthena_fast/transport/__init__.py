"""Plain TCP connections: where the bytes of the inference port and of the engines come from and go to."""
