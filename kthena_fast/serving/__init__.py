"""What every program that listens needs: sockets, a certificate that follows its files, the metrics port, signals.

Nothing here knows what is served.
"""
