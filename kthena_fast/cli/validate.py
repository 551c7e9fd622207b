"""`kthena-fast validate`: manifests are held to the rules before a cluster or a gateway sees them."""

from __future__ import annotations

from pathlib import Path

import click

_PATH = click.Path(exists=True, allow_dash=True, path_type=Path)


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="FILE|DIR|-...", type=_PATH)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of lines.")
def validate(paths: tuple[Path, ...], as_json: bool) -> None:
    """Check manifests, and report every violation at once.

    ModelRoutes, ModelServers, ExternalModelProviders, Pods and Secrets are looked at, other kinds passed over, and so
    are files that hold no objects at all, with a warning. A dash stands for the standard input.
    An error is what a cluster refuses or the gateway sets aside; a warning is what is dropped, not obeyed or likely
    not meant.
    Exit status: 0 without errors, 1 with errors.
    """
    # Loading the types and the YAML reader takes longer than `kthena-fast --help` should.
    import dataclasses

    import orjson

    from kthena_fast.sources import validation
    from kthena_fast.telemetry.one_line import counted

    report = validation.validate(paths)
    if as_json:
        click.echo(
            orjson.dumps(
                {
                    "valid": not report.errors,
                    "files": report.files,
                    "objects": report.objects,
                    "findings": [dataclasses.asdict(finding) for finding in report.findings],
                },
                option=orjson.OPT_INDENT_2,
            ).decode()
        )
    else:
        for finding in report.findings:
            click.echo(str(finding))
        warnings = len(report.findings) - report.errors
        looked_at = f"{counted(report.objects, 'object')} in {counted(report.files, 'file')}"
        click.echo(f"{looked_at}: {counted(report.errors, 'error')}, {counted(warnings, 'warning')}", err=True)
    if report.errors:
        raise SystemExit(1)
