"""`kthena-fast crds`: the CustomResourceDefinitions, from the types that the gateway decodes with."""

from __future__ import annotations

import click


@click.command()
def crds() -> None:
    """Print the three CustomResourceDefinitions as YAML. They are ready for `kubectl apply -f -`."""
    # Loading the types takes longer than `kthena-fast --help` should.
    from kthena_fast.resources import crds as definitions

    click.echo(definitions.as_yaml(), nl=False)
