"""The CustomResourceDefinitions as a part of the release: kept, upgraded, and nobody else's."""

from tests.charts import helm


def test_they_stay_when_the_release_goes() -> None:
    definitions = helm.default().of("CustomResourceDefinition")
    assert len(definitions) == 3
    for definition in definitions:
        assert definition["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_they_are_objects_of_the_release_so_that_an_upgrade_reaches_them() -> None:
    """Upstream's lie in `crds/`, which Helm installs once and never again (6.4 C7)."""
    assert "CustomResourceDefinition" not in helm.run("show", "crds", helm.CHART)


def test_they_can_be_left_to_somebody_else() -> None:
    assert helm.render("crds.enabled=false").of("CustomResourceDefinition") == []


def test_numbers_in_them_survive_helm() -> None:
    """Helm reads numbers as floats: 2147483647 must not come out as 2.147483647e+09."""
    from kthena_fast.resources import crds

    rendered = {found["metadata"]["name"]: found["spec"] for found in helm.default().of("CustomResourceDefinition")}
    assert rendered == {crd["metadata"]["name"]: crd["spec"] for crd in crds.all()}
    assert "e+" not in "\n".join(line for line in helm.default().text.splitlines() if "imum:" in line)
