"""The files of the chart that come from its values.yaml and from the code: `make docs` writes them anew."""

from __future__ import annotations

import io
from pathlib import Path

from ruamel.yaml import YAML

from kthena_fast.resources import crds
from tests.charts import values

CHART = Path(__file__).parents[2] / "charts" / "kthena"
BEGIN, END = "<!-- generated: values -->\n", "<!-- end -->"


def _readme(text: str) -> str:
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{values.table((CHART / 'values.yaml').read_text())}\n{END}{rest.partition(END)[2]}"


def _definitions() -> dict[str, str]:
    """Each CustomResourceDefinition as `kthena-fast crds` prints it, in a file of its plural's name."""
    yaml = YAML(typ="rt")
    written = {}
    for document in crds.as_yaml().split("---\n")[1:]:
        definition = yaml.load(io.StringIO(document))
        written[f"files/crds/{definition['spec']['names']['plural']}.yaml"] = document
    return written


def files() -> dict[Path, str]:
    """What each generated file should hold."""
    text = (CHART / "values.yaml").read_text()
    contents = {
        "values.schema.json": values.schema_text(text),
        "charts/networking/values.yaml": values.subchart_text(text),
        "README.md": _readme((CHART / "README.md").read_text()),
        **_definitions(),
    }
    return {CHART / name: content for name, content in contents.items()}


if __name__ == "__main__":
    for path, content in files().items():
        path.write_text(content)
