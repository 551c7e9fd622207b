"""The gateway: one request's journey, the ways in, the ports, and the life of the process."""
